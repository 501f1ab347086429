"""The plan: for every node, run or reuse, and why. Reads the recipe and the ledger, nothing else."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from data_contracts.errors import NotFoundError, RecipeError
from flows.causes import FORCED, Cause, inherited
from flows.drift import drift, environment_of
from flows.earlier import Earlier
from flows.estimates import bytes_on_disk, estimated_seconds
from flows.nodes import REGISTERED, Node, make_nodes, needed_for
from flows.recipe import Recipe, nearest
from flows.remembered import remembered_sources
from infra.home import Home
from infra.ledger import Ledger
from infra.records import Execution

_EARLIER = 20
"""Executions of a stage that a plan looks back on."""


class Action(StrEnum):
    """What a run will do with a node."""

    run = "run"
    reuse = "reuse"
    depends = "depends"
    """A parent will run; reused if the parent's output turns out identical."""

    later = "later"
    """After `--until`: not part of this run."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a person asks of a run beside the recipe."""

    force: frozenset[str] = frozenset()
    """Stages to run again whatever is stored."""

    until: str | None = None
    """The last stage to run."""

    strict: bool = False
    """Whether other libraries or hardware are a reason to run."""


@dataclass(frozen=True, slots=True)
class Step:
    """A node of the plan with its verdict."""

    node: Node
    action: Action
    reason: str
    causes: tuple[Cause, ...] = ()
    """Why it runs, or may run; its own first."""

    execution: Execution | None = None
    """The finished execution that is reused."""

    drift: tuple[str, ...] = ()
    """How the environment of that execution differs from this one."""

    seconds: float | None = None
    """Estimated; None where nothing like it was run here before."""

    num_bytes: int = 0
    """What its last result takes on disk; 0 where there is none."""


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
            or (step.action is Action.reuse and stands_here(step.execution, self.recipe.name, step.node))
            for step in self.steps
        )

    def __getitem__(self, name: str) -> Step:
        return next(step for step in self.steps if step.node.name == name)


def make_plan(recipe: Recipe, home: Home, ledger: Ledger, wishes: Wishes | None = None) -> Plan:
    """Compare what the recipe wants with what the ledger has."""
    wishes = wishes or Wishes()
    nodes = {node.name: node for node in make_nodes(recipe, remembered_sources(ledger))}
    wanted = _wanted(nodes, wishes)
    planning = _Planning(recipe, home, ledger, wishes, {}, Earlier(ledger))
    for name, node in nodes.items():
        if name in wanted:
            planning.steps[name] = planning.decide(node)
        else:
            planning.steps[name] = Step(node, Action.later, f"not needed for {wishes.until}")
    return Plan(recipe, tuple(planning.steps.values()))


def _wanted(nodes: Mapping[str, Node], wishes: Wishes) -> set[str]:
    """What is part of the run. Raises NotFoundError for an unknown stage, RecipeError for wishes at odds."""
    for name in [*wishes.force, *([wishes.until] if wishes.until else [])]:
        if name not in nodes:
            raise NotFoundError(
                f"There is no stage {name!r}.",
                f"one of {', '.join(nodes)}",
                nearest(name, list(nodes)).strip(),
            )
    wanted = needed_for(nodes, wishes.until) if wishes.until else set(nodes)
    if unneeded := sorted(wishes.force - wanted):
        raise RecipeError(
            f"{', '.join(unneeded)} cannot be forced in a run until {wishes.until}, which does not need it.",
            f"one of {', '.join(name for name in nodes if name in wanted)}",
            "Leave one of the two out.",
        )
    return wanted


def find_reusable(home: Home, ledger: Ledger, pipeline: str, node: Node) -> Execution | None:
    """The newest execution of the node's logical key whose output is still on disk, the pipeline's own first."""
    found = [e for e in ledger.find_by_key(node.key) if has_output(home, e)]
    return next((e for e in found if is_own(e, pipeline, node)), next(iter(found), None))


def find_same_input(
    home: Home, ledger: Ledger, pipeline: str, node: Node, given: Mapping[str, Execution]
) -> Execution | None:
    """The same for the same content going in, whatever its parents' keys."""
    found = [e for e in ledger.find_by_input_key(node.input_key(given)) if has_output(home, e)]
    return next((e for e in found if is_own(e, pipeline, node)), next(iter(found), None))


def is_own(execution: Execution | None, pipeline: str, node: Node) -> bool:
    """Whether a result stands in the stores under this pipeline's and stage's own name."""
    return execution is not None and (execution.pipeline, execution.stage) == (pipeline, node.name)


def stands_here(execution: Execution | None, pipeline: str, node: Node) -> bool:
    """Whether a reused result needs no taking over: the pipeline's own, or a registered model as it stands."""
    return node.kind == REGISTERED or is_own(execution, pipeline, node)


def output_path(home: Home, execution: Execution) -> Path:
    """Where an execution's result is: a model directory or a Parquet file."""
    if execution.output == "model":
        return home.models_dir / execution.fingerprint
    return home.rows_dir / f"{execution.fingerprint}.parquet"


def has_output(home: Home, execution: Execution) -> bool:
    """Whether an execution's result is still on disk: its rows, or a model's weights."""
    path = output_path(home, execution)
    return any(path.glob("*.safetensors")) if execution.output == "model" else path.is_file()


@dataclass(frozen=True, slots=True)
class _Planning:
    """The steps so far, and what the next one is decided from."""

    recipe: Recipe
    home: Home
    ledger: Ledger
    wishes: Wishes
    steps: dict[str, Step]
    earlier: Earlier

    def decide(self, node: Node) -> Step:
        found = self._find_registered(node) if node.kind == REGISTERED else self._find(node)
        earlier = self.ledger.find_by_stage(self.recipe.name, node.name, _EARLIER)
        environment = environment_of(node.kind, self.recipe.run)
        drifted = tuple(drift(found, environment)) if found else ()
        causes = self._causes(node, found, earlier, drifted)
        if found is not None and not causes:
            self.earlier.add(node, found)
            return Step(node, Action.reuse, self._origin(node, found), execution=found, drift=drifted)
        own = [cause for cause in causes if not cause.through]
        action = Action.depends if found is not None and not own else Action.run
        return Step(
            node=node,
            action=action,
            reason=self._reason(node, action, causes),
            causes=tuple(causes),
            seconds=estimated_seconds(node, earlier),
            num_bytes=bytes_on_disk(output_path(self.home, earlier[0])) if earlier else 0,
        )

    def _find_registered(self, node: Node) -> Execution:
        """The version a stage starts from. Raises NotFoundError when its weights are gone."""
        model, version = node.name.rpartition(".v")[::2]
        made = self.ledger.find_by_output(model, int(version))
        if any(execution.output != "model" for execution in made):
            raise RecipeError(
                f"{model}/{version} is a dataset version.", "a registered model", "See `burnish models`."
            )
        found = [execution for execution in made if has_output(self.home, execution)]
        if not found:
            raise NotFoundError(
                f"The weights of {model}/{version} are gone.",
                "a registered version of this home",
                "See `burnish models`.",
            )
        return found[0]

    def _find(self, node: Node) -> Execution | None:
        found = find_reusable(self.home, self.ledger, self.recipe.name, node)
        known = self.earlier.reused_parents(node)
        if found is not None or len(known) < len(node.parents):
            return found
        return find_same_input(self.home, self.ledger, self.recipe.name, node, known)

    def _causes(
        self, node: Node, found: Execution | None, earlier: list[Execution], drifted: Collection[str]
    ) -> list[Cause]:
        """Why the node runs, or may run; none when it is reused."""
        forced = [Cause(node.name, FORCED)] if node.name in self.wishes.force else []
        if found is not None and forced:
            return forced
        if found is not None and drifted and self.wishes.strict:
            return [Cause(node.name, change) for change in drifted]
        parents = [self.steps[parent] for parent in node.needs]
        changing = [step for step in parents if step.action in (Action.run, Action.depends)]
        from_parents = inherited(node, ((step.node, step.causes) for step in changing))
        if found is not None:
            return from_parents
        return [*self.earlier.causes(node, earlier, from_parents), *forced]

    def _origin(self, node: Node, found: Execution) -> str:
        if node.kind == REGISTERED:
            return f"version {found.version} of {found.name}"
        elsewhere = "" if is_own(found, self.recipe.name, node) else f", there {found.name}"
        same = "" if found.key == node.key else ", the same content goes in"
        accepted = (
            ", changed code accepted" if node.has_accepted_code(found.result.get("judged_by", [])) else ""
        )
        return f"run {found.run_id}{elsewhere}{same}{accepted}"

    def _reason(self, node: Node, action: Action, causes: list[Cause]) -> str:
        reason = f"← {causes[0]}" + (f" and {len(causes) - 1} more" if len(causes) > 1 else "")
        if action is Action.depends:
            return f"{reason}; reused if that turns out identical"
        if any((self.home.work_dir / node.key / "checkpoints").glob("checkpoint-*")):
            return f"{reason}; continues at the checkpoint of an interrupted run"
        return reason
