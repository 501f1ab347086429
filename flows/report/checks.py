"""What stood between the run and a wrong result: gates, audits of the reward, and alarms."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_contracts.alarms import Alarm
from data_contracts.gates import GateVerdict
from flows.past_runs import PastStage
from flows.promoting.decisions import OVERRIDE, VERSION, decisions_about
from flows.report.curves import StageCurves
from flows.report.reported_run import ReportedRun
from flows.suites import GATE
from infra import records as states
from infra.records import Decision

_SHARES = (
    ("Problems that cannot be trained on", "faults"),
    ("Right completions refused", "false_negatives"),
    ("Wrong completions paid", "false_positives"),
    ("Completions without a verdict", "failures"),
)
"""Words for what an audit counts."""


@dataclass(frozen=True, slots=True)
class GateOfRun:
    """A gate that judged, of the recipe or before a promotion."""

    name: str
    verdict: GateVerdict
    note: str
    """Who decided otherwise and why, where somebody did."""


@dataclass(frozen=True, slots=True)
class AuditOfRun:
    """What an audit stage found, as its report has it."""

    stage: str
    problems: int
    blocks: tuple[str, ...]
    notes: tuple[str, ...]
    verifiers: tuple[Mapping[str, Any], ...]

    def counts(self) -> Iterator[tuple[str, str, int, int, str]]:
        """Verifier, question, count, of how many, and the share with its interval."""
        for found in self.verifiers:
            asked = [*((words, found[name]) for words, name in _SHARES)]
            asked.append(("Verdicts that changed when asked again", found["repeated"]["changed"]))
            for words, share in asked:
                yield found["verifier"], words, share["count"], share["of"], _interval(share)

    def policies(self) -> Iterator[tuple[str, str, int, float, float]]:
        """What policies without skill earn: verifier, policy, problems, mean reward, share right."""
        for found in self.verifiers:
            for each in found["policies"]:
                yield found["verifier"], each["policy"], each["problems"], each["reward"], each["metric"]


@dataclass(frozen=True, slots=True)
class AlarmOfRun:
    """An alarm of a stage, numbered as in the stage's curves."""

    stage: str
    number: int
    alarm: Alarm


def gates_of(reported: ReportedRun) -> list[GateOfRun]:
    """Gates of the recipe in plan order, then those that judged the run's models for promotion, oldest first."""
    found: list[GateOfRun] = []
    for past in reported.stages:
        if past.stage.kind == GATE and past.execution is not None:
            gate = GateVerdict.model_validate(past.execution.result[GATE])
            is_overridden = not gate.passed and past.state != states.REFUSED
            found.append(GateOfRun(past.stage.stage, gate, past.stage.detail if is_overridden else ""))
    made = {(past.execution.name, past.execution.version) for past in reported.stages if past.execution}
    for name in dict.fromkeys(name for name, _ in made):
        for decision in decisions_about(reported.ledger, name):
            version = decision.evidence.get(VERSION, decision.to_version)
            if decision.evidence.get(GATE) and (name, version) in made:
                found.append(_of_promotion(decision, version))
    return found


def audits_of(reported: ReportedRun) -> list[AuditOfRun]:
    """Of audit stages whose report is still in the home."""
    found: list[AuditOfRun] = []
    for past in reported.stages:
        path = _report_path(reported, past)
        if past.stage.kind == "audit" and path.exists():
            told = json.loads(path.read_bytes())
            found.append(
                AuditOfRun(
                    stage=past.stage.stage,
                    problems=told["problems"],
                    blocks=tuple(told["blocks"]),
                    notes=tuple(told["notes"]),
                    verifiers=tuple(told["verifiers"]),
                )
            )
    return found


def alarms_of(curves: list[StageCurves]) -> list[AlarmOfRun]:
    """In the order of stages, then as they were raised."""
    return [
        AlarmOfRun(each.stage, number, alarm)
        for each in curves
        for number, alarm in enumerate(each.history.alarms, start=1)
    ]


def _of_promotion(decision: Decision, version: int | None) -> GateOfRun:
    gate = GateVerdict.model_validate(decision.evidence[GATE])
    override = decision.evidence.get(OVERRIDE)
    note = f"overridden by {decision.actor}: {override}" if override else ""
    return GateOfRun(f"promotion of {decision.model}/{version}", gate, note)


def _report_path(reported: ReportedRun, past: PastStage) -> Path:
    """Kept by the run that did the work, under the name it had there."""
    if past.made_by is not None:
        return reported.home.logs_dir / past.made_by.run_id / f"{past.made_by.stage}.json"
    return reported.home.logs_dir / reported.run.run_id / f"{past.stage.stage}.json"


def _interval(share: Mapping[str, Any]) -> str:
    if not share["of"]:
        return "–"
    return f"{share['count'] / share['of']:.2%} [{share['low']:.2%}, {share['high']:.2%}]"
