"""Killed, then stopped with Ctrl-C, then left alone beside a second run: nothing is lost, nothing done twice.

One chain of runs, watched by the tests below: its stage trains for a few seconds, is killed half-way, resumes,
is interrupted, and resumes again.
"""

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import mlflow
import psutil
import pytest
from mlflow.tracking import MlflowClient

from infra.ledger import Ledger
from infra.records import Run, RunStage
from tests.pipeline.conftest import World
from tests.pipeline.shell import BURNISH, PROJECT, Outcome, Shell, wait_until

STEPS = 100
LONG = ("--set", f"sft.steps={STEPS}", "--set", "name=long", "--until", "sft")


@dataclass(frozen=True, slots=True)
class Chain:
    """What was seen of the chain's three runs, and of a fourth beside the last."""

    left_by_kill: list[psutil.Process]
    """Processes the killed one left that were still alive after a few seconds."""

    state_after_kill: str
    checkpoint_after_kill: int
    interrupted: Outcome
    stage_after_interrupt: RunStage
    checkpoint_after_interrupt: int
    left_by_interrupt: list[psutil.Process]
    planned: str
    """What the plan says of the interrupted stage."""

    finished: Outcome
    beside: Outcome
    runs: list[Run]
    """Oldest first."""


@pytest.fixture(scope="module")
def chain(world: World, shell: Shell, tmp_path_factory: pytest.TempPathFactory) -> Chain:
    command = ("run", world.recipe, *LONG)
    log = tmp_path_factory.mktemp("chain") / "shell.log"

    doomed = Shell(world.home.path, world.environment, log)
    doomed.start(*command)
    wait_until(lambda: steps_done(world) > 0, "the first step")
    _, left_by_kill = psutil.wait_procs(doomed.kill(), timeout=20)
    state_after_kill = json.loads(world.burnish("status", "long", "--json").out)["state"]
    checkpoint_after_kill = newest_checkpoint(world)

    restarted = time.time()
    shell.start(*command)
    wait_until(lambda: steps_done(world, restarted) > checkpoint_after_kill, "a step after the checkpoint")
    workers = stage_processes(shell)
    shell.interrupt()
    interrupted = shell.wait()
    _, left_by_interrupt = psutil.wait_procs(workers, timeout=0)
    stages = world.ledger.run_stages(world.ledger.runs("long", limit=1)[0].run_id)
    checkpoint_after_interrupt = newest_checkpoint(world)
    plan = {
        step["name"]: step["reason"] for step in world.burnish("plan", *command[1:], "--json").json["nodes"]
    }

    shell.start(*command)
    wait_until((world.home.path / "locks" / "recipe-long.holder").exists, "the last run")
    with subprocess.Popen(
        [BURNISH, *command], env=world.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as beside:
        finished = shell.wait()
        out, err = beside.communicate()
    return Chain(
        left_by_kill=left_by_kill,
        state_after_kill=state_after_kill,
        checkpoint_after_kill=checkpoint_after_kill,
        interrupted=interrupted,
        stage_after_interrupt=next(stage for stage in stages if stage.stage == "sft"),
        checkpoint_after_interrupt=checkpoint_after_interrupt,
        left_by_interrupt=left_by_interrupt,
        planned=plan["sft"],
        finished=finished,
        beside=Outcome(beside.returncode, out, err, 0.0),
        runs=list(reversed(world.ledger.runs("long"))),
    )


def steps_done(world: World, since: float = 0.0) -> int:
    """How far the training stage at work says it is; what was written before `since` is of another run."""
    files = [path for path in world.home.work_dir.glob("*/progress.jsonl") if path.stat().st_mtime > since]
    lines = [line for path in files for line in path.open()]
    whole = [json.loads(line) for line in lines if line.endswith("}\n")]
    return max((line.get("step", 0) for line in whole), default=0)


def newest_checkpoint(world: World) -> int:
    found = world.home.work_dir.glob("*/checkpoints/checkpoint-*/trainer_state.json")
    return max(json.loads(path.read_text())["global_step"] for path in found)


def stage_processes(shell: Shell) -> list[psutil.Process]:
    """Children of the fork server: the stages at work."""
    return [process for process in shell.processes() if process.ppid() != shell.pid]


def test_children_of_a_killed_run_end_by_themselves_with_a_checkpoint(chain: Chain):
    assert chain.left_by_kill == []
    assert chain.state_after_kill == "crashed", "it said no last word, yet nobody takes it for running"
    assert 0 < chain.checkpoint_after_kill < STEPS


def test_ctrl_c_stops_a_stage_with_a_checkpoint(chain: Chain):
    assert chain.interrupted.code == 130
    assert "a checkpoint first" in chain.interrupted.text
    assert "the same command continues" in chain.interrupted.text
    assert "Traceback" not in chain.interrupted.text
    assert chain.stage_after_interrupt.state == "interrupted"
    assert chain.left_by_interrupt == []
    assert chain.planned == "← first time; continues at the checkpoint of an interrupted run"
    assert chain.checkpoint_after_kill < chain.checkpoint_after_interrupt < STEPS


def test_a_rerun_continues_at_the_checkpoint_and_finishes(world: World, chain: Chain):
    assert chain.finished.code == 0
    assert [run.state for run in chain.runs[1:]] == ["interrupted", "done", "done"]
    mlflow.set_tracking_uri(world.home.mlflow_uri)
    client = MlflowClient()
    experiment = client.get_experiment_by_name("long")
    assert experiment is not None
    found = client.search_runs(
        [experiment.experiment_id], "tags.`burnish.stage` = 'sft'", order_by=["start_time ASC"]
    )
    assert [run.info.status for run in found][1:] == ["KILLED", "FINISHED"]
    steps = [
        {point.step for point in client.get_metric_history(run.info.run_id, "sft/loss")} for run in found[1:]
    ]
    assert min(steps[0], default=STEPS) > chain.checkpoint_after_kill
    assert min(steps[1]) > chain.checkpoint_after_interrupt
    assert max(steps[1]) == STEPS
    (made,) = world.ledger.find_by_stage("long", "sft")
    assert made.version == 1
    assert not (world.home.work_dir / made.key).exists(), "nothing is left to resume"


def test_a_second_run_beside_the_first_waits_for_it_and_reuses_its_work(chain: Chain):
    assert chain.beside.code == 0
    assert "Waiting: a run of long" in chain.beside.text
    assert "Nothing to run" in chain.beside.text
    assert {run.flow_run_id is None for run in chain.runs[3:]} == {True}


_INTERRUPTED_TWICE = """
import os, signal, sys, threading
from pathlib import Path
from flows.cli.run_commands import _stopping
from flows.view import SilentView
from infra.ledger import Ledger
from infra.process_identity import this_process
ledger = Ledger(Path(sys.argv[1]))
ledger.begin_run("small", {}, *this_process())
stop = threading.Event()
with _stopping(stop, SilentView(), ledger):
    os.kill(os.getpid(), signal.SIGINT)
    print(stop.is_set(), ledger.runs()[0].state, flush=True)
    os.kill(os.getpid(), signal.SIGINT)
    print("not reached", flush=True)
"""


def test_a_second_ctrl_c_ends_the_command_at_once_and_tells_the_ledger(tmp_path: Path):
    path = tmp_path / "ledger.db"
    command = [sys.executable, "-c", _INTERRUPTED_TWICE, str(path)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (130, "True running\n")
    assert [run.state for run in Ledger(path).runs()] == ["interrupted"]
