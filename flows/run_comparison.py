"""Two runs side by side: what was asked of them, what their nodes are, and how their models do on the same problems."""

from collections.abc import Mapping
from dataclasses import dataclass

from flows.nodes import evaluation_name
from flows.past_runs import PastStage, past_stages
from flows.plan_diff import NodeDifference
from flows.run_diff import RUN_SETTINGS, FieldDifference, node_differences, recipe_differences
from flows.run_pairs import Pairing, pair_completions
from flows.run_view import recipe_as_run
from flows.stored import has_output, output_path
from infra.home import Home
from infra.ledger import Ledger
from infra.records import Execution, Run


@dataclass(frozen=True, slots=True)
class ModelComparison:
    """A model stage in both runs."""

    stage: str
    kind: str
    before: Execution | None
    after: Execution | None
    """None where a run has no such model, or did not finish it."""

    evaluation_before: Execution | None
    evaluation_after: Execution | None
    pairing: Pairing | None
    """None where nothing was compared; `unpaired` says why."""

    unpaired: str
    evaluation_changes: tuple[str, ...]
    """How the evaluation itself differs: then the difference is not the model's alone."""


@dataclass(frozen=True, slots=True)
class RunComparison:
    """From the first run to the second."""

    before: Run
    after: Run
    fields: list[FieldDifference]
    """Of the recipe, its run settings left out."""

    settings: list[FieldDifference]
    """Run settings, which decide no result."""

    nodes: list[NodeDifference]
    models: list[ModelComparison]


def compare_runs(home: Home, ledger: Ledger, before: Run, after: Run) -> RunComparison:
    """Raises RecipeError when the second run's recipe cannot be read any more."""
    was = {past.stage.stage: past for past in past_stages(ledger, before)}
    now = {past.stage.stage: past for past in past_stages(ledger, after)}
    nodes = node_differences(was, list(now.values()), recipe_as_run(after), ledger)
    fields = recipe_differences(_asked(before), _asked(after))
    settings = recipe_differences(_settings(before), _settings(after))
    changes = {node.name: node.changes for node in nodes if node.state == "changed"}
    return RunComparison(before, after, fields, settings, nodes, _compare_models(home, was, now, changes))


def _asked(run: Run) -> dict[str, object]:
    return {name: value for name, value in run.document.items() if name != RUN_SETTINGS}


def _settings(run: Run) -> dict[str, object]:
    return {RUN_SETTINGS: run.document[RUN_SETTINGS]}


def _compare_models(
    home: Home,
    was: Mapping[str, PastStage],
    now: Mapping[str, PastStage],
    changes: Mapping[str, tuple[str, ...]],
) -> list[ModelComparison]:
    found: list[ModelComparison] = []
    for name in [*now, *(name for name in was if name not in now)]:
        before, after = _execution(was, name), _execution(now, name)
        made = after or before
        if made is None or made.output != "model":
            continue
        evaluation = evaluation_name(name)
        first, second = _execution(was, evaluation), _execution(now, evaluation)
        pairing, unpaired = _pair(home, first, second)
        changed = changes.get(evaluation, ())
        found.append(
            ModelComparison(name, made.kind, before, after, first, second, pairing, unpaired, changed)
        )
    return found


def _execution(stages: Mapping[str, PastStage], name: str) -> Execution | None:
    return stages[name].execution if name in stages else None


def _pair(home: Home, before: Execution | None, after: Execution | None) -> tuple[Pairing | None, str]:
    """A pairing, or why there is none."""
    if before is None or after is None:
        missing = (
            "neither run has"
            if before is after
            else f"the {'first' if before is None else 'second'} run has no"
        )
        return None, f"{missing} {'an ' if before is after else ''}evaluation of it"
    if before.fingerprint == after.fingerprint:
        return None, "the same completions in both"
    for which, execution in (("first", before), ("second", after)):
        if not has_output(home, execution):
            return None, f"the completions of the {which} run are gone from the home"
    return pair_completions(output_path(home, before), output_path(home, after)), ""
