"""What Burnish, `dvc repro` and Metaflow's `resume` run again after an edit of a pipeline prepare -> train -> evaluate.

    python -m tests.benchmarks.rerun_comparison --reference PATH     # PATH: a venv with dvc and metaflow

Every edit is made to a copy of the finished pipeline. Burnish's is a real recipe on a copy of Burnish itself, whose
own code is what a person edits there: dataset -> sft -> verify. DVC's and Metaflow's steps are toy scripts of the same
shape; `resume` is given no step, since naming the right one is what a person would have to know.

needs: pip install dvc metaflow
"""

import argparse
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

PROJECT = Path(__file__).parents[2]
STEPS = ("prepare", "train", "evaluate")
ROOMS = ("data_contracts", "flows", "infra", "stages")
EDITS: dict[str, tuple[str, ...]] = {
    "comment in train": (),
    "blank lines in train": (),
    "logic of train": ("train", "evaluate"),
    "parameter of train": ("train", "evaluate"),
    "one more input row": STEPS,
    "time of the input file": (),
    "logic of prepare, same output": ("prepare",),
    "other folder, other thread count": (),
}
"""What has to run again."""

_RECIPE = """\
name: toy
base: {build: tiny-qwen3}
datasets: {prepare: {path: rows.jsonl}, problems: {path: problems.jsonl, verifier: exact_number}}
stages:
  train: {kind: sft, start: base, rows: [prepare], learning_rate: 1e-3, steps: 2, global_batch: 8, max_length: 32}
  evaluate: {kind: verify, start: train, rows: [problems], samples: 2, max_completion_length: 3}
"""
_SCRIPTS = {
    "prepare": "text = open('rows.jsonl').read().upper()\nopen('prepared.txt', 'w').write(text)\n",
    "train": (
        "rate = float(open('params.yaml').read().split()[1])\ntext = open('prepared.txt').read()\n"
        "open('model.txt', 'w').write(str(rate * len(text)))\n"
    ),
    "evaluate": "open('score.txt', 'w').write(open('model.txt').read()[:3])\n",
}
_LOGIC = {
    False: ("rate * len", "2 * rate * len"),
    True: ("num_steps(config, len(sequences))", "num_steps(config, len(sequences)) + 1"),
}
"""An edit of train that gives other weights: of the script, and of the stage sft."""

_NOTE = "with open('../ran.txt', 'a') as ran: ran.write('{step}\\n')\n"
_DVC = """\
stages:
  prepare: {cmd: PYTHON prepare.py, deps: [prepare.py, rows.jsonl], outs: [prepared.txt]}
  train: {cmd: PYTHON train.py, deps: [train.py, prepared.txt], params: [rate], outs: [model.txt]}
  evaluate: {cmd: PYTHON evaluate.py, deps: [evaluate.py, model.txt], outs: [score.txt]}
"""
_FLOW = """\
from metaflow import FlowSpec, step
class Toy(FlowSpec):
    @step
    def start(self):
        self.next(self.prepare)
    @step
    def prepare(self):
        exec(open('prepare.py').read())
        self.next(self.train)
    @step
    def train(self):
        exec(open('train.py').read())
        self.next(self.evaluate)
    @step
    def evaluate(self):
        exec(open('evaluate.py').read())
        self.next(self.end)
    @step
    def end(self):
        pass
if __name__ == '__main__':
    Toy()
"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--reference", type=Path, required=True)
    python = parser.parse_args().reference / "bin" / "python"
    with tempfile.TemporaryDirectory() as folder:
        contenders: dict[str, tuple[Path, Callable[[Path, bool], set[str]]]] = {
            "burnish": (make_burnish(Path(folder) / "burnish"), run_burnish),
            "dvc repro": (
                make_scripts(Path(folder) / "dvc", python),
                lambda at, few: run_dvc(at, python, few),
            ),
            "metaflow resume": (
                make_scripts(Path(folder) / "metaflow", python),
                lambda at, few: run_metaflow(at, python, few),
            ),
        }
        for name, (place, run) in contenders.items():
            assert run(place, False) == set(STEPS), name
        print("| edit | has to run |", " | ".join(contenders), "|\n|---|---|" + "---|" * len(contenders))
        for edit, due in EDITS.items():
            told: list[str] = []
            for place, run in contenders.values():
                copy = place.with_name(f"{place.name}-edited")
                shutil.copytree(place, copy, symlinks=True)
                make_edit(copy, edit)
                told.append(judged(run(copy, edit.startswith("other folder")), set(due)))
                shutil.rmtree(copy)
            print(f"| {edit} | {', '.join(due) or 'nothing'} |", " | ".join(told), "|", flush=True)


def judged(ran: set[str], due: set[str]) -> str:
    wasted, missed = [step for step in STEPS if step in ran - due], [s for s in STEPS if s in due - ran]
    faults = [
        f"{what} {', '.join(steps)}" for what, steps in (("wasted", wasted), ("missed", missed)) if steps
    ]
    return "; ".join(faults) or "right"


def make_edit(place: Path, edit: str) -> None:
    """The same edit for all: of Burnish's stage where there is one, else of the script."""
    is_burnish = (place / "work" / "toy.yaml").exists()
    work = place / "work"
    train, prepare = (
        (place / "stages" / "sft.py", place / "infra" / "intake" / "whole_tables.py")
        if is_burnish
        else (work / "train.py", work / "prepare.py")
    )
    parameters = work / ("toy.yaml" if is_burnish else "params.yaml")
    rows = work / "rows.jsonl"
    if edit == "comment in train":
        train.write_text(train.read_text() + "# a comment\n")
    elif edit == "blank lines in train":
        train.write_text(train.read_text() + "\n\n")
    elif edit == "logic of train":
        before, after = _LOGIC[is_burnish]
        assert before in train.read_text()
        train.write_text(train.read_text().replace(before, after))
    elif edit == "parameter of train":
        parameters.write_text(parameters.read_text().replace("1e-3", "2e-3"))
    elif edit == "one more input row":
        rows.write_text(rows.read_text() + json.dumps({"prompt": "one more", "completion": "1"}) + "\n")
    elif edit == "time of the input file":
        os.utime(rows, (1.0, 1.0))
    elif edit == "logic of prepare, same output":
        prepare.write_text(prepare.read_text() + "_NEW = 1\n")


def write_rows(work: Path) -> None:
    work.mkdir(parents=True)
    rows = [{"prompt": f"toss {number}", "completion": str(number % 2)} for number in range(32)]
    (work / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def make_burnish(place: Path) -> Path:
    """A copy of Burnish with a recipe."""
    write_rows(place / "work")
    for room in ROOMS:
        shutil.copytree(PROJECT / room, place / room, ignore=shutil.ignore_patterns("__pycache__"))
    problems = [{"prompt": f"toss {number}", "ground_truth": "1"} for number in range(8)]
    (place / "work" / "problems.jsonl").write_text("".join(json.dumps(row) + "\n" for row in problems))
    (place / "work" / "toy.yaml").write_text(_RECIPE)
    return place


def run_burnish(place: Path, is_other_machine: bool) -> set[str]:
    environment = os.environ | {"PYTHONPATH": str(place), "BURNISH_HOME": str(place / "home")}
    settings = ["--set", "run.threads=1"] if is_other_machine else []
    command = "from flows.cli.app import main; main()"
    subprocess.run(
        [sys.executable, "-c", command, "run", "toy.yaml", "--json", *settings],
        cwd=place / "work",
        env=environment,
        check=True,
        capture_output=True,
    )
    with sqlite3.connect(place / "home" / "ledger.db") as db:
        newest = "(select run_id from runs order by rowid desc limit 1)"
        query = f"select stage from run_stages where state = 'done' and run_id = {newest}"
        return {stage for (stage,) in db.execute(query)} & set(STEPS)


def make_scripts(place: Path, python: Path) -> Path:
    """The toy scripts, and what DVC and Metaflow want beside them."""
    work = place / "work"
    write_rows(work)
    for step, script in _SCRIPTS.items():
        (work / f"{step}.py").write_text(script + _NOTE.format(step=step))
    (work / "params.yaml").write_text("rate: 1e-3\n")
    (work / "dvc.yaml").write_text(_DVC.replace("PYTHON", str(python)))
    (work / "flow.py").write_text(_FLOW)
    return place


def run_dvc(place: Path, python: Path, is_other_machine: bool) -> set[str]:
    dvc = str(python.with_name("dvc"))
    first = [] if (place / "work" / ".dvc").exists() else [[dvc, "init", "--no-scm", "-q"]]
    return run_scripts(place, [*first, [dvc, "repro", "-q"]], is_other_machine)


def run_metaflow(place: Path, python: Path, is_other_machine: bool) -> set[str]:
    what = "resume" if (place / "work" / ".metaflow").exists() else "run"
    return run_scripts(place, [[str(python), "flow.py", what]], is_other_machine)


def run_scripts(place: Path, commands: list[list[str]], is_other_machine: bool) -> set[str]:
    noted = place / "ran.txt"
    noted.write_text("")
    environment = os.environ | {"OMP_NUM_THREADS": "1" if is_other_machine else "2", "USERNAME": "bench"}
    for command in commands:
        subprocess.run(command, cwd=place / "work", env=environment, check=True, capture_output=True)
    return set(noted.read_text().split())


if __name__ == "__main__":
    main()
