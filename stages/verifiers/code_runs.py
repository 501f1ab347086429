"""Running a program against its tests: two sandboxes, one for each side, and what came of it.

Nothing the program's process says of itself decides: calls are judged by the tests' process, printed output is
compared here. Exit codes only explain a failure to people.
"""

import atexit
import json
import os
import signal
import socket
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import cache

from stages.sandbox import Ended, Limits, Sandbox, SandboxKind
from stages.sandbox_entry import SHARED_BY
from stages.verifiers.code_plan import Case, TestPlan
from stages.verifiers.code_tests import GONE

USUAL_MODULES = (
    *(
        "array",
        "bisect",
        "calendar",
        "cmath",
        "collections",
        "copy",
        "dataclasses",
        "datetime",
        "decimal",
        "enum",
    ),
    *("fractions", "functools", "hashlib", "heapq", "itertools", "math", "operator", "queue", "random", "re"),
    *("statistics", "string", "sys", "textwrap", "threading", "time", "typing", "unicodedata"),
)
"""Of the standard library, imported before the first program runs. Others are imported when a program does."""

_OURS = (
    "stages.verifiers.code_values",
    "stages.verifiers.code_prose",
    "stages.verifiers.code_source",
    "stages.verifiers.code_program",
    "stages.verifiers.code_tests",
)
_SERVE, _SCRIPT, _TESTS = (
    "stages.verifiers.code_program:serve",
    "stages.verifiers.code_program:run_script",
    "stages.verifiers.code_tests:run",
)
_TEST_SECONDS = 10.0
"""Processor time of the tests' own work on what the program returned."""

_WAITING_SECONDS = 4.0
"""How long a program may sleep, in all its tests together, or wait for the tests' own work."""

_START_SECONDS = 0.1
"""The same, for each case: a process has to start."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Which tests passed, by position, and why one did not."""

    passed: frozenset[int]
    has_ended: bool
    """The tests ran to their end: nothing between or after them stopped them."""

    reason: str = ""
    fault: str = ""
    """Why the problem's own tests cannot be run; empty where they can."""


@dataclass(frozen=True, slots=True)
class Program:
    """As taken from a completion: `code_source` makes one program of it."""

    blocks: tuple[str, ...]
    prompt: str = ""
    names: tuple[str, ...] = ()
    """What the program should define."""

    is_among_words: bool = False
    """The only block is a whole completion without fences."""


def run_calls(
    kind: SandboxKind, program: Program, plan: TestPlan, seconds: float, stops_early: bool
) -> Outcome:
    """The tests of `plan` on the program, which has `seconds` of processor time for all of them."""
    for_program, for_tests = _sandboxes(kind)
    job = asdict(plan) | {"stops_early": stops_early}
    with ExitStack() as stack:
        ours, theirs = (stack.enter_context(end) for end in socket.socketpair())
        results = _file(stack, b"")
        wall_seconds = _wall_seconds(seconds)
        for_program.start(
            _SERVE,
            [_payload(stack, program), theirs.fileno()],
            Limits(seconds, wall_seconds + 1, _WAITING_SECONDS),
        )
        theirs.close()
        for_tests.start(
            _TESTS,
            [_file(stack, json.dumps(job).encode()), results, ours.fileno()],
            Limits(_TEST_SECONDS, wall_seconds),
        )
        ours.close()
        tests = for_tests.wait()
        ended = for_program.stop()
        return _outcome(plan, _content(results).decode(), tests, _end(ended, seconds))


def run_cases(
    kind: SandboxKind, program: Program, cases: Sequence[Case], seconds: float, stops_early: bool
) -> Outcome:
    """The program as a script, once a case, with `seconds` of processor time for all of them."""
    sandbox, _ = _sandboxes(kind)
    deadline = time.monotonic() + _wall_seconds(seconds)
    passed, reason, left_seconds, waiting_seconds = set[int](), "", seconds, _WAITING_SECONDS
    for number, case in enumerate(cases):
        deadline += _START_SECONDS
        began = time.monotonic()
        if min(left_seconds, waiting_seconds, deadline - began) <= 0:
            reason = reason or f"the first {number} of {len(cases)} cases together took too long"
            break
        with ExitStack() as stack:
            stdout = _file(stack, b"")
            files = [_payload(stack, program), _file(stack, case["stdin"].encode(errors="replace")), stdout]
            sandbox.start(_SCRIPT, files, Limits(left_seconds, deadline - began, waiting_seconds))
            ended = sandbox.wait()
            left_seconds -= ended.cpu_seconds
            waiting_seconds -= max(
                0.0, time.monotonic() - began - SHARED_BY * ended.cpu_seconds - _START_SECONDS
            )
            is_right = _lines(_content(stdout)) == _lines(case["stdout"].encode(errors="replace"))
            if is_right and ended.exit_code == 0:
                passed.add(number)
                continue
        what = "the right output" if is_right else "another output"
        reason = reason or f"case {number + 1} of {len(cases)}: {what}; {_end(ended, seconds)}"
        if stops_early or ended.is_out_of_time:
            break
    return Outcome(frozenset(passed), not reason, reason)


@cache
def _sandboxes(kind: SandboxKind) -> tuple[Sandbox, Sandbox]:
    """For programs and for tests. They last as long as this process."""
    both = tuple(Sandbox(kind, (*USUAL_MODULES, *_OURS)) for _ in range(2))
    for sandbox in both:
        atexit.register(sandbox.close)
    return both[0], both[1]


def _outcome(plan: TestPlan, results: str, tests: Ended, end: str) -> Outcome:
    passed, failed, has_ended, reason, fault = set[int](), set[int](), False, "", ""
    for line in results.splitlines():
        match json.loads(line):
            case {"passed": number}:
                passed.add(number)
            case {"ended": True}:
                has_ended = True
            case {"failed": number, "reason": why}:
                failed.add(number)
                reason = (
                    reason or f"test {number + 1} of {len(plan.units)} fails, {plan.units[number]}: {why}"
                )
            case {"fault": why}:
                fault = why
            case {"stopped": why}:
                reason = reason or (f"{why}; {end}" if why == GONE else why)
            case other:
                raise ValueError(f"the tests' process wrote {other}")
    if not reason and not (has_ended and len(passed) == len(plan.units)):
        reason = f"the tests did not finish: {_end(tests, _TEST_SECONDS)}"
    return Outcome(frozenset(passed - failed), has_ended, reason, fault)


def _end(ended: Ended, seconds: float) -> str:
    """How it ended, where that was its own doing."""
    if ended.is_out_of_time:
        return "waited for too long"
    if ended.is_littered:
        return "made too many files"
    if ended.was_stopped:
        return "stopped"
    if ended.exit_code == -signal.SIGKILL:
        return f"killed, as beyond {seconds:g} s of processor time"
    return f"ended with exit code {ended.exit_code}"


def _wall_seconds(seconds: float) -> float:
    """The most there is, for a program whose processor others want too."""
    return SHARED_BY * seconds + 2


def _payload(stack: ExitStack, program: Program) -> int:
    return _file(stack, json.dumps(asdict(program)).encode())


def _file(stack: ExitStack, content: bytes) -> int:
    """A file in memory, read from its start."""
    descriptor = os.memfd_create("burnish")
    stack.callback(os.close, descriptor)
    with os.fdopen(descriptor, "wb", closefd=False) as file:
        file.write(content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _content(descriptor: int) -> bytes:
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0)


def _lines(output: bytes) -> list[bytes]:
    """Blanks at the end of a line, and empty lines at the end, do not count."""
    return [line.rstrip() for line in output.rstrip().split(b"\n")]
