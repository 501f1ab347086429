"""What a process of the sandbox can see and touch: an interpreter, read-only, and one scratch folder.

`enter_namespaces` builds that view from nothing with mounts in namespaces of its own (see namespaces(7) and
pivot_root(2)); there is no /proc, no home directory, no network. `allow_files_below` is what an ordinary process
can do to itself: Landlock (landlock(7), Linux 5.19) hides and protects the rest of the file system.
"""

import ctypes
import errno
import os
import platform
import secrets
import signal
import struct
import sys
from collections.abc import Sequence
from pathlib import Path

SCRATCH_BYTES = 16 * 2**20
SCRATCH_FILES = 2_000
_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache")
_DEVICES = ("/dev/null", "/dev/urandom", "/dev/random", "/dev/zero")

_NEW = 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000
"""CLONE_NEWNS, CGROUP, UTS, IPC, USER, PID, NET."""

_MS_NOSUID, _MS_NODEV, _MS_BIND, _MS_REC, _MS_PRIVATE = 2, 4, 4096, 16384, 1 << 18
_MNT_DETACH = 2
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000
_ATTRIBUTES = struct.pack("=QQQQ", 1 | 2, 0, 0, 0)  # MOUNT_ATTR_RDONLY | NOSUID
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_MOUNT_SETATTR = 442
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE = 1, 4
_CAPABILITY_VERSION = 0x20080522

_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_WRITE_FILE, _READ_FILE, _READ_FOLDER = 1 << 1, 1 << 2, 1 << 3
_RIGHTS, _RIGHTS_TO_VERSION_2 = (1 << 15) - 1, (1 << 14) - 1  # then came truncation

_libc = ctypes.CDLL(None, use_errno=True)


def visible_paths() -> list[Path]:
    """The interpreter's own prefix and the libraries it loads. A system's prefix, /usr, holds those already."""
    paths = [Path(name) for name in (*_LIBRARIES, *_DEVICES)]
    prefix = Path(sys.base_prefix).resolve()
    return [prefix, *(path for path in paths if path.exists() and not path.is_relative_to(prefix))]


def enter_namespaces(visible: Sequence[Path], scratch: Path) -> None:
    """Return in a child that is process 1 of a world of its own; its parent waits for it and never returns.

    `visible` is there read-only under the same paths, `scratch` is empty and in memory. Raises OSError where
    the system refuses namespaces.
    """
    user, group = os.geteuid(), os.getegid()
    _checked(_libc.unshare(_NEW), "unshare")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    child = os.fork()
    if child:
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) % 256)
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    _build(visible, scratch)


def _build(visible: Sequence[Path], scratch: Path) -> None:
    """On /proc, because no interpreter's files can lie below it."""
    root = Path("/proc")
    _mount("none", Path("/"), flags=_MS_REC | _MS_PRIVATE)
    _mount("tmpfs", root, "tmpfs", _MS_NOSUID | _MS_NODEV, "size=1m,mode=755")
    for path in visible:
        inside = root / path.relative_to("/")
        inside.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink():
            inside.symlink_to(path.readlink())
            continue
        inside.mkdir(exist_ok=True) if path.is_dir() else inside.touch()
        _mount(str(path), inside, flags=_MS_BIND | _MS_REC)
    (root / scratch.relative_to("/")).mkdir(parents=True, exist_ok=True)
    _checked(
        _libc.syscall(_MOUNT_SETATTR, _AT_FDCWD, b"/proc", _AT_RECURSIVE, _ATTRIBUTES, len(_ATTRIBUTES)),
        "mount_setattr",
    )
    size = f"size={SCRATCH_BYTES},nr_inodes={SCRATCH_FILES},mode=700"
    _mount("tmpfs", root / scratch.relative_to("/"), "tmpfs", _MS_NOSUID | _MS_NODEV, size)
    os.chdir(root)
    _checked(_libc.syscall(_PIVOT_ROOT[platform.machine()], b".", b"."), "pivot_root")
    _checked(_libc.umount2(b".", _MNT_DETACH), "umount2")  # the old root lies on top: see pivot_root(2)
    os.chdir("/")


def give_up_privileges() -> None:
    """Have no capability left, and be invisible to debuggers and /proc readers of the same user."""
    header = struct.pack("=Ii", _CAPABILITY_VERSION, 0)
    _checked(_libc.capset(header, bytes(24)), "capset")
    _libc.prctl(_PR_SET_DUMPABLE, 0)


def allow_files_below(visible: Sequence[Path], scratch: Path) -> None:
    """Hide all other files from this process and its children, where the kernel has Landlock at all."""
    version = _libc.syscall(_LANDLOCK_CREATE, None, 0, 1)
    if version == 1:  # it forbids to move a file from one folder to another, even in the scratch folder
        return
    if version < 0:
        if ctypes.get_errno() in (errno.ENOSYS, errno.EOPNOTSUPP):
            return
        _checked(version, "landlock")
    rights = _RIGHTS_TO_VERSION_2 if version == 2 else _RIGHTS
    ruleset = _checked(_libc.syscall(_LANDLOCK_CREATE, struct.pack("=Q", rights), 8, 0), "landlock")
    for path in (*visible, scratch):
        allowed = _READ_FILE | (_READ_FOLDER if path.is_dir() else 0)
        allowed = rights if path == scratch else allowed | (_WRITE_FILE if path.is_char_device() else 0)
        target = os.open(path, os.O_PATH | os.O_CLOEXEC)
        _checked(_libc.syscall(_LANDLOCK_ADD, ruleset, 1, struct.pack("=Qi", allowed, target), 0), "landlock")
        os.close(target)
    _libc.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS, which Landlock asks for
    _checked(_libc.syscall(_LANDLOCK_RESTRICT, ruleset, 0), "landlock")
    os.close(ruleset)


def has_too_many_files(folder: Path) -> bool:
    """More than SCRATCH_FILES below it, or folders too deep or too closed to be counted.

    Safe while a program changes them: no symbolic link is followed, and what goes meanwhile is left out.
    """
    count = 0
    try:
        for _, folders, files, _ in os.fwalk(folder, onerror=_raise_unless_gone):
            count += len(folders) + len(files)
            if count > SCRATCH_FILES:
                return True
    except (OSError, RecursionError):
        return True
    return False


def _raise_unless_gone(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise error


def empty(folder: Path) -> None:
    """Remove all that is in `folder`, however deep: what folders hold moves up, under new names, before they go."""
    new_name, count = secrets.token_hex(), 0
    while entries := list(folder.iterdir()):
        for entry in entries:
            if entry.is_symlink() or not entry.is_dir():
                entry.unlink()
                continue
            entry.chmod(0o700)
            for inner in list(entry.iterdir()):
                count += 1
                inner.rename(folder / f"{new_name}.{count}")
            entry.rmdir()


def _mount(source: str, target: Path, kind: str = "", flags: int = 0, options: str = "") -> None:
    done = _libc.mount(
        source.encode(), bytes(target), kind.encode() or None, ctypes.c_ulong(flags), options.encode() or None
    )
    _checked(done, f"mount {target}")


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result
