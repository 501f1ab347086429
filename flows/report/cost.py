"""What a run cost: seconds of every stage, tokens it trained on and sampled, and energy where it can be bounded."""

from collections.abc import Mapping
from dataclasses import dataclass

from flows.past_runs import PastStage
from flows.report.reported_run import ReportedRun
from flows.run_view import is_reused
from infra.records import Execution

_BOARD_WATTS = {
    "H200": 700,
    "H100": 700,
    "A100": 400,
    "L40S": 350,
    "L40": 300,
    "A40": 300,
    "A10": 150,
    "L4": 72,
    "T4": 70,
    "V100": 300,
    "RTX 4090": 450,
    "RTX 3090": 350,
}
"""Board power limits by NVIDIA's data sheets; of a name that holds several, the first counts."""


@dataclass(frozen=True, slots=True)
class StageCost:
    """Of the execution that made a stage's result."""

    stage: str
    kind: str
    seconds: float
    tokens: float | None
    """Trained on, or sampled; None where the stage counts none."""

    is_reused: bool


@dataclass(frozen=True, slots=True)
class Span:
    """A stage in the run's time, in seconds since the run began."""

    stage: str
    waited_from: float
    worked_from: float
    """Until then it waited for its turn."""

    ended: float


@dataclass(frozen=True, slots=True)
class Cost:
    """Of a whole run."""

    stages: tuple[StageCost, ...]
    spent_seconds: float
    """Of stages that this run made."""

    saved_seconds: float
    """That reused results took when they were made."""

    tokens: float
    """Of stages that this run made."""

    energy: str
    """In words, with what the number rests on."""

    spans: tuple[Span, ...]
    """Stages that worked in this run, in the order they began."""


def cost_of(reported: ReportedRun, now: float) -> Cost:
    """`now` ends the time of a stage that still runs, in seconds since 1970."""
    stages = [_cost(past, made, reported) for past in reported.stages if (made := past.made_by) is not None]
    own = [each for each in stages if not each.is_reused]
    return Cost(
        stages=tuple(stages),
        spent_seconds=sum(each.seconds for each in own),
        saved_seconds=sum(each.seconds for each in stages if each.is_reused),
        tokens=sum(each.tokens or 0.0 for each in own),
        energy=_energy(reported),
        spans=tuple(_spans(reported, now)),
    )


def _cost(past: PastStage, made: Execution, reported: ReportedRun) -> StageCost:
    tokens = _tokens(made.result.get("metrics", {}), made.kind)
    return StageCost(past.stage.stage, past.stage.kind, made.seconds, tokens, is_reused(past, reported.run))


def _tokens(metrics: Mapping[str, float], kind: str) -> float | None:
    if kind == "verify" and {"eval/completions", "eval/completion_tokens"} <= metrics.keys():
        return metrics["eval/completions"] * metrics["eval/completion_tokens"]
    return metrics.get(f"{kind}/num_tokens")


def _spans(reported: ReportedRun, now: float) -> list[Span]:
    began = reported.run.started
    found: list[Span] = []
    for past in reported.stages:
        if past.stage.started is None or is_reused(past, reported.run):
            continue
        started, ended = past.stage.started - began, (past.stage.ended or now) - began
        took = past.made_by.seconds if past.made_by else ended - started
        found.append(Span(past.stage.stage, started, max(started, ended - took), max(started, ended)))
    return sorted(found, key=lambda span: (span.worked_from, span.ended))


def _energy(reported: ReportedRun) -> str:
    """An upper bound: what the leased accelerators would draw at their limit all the time."""
    number = reported.run.document.get("run", {}).get("accelerators") or 0
    joules = 0.0
    for past in reported.stages:
        made = past.made_by
        name = made.environment.get("accelerator", "none") if made else "none"
        if made is None or name == "none" or is_reused(past, reported.run):
            continue
        watts = next((watts for known, watts in _BOARD_WATTS.items() if known in name), None)
        if watts is None:
            return f"Energy: not estimated, since the board power of {name} is not known here."
        joules += made.seconds * number * watts
    if not joules:
        return "Energy: not estimated, since no accelerator was used."
    return (
        f"Energy: at most {joules / 3.6e6:,.2f} kWh, {number} accelerators at the limit of their board power; "
        "processors, memory and cooling are not in it."
    )
