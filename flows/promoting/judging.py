"""A candidate against the champion on the candidate's suite, and what a decision keeps of it as evidence."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from data_contracts.canonical import fingerprint
from data_contracts.gates import GateQuestions, GateVerdict
from flows.lineage.models import ancestors
from flows.promoting.behind import datasets_behind, recipe_behind, verifiers_behind
from flows.promoting.candidates import find_execution
from flows.promoting.decisions import OVERRIDE, VERSION
from flows.promoting.evaluating import evaluate_missing
from flows.promoting.evaluations import find_evaluation
from flows.stored import output_path, verdicts_of
from flows.suites import CANDIDATE_CONTENT, GATE, SUITE, num_choices, suite_of_verdicts, wear_of
from infra.home import Home
from infra.ledger import Ledger
from infra.records import Execution
from stages.gate import judge


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is known of a candidate that wants promotion."""

    candidate: Execution
    baseline: str | None
    """`name/version` of what it was held against; None where there is no champion."""

    verdict: GateVerdict | None
    unjudged: str
    """Why there is no verdict; empty where there is one."""

    is_open: bool
    """Whether verdicts are missing that a promotion makes, and a dry run does not."""

    suite: str | None
    accuracy: float | None
    num_choices: int
    """Different models that were judged on the suite, this one included."""

    alpha: float
    evidence: dict[str, Any]

    @property
    def passed(self) -> bool:
        """The first champion needs no comparison, nor verdicts to be compared."""
        return self.baseline is None if self.verdict is None else self.verdict.passed

    @property
    def sentence(self) -> str:
        return self.verdict.sentence if self.verdict else self.unjudged

    @property
    def wear(self) -> str:
        """Said of a suite that was used to choose too often; empty for others."""
        return wear_of(self.num_choices, self.alpha) if self.suite else ""


def judge_candidate(
    home: Home, ledger: Ledger, candidate: Execution, baseline: tuple[str, int] | None, *, is_dry: bool
) -> Judgement:
    """Hold a candidate against a registered version; verdicts that are missing are made unless `is_dry`."""
    document = recipe_behind(ledger, candidate)
    questions = GateQuestions.model_validate(document.get("promotion") or {})
    evaluation = find_evaluation(home, ledger, candidate)
    other = find_execution(ledger, *baseline) if baseline else None
    against = f"{baseline[0]}/{baseline[1]}" if baseline else None
    before: Execution | None = None
    unjudged, is_open = "", False
    if evaluation is None and not document.get("evaluate"):
        unjudged = f"Nothing verified {_named(candidate)}: its recipe has no evaluate section."
    elif baseline is not None and other is None:
        unjudged = (
            f"No run of this home made {against}: it was registered by hand, and cannot be compared with."
        )
    else:
        evaluation, before = _verdicts(home, ledger, candidate, other, is_dry=is_dry)
        if evaluation is None or (other is not None and before is None):
            where = "both models" if other else _named(candidate)
            unjudged = f"The suite was not run on {where} yet; a promotion runs it where it is missing."
            is_open = is_dry
    verdict: GateVerdict | None = None
    if evaluation is not None and not unjudged:
        verdict = judge(
            questions,
            output_path(home, before) if before else None,
            output_path(home, evaluation),
            candidate=_named(candidate),
            baseline=against,
        )
    suite = suite_of_verdicts(evaluation) if evaluation else None
    evidence = _evidence(ledger, candidate, evaluation, document)
    evidence |= {SUITE: suite, GATE: verdict.model_dump(mode="json") if verdict else None, "against": against}
    return Judgement(
        candidate=candidate,
        baseline=against,
        verdict=verdict,
        unjudged=unjudged,
        is_open=is_open,
        suite=suite,
        accuracy=evidence["accuracy"],
        num_choices=num_choices(ledger, suite, candidate.fingerprint) if suite else 0,
        alpha=questions.alpha,
        evidence=evidence,
    )


def _verdicts(
    home: Home, ledger: Ledger, candidate: Execution, other: Execution | None, *, is_dry: bool
) -> tuple[Execution | None, Execution | None]:
    found = _stored(home, ledger, candidate, other)
    if is_dry or not (found[0] is None or (other is not None and found[1] is None)):
        return found
    evaluate_missing(home, ledger, candidate, other)
    return _stored(home, ledger, candidate, other)


def _stored(
    home: Home, ledger: Ledger, candidate: Execution, other: Execution | None
) -> tuple[Execution | None, Execution | None]:
    evaluation = find_evaluation(home, ledger, candidate)
    if evaluation is None or other is None:
        return evaluation, None
    suite = suite_of_verdicts(evaluation)
    return evaluation, verdicts_of(ledger, home, other.name, other.version, suite)


def _evidence(
    ledger: Ledger, candidate: Execution, evaluation: Execution | None, document: Mapping[str, Any]
) -> dict[str, Any]:
    behind = ancestors(ledger, candidate)
    judging = [evaluation] if evaluation else []
    parents = [given for given in candidate.inputs if given.role == "start"]
    return {
        VERSION: candidate.version,
        CANDIDATE_CONTENT: candidate.fingerprint,
        OVERRIDE: None,
        "accuracy": evaluation.result["metrics"]["eval/accuracy"] if evaluation else None,
        "datasets": datasets_behind(*behind, *judging),
        "verifiers": verifiers_behind(*behind, *judging),
        "parent": f"{parents[0].name}/{parents[0].version}" if parents else None,
        "recipe": fingerprint(document),
        "run": candidate.run_id,
    }


def _named(made: Execution) -> str:
    return f"{made.name}/{made.version}"
