r"""Reward 1 when the number a completion ends with is the ground truth: for GSM8K and word problems like it.

The number is what follows the last `####`; without one what the boxes hold; without those what follows "answer
is"; and else the last number of the last sentence that has one. Lists, hedges and denials are wrong, and so
is an equation whose sides differ.
"""

import re
from collections import deque
from fractions import Fraction
from functools import lru_cache

from data_contracts.errors import GroundTruthError
from data_contracts.verdict import PosedProblem, Verdict
from stages.verifiers.arithmetic_value import arithmetic_value
from stages.verifiers.final_answer import (
    Found,
    announced_answer,
    boxed_answers,
    is_denied,
    is_echo,
    is_hedged,
    policy_text,
    sentences,
)
from stages.verifiers.math_number import Quantity, read_quantity, same_quantity
from stages.verifiers.math_text import one_spelling
from stages.verifiers.reading import last_number, shortened
from stages.verifiers.verifier import Verifier

_MAX_CHARACTERS = 300
_MARK = re.compile(r"####[ \t*_:]*([^\n]*)")
_NUMERIC = re.compile(
    r"(?!\d+[.)]\s+[A-Za-z])[-+\u2212(]?\s*(?:\\?[$\u20ac\u00a3])?\s*[-+\u2212]?\s*(?:\d|\.\d|\\frac)"
)
_LISTED = re.compile(r"\d[^A-Za-z\d=]{0,6}(?:[,;&]|\band)\s*(?:\\?\$)?\s*\Z")
_SUM_BEFORE = re.compile(r"([-\d\s+*/().,$\u00d7\u00f7\u2212]*)=\s*(?:\\?\$)?\s*-?\Z")
_NUMBER_START = re.compile(r"\d|\.\d")


def gsm8k(completion: str, problem: PosedProblem) -> Verdict:
    """Numbers only. Raises GroundTruthError for a ground truth that is none."""
    expected = _expected(problem.ground_truth)
    text = policy_text(completion, problem.prompt)
    found = _marked(text, problem.prompt) or boxed_answers(text, problem.prompt)
    if not found:
        announced = announced_answer(text, problem.prompt)
        found = [announced] if announced else []
    if not found:
        return _judge_last_number(text, problem, expected)
    for answer in found:
        if is_denied(answer, text):
            return Verdict(0.0, f"denies its answer or gives another beside it: {shortened(answer.answer)}")
        quantity = _only_number(answer.answer)
        if quantity is None:
            return Verdict(0.0, f"no single number in the final answer {shortened(answer.answer)!r}")
        if not same_quantity(quantity, expected):
            return _wrong(answer.answer, problem)
    return Verdict(1.0, "equal to the ground truth")


def _ground_truth(problem: PosedProblem) -> str:
    return f"#### {problem.ground_truth.rpartition('####')[2].strip()}"


GSM8K = Verifier(
    second="math",
    summary="the number a word problem's completion ends with",
    quick=gsm8k,
    completion_of=_ground_truth,
    answers="final_number",
)


@lru_cache(maxsize=4096)
def _expected(ground_truth: str) -> Quantity:
    """Of a number, or of a whole solution that ends in `#### number`."""
    number = ground_truth.rpartition("####")[2]
    quantity = read_quantity(one_spelling(number)) if len(number) <= _MAX_CHARACTERS else None
    if quantity is None:
        raise GroundTruthError(
            f"The ground truth {shortened(ground_truth)!r} is no number.",
            "a number such as 18, -1,200 or 0.25, or a solution that ends in #### 18",
            "Fix the row, or name the verifier math for it.",
        )
    return quantity


def _marked(text: str, prompt: str) -> list[Found]:
    """The last `####` that a number follows: in Markdown, others are headings."""
    for match in reversed(deque(_MARK.finditer(text), maxlen=8)):
        found = Found(match[1], match.start(), match.end())
        if _NUMERIC.match(match[1]) and not is_echo(found, text, prompt):
            return [found]
    return []


def _only_number(answer: str) -> Quantity | None:
    """The one number that an answer gives, as it is or at the end of a true equation."""
    if len(answer) > _MAX_CHARACTERS or is_hedged(answer):
        return None
    *sides, last = one_spelling(answer).split("=")
    quantity = read_quantity(last.strip())
    if quantity is None and not sides:
        numbers = [match for match in map(_as_quantity, re.findall(r"-?[$]?\d[\d.]*", last)) if match]
        one_value = {number.value for number in numbers}
        return numbers[0] if len(one_value) == 1 and _is_prose(last) else None
    if quantity is None or not all(_may_equal(side, quantity.value) for side in sides):
        return None
    return quantity


def _is_prose(answer: str) -> bool:
    """No operators: the sentence just names a number."""
    return re.search(r"[\d)]\s*(?:[-+*/^!]|\\[a-z])|\\|[-+*/^]\s*[\d(]", answer.replace(" - ", " ")) is None


def _as_quantity(number: str) -> Quantity | None:
    return read_quantity(number.rstrip("."))


def _may_equal(side: str, value: Fraction) -> bool:
    """Names and words may stand for any number; a sum has the one it has."""
    if not _NUMBER_START.search(side):
        return True
    quantity = read_quantity(side.strip())
    computed = quantity.value if quantity else arithmetic_value(side)
    return computed == value


def _judge_last_number(text: str, problem: PosedProblem, expected: Quantity) -> Verdict:
    spans = deque((span for span in sentences(text) if _NUMBER_START.search(text, *span)), maxlen=1)
    if not spans:
        return Verdict(0.0, "no number in completion")
    start, end = spans[0]
    sentence = text[max(start, end - _MAX_CHARACTERS) : end]
    written = last_number(sentence) or ""
    position = sentence.rindex(written)
    place = end - len(sentence) + position
    if is_echo(Found(written, place, place + len(written)), text, problem.prompt):
        return Verdict(0.0, f"repeats {shortened(written)} from the prompt")
    before = sentence[:position]
    quantity = None if "/" in written else read_quantity(one_spelling(written))
    if quantity is None or is_hedged(sentence) or _LISTED.search(before):
        return Verdict(0.0, f"no single number in the final sentence {shortened(sentence)!r}")
    computed = _SUM_BEFORE.search(before)
    if computed and arithmetic_value(one_spelling(computed[1])) not in (None, quantity.value):
        return Verdict(0.0, f"an equation whose sides differ: {shortened(sentence)!r}")
    return (
        Verdict(1.0, "equal to the ground truth")
        if same_quantity(quantity, expected)
        else _wrong(written, problem)
    )


def _wrong(answer: str, problem: PosedProblem) -> Verdict:
    return Verdict(0.0, f"answered {shortened(answer)}, expected {shortened(problem.ground_truth)}")
