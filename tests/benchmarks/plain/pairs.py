"""Make preference pairs from rollouts: a random best against a random worst completion of each problem."""

import argparse
import json
import random
from pathlib import Path


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rollouts", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--min-margin", type=float, default=0.5)
    return parser


def main() -> None:
    args = make_parser().parse_args()
    rng = random.Random(args.seed)
    rows = [json.loads(line) for line in args.rollouts.read_text().splitlines()]
    pairs = [
        make_pair(row, rng) for row in rows if max(row["rewards"]) - min(row["rewards"]) >= args.min_margin
    ]
    args.output.write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    print(f"{len(pairs)} pairs of {len(rows)} problems")


def make_pair(row: dict, rng: random.Random) -> dict:
    def pick(reward: float) -> list[dict]:
        graded = zip(row["completions"], row["rewards"], strict=True)
        content = rng.choice([completion for completion, found in graded if found == reward])
        return [{"role": "assistant", "content": content}]

    return {
        "prompt": row["prompt"],
        "chosen": pick(max(row["rewards"])),
        "rejected": pick(min(row["rewards"])),
    }


if __name__ == "__main__":
    main()
