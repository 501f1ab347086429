r"""Reward 1 when the final answer is mathematically the ground truth: for MATH, DAPO and problems like theirs.

Two tiers. This one reads: numbers with their units, words, tuples, lists and equal text are decided here,
exactly and at once. What takes algebra (is (x+1)^2 equal to x^2+2x+1?) it leaves to `math_grading`.

The final answer is what the boxes hold, all of them; without one, what the last "answer is" or `####`
announces; without that, the last line. It counts as a whole: hedges, denials and second answers beside it make
it wrong, so that no reward can be had by listing candidates. In a chain such as `y = 2 + 5 = 7` every side but
a name must equal the ground truth, so that 7 = 2 is no way to answer 2.
"""

import re
from functools import lru_cache

from data_contracts.errors import GroundTruthError
from data_contracts.verdict import PosedProblem, Verdict
from stages.verifiers.arithmetic_value import arithmetic_value
from stages.verifiers.final_answer import (
    announced_answer,
    boxed_answers,
    is_denied,
    is_hedged,
    last_line,
    policy_text,
)
from stages.verifiers.math_number import Quantity, read_quantity, same_quantity
from stages.verifiers.math_structure import (
    Equality,
    Structure,
    all_equal,
    read_structure,
    same_structure,
)
from stages.verifiers.math_text import one_spelling
from stages.verifiers.reading import shortened
from stages.verifiers.verifier import Verifier

_MAX_CHARACTERS = 1000
_MAX_BOXES = 16
_MAX_LINE = 200
_MAX_DEPTH = 4
_LOOSE_SPACE = re.compile(r"(?<![A-Za-z0-9]) | (?![A-Za-z0-9])|(?<=\d) (?=[a-zA-Z])")
_EQUALS = re.compile(r"(?<![<>!:=])=(?!=)")
_NAME = re.compile(
    r"\\?[A-Za-z]+(?:_\{?\w+\}?)?(?:\([a-z0-9,]+\))?'?|\\text\{[A-Za-z ]+\}|(?:[A-Z][a-z]+|[a-z]+)(?: [a-z]+){0,5}"
)
_MEMBER = re.compile(r"\\?[A-Za-z]+ *\\in\b *")
_UPRIGHT = re.compile(r"\\text\s*\{([^{}]*)\}")
_IN_WORDS = re.compile(r"[0-9:]*[A-Za-z][A-Za-z0-9:]*")
_NOT_IN_WORDS = re.compile(r"[\s.'\"()]+")
_NUMBER_WORDS = {
    name: str(number)
    for number, name in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve".split()
    )
}
_PLAIN_WORD = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{3,}")
_MAX_WORDS_IN_LINE = 2


def math(completion: str, problem: PosedProblem) -> Verdict | None:
    """None where reading does not decide. Raises GroundTruthError for a ground truth that nothing can equal."""
    return judge(completion, problem, lambda _answer, _expected: None)


def judge(completion: str, problem: PosedProblem, equal_by_algebra: Equality) -> Verdict | None:
    """The verdict, given what decides on two expressions that reading does not."""
    expected = _expected(problem.ground_truth)
    answers, fault = _final_answers(completion, problem.prompt, expected)
    if fault:
        return Verdict(0.0, fault)
    verdict = all_equal(_same(one_spelling(answer), expected, equal_by_algebra) for answer in answers)
    if verdict is None:
        return None
    if verdict:
        return Verdict(1.0, "equal to the ground truth")
    answered = " and ".join(shortened(answer) for answer in answers[:2])
    return Verdict(0.0, f"answered {answered}, expected {shortened(problem.ground_truth)}")


def _boxed_ground_truth(problem: PosedProblem) -> str:
    return f"\\boxed{{{problem.ground_truth}}}"


MATH = Verifier(
    quick=math,
    thorough="stages.verifiers.math_grading:grade_math",
    completion_of=_boxed_ground_truth,
)


@lru_cache(maxsize=4096)
def _expected(ground_truth: str) -> str:
    boxes = boxed_answers(ground_truth, "")
    expected = one_spelling(boxes[-1].answer if boxes else ground_truth)
    if not expected or len(expected) > _MAX_CHARACTERS:
        raise GroundTruthError(
            f"The ground truth {shortened(ground_truth)!r} has {len(expected):,} characters.",
            f"an expression of 1 to {_MAX_CHARACTERS:,} characters",
            "Fix the row or drop it.",
        )
    return expected


def _final_answers(completion: str, prompt: str, expected: str) -> tuple[list[str], str]:
    """The answers, each of which must be right, or else what is wrong with them."""
    text = policy_text(completion, prompt)
    found = boxed_answers(text, prompt)
    announced = announced_answer(text, prompt)
    if not found:
        line = announced or last_line(text, prompt)
        if line is None or (announced is None and _is_sentence(line.answer)):
            return [], "no final answer in completion, such as one in \\boxed{}"
        found = [line]
    elif announced and announced.start >= found[-1].end and _is_answer(announced.answer):
        found.append(announced)
    if any(is_denied(answer, text) for answer in found):
        return [], f"denies its answer or gives another beside it: {shortened(found[-1].answer)}"
    answers = list(dict.fromkeys(answer.answer.strip() for answer in found))
    if any(len(answer) > _MAX_CHARACTERS for answer in answers) or len(answers) > _MAX_BOXES:
        return [], f"the final answer has more than {_MAX_CHARACTERS:,} characters or {_MAX_BOXES} boxes"
    if not all(answers):
        return [], "an empty final answer"
    structure = _structure(expected)
    if len(answers) > 1 and structure is not None and structure.kind in ("list", "set"):
        answers = [", ".join(answers)] if len(answers) == len(structure.parts) else answers
    return answers, ""


def _is_sentence(line: str) -> bool:
    return len(line) > _MAX_LINE or len(_PLAIN_WORD.findall(line)) > _MAX_WORDS_IN_LINE


def _is_answer(announced: str) -> bool:
    """A remark such as "is given above" after a box is none."""
    return not _is_sentence(announced) and any(sign.isdecimal() or sign in "\\$" for sign in announced)


def _same(answer: str, expected: str, by_algebra: Equality, depth: int = 0) -> bool | None:
    """Whether two expressions in their one spelling are equal. Algebra is the last to be asked."""
    answer, expected = _definite(answer), _definite(expected)
    if _in_print(answer) == _in_print(expected):
        return True
    structure, parts = _structure(expected), _structure(answer)
    if is_hedged(answer, is_list=structure is not None) and not is_hedged(expected):
        return False
    if structure is not None and parts is not None and depth < _MAX_DEPTH:
        verdict = same_structure(parts, structure, lambda a, e: _same(a, e, by_algebra, depth + 1))
        return by_algebra(answer, expected) if verdict is None else verdict
    if "=" in answer or "=" in expected:
        return _same_sides(_EQUALS.split(answer), _EQUALS.split(expected), by_algebra, depth)
    quantity, answered = _quantity(expected), _quantity(answer)
    if quantity is not None and answered is not None:
        return same_quantity(answered, quantity)
    if quantity is not None and (value := arithmetic_value(answer)) is not None:
        return same_quantity(Quantity(value), quantity)
    words = _words(expected)
    if words:
        return words == _words(answer)
    if (quantity or answered) and (structure or parts) and "set" not in _kinds(structure, parts):
        return False
    return by_algebra(answer, expected)


def _same_sides(answer: list[str], expected: list[str], by_algebra: Equality, depth: int) -> bool | None:
    """Chains and definitions: x = 5 is 5, and of 7 = 2 each side counts."""
    if depth >= _MAX_DEPTH:
        return by_algebra("=".join(answer), "=".join(expected))
    if len(expected) == 1:
        sides = [s for n, s in enumerate(answer) if n == len(answer) - 1 or not _NAME.fullmatch(s.strip())]
        return all_equal(_same(side.strip(), expected[0], by_algebra, depth + 1) for side in sides)
    name, value = expected[0].strip(), expected[-1].strip()
    if all(_quantity(side.strip()) for side in expected):  # 0.56 = 56\%
        return _same("=".join(answer), name, by_algebra, depth + 1) or _same(
            "=".join(answer), value, by_algebra, depth + 1
        )
    if len(expected) == 2 and _NAME.fullmatch(name):
        if len(answer) == 1:
            return _same(answer[0].strip(), value, by_algebra, depth + 1)
        if len(answer) == 2 and _NAME.fullmatch(answer[0].strip()):
            same_name = _in_print(answer[0].strip()) == _in_print(name)
            return same_name and _same(answer[1].strip(), value, by_algebra, depth + 1)
    return by_algebra("=".join(answer), "=".join(expected))


def _definite(expression: str) -> str:
    """Without `x \\in`, and without the rounded value that follows an exact one."""
    exact, approximately, rounded = expression.partition(r"\approx")
    if approximately:
        exact = exact.strip()
        expression = rounded.strip() if not exact or _NAME.fullmatch(exact) else exact
    return _MEMBER.sub("", expression, count=1)


@lru_cache(maxsize=4096)
def _quantity(expression: str) -> Quantity | None:
    upright = _UPRIGHT.fullmatch(expression)
    plain = upright[1].strip() if upright else expression
    return read_quantity(_NUMBER_WORDS.get(plain.lower(), plain))


@lru_cache(maxsize=4096)
def _structure(expression: str) -> Structure | None:
    upright = _UPRIGHT.fullmatch(expression)
    return read_structure(upright[1].strip() if upright else expression)


def _kinds(*structures: Structure | None) -> set[str]:
    return {structure.kind for structure in structures if structure}


def _words(expression: str) -> str:
    """Names, days, letters of a choice: in lower case when they are words; empty for anything else."""
    plain = _UPRIGHT.sub(r"\1", expression)
    bare = _NOT_IN_WORDS.sub("", plain)
    if not _IN_WORDS.fullmatch(bare) or not (len(bare) > 2 or plain != expression or bare.isupper()):
        return ""
    return bare.lower() if len(bare) > 2 else bare


def _in_print(expression: str) -> str:
    """One form for texts that a reader could not tell apart."""
    return _LOOSE_SPACE.sub("", expression)
