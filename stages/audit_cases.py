"""Completions that a verifier must accept or refuse, made from a problem and what its verifier promises to read.

Right ones state the ground truth in another form. Wrong ones nearly state it, state it among others, state another
problem's, or say nothing: whoever pays for those pays a policy for something else than the task.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from stages.audit_numbers import fraction_forms, number_forms, number_value, seldom_forms
from stages.audit_subjects import Subject
from stages.audit_wrong import open_completions, wrong_completions

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

    is_open: bool = False
    """Right verifiers differ on it, so that another verdict is told and blocks nothing."""


def cases_of(subject: Subject) -> list[Case]:
    """Each completion once. One that is right in some form is never a wrong one."""
    right = _by_completion(_right(subject))
    open_right = _by_completion(_open_right(subject), right)
    wrong = _by_completion(wrong_completions(subject), right | open_right)
    open_wrong = _by_completion(open_completions(subject), right | open_right | wrong)
    return [
        Case(form, text, is_right, is_open)
        for named, is_right, is_open in (
            (right, True, False),
            (wrong, False, False),
            (open_right, True, True),
            (open_wrong, False, True),
        )
        for text, form in named.items()
    ]


def _by_completion(
    forms: Iterator[tuple[str, str]], taken: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The first form of each completion that is not taken."""
    named: dict[str, str] = {}
    for form, completion in forms:
        if completion not in (taken or ()):
            named.setdefault(completion, form)
    return named


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


def _open_right(subject: Subject) -> Iterator[tuple[str, str]]:
    """What a verifier of one strict form, or of models that do not think aloud, need not read."""
    own = subject.state(subject.ground_truth)
    if own is None:
        return
    if "</think>" not in own:
        yield "after a thought", f"<think>\nLet me see.\n</think>\n{own}"
    if subject.answers in ("number", "final_number", "math"):
        for form, variant in seldom_forms(subject.ground_truth).items():
            if (completion := subject.state(variant)) is not None:
                yield form, completion
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
