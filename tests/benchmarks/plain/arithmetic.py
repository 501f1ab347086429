"""Generate three-digit additions: SFT rows, of which some show their steps, and problems for RL and for the test.

Worked: `347+285` -> `7+5=12, 4+8+1=13, 3+2+1=6: 632`. Terse: `632`. Both are right.
"""

import argparse
import hashlib
import json
import random
from pathlib import Path

SPLIT_SHARES = {"train": 0.70, "rl": 0.16, "tune": 0.06, "test": 0.08}


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--output", type=Path, required=True, help="folder for train.jsonl, rl.jsonl, test.jsonl"
    )
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--train", type=int, default=25_600)
    parser.add_argument("--worked", type=float, default=0.5, help="share of SFT rows that show their steps")
    parser.add_argument("--rl", type=int, default=600)
    parser.add_argument("--test", type=int, default=400)
    return parser


def main() -> None:
    args = make_parser().parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    write_jsonl(args.output / "train.jsonl", sft_rows(args.train, args.worked, args.seed))
    for split, count in (("rl", args.rl), ("test", args.test)):
        write_jsonl(args.output / f"{split}.jsonl", problem_rows(count, split, args.seed))


def sft_rows(count: int, worked: float, seed: int) -> list[dict]:
    rng = random.Random(f"{seed}/train")
    rows = []
    for left, right in draw_problems(count, "train", rng):
        completion = worked_steps(left, right) if rng.random() < worked else str(left + right)
        rows.append(
            {
                "prompt": [{"role": "user", "content": f"{left}+{right}"}],
                "completion": [{"role": "assistant", "content": completion}],
            }
        )
    return rows


def problem_rows(count: int, split: str, seed: int) -> list[dict]:
    rng = random.Random(f"{seed}/{split}")
    return [
        {"prompt": [{"role": "user", "content": f"{left}+{right}"}], "ground_truth": str(left + right)}
        for left, right in draw_problems(count, split, rng)
    ]


def draw_problems(count: int, split: str, rng: random.Random) -> list[tuple[int, int]]:
    """`count` distinct problems of one split."""
    found = {}
    while len(found) < count:
        problem = (rng.randint(100, 999), rng.randint(100, 999))
        if split_of(*problem) == split:
            found[problem] = None
    return list(found)


def split_of(left: int, right: int) -> str:
    """The split is a function of the problem, so no problem is in two splits, whatever the seed."""
    point = int.from_bytes(hashlib.sha256(f"{left}+{right}".encode()).digest()[:8]) / 2**64
    for split, share in SPLIT_SHARES.items():
        if point < share:
            return split
        point -= share
    return "test"


def worked_steps(left: int, right: int) -> str:
    """Column addition from the ones to the hundreds, the carry as a third summand."""
    steps, carry = [], ""
    for a, b in zip(reversed(str(left)), reversed(str(right)), strict=True):
        column = int(a) + int(b) + int(carry or 0)
        steps.append(f"{a}+{b}{carry and '+' + carry}={column}")
        carry = str(column // 10)
    return f"{', '.join(steps)}: {left + right}"


def write_jsonl(path: Path, rows: list[dict]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


if __name__ == "__main__":
    main()
