"""Which problems an audit looks at closely, and how right completions of them are written."""

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from data_contracts.errors import DataError
from data_contracts.verdict import PosedProblem
from stages.audit_cases import FORMS, Subject, surely_differ
from stages.audit_judge import Judge
from stages.verifiers.submission import submission
from stages.verifiers.verifier import Answers, Verifier

Row = Mapping[str, Any]

_DIGITS, _LETTERS = re.compile(r"[0-9]+"), re.compile(r"[A-Za-z]+")
_TRIES = 20
_COMPARED = ("number", "final_number", "math", "choice", "text")


@dataclass(frozen=True, slots=True)
class Asked:
    """A problem and what completions of it are made from."""

    row: Row
    posed: PosedProblem
    subject: Subject

    @property
    def is_stated(self) -> bool:
        """Whether a right completion is known, or none needed."""
        return (
            self.subject.answers == "constraints" or self.subject.state(self.subject.ground_truth) is not None
        )


def draw(rows: Sequence[Row], num_rows: int, seed: int, *, every_shape: bool = False) -> list[int]:
    """Positions of a seeded sample, in order; with `every_shape` one more row per shape of ground truth it lacks.

    Digits are alike in shape, and so are letters. At most `num_rows` are added.
    """
    order = random.Random(seed).sample(range(len(rows)), len(rows))
    drawn, rest = order[:num_rows], order[num_rows:]
    if every_shape:
        seen = {_shape(rows[position]["ground_truth"]) for position in drawn}
        for position in rest:
            shape = _shape(rows[position]["ground_truth"])
            if shape not in seen and len(drawn) < 2 * num_rows:
                seen.add(shape)
                drawn.append(position)
    return sorted(drawn)


def read_subjects(rows: Sequence[Row], name: str, judge: Judge, seed: int) -> list[Asked]:
    """The problems of one verifier, with the form of its right completions.

    A verifier without `completion_of` is asked which of the usual forms it rewards the ground truth in.
    """
    if not rows:  # there may be no such verifier
        return []
    verifier = judge.pool.catalog.find(name)
    asked = [_read(row, verifier, judge) for row in rows]
    if verifier.completion_of is None:
        asked = _with_rewarded_forms(asked, judge)
    return _with_others(asked, random.Random(seed))


def _read(row: Row, verifier: Verifier, judge: Judge) -> Asked:
    arguments = judge.pool.catalog.arguments(row["verifier"], row["arguments"])
    posed = submission(row, "").problem
    answers: Answers = verifier.answers if row["ground_truth"].strip() else "constraints"
    state = _stated_by(verifier.completion_of, posed, arguments) if verifier.completion_of else _unstated
    subject = Subject(answers, row["ground_truth"], arguments, row["prompt"][-1]["content"], state, None)
    return Asked(row, posed, subject)


def _stated_by(
    completion_of: Callable[..., str], posed: PosedProblem, arguments: Mapping[str, Any]
) -> Callable[[str], str | None]:
    own = completion_of(posed, **arguments)

    def state(ground_truth: str) -> str | None:
        if ground_truth == posed.ground_truth:
            return own
        try:
            completion = completion_of(replace(posed, ground_truth=ground_truth), **arguments)
        except (DataError, ValueError, ArithmeticError):  # a form of the answer need not be a ground truth
            completion = ""
        if ground_truth in completion:
            return completion
        before, found, after = own.rpartition(posed.ground_truth)
        return before + ground_truth + after if found else None

    return state


def _unstated(_: str) -> None:
    return None


def _with_rewarded_forms(asked: Sequence[Asked], judge: Judge) -> list[Asked]:
    compared = [each for each in asked if each.subject.answers in _COMPARED]
    outcomes = iter(
        judge.verify_all(
            [
                submission(each.row, template.format(each.subject.ground_truth))
                for each in compared
                for template in FORMS.values()
            ]
        )
    )
    templates: dict[int, str] = {}
    for each in compared:
        verdicts = [next(outcomes).verdict for _ in FORMS]
        for template, verdict in zip(FORMS.values(), verdicts, strict=True):
            if verdict is not None and verdict.reward == 1.0:
                templates.setdefault(id(each), template)
    return [
        replace(each, subject=replace(each.subject, state=templates[id(each)].format))
        if id(each) in templates
        else each
        for each in asked
    ]


def _with_others(asked: Sequence[Asked], random_: random.Random) -> list[Asked]:
    """Each with the right completion of another problem, drawn until the ground truths surely differ."""
    found: list[Asked] = []
    for each in asked:
        others = [random_.choice(asked).subject for _ in range(_TRIES)]
        other = next((other for other in others if surely_differ(each.subject, other)), None)
        usable = other if each.subject.answers != "constraints" else None
        text = usable.state(usable.ground_truth) if usable else None
        found.append(replace(each, subject=replace(each.subject, other=text)))
    return found


def _shape(ground_truth: str) -> str:
    return _LETTERS.sub("a", _DIGITS.sub("9", ground_truth))
