"""Lineage of a model: everything it was made from, back to the base and the source datasets.

model ─ start ─► model … ─► base
      ─ rows ──► pairs ─► rollouts ─► problems
                                   ─► the model that was sampled
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict

from data_contracts.errors import NotFoundError
from data_contracts.rows import RowKind
from flows.lineage.trail import Version
from infra.home import Home
from infra.ledger import Ledger
from infra.records import Execution, Input
from infra.training_rows import read_training_rows
from infra.warehouse.catalog import DatasetVersion
from infra.warehouse.tracing import count_verdicts, pairs_of_rollouts
from infra.warehouse.warehouse import Warehouse

TRAINED = ("sft", "dpo", "grpo")

_METRICS = {
    "verify": ("eval/accuracy", "eval/problems", "eval/completions"),
    "select": ("select/below", "select/in_band", "select/above"),
    "audit": ("audit/problems", "audit/blocks"),
    "pairs": ("pairs/pairs", "pairs/on_policy", "pairs/off_policy", "pairs/tied"),
    "sft": ("sft/passes", "sft/rows_drawn"),
    "dpo": ("dpo/passes", "dpo/rows_drawn"),
    "grpo": ("grpo/passes", "grpo/rows_drawn"),
}


class Given(BaseModel):
    """One input of an artifact."""

    model_config = ConfigDict(frozen=True)

    role: str
    reference: str
    fingerprint: str
    weight: float
    of: int | None = None
    """Rows of the version."""

    rows: int | None = None
    """Training: distinct rows that reached the trainer, after weights and drops."""

    times: int | None = None
    """Training: the same rows, each as often as one pass has it."""


class Artifact(BaseModel):
    """A model or a dataset version."""

    model_config = ConfigDict(frozen=True)

    reference: str
    """`name/version` of a model, `name@version` of rows."""

    kind: str
    stage: str
    fingerprint: str
    facts: dict[str, float]
    """Metrics that say how it was made; for pairs also the mean reward of either side."""

    inputs: tuple[Given, ...]


class ModelLineage(BaseModel):
    """A model and all it was made from, each artifact once, parents after what was made of them."""

    model_config = ConfigDict(frozen=True)

    model: str
    artifacts: tuple[Artifact, ...]

    def __getitem__(self, reference: str) -> Artifact:
        return next(artifact for artifact in self.artifacts if artifact.reference == reference)


def find_model(ledger: Ledger, reference: str, aliases: Callable[[str], Mapping[str, int]]) -> Execution:
    """The execution that made `name` (newest), `name/3` or `name@alias`. Raises NotFoundError."""
    wanted = reference.removeprefix("models:/")
    named, _, alias = wanted.partition("@")
    name, _, version = named.partition("/")
    executions = ledger.executions()
    models = [execution for execution in executions if execution.output == "model"]
    own = [execution for execution in models if execution.name == name]
    if not own and any(execution.name == name for execution in executions):
        raise NotFoundError(
            f"{name} is a dataset.",
            "a model, as `burnish models` lists them",
            f"`burnish data log {name}` says what its versions were made from, "
            f"`burnish data impact {wanted}` what saw its rows.",
        )
    if "@" in wanted:
        found = aliases(name)
        if alias not in found:
            raise NotFoundError(
                f"{name} has no alias {alias!r}.",
                f"one of {', '.join(found)}" if found else "a version by its number; nobody gave it an alias",
                "See `burnish models`.",
            )
        version = str(found[alias])
    made = [execution for execution in own if version in ("", str(execution.version))]
    if not made:
        known = sorted({f"{e.name}/{e.version}" for e in own} or {e.name for e in models})
        raise NotFoundError(
            f"There is no model {reference!r}.",
            f"one of {', '.join(known)}" if known else "a model; none was made yet",
            "See `burnish models`.",
        )
    return max(made, key=lambda execution: execution.version)


def ancestors(ledger: Ledger, made: Execution) -> list[Execution]:
    """`made` and every execution it comes from, parents after what was made of them."""
    executions = ledger.executions()
    by_version: dict[Version, Execution] = {}
    for execution in executions:
        by_version.setdefault((execution.name, execution.version), execution)
    reached: dict[Version, Execution] = {}
    waiting = [made]
    while waiting:
        execution = waiting.pop()
        reached[execution.name, execution.version] = execution
        parents = [by_version.get((given.name, given.version)) for given in _made_from(execution)]
        waiting += [parent for parent in parents if parent and (parent.name, parent.version) not in reached]
    place = {(e.name, e.version): index for index, e in enumerate(executions)}  # the oldest of equals counts
    return [
        made,
        *sorted((e for e in reached.values() if e is not made), key=lambda e: place[e.name, e.version]),
    ]


def model_lineage(home: Home, ledger: Ledger, warehouse: Warehouse, made: Execution) -> ModelLineage:
    """The whole tree below a model. Raises DataError where rows that are counted were damaged."""
    versions = {(v.name, v.version): v for v in warehouse.versions()}
    executions = ancestors(ledger, made)
    artifacts = [_artifact(home, warehouse, execution, versions) for execution in executions]
    known = {artifact.reference for artifact in artifacts}
    leaves = {reference_of(given): given for e in executions for given in _made_from(e)}
    imported = [
        Artifact(
            reference=reference,
            kind="import",
            stage="",
            fingerprint=given.fingerprint,
            facts={},
            inputs=(),
        )
        for reference, given in leaves.items()
        if reference not in known
    ]
    return ModelLineage(model=artifacts[0].reference, artifacts=(*artifacts, *imported))


def reference_of(item: Execution | Input) -> str:
    """`name/version` of a model, `name@version` of rows."""
    is_model = item.output == "model" if isinstance(item, Execution) else item.role in ("start", "base")
    return f"{item.name}{'/' if is_model else '@'}{item.version}"


def _made_from(execution: Execution) -> list[Input]:
    """Inputs that decide the result: the base only lends its tokenizer, comparisons only a metric."""
    return [given for given in execution.inputs if given.role in ("start", "rows")]


def _artifact(
    home: Home, warehouse: Warehouse, execution: Execution, versions: Mapping[Version, DatasetVersion]
) -> Artifact:
    metrics = execution.result["metrics"]
    facts = {name: float(metrics[name]) for name in _METRICS.get(execution.kind, ()) if name in metrics}
    if execution.kind == "select":
        low, high = execution.identity["config"]["pass_rate"]
        facts |= {"select/low": low, "select/high": high}
    if execution.kind == "pairs":
        facts |= _side_rewards(warehouse, execution, versions)
    return Artifact(
        reference=reference_of(execution),
        kind=execution.kind,
        stage=execution.stage,
        fingerprint=execution.fingerprint,
        facts=facts,
        inputs=tuple(_givens(home, execution, versions)),
    )


def _givens(home: Home, execution: Execution, versions: Mapping[Version, DatasetVersion]) -> Iterable[Given]:
    trained = read_training_rows(home, execution.input_key) if execution.kind in TRAINED else None
    number = -1
    for given in _made_from(execution):
        counts: dict[str, int] = {}
        if given.role == "rows":
            number += 1
            if (version := versions.get((given.name, given.version))) is not None:
                counts["of"] = version.num_rows
            if trained is not None:
                own = trained.input == number
                counts |= {"rows": int(own.sum()), "times": int(trained.times[own].sum())}
        yield Given(
            role=given.role,
            reference=reference_of(given),
            fingerprint=given.fingerprint,
            weight=given.weight,
            of=counts.get("of"),
            rows=counts.get("rows"),
            times=counts.get("times"),
        )


def _side_rewards(
    warehouse: Warehouse, execution: Execution, versions: Mapping[Version, DatasetVersion]
) -> dict[str, float]:
    """What the completions of either side had earned, and of all they were chosen from."""
    made = versions.get((execution.name, execution.version))
    sources = [versions.get((given.name, given.version)) for given in _made_from(execution)]
    rollouts = [source for source in sources if source and source.kind is RowKind.rollouts]
    if made is None or not rollouts:
        return {}
    sums: Sequence[float] = np.zeros(6).tolist()
    for source in rollouts:
        path, rows = warehouse.reader.file(source), np.arange(source.num_rows)
        sides = pairs_of_rollouts(path, rows, warehouse.reader.file(made))
        verdicts = count_verdicts(path, rows)
        parts = [
            sides.num_chosen,
            sides.chosen_reward * sides.num_chosen if sides.num_chosen else 0.0,
            sides.num_rejected,
            sides.rejected_reward * sides.num_rejected if sides.num_rejected else 0.0,
            verdicts.completions,
            verdicts.right,
        ]
        sums = [total + part for total, part in zip(sums, parts, strict=True)]
    chosen, chosen_sum, rejected, rejected_sum, completions, right = sums
    return {
        "pairs/chosen_reward": chosen_sum / max(chosen, 1),
        "pairs/rejected_reward": rejected_sum / max(rejected, 1),
        "pairs/completions": completions,
        "pairs/right": right,
    }
