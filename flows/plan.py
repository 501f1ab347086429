"""The plan: for every node, run or reuse, and why. Reads the recipe and the ledger, nothing else."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path

from data_contracts.errors import NotFoundError
from flows.lineage.withdrawn_datasets import withdrawals_by_dataset
from flows.nodes import Node, Sources, file_sha256, make_nodes
from flows.recipe import Recipe
from infra.home import Home
from infra.ledger import Ledger
from infra.records import Execution


class Action(StrEnum):
    """What a run will do with a node."""

    run = "run"
    reuse = "reuse"
    depends = "depends"
    """A parent will run; reused if the parent's output turns out identical."""

    later = "later"
    """After `--until`: not part of this run."""


@dataclass(frozen=True, slots=True)
class Step:
    """A node of the plan with its verdict."""

    node: Node
    action: Action
    reason: str
    execution: Execution | None = None
    """The finished execution that is reused."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps in an order in which parents come first."""

    recipe: Recipe
    steps: tuple[Step, ...]

    @property
    def is_finished(self) -> bool:
        """Whether there is nothing to run, nor a result of another pipeline to take over."""
        return all(
            step.action is Action.later
            or (step.action is Action.reuse and is_own(step.execution, self.recipe.name, step.node))
            for step in self.steps
        )

    def __getitem__(self, name: str) -> Step:
        return next(step for step in self.steps if step.node.name == name)


def make_plan(
    recipe: Recipe, home: Home, ledger: Ledger, *, force: Collection[str] = (), until: str | None = None
) -> Plan:
    """Compare what the recipe wants with what the ledger has."""
    known = Sources(
        partial(cached_digest, ledger), partial(version_fingerprint, ledger), withdrawals_by_dataset(ledger)
    )
    nodes = {node.name: node for node in make_nodes(recipe, known)}
    for name in [*force, *([until] if until else [])]:
        if name not in nodes:
            raise NotFoundError(f"There is no stage {name!r}.", f"one of {', '.join(nodes)}")
    wanted = _needed_for(nodes, until) if until else set(nodes)
    steps: dict[str, Step] = {}
    for name, node in nodes.items():
        if name not in wanted:
            steps[name] = Step(node, Action.later, f"after {until}")
        else:
            steps[name] = _decide(node, steps, home, ledger, recipe.name, forced=name in force)
    return Plan(recipe, tuple(steps.values()))


def find_reusable(home: Home, ledger: Ledger, pipeline: str, node: Node) -> Execution | None:
    """The newest execution of the node's logical key whose output is still on disk, the pipeline's own first."""
    found = [e for e in ledger.find_by_key(node.key) if has_output(home, e)]
    return next((e for e in found if is_own(e, pipeline, node)), next(iter(found), None))


def is_own(execution: Execution | None, pipeline: str, node: Node) -> bool:
    """Whether a result stands in the stores under this pipeline's and stage's own name."""
    return execution is not None and (execution.pipeline, execution.stage) == (pipeline, node.name)


def output_path(home: Home, execution: Execution) -> Path:
    """Where an execution's result is: a model directory or a Parquet file."""
    if execution.output == "model":
        return home.models_dir / execution.fingerprint
    return home.rows_dir / f"{execution.fingerprint}.parquet"


def has_output(home: Home, execution: Execution) -> bool:
    """Whether an execution's result is still on disk: its rows, or a model's weights."""
    path = output_path(home, execution)
    return any(path.glob("*.safetensors")) if execution.output == "model" else path.is_file()


def cached_digest(ledger: Ledger, path: Path) -> str:
    """A file's SHA-256, read again only when its size, time or inode changed."""
    if not path.is_file():
        return file_sha256(path)  # raises with the reason
    stat = path.stat()
    known = ledger.file_digest(path, stat.st_size, stat.st_mtime_ns, stat.st_ino)
    if known is None:
        known = file_sha256(path)
        ledger.note_file_digest(path, stat.st_size, stat.st_mtime_ns, stat.st_ino, known)
    return known


def version_fingerprint(ledger: Ledger, reference: str) -> str:
    """The fingerprint of `name@3`, from the ledger. Raises NotFoundError."""
    name, _, number = reference.partition("@")
    found = ledger.find_by_output(name, int(number))
    if not any(execution.output == "rows" for execution in found):
        raise NotFoundError(
            f"The recipe reads {reference}, which this home does not have.",
            "a dataset version of this home",
            f"`burnish data log {name}` lists them; `burnish data import {name} FILE` makes one.",
        )
    return next(execution.fingerprint for execution in found if execution.output == "rows")


def _decide(
    node: Node, steps: Mapping[str, Step], home: Home, ledger: Ledger, pipeline: str, *, forced: bool
) -> Step:
    if forced:
        return Step(node, Action.run, "forced")
    rerun = [p for p in node.parents if steps[p].action in (Action.run, Action.depends)]
    execution = find_reusable(home, ledger, pipeline, node)
    if execution is not None and rerun:
        return Step(node, Action.depends, f"{_names(rerun)} will run; reused if the output is identical")
    if execution is not None:
        taken_over = "" if is_own(execution, pipeline, node) else f", there {execution.name}"
        return Step(node, Action.reuse, f"run {execution.run_id}{taken_over}", execution)
    if any((home.work_dir / node.key / "checkpoints").glob("checkpoint-*")):
        return Step(node, Action.run, "continues at the checkpoint of an interrupted run")
    earlier = ledger.find_by_stage(pipeline, node.name)
    if rerun and not _own_changes(node, earlier):
        return Step(node, Action.run, f"{_names(rerun)} will run")
    return Step(node, Action.run, _why(node, earlier))


def _needed_for(nodes: Mapping[str, Node], until: str) -> set[str]:
    needed: set[str] = set()
    waiting = [until]
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            waiting.extend(nodes[name].parents)
    return needed


def _names(names: list[str]) -> str:
    return ", ".join(names)


def _why(node: Node, earlier: list[Execution]) -> str:
    if not earlier:
        return "first time"
    if any(execution.key == node.key for execution in earlier):
        return "its output is gone"
    return "; ".join(_own_changes(node, earlier)) or "made from other inputs than before"


def _own_changes(node: Node, earlier: list[Execution]) -> list[str]:
    """Fields of the node's own identity that differ from its newest execution, parents left out."""
    if not earlier:
        return []
    before, after = earlier[0].identity, node.identity
    changes = _config_changes(node.name, before["config"], after["config"])
    if before["seed"] != after["seed"]:
        changes.append(f"seed {before['seed']} → {after['seed']}")
    if before["code"] != after["code"]:
        changes.append(f"code of {', '.join(after['code'])} changed")
    if before["sources"] != after["sources"]:
        changes.append("its source changed")
    if before.get("withdrawn") != after.get("withdrawn"):
        changes.append("rows were withdrawn, or given back")
    return changes


def _config_changes(name: str, before: Mapping[str, object], after: Mapping[str, object]) -> list[str]:
    fields = sorted({*before, *after})
    return [
        f"{name}.{field} {_shown(before.get(field))} → {_shown(after.get(field))}"
        for field in fields
        if before.get(field) != after.get(field)
    ]


def _shown(value: object) -> str:
    text = str(value)
    return text if len(text) <= 40 else text[:39] + "…"
