"""The identity of code: what it does, whatever its comments, docstrings and layout.

A stage's code is its module and everything it imports from this project, the shipped verifiers apart: those are
told by their names, so that one of them changes what it judged and nothing else. Text comes from `ast.unparse`,
which is the same on every supported Python (`ast.dump` is not).
"""

import ast
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias

from data_contracts.canonical import fingerprint
from data_contracts.errors import DataError, RecipeError
from data_contracts.model_verifiers import COSTS, ModelVerifier
from stages.verifiers.shipped import ASKED, ENTRY_POINTS, SHIPPED

PROJECT = Path(__file__).resolve().parent.parent
_PACKAGES = ("stages", "infra")
"""Rooms whose code decides results. data_contracts only names things; flows only orders them."""

_BY_NAME = frozenset({"stages.verifiers.shipped", *ASKED.values()})
"""Where verifiers are listed or asked: the code of each belongs to its name."""

Parts: TypeAlias = dict[str, str]
"""Digests of the files that code consists of, by module, or by file for code that is not of this project."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """What matters of one Python file."""

    digest: str
    """Of its canonical source."""

    imports: tuple[str, ...]
    """Every module it names, also in a text such as `package.module:object`."""


ReadSource: TypeAlias = Callable[[Path], SourceFile]
FileDigest: TypeAlias = Callable[[Path], str]


def read_source(path: Path) -> SourceFile:
    """Raises DataError when the file cannot be read as Python."""
    try:
        tree = ast.parse(path.read_text(), path.name)
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(
            f"{path} cannot be read: {error}.", "a Python file", "Correct it, or its path."
        ) from error
    imports = tuple(sorted(_named_modules(tree)))
    return SourceFile(fingerprint(ast.unparse(_WithoutDocstrings().visit(tree))), imports)


def directory_files(path: Path, file_digest: FileDigest) -> Parts:
    """What a local model is: the content of its files, whatever their times and wherever they are."""
    files = sorted(file for file in path.iterdir() if file.is_file() and not _is_about(file))
    return {file.name: file_digest(file) for file in files}


def _is_about(file: Path) -> bool:
    """A model card, or a file that a download left: says something of a model and does nothing to it."""
    return file.name.startswith(".") or file.suffix == ".md"


class Code:
    """Parts of stages and verifiers. `read` may remember files that did not change."""

    def __init__(self, read: ReadSource = read_source) -> None:
        self._read = functools.cache(read)

    def of_module(self, module: str) -> Parts:
        """`module` and all project modules it reaches by import."""
        reached: dict[str, SourceFile] = {}
        waiting = [module]
        while waiting:
            name = waiting.pop()
            if name not in reached and (name not in _BY_NAME or name == module):
                reached[name] = self._read(_source_path(name))
                waiting.extend(other for other in reached[name].imports if _is_ours(other))
        return {name: reached[name].digest for name in sorted(reached)}

    def of_verifiers(
        self, added: Mapping[str, str | ModelVerifier], file_digest: FileDigest
    ) -> dict[str, Parts]:
        """Of every verifier a row may name: shipped, installed, and those that a recipe adds."""
        places = {name: place for name, place in added.items() if isinstance(place, str)}
        installed = {point.name: point.value for point in entry_points(group=ENTRY_POINTS)}
        shipped = {name: self.of_module(place.partition(":")[0]) for name, place in SHIPPED.items()}
        own = {name: self._of_place(name, place) for name, place in (installed | places).items()}
        models = {
            name: self._of_model(it, file_digest) for name, it in added.items() if not isinstance(it, str)
        }
        return shipped | own | models

    def _of_place(self, name: str, place: str) -> Parts:
        """A verifier of somebody else's: its record's name, its file, and the files beside that it imports."""
        module, _, record = place.rpartition(":")
        first = Path(module if module.endswith(".py") else _origin(name, module))
        reached: dict[Path, SourceFile] = {}
        waiting = [first]
        while waiting:
            path = waiting.pop()
            if path not in reached:
                reached[path] = self._read(path)
                beside = (first.parent / f"{name.rpartition('.')[2]}.py" for name in reached[path].imports)
                waiting.extend(sorted(path for path in beside if path.is_file()))
        return {f"{path.name}:{record}": source.digest for path, source in sorted(reached.items())}

    def _of_model(self, verifier: ModelVerifier, file_digest: FileDigest) -> Parts:
        """Which model is asked, and how; what it may cost decides nothing."""
        settings: dict[str, Any] = verifier.model_dump(mode="json", exclude=set(COSTS))
        if (directory := Path(settings["model"])).is_dir():
            settings["model"] = fingerprint(directory_files(directory, file_digest))
        return self.of_module(ASKED[verifier.kind]) | {name: str(value) for name, value in settings.items()}


def _origin(name: str, module: str) -> str:
    try:
        spec = find_spec(module)
    except (ImportError, ValueError):
        spec = None
    if spec is None or spec.origin is None:
        raise RecipeError(
            f"verifiers.{name}: Python finds no module {module!r}.",
            "package.module:RECORD of an installed package, or file.py:RECORD",
            "Install the package, or name the file relative to the recipe's folder.",
        )
    return spec.origin


def _source_path(module: str) -> Path:
    path = PROJECT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@functools.cache
def _is_ours(name: str) -> bool:
    return name.split(".", maxsplit=1)[0] in _PACKAGES and _source_path(name).is_file()


def _named_modules(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom | ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and "." in node.value:
            names.add(node.value.partition(":")[0])  # a module that is loaded by its name, in another process
    return {name for name in names if all(part.isidentifier() for part in name.split("."))}


class _WithoutDocstrings(ast.NodeTransformer):
    """Drops every bare string statement: docstrings of modules, classes, functions and fields."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        is_text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if is_text else node

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and not node.body:
            node.body = [ast.Pass()]
        return node
