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
from stages.verifiers.final_answer import (
    announced_answer,
    boxed_answers,
    fault_around,
    last_line,
    policy_text,
)
from stages.verifiers.math_equality import same
from stages.verifiers.math_form import has_root_of, is_number, unfinished
from stages.verifiers.math_structure import Algebra, all_equal, read_structure
from stages.verifiers.math_text import one_spelling
from stages.verifiers.reading import shortened
from stages.verifiers.verifier import Verifier

_MAX_CHARACTERS = 1000
_MAX_BOXES = 16
_MAX_LINE = 200
_MIN_COPY = 4
_NO_ALGEBRA = Algebra(equal=lambda _answer, _expected: None, may_equal=lambda _work, _expected: None)
_PLAIN_WORD = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{3,}")
_MAX_WORDS_IN_LINE = 2


def math(completion: str, problem: PosedProblem) -> Verdict | None:
    """None where reading does not decide. Raises GroundTruthError for a ground truth that nothing can equal."""
    return judge(completion, problem, _NO_ALGEBRA)


def judge(completion: str, problem: PosedProblem, algebra: Algebra) -> Verdict | None:
    """The verdict, given what decides on two expressions that reading does not."""
    expected = _expected(problem.ground_truth)
    answers, fault = _final_answers(completion, problem.prompt, expected)
    if fault:
        return Verdict(0.0, fault)

    def equal(answer: str, expected: str) -> bool | None:
        return _is_worked_out(answer, expected, problem.prompt) and algebra.equal(answer, expected)

    worked_out = Algebra(equal, algebra.may_equal)
    verdict = all_equal(same(one_spelling(answer), expected, worked_out) for answer in answers)
    if verdict is None:
        return None
    if verdict:
        return Verdict(1.0, "equal to the ground truth")
    answered = " and ".join(shortened(answer) for answer in answers[:2])
    return Verdict(0.0, f"answered {answered}, expected {shortened(problem.ground_truth)}")


def _boxed_ground_truth(problem: PosedProblem) -> str:
    return f"\\boxed{{{problem.ground_truth}}}"


MATH = Verifier(
    summary="the final answer, as mathematics",
    quick=math,
    thorough="stages.verifiers.math_grading:grade_math",
    completion_of=_boxed_ground_truth,
    answers="math",
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
    if fault := fault_around(found, text):
        return [], fault
    answers = list({_in_print(answer.answer): answer.answer.strip() for answer in found}.values())
    if any(len(answer) > _MAX_CHARACTERS for answer in answers) or len(answers) > _MAX_BOXES:
        return [], f"the final answer has more than {_MAX_CHARACTERS:,} characters or {_MAX_BOXES} boxes"
    if not all(answers):
        return [], "an empty final answer"
    return _joined(answers, expected), ""


def _joined(answers: list[str], expected: str) -> list[str]:
    """Boxes with one part each are one answer where the ground truth has as many parts."""
    structure = read_structure(expected)
    if structure is None or structure.kind not in ("list", "set"):
        return answers
    whole = [answer for answer in answers if read_structure(one_spelling(answer))]
    parts = [answer for answer in answers if answer not in whole]
    return [*whole, ", ".join(parts)] if len(parts) == len(structure.parts) > 1 else answers


def _in_print(answer: str) -> str:
    return one_spelling(answer[:_MAX_CHARACTERS]).replace(" ", "") + answer[_MAX_CHARACTERS:]


def _is_sentence(line: str) -> bool:
    return len(line) > _MAX_LINE or "\\boxed" in line or len(_PLAIN_WORD.findall(line)) > _MAX_WORDS_IN_LINE


def _is_answer(announced: str) -> bool:
    """A remark such as "is given above" after a box is none."""
    return not _is_sentence(announced) and any(sign.isdecimal() or sign in "\\$" for sign in announced)


def _is_worked_out(answer: str, expected: str, prompt: str) -> bool:
    """An expression that the prompt has as it is (compute, simplify, expand it!) is no answer to it, and neither
    is one that leaves open what the ground truth does not."""
    printed = _prompt_in_print(prompt)
    is_copy = len(answer) >= _MIN_COPY and answer.replace(" ", "") in printed
    if is_copy or not is_number(expected):
        return not is_copy
    return not unfinished(answer, expected) and not has_root_of(printed, answer, expected)


@lru_cache(maxsize=256)
def _prompt_in_print(prompt: str) -> str:
    return one_spelling(prompt).replace(" ", "").replace("$", "")
