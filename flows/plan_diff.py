"""How a recipe, as it would run now, differs from a run that was: node by node, field by field."""

from dataclasses import dataclass

from flows.causes import own_changes
from flows.plan import Plan
from infra.ledger import Ledger
from infra.records import Run


@dataclass(frozen=True, slots=True)
class NodeDifference:
    """One node, against the run."""

    name: str
    state: str
    """same, changed, inherited (only its parents changed), added, removed, or unfinished (there)."""

    changes: tuple[str, ...] = ()


def differences(planned: Plan, ledger: Ledger, run: Run) -> list[NodeDifference]:
    """Every node of the plan, then those that only the run had."""
    keys = {stage.stage: stage.key for stage in ledger.run_stages(run.run_id)}
    found: list[NodeDifference] = []
    for step in planned.steps:
        name = step.node.name
        if name not in keys:
            found.append(NodeDifference(name, "added"))
            continue
        made = ledger.find_by_key(keys[name])
        if keys[name] == step.node.key:
            found.append(NodeDifference(name, "same" if made else "unfinished"))
        elif not made:
            found.append(NodeDifference(name, "unfinished"))
        else:
            changes = tuple(own_changes(step.node, made[0], ledger))
            found.append(NodeDifference(name, "changed" if changes else "inherited", changes))
    here = {step.node.name for step in planned.steps}
    return [*found, *(NodeDifference(name, "removed") for name in keys if name not in here)]
