"""The plan: for every node, run or reuse, and why. Reads the recipe and the ledger, nothing else."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum

from data_contracts.errors import NotFoundError, RecipeError
from data_contracts.stage_configs import RegisteredModelConfig
from flows.causes import FORCED, Cause, inherited
from flows.drift import drift, environment_of
from flows.earlier import Earlier
from flows.estimates import bytes_on_disk, estimated_seconds
from flows.gating import is_refused, require_reason
from flows.graph import make_nodes
from flows.nodes import REGISTERED, Node, needed_for
from flows.recipe import Recipe, nearest, registered_version
from flows.remembered import remembered_sources
from flows.stored import find_reusable, find_same_input, has_output, is_own, output_path, stands_here
from flows.suites import GATE
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

    override: str | None = None
    """Why to go on where a gate refuses."""


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
    held: frozenset[str]
    """What waits for a gate that refused before."""

    @property
    def is_finished(self) -> bool:
        """Whether there is nothing to run, nor a result of another pipeline to take over."""
        return all(map(self._is_done, self.steps))

    @property
    def is_over(self) -> bool:
        """Whether a run would make nothing: each node is finished or held."""
        return all(self._is_done(step) or step.node.name in self.held for step in self.steps)

    @property
    def num_reused(self) -> int:
        """Nodes whose result is stored."""
        return sum(step.execution is not None for step in self.steps)

    @property
    def gates(self) -> list[Execution]:
        """What gates that are reused found."""
        return [step.execution for step in self.steps if step.node.kind == GATE and step.execution]

    def _is_done(self, step: Step) -> bool:
        made = step.execution
        return step.action is Action.later if made is None else stands_here(made, self.recipe.name, step.node)

    def __getitem__(self, name: str) -> Step:
        return next(step for step in self.steps if step.node.name == name)


def make_plan(recipe: Recipe, home: Home, ledger: Ledger, wishes: Wishes | None = None) -> Plan:
    """Compare what the recipe wants with what the ledger has."""
    wishes = wishes or Wishes()
    require_reason("--override", wishes.override)
    nodes = {node.name: node for node in make_nodes(recipe, remembered_sources(ledger))}
    wanted = _wanted(nodes, wishes)
    planning = _Planning(recipe, home, ledger, wishes, {}, Earlier(ledger))
    for name, node in nodes.items():
        later = Step(node, Action.later, f"not needed for {wishes.until}")
        planning.steps[name] = planning.decide(node) if name in wanted else later
    return Plan(recipe, tuple(planning.steps.values()), planning.held())


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

    def held(self) -> frozenset[str]:
        """What follows a gate that refused, near and far."""
        refused, held = set[str](), set[str]()
        for name, step in self.steps.items():  # parents come first
            if not (refused | held).isdisjoint(step.node.needs):
                held.add(name)
            elif step.node.kind == GATE and step.execution and is_refused(self.ledger, step.execution):
                refused.add(name)
        return frozenset() if self.wishes.override else frozenset(held)

    def _find_registered(self, node: Node) -> Execution:
        """The version a stage starts from. Raises NotFoundError when its weights are gone."""
        assert isinstance(node.config, RegisteredModelConfig)
        model, version = registered_version(node.config.reference)
        made = self.ledger.find_by_output(model, version)
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
        parents = [self.steps[parent] for parent in node.needs if parent not in node.gates]
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
        if node.kind == GATE and is_refused(self.ledger, found):
            return found.result[GATE]["sentence"]
        return f"run {found.run_id}{elsewhere}{same}{accepted}"

    def _reason(self, node: Node, action: Action, causes: list[Cause]) -> str:
        reason = f"← {causes[0]}" + (f" and {len(causes) - 1} more" if len(causes) > 1 else "")
        if action is Action.depends:
            return f"{reason}; reused if that turns out identical"
        if any((self.home.work_dir / node.key / "checkpoints").glob("checkpoint-*")):
            return f"{reason}; continues at the checkpoint of an interrupted run"
        return reason
