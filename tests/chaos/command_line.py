"""Disturbs the whole command line, with Prefect and all, and compares what the same command then makes of it.

    python -m tests.chaos.command_line FOLDER [--seed 7] [--only WORDS]

FOLDER keeps the reference and the disturbances that are done: the same command goes on where it was ended.
"""

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from tests.chaos.checking import Check, check_all
from tests.chaos.comparing import compare, digest_of_project
from tests.chaos.toss import write_toss

SECONDS = 300.0
"""Far more than anything here takes, also beside others at work: a deadline is for what hangs."""

_COMMAND = "from flows.cli.app import main; main()"
_FULL = """
mount -t tmpfs -o size={megabytes}m tmpfs "$HOME_PATH" && cp -a "$BEFORE/." "$HOME_PATH" || exit 99
"$@"; first=$?
mount -o remount,size=2g "$HOME_PATH"
"$@" || exit 98
cp -a "$HOME_PATH/." "$AFTER"
exit $first
"""
_READ_ONLY = 'mount --bind "$HOME_PATH" "$HOME_PATH" && mount -o remount,bind,ro "$HOME_PATH" && exec "$@"'

_HUNG = 124
_STAGES = ("sft", "check", "dpo", "grpo")
"""Those that are disturbed."""

Disturb = Callable[["Command"], None]


@dataclass(frozen=True, slots=True)
class Disturbance:
    """What happens to a command, and which exit codes it may have then."""

    name: str
    during: str
    """The stage that the command runs."""

    disturb: Disturb
    codes: tuple[int, ...]
    at_once: bool = False
    """While the command still starts."""

    def __str__(self) -> str:
        return f"{self.name} during {'the start of ' if self.at_once else ''}{self.during}"


class Command:
    """`burnish run` in a session of its own."""

    def __init__(self, place: "Place", stage: str, prefix: tuple[str, ...] = ()) -> None:
        self.place = place
        with (place.folder / "command.log").open("wb") as log:
            self.process = psutil.Popen(
                [*prefix, *place.command, "--until", stage],
                env=place.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait_for(self, stage: str) -> None:
        """Until the ledger says that the stage began, or the command ended."""
        deadline = time.monotonic() + SECONDS
        while self.process.poll() is None and not self.place.is_running(stage):
            assert time.monotonic() < deadline, f"{stage} did not begin"
            time.sleep(0.02)

    def below(self, word: str = "") -> list[psutil.Process]:
        """Processes it started, those with `word` in their command line."""
        found: list[psutil.Process] = []
        with contextlib.suppress(psutil.NoSuchProcess):
            for process in self.process.children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    if word in " ".join(process.cmdline()):
                        found.append(process)
        return found

    def stages(self) -> list[psutil.Process]:
        """Children of the fork server."""
        servers = {process.pid for process in self.below("forkserver") if process.ppid() == self.process.pid}
        return [process for process in self.below("forkserver") if process.ppid() in servers]

    def end(self) -> int:
        """Its exit code; one that hangs is ended, and has none of those that are expected."""
        try:
            return self.process.wait(SECONDS)
        except psutil.TimeoutExpired:
            _kill_all(self)
            return _HUNG


class Place:
    """A folder with the recipe and its home, which is put back before each disturbance."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home = folder, folder / "home"
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("PREFECT")},
            "BURNISH_HOME": str(self.home),
            "OMP_WAIT_POLICY": "PASSIVE",
            "COLUMNS": "100",
        }
        self.command = (sys.executable, "-c", _COMMAND, "run", str(folder / "toss.yaml"))

    def is_running(self, stage: str) -> bool:
        """Whether the newest run is at this stage."""
        with contextlib.closing(sqlite3.connect(self.home / "ledger.db", timeout=10)) as db:
            newest = "select run_id from runs order by rowid desc limit 1"
            query = f"select state from run_stages where run_id = ({newest}) and stage = ?"
            return db.execute(query, [stage]).fetchone() == ("running",)

    def state(self) -> dict[str, Any]:
        """As `state_of` has it, in a process of its own."""
        command = [sys.executable, "-m", "tests.chaos.state", str(self.home)]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    def before(self, stage: str) -> Path:
        return self.folder / f"before-{stage}"

    def put_back(self, stage: str) -> None:
        shutil.rmtree(self.home, ignore_errors=True)
        shutil.copytree(self.before(stage), self.home)

    def reference(self) -> dict[str, dict[str, Any]]:
        """By stage, the state after a run up to it that nobody disturbed."""
        path = self.folder / "reference.json"
        wanted = digest_of_project()
        if path.exists() and (known := json.loads(path.read_text()))["of"] == wanted:
            return known["states"]
        for left in self.folder.iterdir():
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        write_toss(self.folder)
        states: dict[str, dict[str, Any]] = {}
        for stage, following in zip(("base", *_STAGES), (*_STAGES, None), strict=True):
            assert Command(self, stage).end() == 0, _log(self)
            states[stage] = self.state()
            if following is not None:
                shutil.copytree(self.home, self.before(following))
        path.write_text(json.dumps({"of": wanted, "states": states}))
        return states

    def left(self) -> list[psutil.Process]:
        """Processes of this home that live 20 s after everything ended."""
        deadline = time.monotonic() + 20
        while (alive := self._alive()) and time.monotonic() < deadline:
            time.sleep(0.1)
        return alive

    def _alive(self) -> list[psutil.Process]:
        found: list[psutil.Process] = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                is_ours = process.environ().get("BURNISH_HOME") == str(self.home)
                if is_ours and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found


def disturbances() -> list[Disturbance]:
    """More than twenty, of everything that can happen to a command."""
    died, failed, interrupted = -signal.SIGKILL, 1, 130
    ended = (interrupted, failed, -signal.SIGTERM, 128 + signal.SIGTERM)
    return [
        Disturbance("Ctrl-C twice", "sft", _interrupt_twice, (interrupted,)),
        Disturbance("power cut", "sft", _kill_all, (died,), at_once=True),
        Disturbance("kill -9 of the fork server", "sft", _kill_fork_server, (failed, 0)),
        Disturbance("MLflow's database locked for 20 s", "sft", _lock("mlflow/mlflow.db", 20.0), (failed, 0)),
        Disturbance("the ledger locked for 5 s", "sft", _lock("ledger.db", 5.0), (0,)),
        *(
            Disturbance("kill -9 of the Prefect server", s, _kill_prefect, (failed, 0))
            for s in ("sft", "grpo")
        ),
        *(Disturbance("SIGTERM", stage, _terminate, ended) for stage in ("sft", "grpo")),
        *(Disturbance("power cut", stage, _kill_all, (died, 0)) for stage in _STAGES),
        *(Disturbance("the stage out of memory", stage, _kill_stage, (failed, 0)) for stage in _STAGES),
        *(Disturbance("kill -9 of the command", stage, _kill, (died, 0)) for stage in _STAGES),
        Disturbance("kill -9 of the command", "sft", _kill, (died,), at_once=True),
        Disturbance("SIGTERM", "sft", _terminate, (-signal.SIGTERM, interrupted), at_once=True),
        Disturbance("Ctrl-C", "grpo", _interrupt, (interrupted, 0)),
    ]


def namespaces() -> dict[str, tuple[str, tuple[int, ...], bool]]:
    """Shell scripts for a mount namespace, the codes of the command in them, and whether they run it again."""
    return {
        **{
            f"a disk full after {megabytes} MB": (_FULL.format(megabytes=megabytes), (1, 2), True)
            for megabytes in (17, 22, 26)
        },
        "a read-only home": (_READ_ONLY, (2,), False),
    }


def _kill(command: Command) -> None:
    command.process.kill()


def _kill_all(command: Command) -> None:
    for process in [command.process, *command.below()]:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def _kill_stage(command: Command) -> None:
    for process in command.stages():
        process.kill()


def _kill_fork_server(command: Command) -> None:
    for process in command.below("forkserver"):
        if process.ppid() == command.process.pid:
            process.kill()


def _kill_prefect(command: Command) -> None:
    for process in command.below("infra.run_server"):
        process.kill()


def _terminate(command: Command) -> None:
    command.process.terminate()


def _interrupt(command: Command) -> None:
    os.killpg(command.process.pid, signal.SIGINT)


def _interrupt_twice(command: Command) -> None:
    _interrupt(command)
    time.sleep(0.05)
    _interrupt(command)


def _lock(database: str, seconds: float) -> Disturb:
    def lock(command: Command) -> None:
        with contextlib.closing(sqlite3.connect(command.place.home / database, timeout=10)) as db:
            db.execute("begin exclusive")
            time.sleep(seconds)
            db.execute("rollback")

    return lock


def differences(
    place: Place, disturbance: Disturbance, delay: float, expected: Mapping[str, Any]
) -> list[str]:
    """What is not as it should be after the disturbance and the same command again."""
    stage = disturbance.during
    place.put_back(stage)
    command = Command(place, stage)
    if not disturbance.at_once:
        command.wait_for(stage)
    time.sleep(delay)
    disturbance.disturb(command)
    code = command.end()
    found = [] if code in disturbance.codes else [f"it ended with {code}: {_log(place)}"]
    if (again := Command(place, stage).end()) != 0:
        return [*found, f"the next run ended with {again}: {_log(place)}"]
    return [*found, *_after(place, expected)]


def differences_inside(place: Place, name: str, expected: Mapping[str, Any]) -> list[str]:
    """The same of a command in a mount namespace."""
    script, codes, runs_again = namespaces()[name]
    place.put_back("sft")
    after = place.folder / "after"
    shutil.rmtree(after, ignore_errors=True)
    after.mkdir()
    place.environment |= {
        "HOME_PATH": str(place.home),
        "BEFORE": str(place.before("sft")),
        "AFTER": str(after),
    }
    code = Command(place, "sft", ("unshare", "-rm", "sh", "-c", script, "sh")).end()
    found = [] if code in codes else [f"it ended with {code}: {_log(place)}"]
    if code in (98, 99):
        return found
    if runs_again:
        shutil.rmtree(place.home)
        after.rename(place.home)
    elif (again := Command(place, "sft").end()) != 0:
        return [*found, f"the next run ended with {again}: {_log(place)}"]
    return [*found, *_after(place, expected)]


def _after(place: Place, expected: Mapping[str, Any]) -> Iterator[str]:
    for process in place.left():
        yield f"process {process.pid} lives on: {' '.join(process.cmdline())[:200]}"
        process.kill()
    yield from compare(expected, place.state())


def _log(place: Place) -> str:
    return (place.folder / "command.log").read_text(errors="replace")[-1500:]


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--only", default="", help="disturbances with these words in their names")
    wanted = parser.parse_args()
    place = Place(wanted.folder.resolve())
    place.folder.mkdir(parents=True, exist_ok=True)
    expected = place.reference()
    todo: list[Check] = []
    for each in disturbances():
        delay = random.Random(f"{wanted.seed} {each}").uniform(0, 8.0 if each.at_once else 1.0)
        todo.append((str(each), partial(differences, place, each, delay, expected[each.during])))
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode == 0:
        todo += [(name, partial(differences_inside, place, name, expected["sft"])) for name in namespaces()]
    else:
        print("skipped, for want of user namespaces: " + ", ".join(namespaces()), flush=True)
    chosen = [check for check in todo if wanted.only in check[0]]
    return check_all(chosen, place.folder / f"done-{wanted.seed}.jsonl", "disturbances")


if __name__ == "__main__":
    sys.exit(main())
