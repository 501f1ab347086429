"""Accuracy of each model's rollouts, and its difference to the models before it, paired by problem."""

import argparse
import json
from math import comb
from pathlib import Path

import numpy as np
from scipy import stats

RESAMPLES = 1999
BATCH = 100


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rollouts", type=Path, nargs="+", help="MODEL.*, in the order of training")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--seed", type=int, required=True)
    return parser


def main() -> None:
    args = make_parser().parse_args()
    rewards = {path.name.partition(".")[0]: read_rewards(path) for path in args.rollouts}
    results = {}
    for position, (model, of_model) in enumerate(rewards.items()):
        results[model] = summary(of_model)
        for earlier in list(rewards)[:position]:
            results[model][f"vs {earlier}"] = compare(rewards[earlier], of_model, args.seed)
        print(model, json.dumps(results[model]))
    args.output.write_text(json.dumps(results, indent=1))


def read_rewards(path: Path) -> np.ndarray:
    """Problems by samples."""
    return np.array([json.loads(line)["rewards"] for line in path.read_text().splitlines()])


def summary(rewards: np.ndarray) -> dict:
    """Accuracy with its Wilson interval, and the chance that one sample or more of a problem is right."""
    num_samples = rewards.shape[1]
    interval = stats.binomtest(int(rewards.sum()), rewards.size).proportion_ci(0.95, method="wilson")
    at_k = [1 - comb(num_samples - int(right), num_samples) for right in rewards.sum(axis=1)]
    return {
        "accuracy": float(rewards.mean()),
        "low": float(interval.low),
        "high": float(interval.high),
        f"pass@{num_samples}": float(np.mean(at_k)),
        "problems": rewards.shape[0],
        "completions": rewards.size,
    }


def compare(before: np.ndarray, after: np.ndarray, seed: int) -> dict:
    """After minus before: bootstrap interval over problems, and the p-value of flipping each one's sign."""
    differences = after.mean(axis=1) - before.mean(axis=1)
    interval = stats.bootstrap(
        (differences,),
        np.mean,
        n_resamples=RESAMPLES,
        batch=BATCH,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return {
        "change": float(differences.mean()),
        "low": float(interval.low),
        "high": float(interval.high),
        "p_value": sign_flip_p(differences[differences != 0], seed),
    }


def sign_flip_p(differences: np.ndarray, seed: int) -> float:
    if len(differences) < 2:
        return 1.0
    test = stats.permutation_test(
        (differences,),
        np.sum,
        permutation_type="samples",
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=BATCH,
        rng=np.random.default_rng(seed),
    )
    return float(test.pvalue)


if __name__ == "__main__":
    main()
