"""Keep the problems that the policy solves sometimes: the others teach GRPO nothing."""

import argparse
import json
from pathlib import Path
from statistics import mean


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rollouts", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--pass-rate", type=float, nargs=2, default=(0.1, 0.9), help="lowest and highest")
    return parser


def main() -> None:
    args = make_parser().parse_args()
    rows = [json.loads(line) for line in args.rollouts.read_text().splitlines()]
    low, high = args.pass_rate
    kept = [
        {"prompt": row["prompt"], "ground_truth": row["ground_truth"]}
        for row in rows
        if low <= mean(row["rewards"]) <= high
    ]
    args.output.write_text("".join(json.dumps(row) + "\n" for row in kept))
    print(f"kept {len(kept)} of {len(rows)} problems")


if __name__ == "__main__":
    main()
