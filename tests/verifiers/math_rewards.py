"""The reward of the first tier of the verifier `math`."""

from data_contracts.verdict import PosedProblem
from stages.verifiers.math_answer import math


def reward(completion: str, ground_truth: str, prompt: str = "What is it?") -> float | None:
    verdict = math(completion, PosedProblem(prompt, ground_truth))
    return None if verdict is None else verdict.reward
