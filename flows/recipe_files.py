"""Recipes as files: found, read, overridden, checked in full, written.

Checking says every mistake at once, each at its place, so that a mistake costs a second and not a night.
"""

import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from importlib import resources
from io import StringIO
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.composer import ComposerError
from ruamel.yaml.constructor import ConstructorError, DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from data_contracts import stage_configs, training_configs
from data_contracts.errors import RecipeError
from data_contracts.notify_config import Notify
from data_contracts.stage_configs import BaseModelConfig, EvaluateConfig, RunSettings
from data_contracts.vocabulary import Config
from flows.dataset_config import DatasetConfig
from flows.recipe import Recipe, nearest


def shipped_recipes() -> dict[str, Path]:
    """The recipes that come with Burnish, by name."""
    folder = Path(str(resources.files("flows").joinpath("recipes")))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def find_recipe(name: str) -> Path:
    """A shipped recipe's name, or any path. Raises RecipeError."""
    shipped = shipped_recipes()
    if name in shipped and not Path(name).is_file():
        return shipped[name]
    path = Path(name)
    if path.is_file():
        return path
    raise RecipeError(
        f"{name} is a directory." if path.is_dir() else f"There is no recipe {name!r}.",
        f"a file, or a shipped recipe: {', '.join(shipped)}",
        f"{nearest(name, list(shipped))}`burnish init my.yaml --sft rows.jsonl` writes one for your own files.",
    )


def read_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read and check a recipe; each override is `dotted.field=value`. Raises RecipeError.

    Relative paths are taken from the recipe's folder; those of overrides, and of shipped recipes, from the
    working directory.
    """
    return override_recipe(read_document(path), parse_overrides(overrides), str(path))


def read_document(path: Path) -> dict[str, Any]:
    """A recipe's file as plain values, its paths absolute. Raises RecipeError for what is no YAML."""
    document = _parse_yaml(path)
    is_shipped = path in shipped_recipes().values()
    _make_paths_absolute(document, Path.cwd() if is_shipped else path.parent.absolute())
    return document


def override_recipe(
    document: Mapping[str, Any], overrides: Mapping[str, Any], origin: str = "The recipe"
) -> Recipe:
    """A recipe from plain values, with fields replaced by dotted name, such as `dpo.beta`. Raises RecipeError."""
    changed = deepcopy(dict(document))
    for field, value in overrides.items():
        _set_field(changed, field, value)
    _make_paths_absolute(changed, Path.cwd())
    return check_recipe(changed, origin)


def parse_overrides(overrides: Sequence[str]) -> dict[str, Any]:
    """`dotted.field=value` each, the value in YAML; the last of a field wins. Raises RecipeError."""
    return dict(map(_parse_override, overrides))


def check_recipe(document: Mapping[str, Any], origin: str) -> Recipe:
    """A recipe from plain values. Raises RecipeError with every mistake it has."""
    try:
        return Recipe.model_validate(document)
    except ValidationError as error:
        mistakes = [_explain(mistake) for mistake in error.errors()]
        raise RecipeError(
            f"{origin} has {len(mistakes)} mistake(s):\n" + "\n".join(f"  {line}" for line in mistakes),
            "",
            "`burnish recipes --schema` prints the schema; `burnish recipes tiny` prints an example.",
        ) from error


def _parse_yaml(path: Path) -> dict[str, Any]:
    try:
        document = YAML(typ="safe", pure=True).load(path.read_text())
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise RecipeError(f"{path}, line {line}: {error.problem}.", "plain YAML", _hint(error)) from error
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path} is not text.", "a YAML file", "Check the path.") from error
    except YAMLError as error:
        raise RecipeError(f"{path} is not YAML: {error}", "a YAML file", "Check the path.") from error
    if not isinstance(document, dict):
        found = "is empty" if document is None else f"holds a {type(document).__name__}, not fields"
        raise RecipeError(
            f"{path} {found}.",
            "a mapping with name, base, datasets, stages",
            "`burnish recipes tiny` prints an example.",
        )
    return document


def _hint(error: MarkedYAMLError) -> str:
    if isinstance(error, DuplicateKeyError):
        return "Keep one of the two."
    if isinstance(error, ComposerError):
        return "One file is one recipe: remove the second document (after ---)."
    if isinstance(error, ConstructorError):
        return "Remove the tag (the word after !)."
    return "Check the indentation, and that brackets and quotes are closed."


def _make_paths_absolute(document: dict[str, Any], folder: Path) -> None:
    sections = [document.get("base"), *_values(document.get("datasets"))]
    for section in sections:
        if isinstance(section, dict) and isinstance(section.get("path"), str):
            section["path"] = str(folder / Path(section["path"]).expanduser())
    verifiers = document.get("verifiers")
    if isinstance(verifiers, dict):
        for name, added in list(verifiers.items()):
            verifiers[name] = _with_absolute_paths(added, folder)


def _with_absolute_paths(added: Any, folder: Path) -> Any:
    """Of a file, of a judge's cache, and of a reward model: one without a revision is a directory, not of the hub."""
    if isinstance(added, str):
        module, _, record = added.rpartition(":")
        return f"{folder / Path(module).expanduser()}:{record}" if module.endswith(".py") else added
    if not isinstance(added, dict) or added.get("revision") is not None:
        return added
    field = "cache" if "url" in added else "model"
    path = added.get(field)
    if not isinstance(path, str) or not path:
        return added
    return added | {field: str(folder / Path(path).expanduser())}


def _values(section: Any) -> list[Any]:
    return list(section.values()) if isinstance(section, dict) else []


def _parse_override(override: str) -> tuple[str, Any]:
    field, separator, text = override.partition("=")
    if not separator or not re.fullmatch(r"[a-zA-Z_][\w.\-]*", field):
        raise RecipeError(f"--set {override!r} cannot be read.", "FIELD=VALUE, such as dpo.beta=4")
    try:
        return field, YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        raise RecipeError(
            f"--set {override!r}: the value is not YAML.", "a value such as 4 or [a, b]"
        ) from error


def _set_field(document: dict[str, Any], field: str, value: Any) -> None:
    parts = field.replace("-", "_").split(".")
    if parts[0] not in Recipe.model_fields:
        for section in ("stages", "datasets"):
            if parts[0] in (document.get(section) or {}):
                parts.insert(0, section)
                break
        else:
            known = [*Recipe.model_fields, *(document.get("stages") or {}), *(document.get("datasets") or {})]
            raise RecipeError(
                f"--set {field}: there is no {parts[0]!r}.",
                f"one of {', '.join(known)}",
                nearest(parts[0], known),
            )
    target = document
    for part in parts[:-1]:
        target = target.setdefault(part, {})
        if not isinstance(target, dict):
            raise RecipeError(f"--set {field}: {part!r} has no fields.")
    target[parts[-1]] = value


def _explain(mistake: Mapping[str, Any]) -> str:
    parts = list(mistake["loc"])
    if len(parts) > 2 and parts[0] in ("stages", "verifiers"):
        del parts[2]  # pydantic names the union's tag, such as the stage's kind, after the name
    place = ".".join(str(part) for part in parts)
    if mistake["type"] == "extra_forbidden":
        key = str(mistake["loc"][-1])
        known = _fields_beside(mistake["loc"])
        return f"{place}: unknown key. {nearest(key, known) or 'Known: ' + ', '.join(known)}".strip()
    message = str(mistake["msg"]).removeprefix("Value error, ")
    found = mistake["input"]
    is_shown = isinstance(found, (str, int, float, bool)) and "notify" not in parts  # it may hold a token
    shown = f" (found {found!r})" if is_shown else ""
    return f"{place or 'recipe'}: {message}{shown}"


def _fields_beside(place: Sequence[Any]) -> list[str]:
    """Names allowed where the key at `place` was found: the tagged union puts a stage's kind in the path."""
    by_kind = {
        cls.model_fields["kind"].default: cls
        for cls in [*vars(training_configs).values(), *vars(stage_configs).values()]
        if isinstance(cls, type) and issubclass(cls, Config) and "kind" in cls.model_fields
    }
    if len(place) == 1:
        return list(Recipe.model_fields)
    if tuple(place[:2]) == ("run", "notify"):
        return list(Notify.model_fields)
    if place[0] == "stages" and len(place) >= 4:
        return [*(by_kind[place[2]].model_fields), *training_configs.LoRA.model_fields]
    sections: dict[str, type[Config]] = {
        "base": BaseModelConfig,
        "datasets": DatasetConfig,
        "evaluate": EvaluateConfig,
        "run": RunSettings,
    }
    return list(sections[place[0]].model_fields) if place[0] in sections else []


def write_recipe(recipe: Recipe) -> str:
    """A recipe as YAML, for a run's record."""
    text = StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.width = 1_000_000  # no folding: it changes text with control characters
    yaml.allow_unicode = False  # escapes what YAML readers take for line breaks, such as U+0085
    yaml.sort_base_mapping_type_on_output = False  # pyright: ignore[reportAttributeAccessIssue]
    yaml.dump(recipe.model_dump(mode="json", exclude_unset=True), text)
    return text.getvalue()
