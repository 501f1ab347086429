"""Which version a person means: a pipeline's last model, one of its stages, a model, or `model/version`."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from data_contracts.errors import NotFoundError, RecipeError
from flows.doctor.needed import released
from flows.recipe import nearest
from flows.whole_runs import models_of, newest_model, newest_whole_run, trained_stages
from infra.ledger import Ledger
from infra.records import MOVES, Execution


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was said on a command line."""

    target: str
    """A pipeline, a model (`tiny.grpo`) or a version (`tiny.grpo/3`, also as models:/tiny.grpo/3)."""

    stage: str | None = None
    """Of the pipeline, where it is not the last."""

    version: int | None = None


def find_candidate(ledger: Ledger, wanted: Wanted) -> Execution:
    """The execution that made it. Raises NotFoundError, RecipeError for words that contradict each other."""
    made = [each for each in ledger.executions() if each.output == "model"]
    known = {each.name for each in made}
    target = wanted.target.removeprefix("models:/")
    name, _, number = target.partition("/")
    if number and wanted.version is not None:
        raise RecipeError(f"{target} and --version {wanted.version} both name a version.", "one of the two")
    if name in known:
        if wanted.stage is not None:
            raise RecipeError(
                f"{name} is a model, and --stage {wanted.stage} names another.",
                "--stage with a pipeline's name",
                f"`burnish promote {name.partition('.')[0]} --stage {wanted.stage}`",
            )
    else:
        name, _, newest = _of_pipeline(ledger, target, wanted.stage, known).partition("/")
        number = newest if wanted.version is None else ""
    own = [each for each in made if each.name == name]
    number = number or ("" if wanted.version is None else str(wanted.version))
    if number:
        found = [each for each in own if str(each.version) == number]
    else:
        gone = released(ledger)
        found = [each for each in own if (name, each.version) not in gone] or own
    if not found:
        versions = ", ".join(map(str, sorted({each.version for each in own})))
        raise NotFoundError(
            f"{name} has no version {number!r} that a run of this home made.", f"one of {versions}"
        )
    return max(found, key=lambda each: each.version)


def find_execution(ledger: Ledger, model: str, version: int) -> Execution | None:
    """The execution that made a registered version; None for one that was registered by hand."""
    return next((each for each in ledger.find_by_output(model, version) if each.output == "model"), None)


def find_decided(ledger: Ledger, wanted: str) -> str:
    """A model somebody decided about, by its name or that of a pipeline with one such. Raises NotFoundError."""
    name = wanted.removeprefix("models:/").partition("@")[0]
    decided = sorted({each.model for each in ledger.decisions() if each.kind in MOVES})
    if name in decided:
        return name
    of_pipeline = [each for each in decided if each.partition(".")[0] == name]
    if len(of_pipeline) == 1:
        return of_pipeline[0]
    if of_pipeline:
        raise NotFoundError(f"{name} has several models with a champion.", f"one of {', '.join(of_pipeline)}")
    models = sorted({each.name for each in ledger.executions() if each.output == "model"})
    if name in models:
        raise NotFoundError(
            f"{name} has no champion, and never had.",
            "a promoted version",
            f"`burnish promote {name}` makes one.",
        )
    raise NotFoundError(
        f"No model {name!r} was ever promoted.",
        f"one of {', '.join(decided)}" if decided else "a model that was promoted; none was yet",
        f"{nearest(name, [*decided, *models])}`burnish models` lists them.",
    )


def _last(pipeline: str, document: Mapping[str, Any], stages: Collection[str]) -> str:
    """The model that no other starts from. Raises NotFoundError where there are several, such as seeds of a sweep."""
    below = {document[name].get("start") for name in stages}
    ends = sorted(set(stages) - below)
    if len(ends) > 1:
        raise NotFoundError(
            f"The newest run of {pipeline} ends in {len(ends)} models: {', '.join(ends)}.",
            "one of them, as --stage",
            f"`burnish promote {pipeline} --stage {ends[-1]}` takes that one. Of seeds that differ by chance, take the "
            "one that was meant from the start.",
        )
    return ends[0]


def _of_pipeline(ledger: Ledger, pipeline: str, stage: str | None, known: Collection[str]) -> str:
    """`model/version` of the stage, or of the last, in the pipeline's newest run of all its stages (no `--until`)."""
    if not known:
        raise NotFoundError(
            "No model is registered in this home yet.", "a finished run", "`burnish run tiny` makes one."
        )
    if stage is not None and (found := newest_model(ledger, pipeline, stage)) is not None:
        return found
    if stage is None and (run := newest_whole_run(ledger, pipeline)) is not None:
        return models_of(run)[_last(pipeline, run.document["stages"], trained_stages(run))]
    models = sorted(known)
    if stage is not None and (own := [each for each in models if each.startswith(f"{pipeline}.")]):
        raise NotFoundError(
            f"No run of {pipeline} made a model at stage {stage!r}.",
            f"one of {', '.join(each.partition('.')[2] for each in own)}",
        )
    raise NotFoundError(
        f"There is no model or finished pipeline {pipeline!r}.",
        f"one of {', '.join(models)}",
        f"{nearest(pipeline, models)}See `burnish models`.",
    )
