"""Reward 1 when the final answer is mathematically the ground truth.

The answer is what the last \\boxed{} holds, else what follows the last "answer is", "answer:" or "####", else
the last line. It counts as a whole: words, hedges and second answers beside it make it wrong, so that no
reward can be had by listing candidates. Equal text and plain numbers are decided here; the rest goes to
math-verify in a worker process.
"""

import re

from data_contracts.errors import GroundTruthError
from data_contracts.verdict import PosedProblem, Verdict
from stages.verifiers.reading import after_thinking, exact_value, shortened
from stages.verifiers.verifier import Verifier

_MAX_CHARACTERS = 1000
_BOX = "\\boxed{"
_ANNOUNCED = re.compile(r"answer is|answer:|answer\*\*:|####", re.IGNORECASE)
_HEDGE = re.compile(r"\b(?:or|not|either|neither|nor|maybe)\b", re.IGNORECASE)
_THOUSANDS = re.compile(r"(?<=\d)(?:,\\!|\{,\}|\\[,!;: ])(?=\d\d\d)")
_SAME_IN_PRINT = {r"\left": "", r"\right": "", r"\dfrac": r"\frac", r"\tfrac": r"\frac", r"\$": ""}
_LOOSE_SPACE = re.compile(r"(?<!\d) | (?!\d)")


def math_expression(completion: str, problem: PosedProblem) -> Verdict | None:
    """Compare as mathematics: 1/2, 0.5 and \\frac{2}{4} are one answer. None where math-verify has to say."""
    answer, expected = answer_and_truth(completion, problem.ground_truth)
    return answer if isinstance(answer, Verdict) else _compare(answer, expected)


def answer_and_truth(completion: str, ground_truth: str) -> tuple[str | Verdict, str]:
    """Both cleaned, or a verdict in place of the answer."""
    expected = _cleaned(_boxed(ground_truth) or ground_truth)
    if not expected or len(expected) > _MAX_CHARACTERS:
        raise GroundTruthError(
            f"The ground truth {shortened(ground_truth)!r} has {len(expected):,} characters.",
            f"an expression of 1 to {_MAX_CHARACTERS:,} characters",
            "Fix the row or drop it.",
        )
    answer = _final_answer(after_thinking(completion))
    if not answer:
        return Verdict(0.0, "no final answer in completion"), expected
    if len(answer) > _MAX_CHARACTERS:
        return Verdict(0.0, f"the final answer has over {_MAX_CHARACTERS:,} characters"), expected
    return _cleaned(answer), expected


def _in_box(problem: PosedProblem) -> str:
    return f"\\boxed{{{problem.ground_truth}}}"


def _compare(answer: str, expected: str) -> Verdict | None:
    if _in_print(answer) == _in_print(expected):
        return Verdict(1.0, "same text")
    hedge = _HEDGE.search(answer)
    if hedge and not _HEDGE.search(expected):
        return Verdict(0.0, f"no definite answer: {shortened(answer)}")
    answer_value, expected_value = exact_value(answer), exact_value(expected)
    if answer_value is None or expected_value is None:
        return None
    if answer_value != expected_value:
        return Verdict(0.0, f"answered {answer}, expected {expected}")
    return Verdict(1.0, "equal numbers")


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


MATH_EXPRESSION = Verifier(
    quick=math_expression, thorough="stages.verifiers.math_grading:grade_math", completion_of=_in_box
)
