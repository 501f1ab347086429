"""Where code written by a model runs: a process that can compute, and nothing else.

Every program is a fresh fork of a process that has imported the usual modules and sits in one of three kinds of
sandbox, strongest first. `bubblewrap` and `namespaces` give it a file system of the interpreter and an
empty scratch folder in memory, with no network, no other processes and no /proc. `limited` hides files with
Landlock where the kernel has it. All three forbid the system calls listed in `sandbox_filter`, limit
processor time, memory, files and output, and pass on none of the caller's environment variables.
"""

import array
import json
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, Self

from data_contracts.errors import SandboxError
from stages.sandbox_entry import MAX_FILES, MAX_MESSAGE_BYTES
from stages.sandbox_filter import is_machine_known
from stages.sandbox_walls import SCRATCH_BYTES, visible_paths

SandboxKind = Literal["bubblewrap", "namespaces", "limited"]
"""Strongest first."""

_PROJECT = Path(__file__).parents[1]
_INSIDE, _SCRATCH = Path("/burnish"), Path("/tmp")  # noqa: S108 (the sandbox's own, in memory)
_ENVIRONMENT = {
    "PYTHONHASHSEED": "0",  # the same program, the same order of sets
    "PYTHONUTF8": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
}
_START_SECONDS = 60.0
_GRACE_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one job."""

    cpu_seconds: float
    """Rounded up to whole seconds, which is what the kernel counts."""

    wall_seconds: float
    waiting_seconds: float | None = None
    """Wall time beyond SHARED_BY times the processor time used: one that computes may share its processor."""

    memory_bytes: int = 2**30
    file_bytes: int = 4 * 2**20
    """The largest file, and so the longest output."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a job ended. It tells nothing of what the job achieved: the job chooses its exit code."""

    exit_code: int
    """Negative for the signal that killed it."""

    cpu_seconds: float
    was_stopped: bool
    """It had not ended when its wall seconds were over or `stop` was called."""

    is_out_of_time: bool
    """Its wall or waiting seconds were over."""

    is_littered: bool
    """It made more files and folders than the scratch folder may hold."""


class Sandbox:
    """One sandbox of the given kind; one job at a time. Raises SandboxError where that kind is not to be had.

    `modules` are imported inside before the first job; those of this project have to be named with all
    that they import of it, since nothing else of it is visible there.
    """

    def __init__(self, kind: SandboxKind, modules: Sequence[str] = ()) -> None:
        if not is_machine_known():
            raise SandboxError(
                "The sandbox knows no system calls of this machine.",
                "Linux on x86_64 or aarch64",
                "Run programs on such a machine, or leave out the problems whose verifier is code.",
            )
        self.kind: SandboxKind = kind
        self._scratch = Path(tempfile.mkdtemp(prefix="burnish-sandbox-")) if kind == "limited" else _SCRATCH
        self._is_busy = False
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 (our own module and names)
                self._command(theirs.fileno(), modules),
                cwd="/",
                env=_ENVIRONMENT | {"PYTHONPATH": str(_INSIDE if kind == "bubblewrap" else _PROJECT)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        self._require_ready()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self, entry: str, files: Sequence[int], limits: Limits) -> None:
        """Call `entry`, `module:function` of one of the modules, in a fresh process.

        `files` are open files of this process; the function gets theirs as descriptors, in the same order.
        """
        if self._is_busy or len(files) > MAX_FILES:
            raise ValueError("one job at a time, with few files")
        job = json.dumps({"entry": entry, **asdict(limits)}).encode()
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", files))]
        self._control.sendmsg([job], ancillary)
        self._control.settimeout(limits.wall_seconds + _GRACE_SECONDS)
        self._is_busy = True

    def wait(self) -> Ended:
        """Until the job has ended by itself or by its limits."""
        answer = self._answer()
        self._is_busy = False
        return Ended(**answer)

    def stop(self) -> Ended:
        """End the job, unless it ends by itself at once, as one does that has just lost whom it served."""
        self._control.send(b"stop")
        return self.wait()

    def close(self) -> None:
        """Everything inside ends with the connection."""
        self._control.close()
        self._process.kill()
        self._process.wait()
        if self.kind == "limited":
            shutil.rmtree(self._scratch, ignore_errors=True)

    def _answer(self) -> dict[str, Any]:
        answer: dict[str, Any]
        try:
            answer = json.loads(self._control.recv(MAX_MESSAGE_BYTES) or b'{"failed": "it ended"}')
        except TimeoutError:
            answer = {"failed": "it does not answer"}
        except OSError as error:
            answer = {"failed": str(error)}
        if "failed" in answer:
            self.close()
            raise SandboxError(
                f"The sandbox of kind {self.kind} failed: {answer['failed']}.",
                "a system where it starts and stays alive",
                _ADVICE,
            )
        return answer

    def _require_ready(self) -> None:
        self._control.settimeout(_START_SECONDS)
        self._answer()

    def _command(self, descriptor: int, modules: Sequence[str]) -> list[str]:
        interpreter = str(Path(sys.executable).resolve())
        arguments = [self.kind, str(descriptor), str(self._scratch), *modules]
        command = [interpreter, "-S", "-s", "-P", "-m", "stages.sandbox_entry", *arguments]
        return [*_bubblewrap(modules), *command] if self.kind == "bubblewrap" else command


_ADVICE = (
    "Install bubblewrap (the package of that name), or allow user namespaces "
    "(`unshare -rn true` should succeed). If programs may run with resource limits only, "
    "on a machine that holds nothing of value, say `sandbox: limited`."
)


@cache
def strongest() -> SandboxKind:
    """The strongest kind that starts here. Starting is the only honest test: kernels and containers differ."""
    kinds: tuple[SandboxKind, ...] = ("bubblewrap", "namespaces")
    for kind in kinds:
        if kind == "bubblewrap" and shutil.which("bwrap") is None:
            continue
        try:
            Sandbox(kind).close()
        except SandboxError:
            continue
        return kind
    return "limited"


def require_strong() -> SandboxKind:
    """The strongest kind, which must be one that contains the file system and the network."""
    kind = strongest()
    if kind == "limited":
        raise SandboxError(
            "This system has neither bubblewrap nor user namespaces, so a model's programs could not be contained.",
            "one of the two",
            _ADVICE,
        )
    return kind


def _bubblewrap(modules: Sequence[str]) -> list[str]:
    """bwrap(1) with the view that `enter_namespaces` builds, and the project's few files that run inside."""
    wrapper = shutil.which("bwrap")
    if wrapper is None:
        raise SandboxError("bubblewrap is not installed.", "the program bwrap on PATH", _ADVICE)
    options = [wrapper, "--unshare-all", "--die-with-parent", "--cap-drop", "ALL"]
    for path in visible_paths():
        options += _shown(path)
    for module in ("stages.sandbox_entry", "stages.sandbox_filter", "stages.sandbox_walls", *modules):
        path = Path(*module.split(".")).with_suffix(".py")
        if (_PROJECT / path).exists():
            options += ["--ro-bind", str(_PROJECT / path), str(_INSIDE / path)]
    # Its root is a file system in memory: writable, and without a limit, unless that is said of it last.
    scratch = ["--size", str(SCRATCH_BYTES), "--tmpfs", str(_SCRATCH)]
    return [*options, *scratch, "--remount-ro", "/", "--chdir", "/", "--"]


def _shown(path: Path) -> list[str]:
    if path.is_symlink():
        return ["--symlink", str(path.readlink()), str(path)]
    return ["--dev-bind" if path.is_char_device() else "--ro-bind", str(path), str(path)]
