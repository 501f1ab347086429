"""Reward 1 when the last number after the thinking is the ground truth, to the last digit.

A number that is denied, or offered as the second of two, is no answer.
"""

from data_contracts.errors import GroundTruthError
from data_contracts.verdict import PosedProblem, Verdict
from stages.verifiers.around_answer import is_denied, is_left_open, is_negated
from stages.verifiers.reading import after_thinking, exact_value, last_number, shortened
from stages.verifiers.verifier import Verifier


def exact_number(completion: str, problem: PosedProblem) -> Verdict:
    """Compare as decimals, so that 1,200.0 equals 1200 and 0.1 is not nearly 0.1."""
    expected = exact_value(problem.ground_truth)
    if expected is None:
        raise GroundTruthError(
            f"The ground truth {shortened(problem.ground_truth)!r} is no number.",
            "a number such as 18, -1,200 or 0.25",
            "Fix the row, or name the verifier math for it.",
        )
    text = after_thinking(completion)
    written = last_number(text)
    if written is None:
        return Verdict(0.0, "no number in completion")
    answer = exact_value(written)
    if answer is None:
        return Verdict(0.0, f"ends in {shortened(written)}, which is an expression and no number")
    if answer != expected:
        return Verdict(0.0, f"answered {shortened(written)}, expected {shortened(problem.ground_truth)}")
    start = text.rindex(written)
    if is_denied(text, start, start + len(written)) or is_negated(text, start) or is_left_open(text, start):
        return Verdict(0.0, f"denies {shortened(written)} or offers another beside it")
    return Verdict(1.0, "exact match")


def _ground_truth(problem: PosedProblem) -> str:
    return problem.ground_truth


EXACT_NUMBER = Verifier(
    summary="the last number of the answer, exactly",
    quick=exact_number,
    completion_of=_ground_truth,
    answers="final_number",
)
