"""`python -m tests.benchmarks`: the recipe `tiny` as plain TRL scripts and as `burnish run`, by the clock.

The two sides take turns, each time in a fresh folder. See README.md here for what is compared and why.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from flows.recipe_files import find_recipe, read_recipe
from infra import records as states
from infra.home import Home
from infra.ledger import Ledger

PROJECT = Path(__file__).parents[2]
BURNISH = Path(sys.executable).with_name("burnish")
NUM_RERUNS = 3

_DECIDING = ("BURNISH_", "OMP_", "MKL_", "KMP_", "PREFECT_", "MLFLOW_", "HF_", "TOKENIZERS_")
"""Variables that would let the caller's shell decide how one of the sides runs."""

_IMPORTS = """
import duckdb, mlflow, prefect, scipy.stats
import trl.trainer.dpo_trainer, trl.trainer.grpo_trainer, trl.trainer.sft_trainer
"""


@dataclass(frozen=True, slots=True)
class Measured:
    """One run of one side."""

    total_seconds: float
    step_seconds: Mapping[str, float]
    accuracy: Mapping[str, float]
    """By model."""

    rerun_seconds: tuple[float, ...] = ()
    """Of the same command again, with nothing left to do."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--repeats", type=int, default=1, help="runs of each side")
    parser.add_argument("--seed", type=int, default=read_recipe(find_recipe("tiny")).seed)
    args = parser.parse_args()
    console = Console()
    load = os.getloadavg()[0]
    console.print(f"load before: {load:.1f} (of a quiet machine: near 0)", highlight=False)
    subprocess.run([sys.executable, "-c", _IMPORTS], check=True, env=_environment())  # from disk once
    plain: list[Measured] = []
    burnish: list[Measured] = []
    for repeat in range(1, args.repeats + 1):
        for name, measure, runs in (("plain", run_plain, plain), ("burnish", run_burnish, burnish)):
            with tempfile.TemporaryDirectory(prefix=f"benchmark-{name}-") as folder:
                runs.append(measure(Path(folder), args.seed))
            console.print(f"{repeat}/{args.repeats} {name}: {runs[-1].total_seconds:.1f} s", highlight=False)
    report(console, plain, burnish, args.seed)


def run_plain(folder: Path, seed: int) -> Measured:
    home = folder / "home"
    options = ["--seed", str(seed), "--home", str(home)]
    total = _seconds([sys.executable, "-m", "tests.benchmarks.plain.run", *options], folder / "log", {})
    results = json.loads((home / "results.json").read_text())
    return Measured(
        total,
        json.loads((home / "seconds.json").read_text()),
        {model: result["accuracy"] for model, result in results.items()},
    )


def run_burnish(folder: Path, seed: int) -> Measured:
    home = Home(folder / "home")
    command = [str(BURNISH), "run", "tiny", "--set", f"seed={seed}"]
    total, *reruns = (
        _seconds(command, folder / f"log{number}", {"BURNISH_HOME": str(home.path)})
        for number in range(1 + NUM_RERUNS)
    )
    return read_burnish(Ledger(home.ledger_path), total, reruns)


def read_burnish(ledger: Ledger, total: float, reruns: Sequence[float]) -> Measured:
    """What the ledger says of the oldest run, if all the others only reused it."""
    *later, first = ledger.runs("tiny")
    for rerun in later:
        again = [stage.stage for stage in ledger.run_stages(rerun.run_id) if stage.state != states.REUSED]
        assert not again, f"a rerun made {again} again: it measures no reuse"
    stages = [stage.stage for stage in ledger.run_stages(first.run_id)]
    executions = {stage: ledger.find_by_stage("tiny", stage)[0] for stage in stages}
    accuracy = {
        name.removesuffix(".evaluate"): execution.result["metrics"]["eval/accuracy"]
        for name, execution in executions.items()
        if name.endswith(".evaluate")
    }
    seconds = {name: e.seconds for name, e in executions.items() if e.kind != "dataset"}
    seconds["data"] = sum(e.seconds for e in executions.values() if e.kind == "dataset")
    return Measured(total, seconds, accuracy, tuple(reruns))


def report(console: Console, plain: Sequence[Measured], burnish: Sequence[Measured], seed: int) -> None:
    """Medians over the repeats."""
    table = Table(title=f"tiny, seed {seed}, seconds (median of {len(plain)})", title_justify="left")
    for heading in ("step", "plain", "burnish"):
        table.add_column(heading, justify="left" if heading == "step" else "right", no_wrap=True)
    for step in plain[0].step_seconds:
        both = (
            _median(run.step_seconds[step] for run in runs if step in run.step_seconds)
            for runs in (plain, burnish)
        )
        table.add_row(step, *both)
    table.add_row(
        "outside the steps", *(_median(map(_outside, runs)) for runs in (plain, burnish)), end_section=True
    )
    table.add_row("total", *(_median(run.total_seconds for run in runs) for runs in (plain, burnish)))
    console.print(table)

    accuracies = Table(title="Accuracy, %, each repeat", title_justify="left")
    for heading in ("model", "plain", "burnish"):
        accuracies.add_column(heading, no_wrap=True)
    for model in plain[0].accuracy:
        both = (" ".join(f"{100 * run.accuracy[model]:5.1f}" for run in runs) for runs in (plain, burnish))
        accuracies.add_row(model, *both)
    console.print(accuracies)

    by_repeat = [
        ours.total_seconds / theirs.total_seconds for ours, theirs in zip(burnish, plain, strict=True)
    ]
    reruns = [seconds for run in burnish for seconds in run.rerun_seconds]
    each = ", ".join(f"{ratio:.3f}" for ratio in by_repeat)
    console.print(f"burnish / plain: [bold]{median(by_repeat):.3f}[/] (each repeat: {each})", highlight=False)
    each = ", ".join(f"{seconds:.2f}" for seconds in reruns)
    console.print(f"nothing to do: [bold]{median(reruns):.2f} s[/] (each: {each})", highlight=False)
    console.print(f"measured on {machine()}", highlight=False)


def machine() -> str:
    """Cores, processor, and the versions that matter."""
    cpu_info = Path("/proc/cpuinfo")
    lines = cpu_info.read_text().splitlines() if cpu_info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    libraries = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "trl"))
    processor = models[0] if models else platform.processor() or platform.machine()
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()
    return f"{cores} cores, {processor}, Python {platform.python_version()}, {libraries}"


def _seconds(command: Sequence[str], log: Path, environment: Mapping[str, str]) -> float:
    began = time.monotonic()
    with log.open("w") as output:
        done = subprocess.run(
            command,
            cwd=PROJECT,
            env=_environment() | environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    seconds = time.monotonic() - began
    if done.returncode:
        sys.exit(f"{log.read_text()}\n{' '.join(command)} ended with exit code {done.returncode}")
    return seconds


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(_DECIDING)}


def _outside(run: Measured) -> float:
    """Starting up, and whatever is no step's own."""
    return run.total_seconds - sum(run.step_seconds.values())


def _median(values: Iterable[float]) -> str:
    found = list(values)
    return f"{median(found):.1f}" if found else "–"


if __name__ == "__main__":
    main()
