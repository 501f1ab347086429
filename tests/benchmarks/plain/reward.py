"""Reward 1 when the last number in the completion equals the ground truth."""

import re
from decimal import Decimal

NUMBER = re.compile(
    r"(?:(?<![\w)\]}])[-+])?"
    r"(?:(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+)"
)
OPERATOR_BEFORE = re.compile(r"(?:\d[:.]|(?:\d|(?<![A-Za-z])[A-Za-z])\s?[-+*/^]\s?)$")
VARIABLE_BEHIND = re.compile(r"(?<=\d)[xyzni](?![A-Za-z])")


def exact_number(completion: str, ground_truth: str) -> float:
    """A number that ends an expression, as in `3+632` or `632x`, is no answer."""
    numbers = list(NUMBER.finditer(completion))
    if not numbers or OPERATOR_BEFORE.search(completion[: numbers[-1].start()]):
        return 0.0
    if VARIABLE_BEHIND.match(completion, numbers[-1].end()):
        return 0.0
    return float(Decimal(numbers[-1][0].replace(",", "")) == Decimal(ground_truth))


def exact_number_reward(completions: list[list[dict]], ground_truth: list[str], **_: object) -> list[float]:
    """The same, as TRL calls it."""
    return [
        exact_number(messages[-1]["content"], truth)
        for messages, truth in zip(completions, ground_truth, strict=True)
    ]
