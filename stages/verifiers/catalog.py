"""Every verifier by name: Burnish's own, those of installed packages, and those that a recipe adds.

A row names its verifier, and rows are not trusted: only a recipe or an installed package can bring code in.
"""

import difflib
import importlib
import importlib.util
from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import TypeAdapter, ValidationError

from data_contracts.errors import DataError, RecipeError
from data_contracts.model_verifiers import ModelVerifier
from data_contracts.stage_configs import Containment
from data_contracts.verdict import Verdict
from stages.verifiers.reading import shortened
from stages.verifiers.shipped import ENTRY_POINTS, IN_LIMITS, SHIPPED
from stages.verifiers.submission import Submission
from stages.verifiers.verifier import Verifier

AddedVerifier = str | ModelVerifier
"""`package.module:RECORD`, `path/to/file.py:RECORD`, or which model is asked."""

_ARGUMENTS_KEPT = 4096


class Catalog:
    """The verifiers of one recipe, with those that it adds by name."""

    def __init__(
        self, added: Mapping[str, AddedVerifier] | None = None, sandbox: Containment = "strong"
    ) -> None:
        """`sandbox` is what programs of a model run in: one that contains them, or limits of resources alone."""
        if hidden := sorted(SHIPPED.keys() & (added or {}).keys()):
            raise RecipeError(
                f"Burnish has a verifier named {hidden[0]} itself.",
                "another name for your own",
                f"Rename {hidden[0]} where it is added, and in the rows that mean it.",
            )
        self.sandbox: Containment = sandbox
        self.added = {name: place for name, place in (added or {}).items() if isinstance(place, str)}
        self.models = {name: asked for name, asked in (added or {}).items() if not isinstance(asked, str)}
        self._found: dict[str, Verifier] = {}
        self._arguments = lru_cache(_ARGUMENTS_KEPT)(self._read_arguments)

    def names(self) -> list[str]:
        return [*SHIPPED, *self.added, *self.models, *_installed()]

    def find(self, name: str) -> Verifier:
        """Raises RecipeError when there is none."""
        if name not in self._found:
            self._found[name] = self._load(name)
        return self._found[name]

    def arguments(self, name: str, arguments_json: str) -> Mapping[str, Any]:
        """The checked keyword arguments; shared between calls. Raises RecipeError or DataError."""
        return self._arguments(name, arguments_json)

    def quick(self, submission: Submission) -> Verdict | None:
        """The verdict where it can be had at once. Code that others wrote is only run in workers."""
        verifier = self.find(submission.verifier)
        arguments = self.arguments(submission.verifier, submission.arguments)
        if verifier.quick is None or submission.verifier not in SHIPPED:
            return None
        return verifier.quick(submission.completion, submission.problem, **arguments)

    def thorough(self, submission: Submission) -> Callable[[], Verdict]:
        """The whole judgement, its modules imported; for workers."""
        verifier = self.find(submission.verifier)
        arguments = self.arguments(submission.verifier, submission.arguments)
        check = _load_object(submission.verifier, verifier.thorough) if verifier.thorough else None

        def judge() -> Verdict:
            quick = verifier.quick
            verdict = quick(submission.completion, submission.problem, **arguments) if quick else None
            if verdict is None and check is not None:
                verdict = check(submission.completion, submission.problem, **arguments)
            if verdict is None:
                raise ValueError(f"{submission.verifier} gave no verdict")
            return verdict

        return judge

    def load(self, name: str) -> None:
        """Import what the verifier needs, and nothing more."""
        verifier = self.find(name)
        if verifier.thorough is not None:
            _load_object(name, verifier.thorough)

    def own_completion(self, submission: Submission) -> str | None:
        """A right completion made from the problem itself, or None where its verifier can make none."""
        completion_of = self.find(submission.verifier).completion_of
        arguments = self.arguments(submission.verifier, submission.arguments)
        if completion_of is None:
            return None
        try:
            return completion_of(submission.problem, **arguments)
        except DataError:
            raise
        except Exception as error:  # a record that others wrote may raise anything
            raise DataError(
                f"completion_of of verifier {submission.verifier} fails: {type(error).__name__}: {error}.",
                "a right completion, or a DataError for a problem that cannot be checked",
                "Correct the verifier's record.",
            ) from error

    def _load(self, name: str) -> Verifier:
        if name in self.models:
            return Verifier(summary=f"what a {self.models[name].kind} thinks of it")
        if (place := self._place(name)) is None:
            nearest = difflib.get_close_matches(name, self.names(), n=1, cutoff=0.5)
            raise RecipeError(
                f"There is no verifier named {shortened(name)!r}.",
                f"one of {', '.join(self.names())}",
                f"{f'Did you mean {nearest[0]}? ' if nearest else ''}A recipe adds its own under `verifiers:`.",
            )
        verifier = _load_object(name, place)
        if not isinstance(verifier, Verifier):
            raise RecipeError(
                f"{place} (verifier {name}) is {type(verifier).__name__}.",
                "a Verifier (stages.verifiers.verifier)",
                "`burnish verifier template` shows one.",
            )
        return verifier

    def _place(self, name: str) -> str | None:
        if self.sandbox == "limited" and name in IN_LIMITS:
            return IN_LIMITS[name]
        return SHIPPED.get(name) or self.added.get(name) or _installed().get(name)

    def _read_arguments(self, name: str, arguments_json: str) -> Mapping[str, Any]:
        verifier = self.find(name)
        accepted = verifier.arguments
        try:
            arguments = _adapter(accepted).validate_json(arguments_json, strict=True)
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]
            place = ".".join(str(key) for key in problem["loc"])
            raise DataError(
                f"The arguments {shortened(arguments_json)} of verifier {name} do not fit: "
                f"{f'{place}: ' if place else ''}{problem['msg']}.",
                f"a JSON object with no other keys than {list(accepted.__annotations__)}",
                "Fix the column arguments of this row.",
            ) from error
        if verifier.require is not None:
            verifier.require(arguments)
        return arguments


def _load_object(name: str, place: str) -> Any:
    """What `package.module:OBJECT` or `path/to/file.py:OBJECT` names. Raises RecipeError."""
    module, _, attribute = place.rpartition(":")
    try:
        return getattr(_module(module), attribute)
    except (Exception, SystemExit) as error:  # a module that others wrote may raise anything
        raise RecipeError(
            f"The verifier {name} cannot be loaded from {place}: {type(error).__name__}: {error}.",
            "package.module:RECORD of an installed package, or path/to/file.py:RECORD",
            "Correct the place, or install the package it is in.",
        ) from error


@cache
def _module(place: str) -> ModuleType:
    if not place.endswith(".py"):
        return importlib.import_module(place)
    spec = importlib.util.spec_from_file_location(Path(place).stem, place)
    if spec is None or spec.loader is None:
        raise ImportError(f"{place} is no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def _installed() -> dict[str, str]:
    return {point.name: point.value for point in entry_points(group=ENTRY_POINTS)}


@cache
def _adapter(arguments: type) -> TypeAdapter[Any]:
    return TypeAdapter(arguments)
