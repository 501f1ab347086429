"""The whole pipeline, one process a step: python -m tests.benchmarks.plain.run --seed 7 --home out."""

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

MODELS = ("base", "sft", "dpo", "grpo")
RL_SAMPLES = 8
TEST_SAMPLES = 4


@dataclass(frozen=True)
class Step:
    """One script, with its arguments."""

    name: str
    script: str
    arguments: list[str]


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--home", type=Path, required=True)
    return parser


def main() -> None:
    args = make_parser().parse_args()
    home = args.home.absolute()
    seconds = {}
    # No part of this is on the hub, and each run prepares its rows anew.
    environment = os.environ | {"HF_DATASETS_CACHE": str(home / "cache"), "HF_HUB_OFFLINE": "1"}
    for step in pipeline(home, args.seed):
        began = time.monotonic()
        command = [sys.executable, "-m", f"{__package__}.{step.script}", *step.arguments]
        subprocess.run(command, check=True, env=environment)
        seconds[step.name] = time.monotonic() - began
        print(f"{step.name:16} {seconds[step.name]:6.1f} s", flush=True)
    (home / "seconds.json").write_text(json.dumps(seconds, indent=1))


def pipeline(home: Path, seed: int) -> list[Step]:
    """The steps, in order."""

    def step(name: str, script: str, *positional: Path, **options: object) -> Step:
        flags = [text for option, value in options.items() for text in (f"--{option}", str(value))]
        return Step(name, script, [*map(str, positional), *flags])

    def train(script: str, start: str, data: str) -> Step:
        return step(script, script, model=home / start, data=home / data, output=home / script, seed=seed)

    def sample(name: str, model: str, problems: str, samples: int) -> Step:
        files = {"model": home / model, "data": home / problems, "output": home / f"{name}.jsonl"}
        return step(name, "sample", **files, samples=samples, seed=seed)

    evaluations = {model: home / f"{model}.evaluate.jsonl" for model in MODELS}
    checks = {model: home / f"{model}_check.jsonl" for model in ("sft", "dpo")}
    return [
        step("data", "arithmetic", output=home, seed=seed),
        step("base", "build", output=home / "base", seed=seed),
        train("sft", "base", "train.jsonl"),
        sample("sft_check", "sft", "rl.jsonl", RL_SAMPLES),
        step("preferences", "pairs", rollouts=checks["sft"], output=home / "pairs.jsonl", seed=seed),
        train("dpo", "sft", "pairs.jsonl"),
        sample("dpo_check", "dpo", "rl.jsonl", RL_SAMPLES),
        step("band", "select_problems", rollouts=checks["dpo"], output=home / "band.jsonl"),
        train("grpo", "dpo", "band.jsonl"),
        *(sample(f"{model}.evaluate", model, "test.jsonl", TEST_SAMPLES) for model in MODELS),
        step("comparison", "evaluate", *evaluations.values(), output=home / "results.json", seed=seed),
    ]


if __name__ == "__main__":
    main()
