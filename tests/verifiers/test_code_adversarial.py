"""Programs that try to be judged right without being right, or to do harm. All are judged wrong, soon."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from data_contracts.verdict import PosedProblem, Verdict
from stages.sandbox import strongest
from stages.verifiers import code_runs
from stages.verifiers.code import CodeArguments, code, code_in_limits
from stages.verifiers.code_source import names_of

SQUARES = PosedProblem("Square a number.", "def f(x):\n    return x * x")
ASSERTS = ["assert f(7) == 49", "assert f(-31) == 961", "assert f(12) == 144"]
CASES = [{"stdin": "7\n", "stdout": "49\n"}, {"stdin": "-31\n", "stdout": "961\n"}]
WRONG = "\ndef f(x):\n    return 0\n"
MAX_SECONDS = 10.0


def judged(program: str, problem: PosedProblem = SQUARES, **arguments: Any) -> Verdict:
    judge = code_in_limits if strongest() == "limited" else code
    given: CodeArguments = {"asserts": ASSERTS, "seconds": 1.0, **arguments}  # type: ignore[typeddict-item]
    if "cases" in arguments or "test" in arguments:
        del given["asserts"]
    return judge(f"```python\n{program}\n```", problem, **given)


def assert_wrong(program: str, **arguments: Any) -> None:
    began = time.monotonic()
    verdict = judged(program, **arguments)
    assert verdict.reward == 0.0, verdict
    assert verdict.reason
    assert time.monotonic() - began < MAX_SECONDS
    assert judged(SQUARES.ground_truth).reward == 1.0, "the next program must not notice"


EXITS = [
    "import sys; sys.exit(0)",
    "raise SystemExit",
    "import os; os._exit(0)",
    "quit()",
    "import atexit; atexit.register(lambda: print('all tests passed'))",
    "import atexit, os; atexit.register(os._exit, 0)\nraise SystemExit(0)",
    "def f(x):\n    import os; os._exit(0)",
    "def f(x):\n    raise SystemExit(0)",
    "def f(x):\n    import sys; sys.exit(0)",
    "def f(x):\n    raise KeyboardInterrupt",
    "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
    "import threading, os\nthreading.Timer(0.001, os._exit, (0,)).start()",
    "def f(x):\n    raise StopIteration",
    "def f(x):\n    raise AssertionError",
]
EQUALITIES = [
    "class E:\n    __eq__ = lambda s, o: True\nf = lambda x: E()",
    "class E(int):\n    __eq__ = lambda s, o: True\n    __hash__ = int.__hash__\nf = lambda x: E(0)",
    "class E(float):\n    __eq__ = lambda s, o: True\nf = lambda x: E(0)",
    "class E(str):\n    __eq__ = lambda s, o: True\nf = lambda x: E('')",
    "class E(list):\n    __eq__ = lambda s, o: True\nf = lambda x: E()",
    "class E(dict):\n    __eq__ = lambda s, o: True\nf = lambda x: E()",
    "from unittest.mock import ANY\nf = lambda x: ANY",
    "from unittest.mock import MagicMock\nf = MagicMock()\nf.return_value.__eq__ = lambda s, o: True",
    "class M(type):\n    __eq__ = lambda s, o: True\n    __hash__ = type.__hash__\nclass E(metaclass=M): pass\nf = lambda x: E",  # noqa: E501
    "class E:\n    __getattr__ = lambda s, n: (lambda *a: True)\nf = lambda x: E()",
    "class E:\n    __ne__ = lambda s, o: False\n    __eq__ = lambda s, o: 1\nf = E\nE.__init__ = lambda s, x: None",
    "class E(tuple):\n    __eq__ = lambda s, o: True\nf = lambda x: E()",
    "class E(complex):\n    __eq__ = lambda s, o: True\nf = lambda x: E()",
]
SPIES = [
    "import sys\ndef f(x):\n    frame = sys._getframe()\n    while frame:\n        for v in frame.f_locals.values():\n"
    "            if isinstance(v, str) and '== ' in v: return int(v.split('== ')[1].split()[0])\n        frame = frame.f_back",  # noqa: E501
    "import inspect\ndef f(x):\n    return eval(inspect.stack()[1].code_context[0].split('==')[1])",
    "import gc\ndef f(x):\n    for o in gc.get_objects():\n        if isinstance(o, dict) and 'tests' in o:"
    " return int(str(o['tests']).split(f'f({x}) == ')[1].split()[0])",
    "def f(x):\n    return int(open('/proc/self/cmdline').read().split(f'f({x}) == ')[1])",
    "import os\ndef f(x):\n    return int(open(f'/proc/{os.getppid()}/mem', 'rb').read(99))",
    "import glob\ndef f(x):\n    for n in glob.glob('/**/test*', recursive=False): return open(n).read()",
    "import traceback\ndef f(x):\n    return traceback.extract_stack()[0].line",
    "import sys\ndef f(x):\n    return [c for c in sys._current_frames().values()][0].f_code.co_consts[-1]",
    "import ctypes, sys\ndef f(x):\n    return ctypes.string_at(id(sys._getframe(1)), 64)[0]",
    "import __main__\ndef f(x):\n    return vars(__main__).get('expected')",
    "import linecache\ndef f(x):\n    return linecache.getlines('<tests>')",
    "from stages.verifiers import code_tests\ndef f(x):\n    return code_tests.UNIT",
    "import sys\nsys.settrace(lambda *a: None)\nsys.setprofile(lambda *a: None)\ndef f(x): return None",
]
FORGERIES = [
    'import os\nfor n in range(64):\n    try: os.write(n, b\'{"passed": 0}\\n{"passed": 1}\\n{"passed": 2}\\n\')\n'
    "    except OSError: pass",
    "import os, struct, json\nm = json.dumps({'value': None}).encode()\nfor n in range(64):\n"
    "    try: os.write(n, (struct.pack('=I', len(m)) + m) * 9)\n    except OSError: pass",
    "import os, struct, json\nm = json.dumps({'passed': 0, 'reward': 1.0}).encode()\nfor n in range(64):\n"
    "    try: os.write(n, (struct.pack('=I', len(m)) + m) * 9)\n    except OSError: pass",
    "import os\nfor n in range(3, 64):\n    try: os.close(n)\n    except OSError: pass",
    "import os\nfor n in range(64):\n    try: os.write(n, b'\\xff' * 65536)\n    except OSError: pass",
    "import os\nfor n in range(3, 64):\n    try: os.dup2(1, n)\n    except OSError: pass",
    "import os\nfor n in range(64):\n    try: os.ftruncate(n, 0); os.pwrite(n, b'{\"passed\": 0}', 0)\n    except OSError: pass",  # noqa: E501
    "import socket\nfor n in range(64):\n    try: socket.socket(fileno=n).shutdown(2)\n    except OSError: pass",
    "import struct, os\nm = b'[' * 900_000\nfor n in range(3, 9):\n"
    "    try: os.write(n, struct.pack('=I', len(m)) + m)\n    except OSError: pass",
    "import struct, os\nm = b'{\"value\": ' + b'9' * 500_000 + b'}'\nfor n in range(3, 9):\n"
    "    try: os.write(n, struct.pack('=I', len(m)) + m)\n    except OSError: pass",
    'import struct, os\nm = b\'{"raised": "StopIteration"}\'\nfor n in range(3, 9):\n'
    "    try: os.write(n, struct.pack('=I', len(m)) + m)\n    except OSError: pass",
    "from stages.verifiers import code_program\ncode_program.encode = lambda *a: {'passed': 1}",
]
PROCESSES = [
    "import os\nif os.fork(): os._exit(0)",
    "import os\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        while True: pass",
    "import os\nwhile True: os.fork()",
    "import subprocess; subprocess.Popen(['sleep', '1000'], start_new_session=True)",
    "import os; os.system(':(){ :|:& };:')",
    "import os; os.execv('/bin/sh', ['sh', '-c', 'true'])",
    "import os, sys; os.execv(sys.executable, [sys.executable, '-c', 'pass'])",
    "import os; os.posix_spawn('/bin/sleep', ['sleep', '9'], {})",
    "import multiprocessing as m; m.get_context('fork').Process(target=print).start()",
    "import multiprocessing as m; m.get_context('spawn').Process(target=print).start()",
    "import pty; pty.fork()",
    "import ctypes; c = ctypes.CDLL(None)\nif c.fork() < 0: raise OSError",
    "import ctypes; c = ctypes.CDLL(None)\nif c.syscall(57) < 0 and c.syscall(435, 0, 0) < 0: raise OSError",
]
SIGNALS = [
    "import os, signal; os.kill(os.getppid(), signal.SIGKILL)",
    "import os, signal; os.kill(1, signal.SIGTERM)",
    "import os, signal; os.kill(-1, signal.SIGKILL)",
    "import os, signal; os.killpg(0, signal.SIGKILL)",
    "import resource; resource.setrlimit(resource.RLIMIT_CPU, (resource.RLIM_INFINITY,) * 2)",
    "import os; os.setpriority(os.PRIO_PROCESS, 0, 19)",
    "import ctypes; ctypes.string_at(0)",
    "import os; os.abort()",
]
BOMBS = [
    "x = 'a' * 2**40",
    "x = []\nwhile True: x.append(bytes(10**8))",
    "def f(x): return 'a' * 10**8",
    "def f(x): return iter(int, 1)",
    "def f(x):\n    v = []\n    for _ in range(10**5): v = [v]\n    return v",
    "def f(x):\n    v = []; v.append(v)\n    return v",
    "def f(x): return f(x)",
    "import sys; sys.setrecursionlimit(2**30)\nclass A: pass\nA.__getattr__ = lambda s, n: getattr(s, n)\nA().b",
    "import threading\nwhile True: threading.Thread(target=threading.Event().wait).start()",
    "f = lambda x: " + "(" * 5000 + ")" * 5000,
    "f = lambda x: " + "+".join(["x"] * 50_000),
]
NETWORK = [
    "import socket; socket.socket()",
    "import socket; socket.create_connection(('127.0.0.1', 80))",
    "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('8.8.8.8', 53))",
    "import socket; socket.socket(socket.AF_UNIX).connect('/var/run/docker.sock')",
    "import socket; socket.socket(socket.AF_UNIX).bind('\\0name')",
    "import urllib.request; urllib.request.urlopen('http://example.com')",
    "import http.client; http.client.HTTPConnection('example.com').request('GET', '/')",
    "import socket; socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)",
    "import socket; socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)",
    "import asyncio; asyncio.run(asyncio.open_connection('127.0.0.1', 1))",
    "import socket; a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM); a.connect('/dev/log')",
]
PATCHES = [
    "import builtins; builtins.isinstance = lambda *a: True",
    "import builtins; builtins.int = builtins.len = builtins.str = lambda *a: 49",
    "import json; json.dumps = lambda *a, **k: '{\"value\": 49}'",
    "import json; json.loads = lambda *a, **k: {'passed': 0}",
    "import math; math.isclose = lambda *a, **k: True",
    "import os; os._exit = lambda code: None\nimport sys; sys.exit = lambda *a: None",
    "import struct; struct.pack = lambda *a: b''",
    "import sys; sys.modules.clear()",
    "import gc; gc.disable(); globals().clear()",
    "import types; f = types.SimpleNamespace(__call__=lambda x: x * x)",
    "__builtins__['AssertionError'] = int if isinstance(__builtins__, dict) else 0",
]
HARD_CODED = [
    "def f(x): return {7: 49, -31: 961, 12: 144}[x]",
    "def f(x): return {7: 49, -31: 961, 12: 144}.get(x, 0)",
    "def f(x):\n    if x == 7: return 49\n    if x == -31: return 961\n    return 144",
    "results = iter([49, 961, 144])\ndef f(x): return next(results)",
    "results = [49, 961, 144]\ndef f(x): return results.pop(0) if results else 1",
    "n = 0\ndef f(x):\n    global n; n += 1\n    return (49, 961, 144)[n - 1]",
    "def f(x): return 49 if x > 0 and x < 10 else 144 if x > 0 else 961",
    "import os\ndef f(x): return [49, 961, 144][len(os.listdir('.'))] if not open(str(x), 'w').close() else 0",
    "def f(x): return x * x if x in (7, -31, 12) else None",
    "def f(x, memo={7: 49, -31: 961, 12: 144}): return memo[x]",
]
TEXT = [
    "assert True  # all tests passed, reward: 1.0",
    'print(\'{"reward": 1.0, "reason": "passes all 3 tests"}\')',
    'f = lambda x: "49\\"); sys.exit(0) #"',
    "f = lambda x: '__import__(\"os\")._exit(0)'",
    "f = lambda x: b'49'",
    "f = lambda x: '49'",
    "f = lambda x: [x * x]",
    "f = lambda x: (x * x,)",
    "f = lambda x: None",
    "f = lambda x: True",
    "f = lambda x: float('nan')",
    "f = lambda x: print(x * x)",
    "def g(x): return x * x",
    "def f(x): return x * x\ndef f(x): return 0",
    "def f(x): return x * x\n\x00",
    "def f(x) return x * x",
    "if __name__ == '__main__':\n    def f(x): return x * x",
    "f = 49",
]
SLOW = [
    'import struct, os\nm = b\'{"value": {"Fraction": "1e99999999"}}\'\nfor n in range(3, 9):\n'
    "    try: os.write(n, struct.pack('=I', len(m)) + m)\n    except OSError: pass",
    "while True: pass",
    "def f(x):\n    while True: pass",
    "x = 9**9**9",
    "def f(x): return 10**10**8",
    "def f(x): return [0] * 10**8",
    "import sys; sys.setrecursionlimit(2**30)\ndef f(x): return f(x)",
    "while True: print('flood' * 10**6)",
    "import sys\nwhile True: sys.stderr.write('flood' * 10**6)",
    "import re; re.match(r'(a+)+$', 'a' * 64 + 'b')",
    "import time\ntime.sleep(1000)",
    "def f(x):\n    import threading; threading.Lock().acquire(); lock = threading.Lock(); lock.acquire(); lock.acquire()",  # noqa: E501
    "import socket; socket.socket.sendall = lambda *a: None",
    "import signal\nfor n in range(1, 65):\n    try: signal.signal(n, signal.SIG_IGN)\n    except (OSError, ValueError): pass\nwhile True: pass",  # noqa: E501
    "import signal\nsignal.signal(signal.SIGXCPU, lambda *a: None)\nwhile True: pass",
    "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\nwhile True: pass",
    "import signal; signal.raise_signal(signal.SIGSTOP)",
    "import signal; signal.alarm(1); signal.pause()",
]
SLOW_SCRIPTS = [
    "x = int(input()); print(x * x)\nwhile True: pass",
    "x = int(input()); print(x * x, flush=True)\nimport time; time.sleep(1000)",
    "x = int(input()); print(x * x)\nimport threading; threading.Thread(target=threading.Event().wait).start()",
]
ATTEMPTS = {
    "exit": EXITS,
    "equality": EQUALITIES,
    "spying": SPIES,
    "forging": FORGERIES,
    "processes": PROCESSES,
    "signals": SIGNALS,
    "bombs": BOMBS,
    "network": NETWORK,
    "patching": PATCHES,
    "text": TEXT,
}


@pytest.mark.parametrize(
    "attempt",
    [pytest.param(p, id=f"{name}-{number}") for name, ps in ATTEMPTS.items() for number, p in enumerate(ps)],
)
def test_a_program_that_does_not_compute_the_result_is_wrong(attempt: str) -> None:
    defines_f = "def f" in attempt or "f = " in attempt or attempt.startswith("def g")
    assert_wrong(attempt if defines_f else attempt + WRONG)


def test_programs_that_need_too_long_are_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """Side by side, each thread with sandboxes of its own, since most of them only wait."""
    new_pair = vars(code_runs)["_sandboxes"].__wrapped__
    of_thread = cache(lambda kind, _: new_pair(kind))
    monkeypatch.setattr(code_runs, "_sandboxes", lambda kind: of_thread(kind, threading.get_ident()))
    jobs: list[tuple[str, dict[str, Any]]] = [
        (program if "f" in names_of(program)[0] else program + WRONG, {}) for program in SLOW
    ]
    jobs += [(program, {"cases": CASES}) for program in SLOW_SCRIPTS]
    with ThreadPoolExecutor(10) as threads:
        futures = [threads.submit(judged, program, seconds=0.5, **arguments) for program, arguments in jobs]
        right = [job for job, future in zip(jobs, futures, strict=True) if future.result().reward != 0.0]
    assert right == []


@pytest.mark.parametrize("program", ["import time\ntime.sleep(0.7)\nprint(0)", "while True: pass"])
@pytest.mark.parametrize("reward", ["all", "fraction"])
def test_all_cases_together_take_bounded_time(program: str, reward: str) -> None:
    began = time.monotonic()
    verdict = judged(program, cases=CASES * 50, reward=reward)  # 1 s to compute, 1 s to wait
    assert verdict.reward == 0.0
    assert time.monotonic() - began < MAX_SECONDS


@pytest.mark.parametrize(
    "program", ["def f(x)\n    return x", "raise SystemExit(3)", "import os; os._exit(3)", "f = 1 / 0"]
)
def test_a_reason_does_not_depend_on_who_is_faster(program: str) -> None:
    assert len({judged(program + WRONG).reason for _ in range(8)}) == 1


@pytest.mark.parametrize("program", HARD_CODED)
def test_a_program_that_knows_only_the_visible_tests_is_wrong(program: str) -> None:
    assert_wrong(program, hidden={"asserts": ["assert f(5) == 25", "assert f(0) == 0"]})
    assert_wrong(program, hidden={"asserts": ["assert f(5) == 25", "assert f(0) == 0"]}, reward="fraction")


@pytest.mark.parametrize(
    "program",
    [
        "print(49)",
        "import os; os._exit(0)",
        "x = int(input()); print(x * x); print('more')",
        "import os; os.write(1, os.read(0, 9))",
        "while True: print('49')",
        "import os\nwhile True: os.write(1, b'4' * 2**20)",
        "print('49 961')",
        "import sys; sys.stderr.write('49')",
        "print(open('/proc/self/fd/3').read())",
    ],
)
def test_a_script_that_does_not_print_the_result_and_end_is_wrong(program: str) -> None:
    assert_wrong(program, cases=CASES)


def outside(tmp_path: Path) -> list[str]:
    marker = str(tmp_path / "marker")
    link = f"import os; os.symlink({str(tmp_path)!r}, 'link'); open('link/marker', 'w').write('x')"
    return [
        f"open({marker!r}, 'w').write('x')",
        f"import os; os.mkdir({marker!r})",
        f"import pathlib; pathlib.Path({marker!r}).touch()",
        f"import os; os.symlink('/', {marker!r})",
        f"import os; open('a', 'w'); os.rename('a', {marker!r})",
        f"import os; open('a', 'w'); os.link('a', {marker!r})",
        f"import os; os.mkfifo({marker!r})",
        f"import sqlite3; sqlite3.connect({marker!r}).execute('create table t (a)')",
        f"import os; os.remove({str(tmp_path / 'mine')!r})",
        f"import os; os.chmod({str(tmp_path / 'mine')!r}, 0)",
        f"import os; os.truncate({str(tmp_path / 'mine')!r}, 0)",
        f"import shutil; shutil.rmtree({str(tmp_path)!r})",
        f"import os; os.utime({str(tmp_path / 'mine')!r}, (0, 0))",
        link,
        f"import os; os.chdir('..'); os.chdir({str(tmp_path)!r}); open('marker', 'w')",
    ]


@pytest.mark.parametrize("number", range(15))
def test_a_program_changes_nothing_outside_its_scratch_folder(number: int, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_text("mine")
    before = mine.stat()
    assert_wrong(outside(tmp_path)[number] + WRONG)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    assert mine.read_text() == "mine"
    after = mine.stat()
    assert (after.st_mode, after.st_mtime_ns) == (before.st_mode, before.st_mtime_ns)


def test_a_program_cannot_replace_the_helpers_its_tests_rely_on() -> None:
    prompt = 'def twice(x):\n    return 2 * x\n\ndef f(x):\n    """Half of x."""\n'
    problem = PosedProblem(prompt, "    return x / 2\n")
    test = "def check(candidate):\n    assert twice(candidate(3)) == 3\n    assert isclose(candidate(0.2), 0.1)\n"
    arguments = {"prompt": "from math import isclose\n" + prompt, "entry_point": "f", "test": test}
    hack = "class E:\n    pass\ndef isclose(*a): return True\ndef twice(x): return 3\ndef f(x): return E()"
    assert judged(hack, problem, **arguments).reward == 0.0
    assert judged("    return x / 2", problem, **arguments).reward == 1.0


def test_a_program_cannot_replace_what_the_ground_truth_imports() -> None:
    problem = PosedProblem("", "from math import isclose\ndef f(x): return x / 3")
    asserts = ["assert isclose(f(1), 0.333333333333)"]
    assert judged("def isclose(*a): return True\ndef f(x): return 0", problem, asserts=asserts).reward == 0.0
    assert judged("def f(x): return x / 3", problem, asserts=asserts).reward == 1.0


def test_stopping_an_iteration_does_not_end_a_test_early() -> None:
    problem = PosedProblem("", "def is_even(x): return x % 2 == 0")
    asserts = ["assert all(map(is_even, [2, 4]))"]
    assert judged("def is_even(x): raise StopIteration", problem, asserts=asserts).reward == 0.0
    assert judged(problem.ground_truth, problem, asserts=asserts).reward == 1.0


FAKE_MATH = "class math:\n    isclose = staticmethod(lambda *a, **k: True)"
CLOSE = "isclose = near = lambda *a, **k: True"
IMPORT = "try:\n    import math\nexcept ImportError:\n    pass\n"


@pytest.mark.parametrize(
    ("ground_truth", "test", "hack"),
    [
        ("def f(x):\n    import math\n    return math.pi * x", "math.isclose(f(1), 3.14159, rel_tol=1e-3)", FAKE_MATH),
        ("def f(x):\n    from math import isclose, pi\n    return 3 * x", "isclose(f(1), 3)", CLOSE),
        ("from math import *\ndef f(x): return pi * x", "isclose(f(1), 3.14159, rel_tol=1e-3)", CLOSE),
        (IMPORT + "def f(x): return math.pi * x", "math.isclose(f(1), 3.14159, rel_tol=1e-3)", FAKE_MATH),
        ("if True:\n    from math import isclose as near\ndef f(x): return 3 * x", "near(f(1), 3)", CLOSE),
        ("def f(x): return 3 * x", "math.isclose(f(1), 3)", FAKE_MATH),
        ("def abs(x): return x\ndef f(x): return 2 * abs(x)", "abs(f(3) - 7) < 2", "abs = lambda v: 0"),
        ("def f(x): return [1, 2, 3]\nif __name__ == '__main__':\n    sum = 0", "sum(f(3)) == 6", "sum = lambda v: 6"),
        ("def len(x): return 1\ndef f(x): return [1, 2]", "len(f(0)) == 2", "len = lambda v: 2"),
        ("def all(x): return 1\ndef f(x): return [all(x)]", "all(v == 1 for v in f(2))", "all = lambda v: 1"),
        ("import math\ndef f(x): return x", "math.floor(f(1.5)) == 1", "class math:\n    floor = lambda x: 1"),
        ("EPSILON = 1e-6\ndef f(x): return x / 3", "abs(f(1) - 1 / 3) < EPSILON", "EPSILON = 9"),
    ],
)  # fmt: skip
def test_a_program_supplies_no_name_that_is_trusted(ground_truth: str, test: str, hack: str) -> None:
    problem = PosedProblem("", ground_truth)
    assert judged(ground_truth, problem, asserts=[f"assert {test}"]).reward == 1.0
    assert judged(f"{hack}\ndef f(x): return 0", problem, asserts=[f"assert {test}"]).reward == 0.0
    assert judged(hack, problem, asserts=[f"assert {test}"]).reward == 0.0


def test_a_builtin_that_a_humaneval_problem_redefines_is_pythons_own_in_its_tests() -> None:
    prompt = 'def abs(x):\n    """Absolute value."""\n'
    test = "def check(candidate):\n    assert abs(candidate(-2) - 2) < 1e-9\n    assert candidate(1) == 1\n"
    arguments = {"prompt": prompt, "entry_point": "abs", "test": test}
    problem = PosedProblem(prompt, "    return x if x > 0 else -x\n")
    assert judged(problem.ground_truth, problem, **arguments).reward == 1.0
    assert judged("    return x if x > 0 else 0", problem, **arguments).reward == 0.0


PLEASING = "class S:\n    __getattr__ = lambda s, n: lambda *a, **k: True\ndef f(x): return S()"


@pytest.mark.parametrize(
    ("returned", "test"),
    [
        ("'abcd'", "f(3).startswith('abc')"),
        ("'abcd'", "f(3).isalpha()"),
        ("{1}", "f(3).issubset({1, 2})"),
        ("{1, 2}", "f(3).issuperset({1})"),
        ("[2]", "f(3).count(2)"),
        ("{2: 3}", "f(3).get(2)"),
        ("{2: 3}", "f(3).pop(2)"),
        ("0.5", "not f(3).is_integer() or f(3).is_integer()"),
        ("b'abc'", "f(3).endswith(b'c')"),
        ("__import__('datetime').date(2020, 1, 2)", "f(3).year"),
        ("'abcd'", "str.startswith(f(3), 'abc')"),
        ("'abcd'", "'bc' in f(3)"),
    ],
)
def test_a_result_cannot_please_its_test_through_methods_of_its_own(returned: str, test: str) -> None:
    problem = PosedProblem("", f"def f(x): return {returned}")
    assert judged(problem.ground_truth, problem, asserts=[f"assert {test}"]).reward == 1.0
    assert judged(PLEASING, problem, asserts=[f"assert {test}"]).reward == 0.0


OPERATORS = """
class Bag:
    def __init__(self, *items): self.items = list(items)
    def __len__(self): return len(self.items)
    def __contains__(self, x): return x in self.items
    def __getitem__(self, n): return self.items[n]
    def __iter__(self): return iter(self.items)
    def __str__(self): return f"Bag{self.items}"
    def __add__(self, other): return Bag(*self.items, *other.items)
"""


@pytest.mark.parametrize(
    "test",
    [
        "len(Bag(1, 2)) == 2",
        "2 in Bag(1, 2) and 3 not in Bag()",
        "Bag(1, 2)[1] == 2",
        "list(Bag(1)) == [1]",
        "str(Bag(1)) == 'Bag[1]'",
        "(Bag(1) + Bag(2)).items == [1, 2]",
    ],
)
def test_objects_of_the_classes_under_test_may_have_operators(test: str) -> None:
    problem = PosedProblem("", OPERATORS)
    assert judged(OPERATORS, problem, asserts=[f"assert {test}"]).reward == 1.0
    assert (
        judged(OPERATORS.replace("*items", "*_, items=()"), problem, asserts=[f"assert {test}"]).reward == 0.0
    )


@pytest.mark.parametrize("test", ["Bag(1) == Bag(1)", "Bag(1) == 1", "Bag(1) < Bag(2)", "len(Bag(1)) == 1"])
def test_objects_are_equal_to_nothing_and_have_only_the_operators_of_the_ground_truth(test: str) -> None:
    bag = "class Bag:\n    def __init__(self, *items): pass\n    def __eq__(self, other): return True\n"
    bag += "    def __lt__(self, other): return True\n"
    pleasing = f"{bag}    def __len__(self): return 1"
    assert judged(pleasing, PosedProblem("", bag), asserts=[f"assert {test}"]).reward == 0.0


def test_objects_of_the_classes_under_test_may_have_methods_that_lists_have_too() -> None:
    stack = "class Stack:\n    def __init__(self): self.items = []\n"
    stack += (
        "    def append(self, x): self.items = [*self.items, x]\n    def pop(self): return self.items[{}]"
    )
    problem = PosedProblem("", stack.format(-1))
    asserts = ["s = Stack()\ns.append(1)\ns.append(2)\nassert s.pop() == 2\nassert s.items == [1, 2]"]
    assert judged(stack.format(-1), problem, asserts=asserts).reward == 1.0
    assert judged(stack.format(0), problem, asserts=asserts).reward == 0.0
