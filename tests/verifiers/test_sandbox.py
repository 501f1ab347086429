"""Each kind of sandbox from the inside: what a program sees, what it cannot do, what it leaves behind."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from data_contracts.errors import SandboxError
from stages import sandbox
from stages.sandbox import Ended, Limits, Sandbox, SandboxKind, require_strong, strongest

MODULES = tuple(f"stages.verifiers.code_{name}" for name in ("values", "prose", "source", "program"))
PROJECT = Path(__file__).parents[2]


@pytest.fixture(scope="module", params=["bubblewrap", "namespaces", "limited"])
def box(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    kind: SandboxKind = request.param
    if kind == "bubblewrap" and shutil.which("bwrap") is None:
        pytest.skip("bwrap is not on PATH")
    os.environ["A_SECRET"] = "token"
    try:
        made = Sandbox(kind, MODULES)
    except SandboxError as error:
        pytest.skip(f"this system has no sandbox of kind {kind}: {error.found}")
    finally:
        del os.environ["A_SECRET"]
    with made:
        yield made


def payload_of(source: str) -> dict[str, object]:
    return {"blocks": [source], "prompt": "", "names": [], "is_among_words": False}


def run(box: Sandbox, source: str, limits: Limits | None = None) -> tuple[str, Ended]:
    """What a script printed and how it ended."""
    payload, stdin, stdout = (os.memfd_create(name) for name in ("payload", "stdin", "stdout"))
    os.write(payload, json.dumps(payload_of(source)).encode())
    os.lseek(payload, 0, os.SEEK_SET)
    box.start("stages.verifiers.code_program:run_script", [payload, stdin, stdout], limits or Limits(2, 10))
    ended = box.wait()
    printed = os.pread(stdout, 8 * 2**20, 0).decode()
    for descriptor in (payload, stdin, stdout):
        os.close(descriptor)
    return printed.strip(), ended


def test_the_callers_environment_does_not_reach_a_program(box: Sandbox) -> None:
    assert run(box, "import os; print(sorted(os.environ))")[0] == "['HOME']"


@pytest.mark.parametrize(
    "path", [str(PROJECT / "tests"), str(Path.home()), "/etc", "/home", "/root", "/proc/self", "/var"]
)
def test_files_outside_the_interpreter_cannot_be_listed(box: Sandbox, path: str) -> None:
    if Path(sys.base_prefix).resolve().is_relative_to(path) and box.kind != "limited":
        return  # the way to the interpreter is visible there, and nothing beside it
    source = f"import os\ntry: print(os.listdir({path!r}))\nexcept OSError: print('hidden')"
    printed, _ = run(box, source)
    assert printed in ("hidden", "[]", "['ld.so.cache']"), printed


def test_a_program_has_its_own_descriptors_only(box: Sandbox) -> None:
    source = (
        "import os\nopen_ones = []\nfor n in range(64):\n    try: os.fstat(n); open_ones.append(n)\n"
        "    except OSError: pass\nprint(open_ones)"
    )
    assert run(box, source)[0] == "[0, 1, 2]"


@pytest.mark.parametrize(
    "litter",
    [
        "open('a', 'w').write('x')",
        "import os; os.makedirs('/'.join('d' * 50)); open('.1', 'w')",
        "import os; os.mkdir('a', 0); os.mkdir('b', 0)",
        "import os\nfor _ in range(300):\n    os.mkdir('deep' * 30); open('f', 'w'); os.chdir('deep' * 30)",
        "import os; os.mkdir(b'\\xff\\n'); open(b'\\xff\\n/\\xfe', 'w')",
        "import os; os.symlink('/', 'root'); os.symlink('nowhere', 'dangling')",
        "import os; os.umask(0o777); os.makedirs('a'); open('b', 'w')",
        "import os; os.mkfifo('pipe')",
        "for n in range(1500): open(str(n), 'w')",
        "with open('full', 'wb') as file:\n    while True: file.write(bytes(2**20))",
    ],
)
def test_the_next_program_finds_an_empty_scratch_folder(box: Sandbox, litter: str) -> None:
    run(box, litter)
    assert run(box, "import os; print(os.listdir('.'), os.getcwd() == os.environ['HOME'])")[0] == "[] True"


def test_nothing_can_be_made_outside_the_scratch_folder(box: Sandbox) -> None:
    source = (
        "import os\nfolders, made = ['/'], []\nfor _ in range(2):\n    for folder in list(folders):\n"
        "        try: folders += [os.path.join(folder, name) for name in os.listdir(folder)]\n"
        "        except OSError: pass\n"
        "for folder in [*folders, '/burnish', '/burnish/stages', '/etc', '/dev/shm', '/var/tmp', '/home', '/run']:\n"
        "    if os.path.realpath(folder) == os.getcwd(): continue\n"
        "    for make in (os.mkdir, lambda name: os.symlink('/', name), lambda name: open(name, 'w')):\n"
        "        try: make(os.path.join(folder, 'made')); made.append(folder)\n"
        "        except OSError: pass\nprint(made)"
    )
    assert run(box, source)[0] == "[]"


@pytest.mark.parametrize(
    "change",
    [
        "import builtins; builtins.print = None",
        "import json; json.marker = 1",
        "import sys; sys.path.append('marker'); sys.marker = 1",
        "import os; os.environ['marker'] = '1'",
        "import random; random.seed(99)",
        "import stages.verifiers.code_program as p; p._compiled = None",
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); os_marker = 1",
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (5, 5))",
        "import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()",
        "import os; os.umask(0)",
    ],
)
def test_nothing_of_a_program_reaches_the_next(box: Sandbox, change: str) -> None:
    look = (
        "import json, sys, os, random, signal, resource, threading\n"
        "print(hasattr(json, 'marker'), hasattr(sys, 'marker'), os.environ.get('marker'), random.random(), "
        "signal.getsignal(15), resource.getrlimit(resource.RLIMIT_NOFILE), threading.active_count(), os.umask(7))"
    )
    before, _ = run(box, look)
    run(box, change)
    assert run(box, look)[0] == before != ""


@pytest.mark.parametrize(
    "litter",
    [
        "import os\nwhile True: os.mkdir('d'); os.chdir('d')",
        "k = 0\nwhile True: open(str(k), 'w').close(); k += 1",
        "import os\nos.mkdir('a'); k = 0\n"
        "while True: os.mkdir(f'a/{k}'); os.rename('a', 'c'); os.rename('c', 'a'); k += 1",
        "import os\nk = 0\nwhile True: os.mkdir(f'd{k}', 0o300); os.mkdir(f'd{k}/e', 0o300); os.chdir(f'd{k}'); k += 1",
        "import os\nk = 0\nwhile True: os.symlink('/', str(k)); k += 1",
    ],
)
def test_a_program_that_makes_files_without_end_is_ended_soon(box: Sandbox, litter: str) -> None:
    began = time.monotonic()
    _, ended = run(box, litter, Limits(5, 17))
    assert ended.exit_code != 0 and ended.is_littered == ended.was_stopped
    assert ended.is_littered or box.kind == "namespaces", "there the kernel counts them"
    assert run(box, "import os; print(os.listdir('.'))")[0] == "[]"
    assert time.monotonic() - began < 15


@pytest.mark.parametrize(
    "lock",
    [
        "fcntl.fcntl(file, 1024, fcntl.F_WRLCK)",
        "fcntl.fcntl(file, 1024, fcntl.F_RDLCK)",
        "fcntl.fcntl(file, 1026, 1)",
        "fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)",
        "fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)",
        "fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)",
        "fcntl.fcntl(file, 37, struct.pack('hhqqi4x', fcntl.F_RDLCK, 0, 0, 0, 0))",
        "fcntl.fcntl(file, fcntl.F_SETOWN, os.getpid())",
        "fcntl.ioctl(file, 0x40086602, struct.pack('l', 0x40))",
        "fcntl.ioctl(file, 0x5412, b'x')",
    ],
)
def test_no_file_can_be_locked_leased_or_marked(box: Sandbox, lock: str) -> None:
    source = (
        "import fcntl, os, struct\nfile = os.open(os.__file__, os.O_RDONLY)\n"
        f"try: print({lock})\nexcept PermissionError: print('refused')"
    )
    assert run(box, source)[0] == "refused"


def test_descriptors_can_still_be_copied_and_asked(box: Sandbox) -> None:
    source = (
        "import fcntl, os\na, b = os.pipe()\nos.set_blocking(a, False)\nos.set_inheritable(b, True)\n"
        "print(fcntl.fcntl(a, fcntl.F_DUPFD_CLOEXEC, 20), os.isatty(1), os.get_blocking(a))"
    )
    assert run(box, source)[0] == "20 False False"


def test_system_calls_newer_than_the_list_do_not_exist(box: Sandbox) -> None:
    source = (
        "import ctypes, errno\nlibc = ctypes.CDLL(None, use_errno=True)\nfound = set()\n"
        "for number in range(457, 700):\n    libc.syscall(number, 0, 0, 0, 0, 0)\n"
        "    found.add(errno.errorcode[ctypes.get_errno()])\nprint(found)"
    )
    assert run(box, source)[0] == "{'ENOSYS'}"


def test_processor_time_is_limited_by_the_kernel(box: Sandbox) -> None:
    _, ended = run(box, "while True: pass", Limits(1, 20))
    assert ended.exit_code == -9 and not ended.was_stopped
    assert 0.5 < ended.cpu_seconds < 2  # accounted more coarsely than the limit


def test_waiting_is_limited_too(box: Sandbox) -> None:
    _, ended = run(box, "import signal; signal.pause()", Limits(1, 0.2))
    assert ended.exit_code == -9 and ended.is_out_of_time


def test_a_job_that_computes_may_take_longer_than_one_that_waits(box: Sandbox) -> None:
    """Such as one whose processor others want too; 0.6 s of work are worth 2.4 s of waiting."""
    limits = Limits(5, 30, waiting_seconds=0.5)
    work = "import time\nwhile time.process_time() < 0.6: pass\nprint('done')"
    assert run(box, work, limits)[0] == "done"
    printed, ended = run(box, "import time; time.sleep(20); print('done')", limits)
    assert printed == "" and ended.is_out_of_time and ended.exit_code == -9


def test_memory_is_limited(box: Sandbox) -> None:
    source = "try: x = bytearray(2**29)\nexcept MemoryError: print('refused')"
    assert run(box, source, Limits(2, 10, memory_bytes=2**28))[0] == "refused"
    assert run(box, source)[0] == ""


def test_output_is_limited(box: Sandbox) -> None:
    printed, _ = run(box, "while True: print('x' * 1000)", Limits(2, 10, file_bytes=50_000))
    assert 40_000 < len(printed) <= 50_000


def test_a_job_can_be_stopped(box: Sandbox) -> None:
    reading, writing = os.pipe()
    payload = os.memfd_create("payload")
    os.write(payload, json.dumps(payload_of("import time; print('x', flush=True); time.sleep(99)")).encode())
    os.lseek(payload, 0, os.SEEK_SET)
    stdin = os.memfd_create("stdin")
    box.start("stages.verifiers.code_program:run_script", [payload, stdin, writing], Limits(5, 60))
    assert os.read(reading, 1) == b"x"
    ended = box.stop()
    assert ended.exit_code == -9 and not ended.is_out_of_time
    for descriptor in (payload, stdin, reading, writing):
        os.close(descriptor)
    assert run(box, "print('again')")[0] == "again"


def test_a_job_that_ends_while_it_is_stopped_is_said_to_have_ended(box: Sandbox) -> None:
    """Whoever learns of an end by a closed file must not be faster than the sandbox."""
    for _ in range(20):
        payload = os.memfd_create("payload")
        os.write(payload, json.dumps(payload_of("raise SystemExit(7)")).encode())
        os.lseek(payload, 0, os.SEEK_SET)
        reading, writing = os.pipe()
        box.start("stages.verifiers.code_program:run_script", [payload, payload, writing], Limits(2, 20))
        os.close(writing)
        assert os.read(reading, 1) == b""
        ended = box.stop()
        assert (ended.exit_code, ended.was_stopped) == (7, False)
        os.close(payload)
        os.close(reading)


def test_everything_ends_with_the_process_that_started_it(box: Sandbox, tmp_path: Path) -> None:
    code = f"""
import json, os, sys
from stages.sandbox import Limits, Sandbox
from tests.verifiers.test_sandbox import MODULES, payload_of
box = Sandbox({box.kind!r}, MODULES)
payload = os.memfd_create("payload")
os.write(payload, json.dumps(payload_of("print(1, flush=True); import time; time.sleep(1000)")).encode())
os.lseek(payload, 0, os.SEEK_SET)
box.start("stages.verifiers.code_program:run_script", [payload, os.memfd_create("in"), 1], Limits(5, 900))
sys.stdin.read()
"""
    child = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=PROJECT,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert child.stdout is not None
    assert child.stdout.read(1) == b"1"
    child.kill()
    assert child.stdout.read() == b"\n", (
        "the end of the file comes when the last process that holds it has gone"
    )
    child.wait()
    assert child.stdin is not None
    child.stdin.close()


def test_a_sandbox_that_is_not_to_be_had_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SandboxError) as caught:
        Sandbox("bubblewrap")
    assert "bwrap" in str(caught.value) and "sandbox: limited" in caught.value.do


def test_a_weak_sandbox_is_never_taken_silently(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "strongest", lambda: "limited")
    with pytest.raises(SandboxError) as caught:
        require_strong()
    assert caught.value.expected and "sandbox: limited" in caught.value.do


def test_the_strongest_kind_is_one_that_starts() -> None:
    Sandbox(strongest()).close()
