"""Two processes of one home that need the same stage: one makes it, the other waits, and takes over if it must.

The stage counts instead of training, so that it can be held half-way; all around it is real.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from infra.home import Home
from infra.ledger import Ledger
from infra.liveness import is_held
from tests.pipeline.coin import write_coin
from tests.pipeline.shell import PROJECT

Told = list[str]


class Runner:
    """A process that runs recipes."""

    def __init__(self, home: Home, recipe: Path) -> None:
        self._home = home
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.pipeline.counting", str(home.path), str(recipe)],
            cwd=PROJECT,
            env=os.environ | {"BURNISH_HOME": str(home.path), "TMPDIR": str(home.path.parent)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, *overrides: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(" ".join(overrides) + "\n")
        self._process.stdin.flush()

    def until(self, *words: str) -> list[Told]:
        """All it says up to a line that begins with `words`."""
        assert self._process.stdout is not None
        told: list[Told] = []
        for line in self._process.stdout:
            told.append(json.loads(line))
            if told[-1][: len(words)] == list(words):
                return told
        raise AssertionError(f"it ended and never said {words}, but {told}")

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def pipe(self) -> Path:
        return self._home.path.parent / f"pipe-{self.pid}"

    def hold_half_way(self) -> None:
        """Its stages stop half-way from now on, until `release`."""
        os.mkfifo(self.pipe)

    def release(self, word: str) -> None:
        self.pipe.write_text(word)
        self.pipe.unlink()

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def close(self) -> None:
        self.kill()
        self._process.communicate()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return Home(tmp_path_factory.mktemp("side") / "home")


@pytest.fixture(scope="module")
def runners(home: Home, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Runner, Runner]]:
    recipe = write_coin(tmp_path_factory.mktemp("recipe"))
    both = Runner(home, recipe), Runner(home, recipe)
    yield both
    for runner in both:
        runner.close()


def _both_at_work(runners: tuple[Runner, Runner], first: list[str], second: list[str]) -> list[Told]:
    """The first is half-way, the second waits for it; what the second said."""
    runners[0].hold_half_way()
    runners[0].run(*first)
    runners[0].until("progress", "sft", "2")
    runners[1].run(*second)
    return runners[1].until("wait", "sft")


def _steps(told: list[Told]) -> list[int]:
    return [int(line[2]) for line in told if line[:2] == ["progress", "sft"]]


def _state(told: list[Told], stage: str) -> str:
    (state,) = [line[2] for line in told if line[:2] == ["end", stage]]
    return state


def _mlflow_versions(home: Home, name: str) -> list[str]:
    found = MlflowClient(home.mlflow_uri, home.mlflow_uri).search_model_versions(f"name = '{name}'")
    return sorted(str(version.version) for version in found)


def _stage_runs(home: Home, pipeline: str) -> list[str]:
    client = MlflowClient(home.mlflow_uri, home.mlflow_uri)
    experiment = client.get_experiment_by_name(pipeline)
    assert experiment is not None
    found = client.search_runs(
        [experiment.experiment_id], "tags.`burnish.stage` = 'sft'", order_by=["start_time ASC"]
    )
    return [run.info.status for run in found]


def test_the_same_recipe_twice_is_made_once(home: Home, runners: tuple[Runner, Runner]) -> None:
    recipe = ["name=same", "seed=1"]
    told = _both_at_work(runners, recipe, recipe)
    ledger = Ledger(home.ledger_path)
    newest, oldest = ledger.runs("same")
    assert told[-1][2].startswith(f"for run {oldest.run_id} (process {runners[0].pid}, for ")
    assert told[-1][2].endswith(", which makes the same")
    states = {stage.stage: stage.state for stage in ledger.run_stages(newest.run_id)}
    assert states == {"tosses": "reused", "base": "reused"}
    runners[0].release("go")
    assert _steps(runners[0].until("finished")) == [3, 4]
    told = runners[1].until("finished")
    assert (_state(told, "sft"), _steps(told)) == ("reused", [])
    assert [made.version for made in ledger.find_by_stage("same", "sft")] == [1]
    assert [made.version for made in ledger.find_by_stage("same", "tosses")] == [1]
    assert _mlflow_versions(home, "same.sft") == ["1"]
    assert _stage_runs(home, "same") == ["FINISHED"]


def test_two_recipes_with_the_same_beginning_share_it(home: Home, runners: tuple[Runner, Runner]) -> None:
    _both_at_work(runners, ["name=one", "seed=2"], ["name=two", "seed=2", "dpo.beta=4"])
    runners[0].release("go")
    runners[0].until("finished")
    told = runners[1].until("finished")
    assert (_state(told, "sft"), _steps(told)) == ("reused", [])
    ledger = Ledger(home.ledger_path)
    (made,), (adopted,) = ledger.find_by_stage("one", "sft"), ledger.find_by_stage("two", "sft")
    assert (adopted.key, adopted.fingerprint, adopted.seconds) == (made.key, made.fingerprint, 0.0)
    assert _mlflow_versions(home, "one.sft") == _mlflow_versions(home, "two.sft") == ["1"]


@pytest.mark.chaos
def test_who_waited_tries_itself_when_the_stage_failed(home: Home, runners: tuple[Runner, Runner]) -> None:
    recipe = ["name=failing", "seed=3"]
    _both_at_work(runners, recipe, recipe)
    runners[0].release("die")
    told = runners[0].until("failed")
    assert "was killed by SIGKILL" in told[-1][1]
    told = runners[1].until("finished")
    assert (_state(told, "sft"), _steps(told)) == ("done", [3, 4])
    assert _stage_runs(home, "failing") == ["FAILED", "FINISHED"]
    assert _mlflow_versions(home, "failing.sft") == ["1"]


@pytest.mark.chaos
def test_who_waited_takes_over_from_a_killed_run_once_its_stage_is_gone_too(
    home: Home, runners: tuple[Runner, Runner]
) -> None:
    """The stage of a killed run writes a checkpoint before it ends: nobody may touch its files meanwhile."""
    recipe = ["name=killed", "seed=4"]
    _both_at_work(runners, recipe, recipe)
    runners[0].kill()
    (work,) = home.work_dir.iterdir()
    assert is_held(home.lock_path(f"stage-{work.name}"))
    runners[0].release("die")
    told = runners[1].until("finished")
    assert (_state(told, "sft"), _steps(told)) == ("done", [3, 4])
    (made,) = Ledger(home.ledger_path).find_by_stage("killed", "sft")
    assert made.version == 1
    assert _mlflow_versions(home, "killed.sft") == ["1"]
    assert list(home.work_dir.iterdir()) == []
