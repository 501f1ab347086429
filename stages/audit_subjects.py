"""Which problems an audit looks at closely, and how right completions of them are written."""

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from data_contracts.errors import DataError
from data_contracts.verdict import PosedProblem
from stages.audit_judge import NOT_ASKED, Judge
from stages.audit_numbers import exact_fraction
from stages.verifiers.submission import Outcome, submission
from stages.verifiers.verifier import Answers, Verifier

Row = Mapping[str, Any]

LETTERS = "ABCDEFGHIJ"

FORMS = {
    "bare": "{}",
    "announced": "The answer is {}.",
    "after ####": "#### {}",
    "in a box": "\\boxed{{{}}}",
    "in tags": "<answer>{}</answer>",
    "in tags after thinking": "<think>\nLet me see.\n</think>\n<answer>{}</answer>",
}
"""What a right completion may look like where a verifier does not say."""

_DIGITS, _LETTERS = re.compile(r"[0-9]+"), re.compile(r"[A-Za-z]+")
_TRIES = 20
_COMPARED = ("number", "final_number", "math", "choice", "text")


@dataclass(frozen=True, slots=True)
class Subject:
    """A problem as completions are made for it."""

    answers: Answers
    ground_truth: str
    arguments: Mapping[str, Any]
    last_turn: str
    """What the user said last."""

    state: Callable[[str], str | None]
    """The verifier's form of a completion with this ground truth; None where it has none."""

    other: str | None
    """A right completion of a problem with another ground truth."""

    @property
    def letter(self) -> str | None:
        return option_letter(self.ground_truth, self.arguments)


@dataclass(frozen=True, slots=True)
class Asked:
    """A problem and what completions of it are made from."""

    position: int
    """In the audited rows, from 0."""

    row: Row
    posed: PosedProblem
    subject: Subject

    probed: tuple[Outcome, ...] = ()
    """The verdicts on its ground truth in the usual forms, where its verifier does not say which it reads."""

    @property
    def is_stated(self) -> bool:
        """Whether a right completion is known, or none needed."""
        return (
            self.subject.answers == "constraints" or self.subject.state(self.subject.ground_truth) is not None
        )


def option_letter(ground_truth: str, arguments: Mapping[str, Any]) -> str | None:
    """The letter of a multiple-choice ground truth, which may be the option's text."""
    text = ground_truth.strip()
    choices = arguments.get("choices", [])
    if text in choices:
        return LETTERS[choices.index(text)]
    letter = text.strip("().").upper()
    return letter if len(letter) == 1 and letter in LETTERS else None


def surely_differ(one: Subject, other: Subject) -> bool:
    """No reading of the two ground truths makes them the same."""
    if one.answers == "choice":
        return None not in (one.letter, other.letter) and one.letter != other.letter
    values = exact_fraction(one.ground_truth), exact_fraction(other.ground_truth)
    if None not in values:
        return values[0] != values[1]
    if one.answers == "math":  # 50\% is 0.5 and x=5 is 5
        return False
    texts = one.ground_truth.casefold().strip(), other.ground_truth.casefold().strip()
    return texts[0] not in texts[1] and texts[1] not in texts[0]


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


def read_subjects(rows: Mapping[int, Row], name: str, judge: Judge, seed: int) -> dict[int, Asked]:
    """The problems of one verifier by their position, with the form of its right completions.

    A verifier without `completion_of` is asked which of the usual forms it rewards the ground truth in.
    """
    if not rows:  # there may be no such verifier
        return {}
    verifier = judge.pool.catalog.find(name)
    asked = [_read(position, row, verifier, judge) for position, row in rows.items()]
    if verifier.completion_of is None:
        asked = _with_rewarded_forms(asked, judge)
    return {each.position: each for each in _with_others(asked, random.Random(seed))}


def _read(position: int, row: Row, verifier: Verifier, judge: Judge) -> Asked:
    arguments = judge.pool.catalog.arguments(row["verifier"], row["arguments"])
    posed = submission(row, "").problem
    answers: Answers = verifier.answers if row["ground_truth"].strip() else "constraints"
    state = _stated_by(verifier.completion_of, posed, arguments) if verifier.completion_of else _unstated
    subject = Subject(answers, row["ground_truth"], arguments, row["prompt"][-1]["content"], state, None)
    return Asked(position, row, posed, subject)


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
    return [
        _in_rewarded_form(each, tuple(next(outcomes) for _ in FORMS))
        if each.subject.answers in _COMPARED
        else each
        for each in asked
    ]


def _in_rewarded_form(asked: Asked, outcomes: tuple[Outcome, ...]) -> Asked:
    probed = tuple(outcome for outcome in outcomes if outcome is not NOT_ASKED)
    for template, outcome in zip(FORMS.values(), outcomes, strict=True):
        if outcome.verdict is not None and outcome.verdict.reward == 1.0:
            subject = replace(asked.subject, state=template.format)
            return replace(asked, subject=subject, probed=probed)
    return replace(asked, probed=probed)


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
