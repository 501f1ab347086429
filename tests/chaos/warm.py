"""Kills a run at hundreds of points, at a second or two each, and compares what the next run makes of it.

    python -m tests.chaos.warm FOLDER [--points 200] [--seed 7] [--from STAGE] [--until STAGE]

One process imports everything once and computes nothing; runs are its forks, their stages those of its fork
server. The home always stands at the same place and is put back to how an undisturbed run left it before the
stage in question; a point is that stage disturbed, then run again until it comes through, then compared with
the home that the undisturbed run left after it. Prefect, which only orders stages, has no part in this.

FOLDER keeps the reference and the points that are done: the same command goes on where it was ended.
"""

import argparse
import contextlib
import json
import os
import random
import shutil
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from infra.environment import run_environment
from infra.home import Home
from infra.stage_processes import start_fork_server
from stages.child import PRELOAD
from tests.chaos.boundaries import Blow, Process, Scene, Side, Victim, watch_flow
from tests.chaos.checking import Check, check_all
from tests.chaos.comparing import compare, digest_of_project
from tests.chaos.toss import STAGES, write_toss

SECONDS = 120.0
"""Far more than any run here takes: a deadline is for what hangs."""

_VICTIMS: tuple[Victim, ...] = ("flow", "stage", "all")
_TWICE = 0.2
"""Share of points whose second run is killed too."""


@dataclass(frozen=True, slots=True)
class Point:
    """Where a run is killed: at a boundary of a process, or at an instant."""

    stage: str
    place: str
    """A boundary's name, or an instant."""

    victim: Victim
    blow: Blow | None = None
    instant: float | None = None
    """Seconds after the beginning."""

    again: float | None = None
    """Seconds after which the second run is killed too, and all its processes."""

    def __str__(self) -> str:
        side = f"{self.blow.side} #{self.blow.time} " if self.blow else ""
        again = " and again" if self.again is not None else ""
        return f"{self.stage}: {self.victim} {side}{self.place}{again}"


@dataclass(frozen=True, slots=True)
class Reference:
    """What an undisturbed run of one stage passed, took and left."""

    passed: dict[str, list[str]]
    seconds: float
    state: dict[str, Any]


def _found(stage: str, process: Process, place: str, time: int, side: Side, victim: Victim) -> Point:
    return Point(stage, place, victim, Blow(process, place, time, side, victim))


FOUND = (
    # Training that goes on at a checkpoint draws what it would have drawn.
    _found("grpo", "stage", "ProgressFile.report in progress.on_step_end", 0, "after", "flow"),
    # The result is in the ledger, the scratch of the stage still there.
    _found("sft", "flow", "ledger: insert into executions in ledger_file._query", 0, "after", "flow"),
    # The run is over for MLflow and not for the ledger.
    _found("recheck", "flow", "MlflowClient.set_terminated in registry.finish_run", 1, "after", "flow"),
    # A version without the link that MLflow's page follows.
    _found("dpo", "flow", "MlflowClient.create_model_version in registry.register_model", 0, "after", "flow"),
    # Half a file among those that executions share.
    _found("dpo", "stage", "pyarrow.parquet.write_table in dpo._precompute_ref_logps", 0, "after", "all"),
)
"""Points after which a run once ended differently."""


class Harness:
    """The process all others are forked from."""

    def __init__(self, folder: Path, stages: Sequence[str]) -> None:
        self.folder, self.stages = folder, stages
        self.scene = Scene(folder)
        self.home = Home(self.scene.home)

    def references(self) -> dict[str, Reference]:
        """Of every stage; made once, and again when the code changed."""
        wanted = {"code": digest_of_project(), "stages": list(self.stages)}
        path = self.folder / "references.json"
        if path.exists() and (known := json.loads(path.read_text()))["of"] == wanted:
            return {stage: Reference(**document) for stage, document in known["stages"].items()}
        for left in self.folder.iterdir():
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        write_toss(self.folder)
        made = {stage: self._reference(stage) for stage in self.stages}
        document = {"of": wanted, "stages": {stage: asdict(found) for stage, found in made.items()}}
        path.write_text(json.dumps(document))
        return made

    def _reference(self, stage: str) -> Reference:
        if self.home.path.exists():
            shutil.copytree(self.home.path, self._before(stage))
        self.scene.prepare(None)
        began = time.monotonic()
        code = self._wait(self._start(stage))
        seconds = time.monotonic() - began
        assert code == 0, (self.folder / "flow.log").read_text()
        processes = ("flow", "stage")
        return Reference({p: self.scene.passed(p) for p in processes}, seconds, self._state())

    def differences(self, point: Point, expected: dict[str, Any]) -> list[str]:
        """What is not as it should be after the point and the runs that follow it; nothing, hopefully."""
        self._put_back(point.stage)
        self.scene.prepare(point.blow)
        flow = self._start(point.stage)
        if point.instant is not None:
            time.sleep(point.instant)
            self.scene.kill(point.victim)
        self._wait(flow)
        if point.blow is not None and not self.scene.was_struck:
            return ["the blow did not fall"]
        orphans = self.scene.processes("stage")
        if point.again is not None:
            self.scene.prepare(None)
            flow = self._start(point.stage)
            time.sleep(point.again)
            self.scene.kill("all")
            self._wait(flow)
        self.scene.prepare(None)
        code = self._wait(self._start(point.stage))
        _, alive = psutil.wait_procs([*orphans, *self.scene.processes("stage")], timeout=20)
        found = [f"process {process.pid} of a killed run lives on" for process in alive]
        for process in alive:
            process.kill()
        if code != 0:
            return [
                *found,
                f"the next run ended with {code}: {(self.folder / 'flow.log').read_text()[-1500:]}",
            ]
        return found + list(compare(expected, self._state()))

    def _before(self, stage: str) -> Path:
        return self.folder / f"before-{stage}"

    def _put_back(self, stage: str) -> None:
        shutil.rmtree(self.home.path, ignore_errors=True)
        if self._before(stage).exists():
            shutil.copytree(self._before(stage), self.home.path)

    def _start(self, stage: str) -> int:
        """Begin a run up to a stage; returns its process."""

        def flow() -> None:
            from tests.chaos.core import run_core

            watch_flow(self.scene)
            run_core(self.home, self.folder / "toss.yaml", stage)

        return _fork(flow, self.folder / "flow.log")

    def _state(self) -> dict[str, Any]:
        path = self.folder / "state.json"

        def tell() -> None:
            from tests.chaos.state import state_of

            path.write_text(json.dumps(state_of(self.home)))

        assert self._wait(_fork(tell, self.folder / "state.log")) == 0, (
            self.folder / "state.log"
        ).read_text()
        return json.loads(path.read_text())

    def _wait(self, pid: int) -> int:
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.005)
        raise TimeoutError(f"no end after {SECONDS:g} s; see {self.folder}")


def choose_points(references: dict[str, Reference], count: int, seed: int) -> list[Point]:
    """Every named boundary before and after, at one of its passings each; the rest anywhere and any time."""
    random_ = random.Random(seed)
    places: dict[tuple[str, str], list[tuple[str, int]]] = {}
    for stage, reference in references.items():
        for process, names in reference.passed.items():
            for name, times in Counter(names).items():
                places.setdefault((process, name), []).extend((stage, time) for time in range(times))
    named = [
        _at(random_, references, process, name, side, random_.choice(found))
        for (process, name), found in sorted(places.items())
        for side in ("before", "after")
    ]
    random_.shuffle(named)
    points = [*(point for point in FOUND if point.stage in references), *named][:count]
    everywhere = [(*key, place) for key, found in sorted(places.items()) for place in found]
    while len(points) < count:
        if random_.random() < 0.4:
            stage = random_.choice(list(references))
            instant = random_.random() * references[stage].seconds
            points.append(Point(stage, f"{instant:.3f} s", random_.choice(_VICTIMS), instant=instant))
        else:
            process, name, place = random_.choice(everywhere)
            points.append(_at(random_, references, process, name, random_.choice(("before", "after")), place))
    return points


def _at(
    random_: random.Random,
    references: dict[str, Reference],
    process: Any,
    name: str,
    side: Any,
    place: tuple[str, int],
) -> Point:
    stage, passing = place
    victim = "flow" if process == "flow" else random_.choice(_VICTIMS)
    again = random_.random() * references[stage].seconds if random_.random() < _TWICE else None
    return Point(stage, name, victim, Blow(process, name, passing, side, victim), again=again)


def checks_of(harness: Harness, first: str, count: int, seed: int) -> list[Check]:
    """Every point, from a stage on."""
    all_references = harness.references()
    begin = harness.stages.index(first)
    references = {stage: all_references[stage] for stage in harness.stages[begin:]}
    return [
        (str(point), partial(harness.differences, point, references[point.stage].state))
        for point in choose_points(references, count, seed)
    ]


def _fork(body: Callable[[], None], log: Path) -> int:
    """Run `body` in a fork of this process, whose output goes to `log`."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(file, 1)
        os.dup2(file, 2)
        body()
        code = 0
    except BaseException:  # noqa: BLE001 - a fork must not come back from here
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


@contextlib.contextmanager
def _warm(folder: Path) -> Iterator[None]:
    """Import what runs need, start the fork server, and let forks of this process use it."""
    from multiprocessing import forkserver

    home = folder / "home"
    os.environ.update(run_environment(Home(home), os.environ, needs_hub=False))
    start_fork_server((*PRELOAD, "tests.chaos.boundaries"))
    import tests.chaos.core
    import tests.chaos.state  # noqa: F401

    server: Any = forkserver
    # It is no child of a fork, which asks whether its child lives.
    server.ensure_running = server._forkserver.ensure_running = lambda: None
    yield


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--points", type=int, default=200)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--from", dest="first", default=STAGES[0], choices=STAGES)
    parser.add_argument("--until", default=STAGES[-1], choices=STAGES)
    wanted = parser.parse_args()
    folder = wanted.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    with _warm(folder):
        harness = Harness(folder, STAGES[: STAGES.index(wanted.until) + 1])
        checks = checks_of(harness, wanted.first, wanted.points, wanted.seed)
        return check_all(checks, folder / f"done-{wanted.seed}.jsonl", "points")


if __name__ == "__main__":
    sys.exit(main())
