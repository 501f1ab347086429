"""The first screen of a report: how the run ended, what got better, by how much and how sure, and what to look at."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from data_contracts.gates import GateQuestions
from flows.past_runs import CRASHED
from flows.plan_view import duration
from flows.report.checks import AlarmOfRun, AuditOfRun, GateOfRun
from flows.report.cost import Cost
from flows.report.reported_run import ReportedRun, verdict
from flows.suites import num_choices, suite_of_verdicts, wear_of
from flows.summary import Change, StageLine, p_text
from infra import records as states

_BAD = (states.FAILED, CRASHED, states.REFUSED)
_ENDINGS = {
    states.DONE: "The run is done.",
    states.FAILED: "The run failed. Finished stages are kept: fix the cause and run again.",
    CRASHED: "The run's process died without a word. The same command continues it.",
    states.REFUSED: "A gate refused: what follows it was not run.",
    states.INTERRUPTED: "The run was stopped before its end. The same command continues it.",
    states.RUNNING: "The run is still at work: this is how far it was when the report was written.",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a reader should look at."""

    tone: str
    """good, warn or bad."""

    text: str
    section: str
    """Id of the part of the page with more of it."""


@dataclass(frozen=True, slots=True)
class Headline:
    """The verdict on the run."""

    tone: str
    """good, bad or neutral: of the change that counts."""

    sentence: str
    ending: str
    tiles: tuple[tuple[str, str, str], ...]
    """Name, number, and what it rests on."""


def headline_of(reported: ReportedRun, cost: Cost) -> Headline:
    """The last evaluated model against the first trained one, or against what it started from."""
    evaluated = [line for line in reported.models if line.accuracy is not None]
    ending = _ENDINGS[reported.state]
    tiles = [*_accuracy_tiles(evaluated), *_cost_tiles(cost)]
    if not evaluated:
        made = "No model was verified" if reported.models else "No model was made"
        return Headline("neutral", f"{made}: nothing can be said of accuracy.", ending, tuple(tiles))
    last = evaluated[-1]
    change = _change_that_counts(evaluated)
    if change is None:
        sentence = f"{last.stage} is right on {100 * (last.accuracy or 0):.1f} % of completions."
        return Headline("neutral", sentence, ending, tuple(tiles))
    found = verdict(change)
    joined = "from" if found == "not distinguishable" else "than"
    was = next((line.accuracy for line in evaluated if line.stage == change.to), None)
    values = "" if was is None else f"{100 * (last.accuracy or 0):.1f} % right against {100 * was:.1f} %, "
    sentence = f"{last.stage} is {found} {joined} {change.to}: {values}{change_text(change)}."
    tone = {"better": "good", "worse": "bad"}.get(found, "neutral")
    return Headline(tone, sentence, ending, tuple(tiles))


def change_text(change: Change) -> str:
    """`+48.6 points [+45.7, +51.4], p ≤ 0.001`."""
    sign, number = p_text(change.p_value)[0], p_text(change.p_value)[1:]
    return f"{change.points().replace(' [', ' points [')}, p {sign} {number}"


def findings_of(
    reported: ReportedRun,
    gates: Sequence[GateOfRun],
    audits: Sequence[AuditOfRun],
    alarms: Sequence[AlarmOfRun],
) -> list[Finding]:
    """The worst first."""
    found = [
        *_stage_findings(reported),
        *_gate_findings(gates),
        *_change_findings(reported),
        *(Finding("bad", f"Audit {each.stage}: {text}", "audits") for each in audits for text in each.blocks),
        *_alarm_findings(alarms),
        *(Finding("warn", text, "accuracy") for text in filter(None, [_wear(reported)])),
    ]
    return sorted(found, key=lambda each: ("bad", "warn", "good").index(each.tone))


def _wear(reported: ReportedRun) -> str:
    """Of the suite of the last evaluation: how often gates and promotions have chosen by it, this run's included."""
    evaluations = list(reported.evaluations().values())
    if not evaluations:
        return ""
    judged = next(given.fingerprint for given in evaluations[-1].inputs if given.role == "start")
    promotion = GateQuestions.model_validate(reported.run.document.get("promotion") or {})
    suite = suite_of_verdicts(evaluations[-1])
    return wear_of(num_choices(reported.ledger, suite, judged), promotion.alpha)


def _change_that_counts(evaluated: Sequence[StageLine]) -> Change | None:
    last, trained = evaluated[-1], [line for line in evaluated if line.changes]
    if len(trained) > 1:
        to_first = next((change for change in last.changes if change.to == trained[0].stage), None)
        if to_first is not None:
            return to_first
    return last.changes[0] if last.changes else None


def _accuracy_tiles(evaluated: Sequence[StageLine]) -> Iterator[tuple[str, str, str]]:
    if not evaluated:
        return
    last = evaluated[-1]
    low, high = 100 * (last.low or 0), 100 * (last.high or 0)
    yield (
        f"accuracy of {last.stage}",
        f"{100 * (last.accuracy or 0):.1f} %",
        f"95 % interval {low:.1f} to {high:.1f}",
    )
    if last.changes:
        change = last.changes[0]
        sure = f"[{100 * change.low:+.1f}, {100 * change.high:+.1f}], {verdict(change)}"
        yield f"over {change.to}, its start", f"{100 * change.change:+.1f}", f"points {sure}"
    per_problem = (last.completions or 0) // (last.problems or 1)
    yield "held-out problems", f"{last.problems:,}", f"{per_problem} samples each"


def _cost_tiles(cost: Cost) -> Iterator[tuple[str, str, str]]:
    saved = f"{duration(cost.saved_seconds)} saved by reuse" if cost.saved_seconds else "nothing was reused"
    if not cost.stages:
        saved = "no stage finished"
    yield "time in stages", duration(cost.spent_seconds) if cost.spent_seconds else "0 s", saved
    if cost.tokens:
        yield "tokens", _short_number(cost.tokens), "trained on and sampled"


def _short_number(value: float) -> str:
    for unit, size in (("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:,.0f}"


def _stage_findings(reported: ReportedRun) -> Iterator[Finding]:
    for past in reported.stages:
        if past.state in _BAD and past.state != states.REFUSED:
            why = f": {past.stage.detail}" if past.stage.detail else ""
            yield Finding("bad", f"Stage {past.stage.stage} {past.state}{why}", "stages")
        if past.state == states.INTERRUPTED:
            yield Finding("warn", f"Stage {past.stage.stage} was interrupted", "stages")


def _gate_findings(gates: Sequence[GateOfRun]) -> Iterator[Finding]:
    for gate in gates:
        tone = "good" if gate.verdict.passed else "warn" if gate.note else "bad"
        note = f" ({gate.note})" if gate.note else ""
        yield Finding(tone, f"Gate {gate.name}: {gate.verdict.sentence}{note}", "gates")


def _change_findings(reported: ReportedRun) -> Iterator[Finding]:
    tones = {"better": "good", "worse": "bad", "not distinguishable": "warn"}
    for line in reported.models:
        if line.changes:
            change = line.changes[0]
            found = verdict(change)
            joined = "from" if found == "not distinguishable" else "than"
            yield Finding(
                tones[found],
                f"{line.stage} is {found} {joined} {change.to}: {change_text(change)}",
                "accuracy",
            )


def _alarm_findings(alarms: Sequence[AlarmOfRun]) -> Iterator[Finding]:
    for each in alarms:
        text = f"{each.stage}, step {each.alarm.step:,}: {each.alarm.reason}"
        yield Finding("warn", text, "curves")
