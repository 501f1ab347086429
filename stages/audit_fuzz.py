"""Right and wrong completions put to a verifier, and to a second one where it names one."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stages.audit_cases import Case, cases_of
from stages.audit_judge import Judge
from stages.audit_report import Disagreement, Example, FormFinding, SecondOpinion, Share, share_of
from stages.audit_subjects import Asked
from stages.reward_terms import judged_by
from stages.verifiers.reading import shortened
from stages.verifiers.submission import Outcome, submission

_EXAMPLES = 20


@dataclass(frozen=True, slots=True)
class Judged:
    """One case of one problem, and what became of it."""

    row: Mapping[str, Any]
    case: Case
    outcome: Outcome

    @property
    def is_wrong(self) -> bool:
        verdict = self.outcome.verdict
        return verdict is not None and (verdict.reward == 1.0) != self.case.is_right


def judge_cases(asked: Sequence[Asked], judge: Judge) -> list[Judged]:
    """All cases of these problems, in order."""
    cases = [(each.row, case) for each in asked for case in cases_of(each.subject)]
    outcomes = judge.verify_all([submission(row, case.completion) for row, case in cases])
    return [Judged(row, case, outcome) for (row, case), outcome in zip(cases, outcomes, strict=True)]


def by_form(judged: Sequence[Judged]) -> tuple[FormFinding, ...]:
    """Right forms first, then wrong ones; completions without a verdict count for none."""
    groups: dict[tuple[bool, str], list[Judged]] = defaultdict(list)
    for each in judged:
        if each.outcome.verdict is not None:
            groups[not each.case.is_right, each.case.form].append(each)
    return tuple(
        FormFinding(
            form, not must_fail, share_of(len(wrong), len(group)), _example(wrong[0]) if wrong else None
        )
        for (must_fail, form), group in sorted(groups.items(), key=lambda item: item[0][0])
        for wrong in [[each for each in group if each.is_wrong]]
    )


def failures(judged: Sequence[Judged]) -> tuple[Share, str]:
    """How often there was no verdict, and how it last failed."""
    failed = [each.outcome.failure for each in judged if each.outcome.verdict is None]
    return share_of(len(failed), len(judged)), failed[-1] if failed else ""


def second_opinion(judged: Sequence[Judged], verifier: str, judge: Judge) -> SecondOpinion:
    """Where the two give full reward to different completions. Cases that one has no verdict on are left out."""
    outcomes = judge.verify_all(
        [
            submission(judged_by(each.row, verifier, judge.pool.catalog, {}), each.case.completion)
            for each in judged
        ]
    )
    both = [
        (first, Judged(first.row, first.case, outcome))
        for first, outcome in zip(judged, outcomes, strict=True)
        if first.outcome.verdict is not None and outcome.verdict is not None
    ]
    differ = [(first, second) for first, second in both if first.is_wrong != second.is_wrong]
    examples = (
        Disagreement(first.case.form, _example(first), _example(second))
        for first, second in differ[:_EXAMPLES]
    )
    return SecondOpinion(verifier, share_of(len(differ), len(both)), tuple(examples))


def _example(judged: Judged) -> Example:
    verdict = judged.outcome.verdict
    assert verdict is not None
    return Example(
        judged.row["problem_id"],
        shortened(judged.row["ground_truth"]),
        shortened(judged.case.completion),
        verdict.reward,
        verdict.reason,
    )
