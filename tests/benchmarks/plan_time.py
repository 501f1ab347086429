"""How long `burnish plan tiny` takes as a whole command in a home with 1,000 past runs.

    python -m tests.benchmarks.plan_time --dvc PATH     # --runs, --rounds; PATH: the command dvc of a venv of its own

In turns with two measures of what is quick: `python -c "import torch"`, and `dvc status` of a pipeline of three stages.
Processor seconds beside the wall clock: they are what stays comparable while other work is on the machine.

needs: pip install dvc
"""

import argparse
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from flows.drift import environment_of
from flows.plan import make_plan
from flows.recipe_files import read_recipe, shipped_recipes
from infra.home import Home, open_home
from infra.ledger import Ledger
from tests.factories import finish

BURNISH = Path(sys.executable).with_name("burnish")
_STAGES = """\
stages:
  prepare: {cmd: cp rows.txt prepared.txt, deps: [rows.txt], outs: [prepared.txt]}
  train: {cmd: cp prepared.txt model.txt, deps: [prepared.txt], params: [rate], outs: [model.txt]}
  evaluate: {cmd: cp model.txt score.txt, deps: [model.txt], outs: [score.txt]}
"""
_MORE_RUNS = """
with recursive numbers (n) as (select 1 union all select n + 1 from numbers where n < ?)
insert into executions (run_id, pipeline, stage, kind, key, input_key, identity, inputs, output, fingerprint, name,
    version, result, environment, seconds, ended)
select 'run-' || n, pipeline, stage, kind, key || '-' || n, input_key || '-' || n, json_set(identity, '$.seed', n),
    inputs, output, fingerprint || '-' || n, name, version + n, result, environment, seconds, ended + n
from executions, numbers
"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--dvc", required=True)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = home_with_runs(Path(folder) / "home", options.runs)
        pipeline = dvc_pipeline(Path(folder) / "dvc", options.dvc)
        commands = {
            "burnish plan tiny": ([str(BURNISH), "plan", "tiny"], home.path),
            'python -c "import torch"': ([sys.executable, "-c", "import torch"], home.path),
            "dvc status": ([options.dvc, "status"], pipeline),
        }
        environment = os.environ | {"BURNISH_HOME": str(home.path)}
        seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        for _ in range(options.rounds + 1):
            for name, (command, cwd) in commands.items():
                seconds[name].append(timed(command, cwd, environment))
    print(f"{options.runs:,} runs, median of {options.rounds}; load {os.getloadavg()[0]:.1f}")
    for name, measured in seconds.items():
        wall, processor = zip(*measured[1:], strict=True)  # the first reads files from disk
        print(f"{name:26} {median(wall):.2f} s ({min(wall):.2f} to {max(wall):.2f}), ", end="")
        print(f"{median(processor):.2f} processor seconds")


def home_with_runs(path: Path, num_runs: int) -> Home:
    """A home in which tiny ran `num_runs` times, every time with another seed; the recipe's own is the oldest."""
    home = open_home(path)
    ledger = Ledger(home.ledger_path)
    recipe = read_recipe(shipped_recipes()["tiny"])
    plan = make_plan(recipe, home, ledger)
    metrics = {f"stage/metric_{number}": 0.1 * number for number in range(12)}
    result = {
        "metrics": metrics,
        "notes": ["600 problems in the band, 0 below"],
        "judged_by": [],
        "kind": "raw",
    }
    environment = environment_of("sft", recipe.run)
    finish(plan, home, ledger, pipeline="tiny", result=result, environment=environment)
    document = recipe.model_dump(mode="json")
    with sqlite3.connect(home.ledger_path) as db:
        db.execute(_MORE_RUNS, [num_runs - 1])
    for _ in range(20):
        ledger.begin_run("tiny", document, 1, 1.0)
    return home


def dvc_pipeline(folder: Path, dvc: str) -> Path:
    """Three stages, done."""
    folder.mkdir()
    (folder / "dvc.yaml").write_text(_STAGES)
    (folder / "params.yaml").write_text("rate: 0.1\n")
    (folder / "rows.txt").write_text("row\n")
    for command in (["init", "--no-scm", "-q"], ["config", "core.analytics", "false"], ["repro", "-q"]):
        subprocess.run([dvc, *command], cwd=folder, check=True)
    return folder


def timed(command: list[str], cwd: Path, environment: dict[str, str]) -> tuple[float, float]:
    """Wall-clock seconds and the processor's, of a process and its children."""
    began = time.monotonic()
    process = subprocess.Popen(command, cwd=cwd, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, command
    return time.monotonic() - began, usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
