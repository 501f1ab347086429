"""Completions that a verifier must accept or refuse, made from a problem and what its verifier promises to read.

Right ones state the ground truth in another form. Wrong ones nearly state it, state another problem's, or say
nothing: whoever pays for those pays a policy for something else than the task.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from stages.audit_numbers import (
    exact_fraction,
    fraction_forms,
    near_fractions,
    near_numbers,
    number_forms,
    number_value,
)
from stages.verifiers.verifier import Answers

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

SAYS_NOTHING = {
    "nothing": "",
    "white space": " \n\t\n ",
}
SHELLS = {
    "an empty box": "\\boxed{}",
    "empty tags": "<think>\n</think>\n<answer>\n</answer>",
    "an announcement of nothing": "The answer is",
    "empty marks": "####",
}
RAMBLING = "Let me think about this in more detail, step by step, before I say anything. " * 130
"""About 10,000 characters without a number."""

_FINAL_FORMS = {
    "announced": "The answer is {}.",
    "after ####": "So that is what we get.\n#### {}",
    "in a box": "So we get \\boxed{{{}}}.",
    "in dollars": "The final answer is ${}$. I hope it is correct.",
    "in bold": "Therefore:\n\n**{}**",
}
_LETTER_FORMS = {
    "announced": "The answer is ({}).",
    "after a colon": "Answer: {}",
    "in a box": "\\boxed{{{}}}",
}
_FRACTION_COMMAND = re.compile(r"\\[dtc]?frac(?=\s*\{)")


@dataclass(frozen=True, slots=True)
class Case:
    """One completion, and what its verdict has to be."""

    form: str
    """What it looks like, in words that a report can count by."""

    completion: str
    is_right: bool


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


def cases_of(subject: Subject) -> list[Case]:
    """Each completion once. One that is right in some form is never a wrong one."""
    right = _by_completion(_right(subject))
    wrong = _by_completion(_wrong(subject))
    return [
        *(Case(form, text, is_right=True) for text, form in right.items()),
        *(Case(form, text, is_right=False) for text, form in wrong.items() if text not in right),
    ]


def _by_completion(forms: Iterator[tuple[str, str]]) -> dict[str, str]:
    """The first form of each completion."""
    named: dict[str, str] = {}
    for form, completion in forms:
        named.setdefault(completion, form)
    return named


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


def _right(subject: Subject) -> Iterator[tuple[str, str]]:
    own = subject.state(subject.ground_truth)
    if own is None:
        return
    yield "its own completion", own
    for form, variant in _variants(subject):
        if (completion := subject.state(variant)) is not None:
            yield form, completion
    is_number = number_value(subject.ground_truth) is not None
    if subject.answers == "math" or (subject.answers == "final_number" and is_number):
        for form, template in _FINAL_FORMS.items():
            if "$" not in template or "$" not in subject.ground_truth:
                yield form, template.format(subject.ground_truth)
    if subject.answers == "choice" and subject.letter:
        for form, template in _LETTER_FORMS.items():
            yield form, template.format(subject.letter)


def _variants(subject: Subject) -> Iterator[tuple[str, str]]:
    if subject.answers not in ("number", "final_number", "math"):
        return
    yield from number_forms(subject.ground_truth).items()
    if subject.answers != "math":
        return
    yield from fraction_forms(subject.ground_truth).items()
    if "$" not in subject.ground_truth:
        yield "between dollars", f"${subject.ground_truth}$"
    if _FRACTION_COMMAND.search(subject.ground_truth):
        for command in ("frac", "dfrac"):
            yield f"as \\{command}", _FRACTION_COMMAND.sub(rf"\\{command}", subject.ground_truth)


def _wrong(subject: Subject) -> Iterator[tuple[str, str]]:
    yield from SAYS_NOTHING.items()
    if subject.answers == "constraints":
        return
    yield from SHELLS.items()
    yield "ten thousand characters of nothing", RAMBLING
    if subject.answers == "choice" or not _shows_its_answer(subject):
        yield "the prompt again", subject.last_turn
    if subject.other is not None:
        yield "another problem's right completion", subject.other
    own = subject.state(subject.ground_truth)
    if own is None:
        return
    yield "the right answer in the thinking only", f"<think>{own}</think>"
    if "</think>" not in own:
        yield "the right answer in a thought that never ends", f"<think>{own}"
    for form, near in _near_misses(subject):
        if (completion := subject.state(near)) is not None:
            yield form, completion
            if form == "one more":
                yield (
                    "the right answer taken back",
                    f"First I took it for {subject.ground_truth}.\n{completion}",
                )
    if subject.answers == "math":
        yield "the right answer denied", f"The answer is not {subject.ground_truth}."
    if subject.answers == "text":
        yield from {"one letter too many": f"{own}x", "said twice": f"{own} {own}"}.items()


def _shows_its_answer(subject: Subject) -> bool:
    """The prompt has the ground truth in it, so that to repeat the prompt may be right by accident."""
    truth = subject.ground_truth
    forms = (truth, *number_forms(truth).values(), *fraction_forms(truth).values())
    return any(form.casefold() in subject.last_turn.casefold() for form in forms)


def _near_misses(subject: Subject) -> Iterator[tuple[str, str]]:
    truth = subject.ground_truth
    if subject.answers in ("number", "final_number", "math"):
        nearly = near_numbers(truth)
        yield from nearly.items()
        if subject.answers == "math":
            yield from near_fractions(truth).items()
            if (other := nearly.get("one more")) is not None:
                yield "one of two", f"{truth} or {other}"
                yield "the other of two", f"{other} or {truth}"
                yield "an equation that is false", f"{other} = {truth}"
    elif subject.answers == "choice" and subject.letter:
        possible = LETTERS[: len(subject.arguments.get("choices", "ABCD"))]
        for letter in possible.replace(subject.letter, ""):
            yield "another letter", letter
