"""Where a result comes from: what the last model was made of, the recipe, and what the last run did otherwise."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from data_contracts.errors import RecipeError
from flows.past_runs import past_stages
from flows.plan_diff import NodeDifference
from flows.promoting.why import Explanation, explain
from flows.report.reported_run import ReportedRun, read_run
from flows.run_diff import FieldDifference, node_differences, recipe_differences
from flows.run_view import environment_lines, recipe_as_run, recipe_yaml
from flows.summary import StageLine
from infra.records import Run
from infra.warehouse.warehouse import Warehouse


@dataclass(frozen=True, slots=True)
class SinceLastRun:
    """From the run of the same recipe before this one."""

    before: Run
    fields: tuple[FieldDifference, ...]
    nodes: tuple[NodeDifference, ...]
    """Those that are not the same."""

    accuracies: tuple[tuple[StageLine, StageLine | None], ...]
    """Evaluated models of this run, each with that of the run before."""


def lineage_of(reported: ReportedRun) -> Explanation | None:
    """Of the last finished model."""
    made = reported.execution(reported.models[-1].stage) if reported.models else None
    return explain(reported.home, reported.ledger, Warehouse(reported.home), made) if made else None


def recipe_text(run: Run) -> str:
    """As YAML; as it was stored where this version cannot read it any more."""
    try:
        return recipe_yaml(recipe_as_run(run))
    except RecipeError:
        return json.dumps(run.document, indent=2)


def since_last_run(reported: ReportedRun) -> SinceLastRun | None:
    """None for the first run of a recipe."""
    runs = reported.ledger.runs(reported.run.recipe, limit=-1)
    ids = [run.run_id for run in runs]
    earlier = runs[ids.index(reported.run.run_id) + 1 :]
    if not earlier:
        return None
    before = read_run(reported.home, reported.ledger, earlier[0])
    known = {line.stage: line for line in before.models}
    return SinceLastRun(
        before=before.run,
        fields=tuple(recipe_differences(before.run.document, reported.run.document)),
        nodes=tuple(_changed_nodes(reported, before.run)),
        accuracies=tuple(
            (line, known.get(line.stage)) for line in reported.models if line.accuracy is not None
        ),
    )


def environment_text(reported: ReportedRun) -> str:
    """Libraries and hardware of what the run itself made."""
    return " ".join(text for _, text in environment_lines(reported.stages, reported.run))


def plain_value(value: Any) -> str:
    """A field of a recipe as YAML would have it, on one line."""
    return value if isinstance(value, str) else json.dumps(value)


def _changed_nodes(reported: ReportedRun, before: Run) -> Sequence[NodeDifference]:
    try:
        recipe = recipe_as_run(reported.run)
    except RecipeError:
        return ()
    was = {past.stage.stage: past for past in past_stages(reported.ledger, before)}
    nodes = node_differences(was, reported.stages, recipe, reported.ledger)
    return [node for node in nodes if node.state != "same" or node.changes]
