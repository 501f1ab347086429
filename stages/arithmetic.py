"""Generated additions of three-digit numbers: as many as wanted, each in exactly one split.

Some SFT rows work digit by digit, the others state the sum alone. Both are right, but a small model learns to
work long before it learns to know, so training leaves it with a better mode to prefer.
"""

import hashlib
import random
from typing import Any, Literal

from data_contracts.errors import DataError

Split = Literal["train", "rl", "tune", "test"]

_SHARES: dict[Split, float] = {"train": 0.70, "rl": 0.16, "tune": 0.06, "test": 0.08}


def generate_examples(count: int, split: Split, worked: float, seed: int) -> list[dict[str, Any]]:
    """SFT rows: prompt and completion, a share of `worked` with steps."""
    generator = random.Random(f"{seed}/{split}")
    rows: list[dict[str, Any]] = []
    for left, right in _problems(count, split, generator):
        is_worked = generator.random() < worked
        rows.append(
            {
                "prompt": f"{left}+{right}",
                "completion": work_out(left, right) if is_worked else str(left + right),
                "source": "worked" if is_worked else "terse",
            }
        )
    return rows


def generate_problems(count: int, split: Split, seed: int) -> list[dict[str, Any]]:
    """Problems: prompt and ground truth."""
    generator = random.Random(f"{seed}/{split}")
    return [
        {"prompt": f"{left}+{right}", "ground_truth": str(left + right)}
        for left, right in _problems(count, split, generator)
    ]


def work_out(left: int, right: int) -> str:
    """`347+285` from the ones to the hundreds: `7+5=12, 4+8+1=13, 3+2+1=6: 632`."""
    steps: list[str] = []
    carry = 0
    for a, b in zip(reversed(str(left)), reversed(str(right)), strict=True):
        column = int(a) + int(b) + carry
        # The first column has no carry to add; the others show it even when it is 0.
        steps.append(f"{a}+{b}+{carry}={column}" if steps else f"{a}+{b}={column}")
        carry = column // 10
    return f"{', '.join(steps)}: {left + right}"


def split_of(left: int, right: int) -> Split:
    """The one split a problem belongs to, whatever the seed."""
    digest = hashlib.sha256(f"{left}+{right}".encode()).digest()
    point = int.from_bytes(digest[:8]) / 2**64
    for split, share in _SHARES.items():
        if point < share:
            return split
        point -= share
    return "test"


def _problems(count: int, split: Split, generator: random.Random) -> list[tuple[int, int]]:
    """Distinct problems of one split. Raises DataError when a split does not hold so many."""
    available = int(900 * 900 * _SHARES[split] * 0.9)
    if count > available:
        raise DataError(
            f"generate: arithmetic with split: {split} was asked for {count} problems.",
            f"at most {available}",
            "Lower count, or use another split.",
        )
    found: dict[tuple[int, int], None] = {}
    while len(found) < count:
        pair = (generator.randint(100, 999), generator.randint(100, 999))
        if split_of(*pair) == split:
            found[pair] = None
    return list(found)
