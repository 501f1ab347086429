"""Leases on accelerators, machine-wide: whatever the home and the user, one GPU trains one stage at a time.

Leases are OS locks in a folder that all users of the machine share, `/tmp/burnish-leases`, so the kernel frees
them when their holder dies. Nothing there needs root: the folder is sticky and writable by everybody, like /tmp
itself. So one user can keep the others waiting, by holding a lock for ever or, as the folder's maker, by
removing its files; no user can read or change another's data by it. `BURNISH_LEASES` names another folder,
which containers that share a machine's accelerators need: each has a /tmp of its own.

Requests are served in the order they came, whatever their size. A small one never overtakes a large one that
waits for more accelerators to become free, so none starves; the price is that some may idle until it begins.
"""

import contextlib
import fcntl
import os
import tempfile
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_contracts.errors import StageError
from infra.holders import Holder, read_sign, sign, try_lock, wait_for

_SHARED_FOLDER = Path("/tmp/burnish-leases")  # noqa: S108 - see above
"""Not `tempfile.gettempdir()`, which is each user's to set."""

_EVERYBODY = 0o666
"""Locks are empty files that every user opens; signs are written by one."""

_ALONE_SECONDS = 1.0
"""Before a wait for a process that was stopped at the worst moment counts as one, and may be given up."""

_SIGN, _PLACE = ".holder", ".place"


@dataclass(frozen=True, slots=True)
class Lease:
    """Accelerators that are ours."""

    indices: tuple[int, ...] = ()
    locks: tuple[int, ...] = ()
    """File descriptors. A process that they are handed to holds the accelerators as well, until it ends."""


def leases_dir(environment: Mapping[str, str]) -> Path:
    """The folder every home and user of this machine shares."""
    return Path(environment.get("BURNISH_LEASES") or _SHARED_FOLDER)


@contextlib.contextmanager
def lease_accelerators(
    count: int,
    available: int,
    *,
    holder: Holder,
    on_wait: Callable[[str], None],
    should_stop: Callable[[], bool],
    directory: Path,
) -> Generator[Lease]:
    """Hold `count` of `available` accelerators. `count` 0 holds nothing, and makes no folder.

    All are taken or none, so two waiting stages cannot hold half each. `on_wait` is told who holds them and who
    comes before, at once and then every minute. Raises StageError when there are fewer than `count` or the folder
    cannot be used, Interrupted when `should_stop` becomes true.
    """
    if count > available:
        raise StageError(
            f"run.accelerators = {count}, but this machine has {available}.",
            f"at most {available}",
            "Use --set run.accelerators=0 to train on the CPU.",
        )
    if count == 0:
        yield Lease()
        return
    with _opened(directory) as folder, contextlib.ExitStack() as held, contextlib.ExitStack() as waiting:
        line = _Line(folder, directory, holder, available)
        place = wait_for(
            lambda: line.join(waiting),
            on_wait=lambda: on_wait(line.describe()),
            should_stop=should_stop,
            what=f"an accelerator ({holder.what})",
        )
        lease = wait_for(
            lambda: line.take(place, count, held),
            on_wait=lambda: on_wait(line.describe(place)),
            should_stop=should_stop,
            what=f"an accelerator ({holder.what})",
        )
        waiting.close()
        yield lease


class _Line:
    """Those who wait in a folder, in the order they came: each has a sign named by the time of that.

    One process at a time joins it or takes from its head.
    """

    def __init__(self, folder: int, path: Path, holder: Holder, available: int) -> None:
        self._folder, self._path, self._holder, self._available = folder, path, holder, available

    def join(self, waiting: contextlib.ExitStack) -> str | None:
        """Stand last in line while `waiting` lasts; the name of our place."""
        with self._alone() as is_alone:
            if not is_alone:
                return None
            place = f"{time.monotonic_ns():020}.{os.getpid()}{_PLACE}"  # one clock for all processes
            waiting.enter_context(sign(place, self._holder, self._folder))
            return place

    def take(self, place: str, count: int, held: contextlib.ExitStack) -> Lease | None:
        """`count` accelerators while `held` lasts, if nobody comes before us and so many are free."""
        with self._alone() as is_alone, contextlib.ExitStack() as taken:
            if not is_alone or self._first() != place:
                return None
            locks: dict[int, int] = {}
            for index in range(self._available):
                lock = try_lock(f"accelerator-{index}.lock", self._folder, _EVERYBODY)
                if lock is not None:
                    taken.callback(os.close, lock)
                    locks[index] = lock
                if len(locks) == count:
                    self._sign(locks, taken)
                    held.enter_context(taken.pop_all())
                    return Lease(tuple(locks), tuple(locks.values()))
            return None

    def describe(self, place: str = "") -> str:
        """`accelerator 0 is held by …`, and who comes before `place`."""
        names = sorted(self._names())
        held: dict[str, list[int]] = {}
        for index in range(self._available):
            for name in names:
                is_of_it = name.startswith(f"accelerator-{index}.") and name.endswith(_SIGN)
                if is_of_it and (who := read_sign(name, self._folder)) is not None:
                    held.setdefault(who, []).append(index)
        told = [f"{_accelerators(indices)} held by {who}" for who, indices in held.items()]
        before = [read_sign(name, self._folder) for name in names if name.endswith(_PLACE) and name < place]
        told += [f"before it comes {who}" for who in before if who is not None]
        return "; ".join(told) or "it is held by a process that is just beginning or ending"

    def _sign(self, indices: Iterable[int], taken: contextlib.ExitStack) -> None:
        since_now = self._holder.model_copy(update={"since": time.time()})
        for index in indices:
            # One a user: in a sticky folder none may remove what another left.
            name = f"accelerator-{index}.{os.getuid()}{_SIGN}"
            taken.enter_context(sign(name, since_now, self._folder))

    def _names(self) -> list[str]:
        return os.listdir(self._folder)  # noqa: PTH208 - by a descriptor: no link can come in between

    def _first(self) -> str:
        """The first in line, once the places of the dead are cleared away."""
        for name in sorted(name for name in self._names() if name.endswith(_PLACE)):
            if read_sign(name, self._folder) is not None:
                return name
            with contextlib.suppress(FileNotFoundError, PermissionError):  # left for good just now; another's
                os.unlink(name, dir_fd=self._folder)
        return ""

    @contextlib.contextmanager
    def _alone(self) -> Generator[bool]:
        """Whether nobody else is in here; nobody can be while this lasts. Others take milliseconds at most."""
        until = time.monotonic() + _ALONE_SECONDS
        with _explained(self._path):
            while (
                lock := try_lock("line.lock", self._folder, _EVERYBODY)
            ) is None and time.monotonic() < until:
                time.sleep(0.001)
            try:
                yield lock is not None
            finally:
                if lock is not None:
                    os.close(lock)


@contextlib.contextmanager
def _opened(path: Path) -> Generator[int]:
    """The folder, made if need be. A link in its place is refused: what we write stays in it."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
    with _explained(path):
        try:
            folder = os.open(path, flags)
        except FileNotFoundError:
            _make_folder(path)
            folder = os.open(path, flags)
    try:
        with contextlib.suppress(BlockingIOError):
            # systemd removes old files below /tmp, held locks too, but none in a locked folder (tmpfiles.d(5)).
            fcntl.flock(folder, fcntl.LOCK_SH | fcntl.LOCK_NB)
        yield folder
    finally:
        os.close(folder)


def _make_folder(path: Path) -> None:
    """For everybody from its first instant, whatever the umask and whoever makes it at the same time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    made.chmod(0o1777)
    try:
        made.rename(path)
    except OSError:  # somebody else's is there, and in use
        made.rmdir()


@contextlib.contextmanager
def _explained(path: Path) -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise StageError(
            f"Accelerators cannot be leased in {path}: {error.strerror}"
            + (f" ({error.filename})." if error.filename else "."),
            "a folder, not a link, in which every user may make files",
            "Remove it, or have BURNISH_LEASES name another one for all who share this machine.",
        ) from error


def _accelerators(indices: Sequence[int]) -> str:
    if len(indices) == 1:
        return f"accelerator {indices[0]} is"
    return f"accelerators {', '.join(map(str, indices))} are"
