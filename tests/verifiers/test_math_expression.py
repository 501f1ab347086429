"""Equal mathematics is right; none of the known ways to be called equal without being it."""

import multiprocessing
import multiprocessing.connection
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from multiprocessing.context import ForkContext, ForkServerContext, SpawnContext
from pathlib import Path

import psutil
import pytest

from data_contracts.errors import GroundTruthError
from stages.verifiers import math_grading
from stages.verifiers.math_expression import close_math_worker, math_expression
from stages.verifiers.worker import VerifierDiedError, Worker

ROOT = Path(__file__).parents[2]
GRADING = "stages.verifiers.math_grading"
HANGS = "9^{9^{9^9}}"


@pytest.fixture(scope="module", autouse=True)
def _one_worker() -> Iterator[None]:
    yield
    close_math_worker()


@pytest.fixture
def worker() -> Iterator[Worker]:
    worker = Worker(GRADING, cpu_seconds=0.5, wall_seconds=20.0)
    yield worker
    worker.close()


@pytest.mark.parametrize(
    ("completion", "ground_truth"),
    [
        (r"so \boxed{\dfrac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed{0.5}", r"\frac{1}{2}"),
        (r"\boxed{\frac{2}{4}}", "0.5"),
        (r"\boxed{(x+1)^2}", "x^2 + 2x + 1"),
        (r"\boxed{\{6, 5\}}", "5, 6"),
        (r"\boxed{x = 5}", "5"),
        (r"\boxed{2 + 5 = 7}", "7"),
        (r"\boxed{f(x) = 2x + 1}", "1 + 2x"),
        (r"\boxed{5\,000}", "5000"),
        (r"\boxed{7}, no: \boxed{8}", "8"),
        (r"\boxed{\frac{1}{2004!}}", r"\frac{1}{2003! \cdot 2004}"),
        ("The answer is $\\frac{2}{4}$.", "1/2"),
        ("**Answer:** 1,200", "1200"),
        ("#### 1,200", "1200"),
        (r"<think>\boxed{1}</think>\boxed{2}", "2"),
        (r"\boxed{[0, 1)}", r"\left[0,1\right)"),
        (r"\boxed{\text{Evelyn}}", r"\text{Evelyn}"),
        ("18", r"\boxed{18}"),
    ],
)
def test_equal_mathematics_is_right(completion: str, ground_truth: str) -> None:
    verdict = math_expression(completion, ground_truth)
    assert verdict.reward == 1.0, verdict.reason


@pytest.mark.parametrize(
    ("completion", "ground_truth"),
    [
        (r"\boxed{7=2}", "2"),
        (r"\boxed{2=7}", "2"),
        (r"\boxed{\sqrt{4}=7}", "7"),
        (r"\boxed{3x=6}", "6"),
        (r"\boxed{y=7}", "x=7"),
        (r"\boxed{5\,000}", "0"),
        ("5 or 6 or 7", "5"),
        (r"\boxed{5 \text{ or } 6}", "5"),
        (r"\boxed{5, 6, 7}", "5"),
        (r"\boxed{\pm 5}", "5"),
        ("The answer is not 18", "18"),
        ("The answer is not $18$.", "18"),
        (r"<think>\boxed{18}</think> I give up.", "18"),
        (r"<think>\boxed{18}", "18"),
        (r"\boxed{18}, wait: \boxed{19}", "18"),
        (r"\boxed{18", "18"),
        (r"\boxed{\frac{1}{2004!}}", r"\frac{1}{2006!}"),
        (r"\boxed{\frac{1}{2004!}}", "0"),
        (r"\boxed{0.3}", r"\frac{1}{3}"),
        (r"\boxed{(0,1)}", "[0,1]"),
        ("It is 18 for some and 20 for others", "18"),
        (r"\boxed{}", "18"),
        ("", "18"),
    ],
)
def test_what_only_looks_equal_is_wrong(completion: str, ground_truth: str) -> None:
    verdict = math_expression(completion, ground_truth)
    assert verdict.reward == 0.0, verdict.reason


@pytest.mark.parametrize("ground_truth", ["", " ", "$$", "x" * 1001])
def test_a_ground_truth_that_no_answer_can_equal_is_refused(ground_truth: str) -> None:
    with pytest.raises(GroundTruthError):
        math_expression("18", ground_truth)


@pytest.mark.parametrize(
    "piece", [r"\boxed{", "{", "}", "$", "answer is ", "\n", " ", "= ", "1+", "\\", ",\\!"]
)
def test_a_megabyte_of_anything_is_judged_in_time(piece: str) -> None:
    many = piece * (1_000_000 // len(piece))
    for completion in (many, rf"\boxed{{{many}"):
        start = time.process_time()
        verdict = math_expression(completion, "18")
        assert time.process_time() - start < 2.0
        assert verdict.reward == 0.0
        assert len(verdict.reason) < 300


def test_no_model_text_is_ever_compiled() -> None:
    compiled: list[str] = []

    def listen(event: str, arguments: tuple[object, ...]) -> None:
        is_import = event == "compile" and str(arguments[1]).endswith(".py")
        if event == "compile" and listening and not is_import:
            compiled.append(str(arguments[0]))

    listening = True
    sys.addaudithook(listen)
    for text in [
        "__import__('os').getpid()",
        r"\text{__import__('os').getpid()}",
        "x_{__import__('os').getpid()}",
        r"f(__import__('os').getpid())",
        r"\operatorname{exec}(12.5)",
        r"\frac{__import__('os')}{12}",
        "12.5",
    ]:
        math_grading.grade(text, "3.5")
    listening = False
    from_text = [source for source in compiled if source != "b'from sympy import *'"]
    assert any("12.5" in source for source in from_text), "SymPy evaluates number literals: we do listen"
    literal = re.compile(r"""b?["']*(Integer|Float) \(["'\d. ]+\)["']*""")
    assert [source for source in from_text if not literal.fullmatch(source)] == []


def test_a_hanging_answer_gets_nothing_and_the_next_one_is_judged(worker: Worker) -> None:
    hanging = worker.verdict(answer=HANGS, ground_truth="3")
    assert (hanging.reward, hanging.reason) == (0.0, "needed more than 0.5 s")
    assert worker.verdict(answer="1+2", ground_truth="3").reward == 1.0


def test_a_worker_killed_by_others_is_replaced(worker: Worker) -> None:
    assert worker.verdict(answer="1+2", ground_truth="3").reward == 1.0
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGKILL)
    assert worker.verdict(answer="1+2", ground_truth="3").reward == 1.0


def test_a_stopped_worker_is_replaced() -> None:
    worker = Worker(GRADING, wall_seconds=1.0)
    assert worker.verdict(answer="1+2", ground_truth="3").reward == 1.0
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGSTOP)
    assert worker.verdict(answer="1+2", ground_truth="3").reward == 1.0
    worker.close()


def test_a_worker_that_keeps_dying_is_no_verdict() -> None:
    with pytest.raises(VerifierDiedError, match=r"no\.such\.module died twice"):
        Worker("no.such.module").verdict(answer="1", ground_truth="1")


def test_a_closed_worker_leaves_no_process(worker: Worker) -> None:
    worker.verdict(answer="1+2", ground_truth="3")
    pid = worker.pid
    assert pid is not None
    worker.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def _judge(sender: multiprocessing.connection.Connection) -> None:
    sender.send_bytes(math_expression(r"\boxed{\frac{2}{4}}", r"\frac{1}{2}").reason.encode())


@pytest.mark.parametrize(
    "context",
    [
        multiprocessing.get_context("spawn"),
        multiprocessing.get_context("forkserver"),
        multiprocessing.get_context("fork"),
    ],
    ids=["spawn", "forkserver", "fork"],
)
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_daemonic_children_of_every_kind_can_judge(
    context: SpawnContext | ForkServerContext | ForkContext,
) -> None:
    math_expression(r"\boxed{\frac{2}{4}}", r"\frac{1}{2}")  # a forked child inherits this process's worker
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_judge, args=(sender,), daemon=True)
    child.start()
    assert receiver.poll(30)
    assert receiver.recv_bytes() == b"equal according to math-verify"
    child.join(30)
    assert child.exitcode == 0


ORPHAN = """
import sys
from stages.verifiers.worker import Worker
worker = Worker("stages.verifiers.math_grading", cpu_seconds=1.0)
worker.verdict(answer="1+2", ground_truth="3")
print(worker.pid, flush=True)
sys.stdin.readline()
worker.verdict(answer="9^{9^{9^9}}", ground_truth="3")
"""


@pytest.mark.skipif(
    not hasattr(os, "pidfd_open"), reason="needs Linux to watch a process that is not a child"
)
@pytest.mark.parametrize("busy", [False, True])
def test_the_worker_ends_when_its_parent_is_killed(busy: bool) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", ORPHAN], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdin is not None
        worker = psutil.Process(int(parent.stdout.readline()))
        watch = os.pidfd_open(worker.pid)
        if busy:
            parent.stdin.write("go\n")
            parent.stdin.flush()
            idle_seconds = worker.cpu_times().user
            while worker.cpu_times().user < idle_seconds + 0.2:  # until it hangs
                assert not multiprocessing.connection.wait([watch], timeout=0.02)
        parent.kill()
    with os.fdopen(watch, "rb", buffering=0):
        assert multiprocessing.connection.wait([watch], timeout=10), "the worker outlived its parent"
