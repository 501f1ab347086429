"""Promotion: which version is the champion, and the ledger's record of who decided it."""

import getpass
import time

from pydantic import BaseModel, ConfigDict

from data_contracts.errors import NotFoundError
from data_contracts.stage_configs import MODEL_KINDS
from flows.lineage.withdrawal import require_untainted
from flows.nodes import evaluation_name
from infra.home import Home
from infra.ledger import Ledger
from infra.records import Decision
from infra.registry import ModelRegistry

CHAMPION, PREVIOUS = "champion", "previous"


class Promotion(BaseModel):
    """What a promotion did."""

    model_config = ConfigDict(frozen=True)

    model: str
    version: int
    previous: int | None
    """The champion before; None when there was none, or when it is this version already."""

    was_champion: bool
    accuracy: float | None


def promote_version(
    ledger: Ledger, registry: ModelRegistry, home: Home, wanted: str, reason: str
) -> Promotion:
    """Move `champion` to a version and `previous` to the one before, then note it in the ledger.

    `previous` moves first: whatever instant a kill comes at, there is a champion. Raises NotFoundError, and
    WithdrawnError for a model that saw withdrawn rows.
    """
    with home.lock("promotion", holder="another promotion"):
        model, version = _resolve(ledger, registry, wanted)
        require_untainted(home, ledger, model, version)
        before = registry.aliases(model).get(CHAMPION)
        accuracy = accuracy_of(ledger, model, version)
        if before != version:
            if before is not None:
                registry.set_alias(model, PREVIOUS, before)
            registry.set_alias(model, CHAMPION, version)
            ledger.decide(
                Decision(
                    made=time.time(),
                    kind="promote",
                    model=model,
                    from_version=before,
                    to_version=version,
                    actor=getpass.getuser(),
                    reason=reason,
                    evidence={"accuracy": accuracy},
                )
            )
        return Promotion(
            model=model,
            version=version,
            previous=None if before == version else before,
            was_champion=before == version,
            accuracy=accuracy,
        )


def accuracy_of(ledger: Ledger, model: str, version: int) -> float | None:
    """Verified accuracy of a registered version, from its evaluation; None when it has none."""
    made = [e for e in ledger.find_by_output(model, version) if e.output == "model"]
    if not made:
        return None
    pipeline, stage = made[0].pipeline, made[0].stage
    keys = {execution.key for execution in made}
    for evaluation in ledger.find_by_stage(pipeline, evaluation_name(stage)):
        if evaluation.identity["start"] in keys:
            return evaluation.result["metrics"]["eval/accuracy"]
    return None


def _resolve(ledger: Ledger, registry: ModelRegistry, wanted: str) -> tuple[str, int]:
    versions = registry.list_models()
    known = {version.name for version in versions}
    model = wanted.removeprefix("models:/")
    if model.partition("/")[0] not in known:
        model = _last_version(ledger, model, known)
    name, _, number = model.partition("/")
    numbers = [version.version for version in versions if version.name == name]
    if number and (not number.isdigit() or int(number) not in numbers):
        raise NotFoundError(f"{name} has no version {number!r}.", f"one of {', '.join(map(str, numbers))}")
    return name, int(number) if number else max(numbers)


def _last_version(ledger: Ledger, pipeline: str, known: set[str]) -> str:
    """`model/version` that ends the table of the pipeline's newest run of all its stages (no `--until`)."""
    if not known:
        raise NotFoundError(
            "No model is registered in this home yet.", "a finished run", "`burnish run tiny` makes one."
        )
    for run in ledger.runs(pipeline):
        made = {line["stage"]: line["model"] for line in (run.summary or {"lines": []})["lines"]}
        stages = {name for name, stage in run.document["stages"].items() if stage["kind"] in MODEL_KINDS}
        if stages <= made.keys():
            return list(made.values())[-1]
    raise NotFoundError(
        f"There is no model or finished pipeline {pipeline!r}.",
        f"one of {', '.join(sorted(known))}",
        "See `burnish models`.",
    )
