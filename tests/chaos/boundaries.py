"""The places where a run writes, counted as it passes them, and a blow that falls before or after one.

A boundary is a call that leaves something behind: a rename, a sync, a transaction, a step of MLflow's registry,
a line of progress, weights. Its name says which call of which function of the project it is.
"""

import functools
import json
import os
import shutil
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Literal

import psutil

PROJECT = Path(__file__).parents[2]
_ROOMS = tuple(str(PROJECT / room) + os.sep for room in ("data_contracts", "flows", "infra", "stages"))
_MLFLOW = (
    *("create_experiment", "create_run", "update_run", "log_text", "log_dict", "log_batch", "log_inputs"),
    *("create_logged_model", "log_model_artifact", "finalize_logged_model", "log_outputs"),
    *("create_registered_model", "create_model_version", "set_logged_model_tags", "set_terminated"),
)
_SQL_WRITES = ("insert", "update", "delete", "commit")

Process = Literal["flow", "stage"]
Victim = Literal["flow", "stage", "all"]
Side = Literal["before", "after"]


@dataclass(frozen=True, slots=True)
class Blow:
    """SIGKILL to `victim` when `process` passes the boundary `name` for the `time`-th time, from 0."""

    process: Process
    name: str
    time: int
    side: Side
    victim: Victim


class Scene:
    """The folder that tells the processes of a run which blow to expect, and in which they say who they are."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def home(self) -> Path:
        return self.folder / "home"

    def prepare(self, blow: Blow | None) -> None:
        """Begin a run that `blow` ends."""
        for left in ("flow.processes", "stage.processes", "flow.passed", "stage.passed", "struck"):
            (self.folder / left).unlink(missing_ok=True)
        (self.folder / "blow.json").write_text(json.dumps(asdict(blow) if blow else None))

    def blow(self) -> Blow | None:
        document = json.loads((self.folder / "blow.json").read_text())
        return Blow(**document) if document else None

    @property
    def was_struck(self) -> bool:
        """Whether the blow fell."""
        return (self.folder / "struck").exists()

    def announce(self, process: Process) -> None:
        """Say that this is such a process."""
        with (self.folder / f"{process}.processes").open("a") as file:
            file.write(f"{os.getpid()}\n")

    def processes(self, process: Process) -> list[psutil.Process]:
        """Those of the run that live still."""
        path = self.folder / f"{process}.processes"
        pids = [int(line) for line in path.read_text().splitlines()] if path.exists() else []
        return [psutil.Process(pid) for pid in pids if _lives(pid)]

    def kill(self, victim: Victim) -> None:
        """SIGKILL to the victims; the caller, if it is one, last."""
        wanted: tuple[Process, ...] = ("flow", "stage") if victim == "all" else (victim,)
        pids = [process.pid for kind in wanted for process in self.processes(kind)]
        for pid in sorted(pids, key=lambda pid: pid == os.getpid()):
            os.kill(pid, signal.SIGKILL)

    def note(self, process: Process, boundary: str) -> None:
        with (self.folder / f"{process}.passed").open("a") as file:
            file.write(f"{boundary}\n")

    def passed(self, process: Process) -> list[str]:
        """Names of the boundaries that were passed, in order."""
        path = self.folder / f"{process}.passed"
        return path.read_text().splitlines() if path.exists() else []


def run_stage(document: str) -> None:
    """A stage's process, among boundaries. Its scene is where its home is."""
    from stages import child

    scene = Scene(Path(json.loads(document)["work_dir"]).parents[2])
    _Watch(scene, "stage").stand()
    child.run(document)


def watch_flow(scene: Scene) -> None:
    """Count this process's boundaries from now on, and those of the stages it starts."""
    from stages import child

    _Watch(scene, "flow").stand()
    child.run = run_stage


class _Watch:
    """Counts, and strikes."""

    def __init__(self, scene: Scene, process: Process) -> None:
        self._scene, self._process, self._blow = scene, process, scene.blow()
        self._pid, self._turn = os.getpid(), threading.Lock()
        self._passed: Counter[str] = Counter()
        self._inside = threading.local()
        scene.announce(process)

    def stand(self) -> None:
        """Put a boundary around every call that writes."""
        for owner, names in [
            (os, ("replace", "rename", "fsync", "unlink")),
            (shutil, ("rmtree", "copyfile", "copy2")),
            (Path, ("write_text",)),
        ]:
            for name in names:
                self._guard(owner, name)
        if self._process == "flow":
            self._stand_in_flow()
        else:
            self._stand_in_stage()

    def _stand_in_flow(self) -> None:
        from mlflow.tracking import MlflowClient

        from infra.ledger import Ledger
        from infra.warehouse.catalog import Catalog
        from infra.warehouse.segments import SegmentWriter

        self._guard(SegmentWriter, "finish")
        for name in _MLFLOW:
            self._guard(MlflowClient, name)
        connection = Ledger._connection

        connect = Catalog._connect
        Catalog._connect = lambda *a: _Statements(connect(*a), self, "warehouse")
        Ledger._connection = lambda ledger: _Statements(connection(ledger), self, "ledger")

    def _stand_in_stage(self) -> None:
        import pyarrow.parquet as pq
        from transformers import PreTrainedModel, PreTrainedTokenizerBase, Trainer

        from stages.progress import ProgressFile

        self._guard(pq, "write_table")
        self._guard(PreTrainedModel, "save_pretrained")
        self._guard(PreTrainedTokenizerBase, "save_pretrained")
        self._guard(Trainer, "_save_checkpoint")
        self._guard(ProgressFile, "report")

    def _guard(self, owner: Any, name: str) -> None:
        original = getattr(owner, name)
        what = f"{getattr(owner, '__name__', owner)}.{name}"

        @functools.wraps(original)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            return self.at(what, lambda: original(*args, **kwargs))

        setattr(owner, name, guarded)

    def at(self, what: str, call: Callable[[], Any]) -> Any:
        """A boundary; those within it, and those of forks of this process, are no others."""
        caller = _caller(sys._getframe())
        if os.getpid() != self._pid or getattr(self._inside, "boundary", False) or caller is None:
            return call()
        name = f"{what} in {caller}"
        with self._turn:
            time = self._passed[name]
            self._passed[name] += 1
        self._inside.boundary = True
        try:
            self._scene.note(self._process, name)
            self._strike(name, time, "before")
            try:
                return call()
            finally:
                self._strike(name, time, "after")
        finally:
            self._inside.boundary = False

    def _strike(self, name: str, time: int, side: Side) -> None:
        blow = self._blow
        if blow is not None and blow == Blow(self._process, name, time, side, blow.victim):
            (self._scene.folder / "struck").touch()
            self._scene.kill(blow.victim)


class _Statements:
    """A database's connection whose writing statements are boundaries."""

    def __init__(self, connection: Any, watch: _Watch, name: str) -> None:
        self._connection, self._watch, self._name = connection, watch, name

    def __enter__(self) -> Any:
        return self._connection.__enter__() and self

    def __exit__(self, *error: Any) -> Any:
        return self._connection.__exit__(*error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, sql: str, *parameters: Any) -> Any:
        words = sql.split()
        call = functools.partial(self._connection.execute, sql, *parameters)
        if words[0] not in _SQL_WRITES:
            return call()
        return self._watch.at(f"{self._name}: {' '.join(words[:3])}", call)


def _caller(frame: FrameType | None) -> str | None:
    """The nearest function of the project."""
    while frame is not None:
        code = frame.f_code
        if code.co_filename.startswith(_ROOMS):
            return f"{Path(code.co_filename).stem}.{code.co_name}"
        frame = frame.f_back
    return None


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
