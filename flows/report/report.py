"""The report of a run: what people open, send to each other and print. One HTML file, made from what the home keeps."""

from collections.abc import Iterator
from pathlib import Path

from data_contracts.errors import RecipeError
from flows.histories import history_in_run
from flows.promoting.decisions import standing
from flows.report.checks import alarms_of, audits_of, gates_of
from flows.report.cost import cost_of
from flows.report.curves import StageCurves, stage_curves
from flows.report.dag import dag_chart
from flows.report.data_used import datasets_of
from flows.report.figures import Share, accuracy_chart, sources_chart, timeline_chart
from flows.report.findings import findings_of, headline_of
from flows.report.origins import environment_text, lineage_of, recipe_text, since_last_run
from flows.report.page import render
from flows.report.reported_run import ReportedRun, edges, read_run
from flows.report.samples import LONGEST, samples_of
from flows.run_view import is_reused
from infra.home import Home, write_atomically
from infra.ledger import Ledger
from infra.records import Run
from infra.warehouse.verdict_counts import count_sources
from stages.comparison import wilson_interval

_TRAINED = ("sft", "dpo", "grpo")
_CHARTS, _FEWEST_CHARTS = 100, 4
"""Curves in all, however many stages are trained; and of one stage, at least."""


def report_path(home: Home, run: Run) -> Path:
    """Where a run's report is unless somebody wants it elsewhere."""
    return home.path / "reports" / f"{run.run_id}.html"


def write_report(home: Home, ledger: Ledger, run: Run, path: Path, now: float) -> None:
    """Write the report to `path`, whole or not at all. `now` is in seconds since 1970.

    Raises RecipeError for a place that cannot be written.
    """
    if path.is_dir():
        raise RecipeError(
            f"{path} is a folder.", "a file to write", f"Name one in it: {path / run.run_id}.html."
        )
    page = make_report(home, ledger, run, now)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, page)
    except OSError as error:
        raise RecipeError(
            f"{path} cannot be written: {error.strerror}.", "a file in a folder of yours", "Name another one."
        ) from error


def verdict_of(home: Home, ledger: Ledger, run: Run, now: float) -> str:
    """The sentence a report begins with."""
    reported = read_run(home, ledger, run)
    return headline_of(reported, cost_of(reported, now)).sentence


def make_report(home: Home, ledger: Ledger, run: Run, now: float) -> str:
    """The report of a run in whatever state, as HTML."""
    reported = read_run(home, ledger, run)
    curves = list(_curves(reported))
    gates, audits, alarms = gates_of(reported), audits_of(reported), alarms_of(curves)
    cost = cost_of(reported, now)
    datasets, gone = datasets_of(reported)
    shares = _shares_by_source(reported)
    return render(
        {
            "run": run,
            "state": reported.state,
            "now": now,
            "headline": headline_of(reported, cost),
            "findings": findings_of(reported, gates, audits, alarms),
            "models": reported.models,
            "champions": _champions(reported),
            "accuracy": accuracy_chart(reported.models),
            "sources": sources_chart(shares)
            if len({s for each in shares.values() for s in each}) > 1
            else None,
            "curves": curves,
            "alarms": alarms,
            "gates": gates,
            "stages": reported.stages,
            "reused": {past.stage.stage for past in reported.stages if is_reused(past, run)},
            "parents": edges(run, reported.stages),
            "dag": dag_chart(reported.stages, edges(run, reported.stages)),
            "datasets": datasets,
            "gone": gone,
            "audits": audits,
            "cost": cost,
            "timeline": timeline_chart(cost.spans),
            "lineage": lineage_of(reported),
            "recipe": recipe_text(run),
            "since": since_last_run(reported),
            "environment": environment_text(reported),
            "samples": samples_of(reported),
            "longest": LONGEST,
        }
    )


def _curves(reported: ReportedRun) -> Iterator[StageCurves]:
    """Of stages that train, where anything was logged."""
    trained = [past for past in reported.stages if past.stage.kind in _TRAINED]
    for past in trained:
        history = history_in_run(reported.home, reported.run, past)
        if history.metrics or history.alarms:
            most = max(_FEWEST_CHARTS, _CHARTS // len(trained))
            yield stage_curves(past.stage.stage, past.stage.kind, history, most)


def _shares_by_source(reported: ReportedRun) -> dict[str, dict[str, Share]]:
    found: dict[str, dict[str, Share]] = {}
    for model, path in reported.completions().items():
        found[model] = {
            each.source: Share(each.right / each.completions, *wilson_interval(each.right, each.completions))
            for each in count_sources(path)
        }
    return found


def _champions(reported: ReportedRun) -> set[str]:
    """Models of this run, as `name/version`, that are served now."""
    names = {line.model.rpartition("/")[0] for line in reported.models}
    return {f"{name}/{standing(reported.ledger, name).champion}" for name in names}
