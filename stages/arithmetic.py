"""Generated addition problems: as many as wanted, each in exactly one split, some rows with worked steps.

A worked row adds column by column from the right with the carry; a terse row gives the sum at once. Both are
right, but a small model learns to work long before it learns to know, so there is a better mode to prefer.
"""

import hashlib
import random
from typing import Any, Literal

Split = Literal["train", "rl", "tune", "test"]

_SPLIT_OF_BUCKET: tuple[Split, ...] = ("train", "train", "train", "train", "train", "rl", "rl", "tune", "test", "test")


def generate_examples(count: int, split: Split, worked: float, seed: int) -> list[dict[str, Any]]:
    """SFT rows: prompt and completion, a share of `worked` with steps."""
    generator = random.Random(seed)
    rows: list[dict[str, Any]] = []
    for left, right in _problems(count, split, generator):
        is_worked = generator.random() < worked
        completion = work_out(left, right) if is_worked else str(left + right)
        source = "worked" if is_worked else "terse"
        rows.append({"prompt": f"{left}+{right}", "completion": completion, "source": source})
    return rows


def generate_problems(count: int, split: Split, seed: int) -> list[dict[str, Any]]:
    """Problems: prompt and ground truth, no two alike."""
    generator = random.Random(seed)
    return [
        {"prompt": f"{left}+{right}", "ground_truth": str(left + right), "verifier": "exact_number"}
        for left, right in _problems(count, split, generator, distinct=True)
    ]


def work_out(left: int, right: int) -> str:
    """`47+85` column by column: `7+5=12, 4+8+1=13, 132`."""
    steps: list[str] = []
    carry = 0
    a, b = str(left)[::-1], str(right)[::-1]
    for position in range(max(len(a), len(b))):
        digits = [number[position] for number in (a, b) if position < len(number)]
        total = sum(map(int, digits)) + carry
        terms = "+".join([*digits, *(["1"] if carry else [])])
        steps.append(f"{terms}={total}")
        carry = total // 10
    return ", ".join([*steps, str(left + right)])


def split_of(left: int, right: int) -> Split:
    """The one split a problem belongs to, whatever its order of terms."""
    low, high = sorted((left, right))
    digest = hashlib.sha256(f"{low}+{high}".encode()).digest()
    return _SPLIT_OF_BUCKET[digest[0] % 10]


def _problems(
    count: int, split: Split, generator: random.Random, *, distinct: bool = False
) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    seen: set[tuple[int, int]] = set()
    while len(found) < count:
        pair = (generator.randrange(10, 1000), generator.randrange(10, 1000))
        if split_of(*pair) == split and not (distinct and pair in seen):
            seen.add(pair)
            found.append(pair)
    return found
