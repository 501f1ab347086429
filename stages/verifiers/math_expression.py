"""Reward 1 when the final answer is mathematically the ground truth.

The answer is what the last \\boxed{} holds, else what follows the last "answer is", "answer:" or "####", else
the last line. It counts as a whole: words, hedges and second answers beside it make it wrong, so that no
reward can be had by listing candidates. Equal text and plain numbers are decided here; the rest goes to
math-verify in a worker process.
"""

import os
import re

from data_contracts.errors import GroundTruthError
from data_contracts.verdict import Verdict
from stages.verifiers.reading import after_thinking, exact_value, shortened
from stages.verifiers.worker import Worker

_MAX_CHARACTERS = 1000
_BOX = "\\boxed{"
_ANNOUNCED = re.compile(r"answer is|answer:|answer\*\*:|####", re.IGNORECASE)
_HEDGE = re.compile(r"\b(?:or|not|either|neither|nor|maybe)\b", re.IGNORECASE)
_THOUSANDS = re.compile(r"(?<=\d)(?:,\\!|\{,\}|\\[,!;: ])(?=\d\d\d)")
_SAME_IN_PRINT = {r"\left": "", r"\right": "", r"\dfrac": r"\frac", r"\tfrac": r"\frac", r"\$": ""}
_LOOSE_SPACE = re.compile(r"(?<!\d) | (?!\d)")

_workers: dict[int, Worker] = {}
"""By process id: a forked process must not talk to its parent's worker."""


def math_expression(completion: str, ground_truth: str) -> Verdict:
    """Compare as mathematics: 1/2, 0.5 and \\frac{2}{4} are one answer."""
    expected = _cleaned(_boxed(ground_truth) or ground_truth)
    if not expected or len(expected) > _MAX_CHARACTERS:
        raise GroundTruthError(
            f"The ground truth {shortened(ground_truth)!r} has {len(expected):,} characters.",
            f"an expression of 1 to {_MAX_CHARACTERS:,} characters",
            "Fix the row or drop it.",
        )
    answer = _final_answer(after_thinking(completion))
    if not answer:
        return Verdict(0.0, "no final answer in completion")
    if len(answer) > _MAX_CHARACTERS:
        return Verdict(0.0, f"the final answer has {len(answer):,} characters, more than {_MAX_CHARACTERS:,}")
    return _compare(_cleaned(answer), expected)


def close_math_worker() -> None:
    """End this process's worker; the next expression starts another."""
    worker = _workers.pop(os.getpid(), None)
    if worker is not None:
        worker.close()


def _compare(answer: str, expected: str) -> Verdict:
    if _in_print(answer) == _in_print(expected):
        return Verdict(1.0, "same text")
    hedge = _HEDGE.search(answer)
    if hedge and not _HEDGE.search(expected):
        return Verdict(0.0, f"no definite answer: {shortened(answer)}")
    answer_value, expected_value = exact_value(answer), exact_value(expected)
    if answer_value is None or expected_value is None:
        return _math_worker().verdict(answer=answer, ground_truth=expected)
    if answer_value != expected_value:
        return Verdict(0.0, f"answered {answer}, expected {expected}")
    return Verdict(1.0, "equal numbers")


def _math_worker() -> Worker:
    return _workers.setdefault(os.getpid(), Worker("stages.verifiers.math_grading"))


def _final_answer(text: str) -> str:
    """Empty when there is none."""
    if _BOX in text:
        return _boxed(text)
    announced = 0
    for match in _ANNOUNCED.finditer(text):
        announced = match.end()
    lines = text[announced:].strip(" \n\t:*").splitlines() or [""]
    return lines[0] if announced else lines[-1]


def _boxed(text: str) -> str:
    """What the last box holds; empty when there is no box or it never closes."""
    _, box, rest = text.rpartition(_BOX)
    depth = 1
    position = 0
    while box and position < len(rest):
        depth += {"{": 1, "}": -1}.get(rest[position], 0)
        if depth == 0:
            return rest[:position]
        position += 2 if rest[position] == "\\" else 1
    return ""


def _cleaned(expression: str) -> str:
    """Without the dressing of a sentence or of a formula: $...$, bold, full stop, grouped thousands."""
    bare = expression.strip(" \n\t*:$.")
    for opening, closing in ((r"\(", r"\)"), (r"\[", r"\]")):
        if bare.startswith(opening) and bare.endswith(closing):
            bare = bare[2:-2].strip()
    return _THOUSANDS.sub("", bare)


def _in_print(expression: str) -> str:
    """One form for texts that a reader could not tell apart."""
    for written, meant in _SAME_IN_PRINT.items():
        expression = expression.replace(written, meant)
    return _LOOSE_SPACE.sub("", " ".join(expression.split()))
