"""Right and wrong completions put to a verifier, and to a second one where it names one."""

import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stages.audit_cases import Case, cases_of
from stages.audit_judge import NOT_ASKED, Judge
from stages.audit_report import (
    Disagreement,
    Example,
    FormFinding,
    Repetition,
    SecondOpinion,
    Share,
    share_of,
)
from stages.audit_subjects import Asked
from stages.reward_terms import judged_by
from stages.verifiers.reading import shortened
from stages.verifiers.submission import Outcome, submission

_EXAMPLES = 20
_REPEATED = 200


@dataclass(frozen=True, slots=True)
class Judged:
    """One case of one problem, and what became of it."""

    row: Mapping[str, Any]
    case: Case
    outcome: Outcome

    @property
    def is_wrong(self) -> bool:
        """Not as it has to be, or where right verifiers differ, as it may not be."""
        verdict = self.outcome.verdict
        return verdict is not None and (verdict.reward == 1.0) != self.case.is_right


def judge_cases(asked: Sequence[Asked], judge: Judge) -> list[Judged]:
    """All cases of these problems that there was time for, in order."""
    cases = [(each.row, case) for each in asked for case in cases_of(each.subject)]
    outcomes = judge.verify_all([submission(row, case.completion) for row, case in cases])
    return [
        Judged(row, case, outcome)
        for (row, case), outcome in zip(cases, outcomes, strict=True)
        if outcome is not NOT_ASKED
    ]


def by_form(judged: Sequence[Judged]) -> tuple[FormFinding, ...]:
    """Right forms first, then wrong ones, then open ones; completions without a verdict count for none."""
    groups: dict[tuple[bool, bool, str], list[Judged]] = defaultdict(list)
    for each in judged:
        if each.outcome.verdict is not None:
            groups[each.case.is_open, not each.case.is_right, each.case.form].append(each)
    return tuple(
        FormFinding(
            form,
            not is_false,
            is_open,
            share_of(len(wrong), len(group)),
            _example(wrong[0]) if wrong else None,
        )
        for (is_open, is_false, form), group in sorted(groups.items(), key=lambda item: item[0][:2])
        for wrong in [[each for each in group if each.is_wrong]]
    )


def failures(judged: Sequence[Judged], asked: Iterable[Asked]) -> tuple[Share, str]:
    """How often there was no verdict, and how it last failed.

    Also on the forms that these problems were asked in to find one that is rewarded.
    """
    probed = [outcome for each in asked for outcome in each.probed]
    outcomes = [*probed, *(each.outcome for each in judged)]
    failed = [outcome.failure for outcome in outcomes if outcome.verdict is None]
    return share_of(len(failed), len(outcomes)), failed[-1] if failed else ""


def asked_again(judged: Sequence[Judged], judge: Judge, seed: int) -> Repetition:
    """A seeded sample put to its verifier once more, in another order: a verdict has to stay what it was."""
    sample = random.Random(seed).sample(judged, min(_REPEATED, len(judged)))
    outcomes = judge.verify_all([submission(each.row, each.case.completion) for each in sample])
    both = _both(sample, outcomes)
    changed = [(first, second) for first, second in both if _reward(first) != _reward(second)]
    return Repetition(share_of(len(changed), len(both)), tuple(_differing(changed)))


def second_opinion(judged: Sequence[Judged], verifier: str, judge: Judge) -> SecondOpinion:
    """Where the two give full reward to different completions. Cases that one has no verdict on are left out."""
    outcomes = judge.verify_all(
        [
            submission(judged_by(each.row, verifier, judge.pool.catalog, {}), each.case.completion)
            for each in judged
        ]
    )
    both = _both(judged, outcomes)
    differ = [(first, second) for first, second in both if first.is_wrong != second.is_wrong]
    return SecondOpinion(verifier, share_of(len(differ), len(both)), tuple(_differing(differ)))


def _both(judged: Sequence[Judged], outcomes: Sequence[Outcome]) -> list[tuple[Judged, Judged]]:
    """The cases that have two verdicts."""
    return [
        (first, Judged(first.row, first.case, outcome))
        for first, outcome in zip(judged, outcomes, strict=True)
        if first.outcome.verdict is not None and outcome.verdict is not None
    ]


def _differing(pairs: Sequence[tuple[Judged, Judged]]) -> Iterator[Disagreement]:
    for first, second in pairs[:_EXAMPLES]:
        yield Disagreement(first.case.form, _example(first), _example(second))


def _reward(judged: Judged) -> float:
    return _example(judged).reward


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
