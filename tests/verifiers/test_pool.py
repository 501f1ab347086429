"""The pool of worker processes: one limit a verdict, deaths that cost nobody else anything, and no orphan."""

import json
import multiprocessing
import multiprocessing.connection
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from data_contracts.errors import GroundTruthError, RecipeError, SandboxError, StageError
from data_contracts.model_verifiers import JudgeSettings
from stages.verdicts import VerdictCounter
from stages.verifiers.catalog import Catalog
from stages.verifiers.pool import VerifierPool
from stages.verifiers.submission import Outcome, Submission
from stages.verifiers.worker import Worker

ROOT = Path(__file__).parents[2]
ADDED = {"odd": "tests.verifiers.odd_verifiers:ODD"}


@pytest.fixture(scope="module")
def pool() -> Iterator[VerifierPool]:
    with VerifierPool(Catalog(ADDED), num_workers=2) as pool:
        yield pool


def _odd(completion: str, ground_truth: str = "18", place: str = "") -> Submission:
    return Submission("odd", json.dumps({"place": place}), completion, "the prompt", ground_truth)


def _reason(outcome: Outcome) -> str:
    assert outcome.verdict is not None
    return outcome.verdict.reason


def test_outcomes_come_in_the_order_of_their_submissions(pool: VerifierPool) -> None:
    submissions = [_odd(str(n % 20)) for n in range(300)]
    submissions[7] = Submission("exact_number", "{}", "18", "", "18")
    outcomes = pool.verify_all(submissions)
    rewards = [outcome.verdict.reward if outcome.verdict else None for outcome in outcomes]
    assert rewards == [float(n % 20 == 18 or n == 7) for n in range(300)]
    assert outcomes[18].verdict is not None
    assert (outcomes[18].verdict.reason, outcomes[18].verdict.parts) == ("asked the prompt", {"right": 1.0})


@pytest.mark.parametrize("completion", ["loop", "power"])
def test_a_verdict_beyond_its_time_is_reward_0_and_the_others_get_theirs(
    pool: VerifierPool, completion: str
) -> None:
    outcomes = pool.verify_all([_odd("18"), _odd(completion), *[_odd("18")] * 60])
    assert _reason(outcomes[1]) == "needed more than 0.3 s"
    assert [outcome.verdict.reward for outcome in outcomes if outcome.verdict] == [1.0, 0.0, *[1.0] * 60]


def test_a_verdict_beyond_its_memory_is_reward_0(pool: VerifierPool) -> None:
    assert _reason(pool.verify(_odd("memory"))) == "needed more memory than a verifier may use"


@pytest.mark.parametrize("completion", ["die", "stop", "exit"])
def test_a_worker_that_dies_twice_gives_no_verdict_and_costs_the_others_nothing(
    pool: VerifierPool, completion: str
) -> None:
    outcomes = pool.verify_all([*[_odd("18")] * 40, _odd(completion), *[_odd("18")] * 40])
    assert outcomes[40] == Outcome(None, 0.0, "the verifier's process died twice")
    assert [outcome.verdict.reward for outcome in outcomes if outcome.verdict] == [1.0] * 80


def test_a_worker_that_dies_once_is_asked_again(pool: VerifierPool, tmp_path: Path) -> None:
    verdict = pool.verify(_odd("die once", place=str(tmp_path / "died"))).verdict
    assert verdict is not None
    assert (verdict.reward, (tmp_path / "died").exists()) == (1.0, True)


@pytest.mark.parametrize(
    ("completion", "failure"),
    [
        ("raise", "ZeroDivisionError: of its own making"),
        ("too much", "ValueError: a reward lies in [0, 1], this verifier gave 2.0"),
        ("other type", "TypeError: a verifier gives a Verdict, this one gave SimpleNamespace"),
        ("no number", "ValueError: a verdict's parts are numbers, this verifier gave {'right': nan}"),
    ],
)
def test_a_verifier_with_a_bug_gives_no_verdict_and_says_why(
    pool: VerifierPool, completion: str, failure: str
) -> None:
    outcome = pool.verify(_odd(completion))
    assert (outcome.verdict, outcome.failure) == (None, failure)


def test_what_a_verifier_leaves_behind_never_meets_the_next_verdict(pool: VerifierPool) -> None:
    reasons = [_reason(outcome).split() for outcome in pool.verify_all([_odd("traces")] * 20)]
    assert {count for count, _ in reasons} == {"1"}
    assert all(_ends(int(pid)) for _, pid in reasons)


def test_a_failure_that_quotes_its_completion_can_be_told(tmp_path: Path) -> None:
    (tmp_path / "quoting.py").write_text(
        "from stages.verifiers.verifier import Verifier\n"
        "def quote(completion, problem):\n    raise ValueError(completion)\n"
        "QUOTING = Verifier(quick=quote)\n"
    )
    with VerifierPool(Catalog({"quoting": f"{tmp_path / 'quoting.py'}:QUOTING"}), num_workers=1) as pool:
        outcome = pool.verify(Submission("quoting", "{}", "\ud800" * 100_000, "", ""))
    assert outcome.failure.startswith("ValueError: ??????")
    assert outcome.failure.endswith("?... (100,000 characters)")
    assert len(outcome.failure) < 1000


WAITING = """
import subprocess
from stages.verifiers.verifier import Verifier

def wait(completion, problem):
    with subprocess.Popen(["/bin/sleep", "600"]) as sleeper, open(problem.ground_truth, "a") as pids:
        print(sleeper.pid, file=pids, flush=True)
        sleeper.wait()

WAITING = Verifier(quick=wait, wall_seconds=1.0)
"""


def test_what_a_hanging_verifier_waits_for_ends_with_it(tmp_path: Path) -> None:
    (tmp_path / "waiting.py").write_text(WAITING)
    added = {"waiting": f"{tmp_path / 'waiting.py'}:WAITING"}
    with VerifierPool(Catalog(added), num_workers=1) as pool:
        outcome = pool.verify(Submission("waiting", "{}", "18", "", str(tmp_path / "pids")))
    assert outcome == Outcome(None, 0.0, "the verifier's process died twice")
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    assert [_ends(pid) for pid in pids] == [True, True]


def test_a_verifier_that_writes_answers_itself_harms_no_other(pool: VerifierPool) -> None:
    outcomes = pool.verify_all([_odd(each) for each in ("18", "forge", "19", "18", "forge", "18")] * 10)
    rewards = [outcome.verdict and outcome.verdict.reward for outcome in outcomes]
    assert [rewards[n] for n in range(60) if n % 6 not in (1, 4)] == [1.0, 0.0, 1.0, 1.0] * 10


def test_a_reason_can_be_written_to_a_file_of_rows(pool: VerifierPool) -> None:
    assert _reason(pool.verify(_odd("half a character"))) == "?" * 4000


def test_what_only_a_worker_finds_missing_is_named() -> None:
    added = {"odd": "tests.verifiers.odd_verifiers:UNLOADABLE"}
    with (
        VerifierPool(Catalog(added), num_workers=1) as pool,
        pytest.raises(RecipeError, match="no_such_module"),
    ):
        pool.verify(Submission("odd", "{}", "18", "", "18"))


def test_a_sandbox_that_is_killed_is_replaced() -> None:
    program = "```python\ndef f(n):\n    return 2 * n\n```"
    asked = Submission("code", json.dumps({"asserts": ["assert f(2) == 4"]}), program, "", "")
    worker = Worker(Catalog())
    for _ in range(2):
        (outcome,) = worker.judge([asked])
        assert _reason(outcome) == "passes all 1 tests"
        assert worker.pid is not None
        for sandbox in psutil.Process(worker.pid).children():
            sandbox.kill()
    worker.close()


def test_a_message_that_a_stopped_worker_does_not_read_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.verifiers.worker._TRANSFER_SECONDS", 1)
    worker = Worker(Catalog(ADDED))
    assert worker.judge([_odd("18")])[0].verdict is not None
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGSTOP)
    outcomes = worker.judge([_odd("x" * 300_000), _odd("18")])
    worker.close()
    assert [outcome.verdict and outcome.verdict.reward for outcome in outcomes] == [0.0, 1.0]


def test_numbers_of_other_libraries_are_numbers(pool: VerifierPool) -> None:
    verdict = pool.verify(_odd("numpy")).verdict
    assert verdict is not None
    assert (verdict.reward, verdict.parts) == (1.0, {"right": 0.5})


def test_an_error_that_ends_everything_leaves_no_answer_for_the_next_to_take(pool: VerifierPool) -> None:
    with pytest.raises(SandboxError, match="There is no sandbox here"):
        pool.verify_all([_odd("no sandbox"), *[_odd("18")] * 200])
    outcomes = pool.verify_all([_odd(f"wrong {n}") for n in range(80)])
    assert {outcome.verdict and outcome.verdict.reward for outcome in outcomes} == {0.0}


def test_a_problem_that_cannot_be_checked_is_a_fault_and_no_verdict(pool: VerifierPool) -> None:
    outcomes = [
        pool.verify(_odd("18", "uncheckable")),
        pool.verify(Submission("exact_number", "{}", "1", "", "x")),
    ]
    assert [type(outcome.fault) for outcome in outcomes] == [GroundTruthError] * 2
    assert [outcome.verdict for outcome in outcomes] == [None] * 2


def test_one_per_cent_without_a_verdict_is_borne_and_more_is_not(pool: VerifierPool) -> None:
    counter = VerdictCounter(pool)
    assert counter.notes() == []
    counter.verify_all([_odd("raise"), *[_odd("18")] * 100, _odd("too much")])
    counter.require_few_failures()
    why = "odd: ZeroDivisionError: of its own making"
    assert counter.notes() == [f"2 of 102 completions without a verdict left out ({why})"]
    counter.verify_all([_odd("too much")])
    with pytest.raises(StageError, match=f"3 of 103 verdicts could not be had: {why}"):
        counter.require_few_failures()


def test_a_completion_that_lacks_one_of_its_terms_counts_once(pool: VerifierPool) -> None:
    counter = VerdictCounter(pool)
    counter.verify_all([_odd(each) for each in ("raise", "raise", "18", "18", "18", "raise")], terms=2)
    assert (counter.asked, counter.failed, counter.share_failed) == (3, 2, 2 / 3)


def test_no_verdict_at_all_is_not_borne_however_few_were_asked(pool: VerifierPool) -> None:
    counter = VerdictCounter(pool)
    counter.require_few_failures()
    counter.verify_all([_odd("raise")])
    counter.require_few_failures(expected=2)
    with pytest.raises(StageError, match="1 of 1 verdicts"):
        counter.require_few_failures()


def test_quick_verdicts_start_no_process() -> None:
    before = psutil.Process().children()
    with VerifierPool(Catalog(), num_workers=2) as pool:
        pool.verify_all([Submission("exact_number", "{}", "18", "", "18")] * 50)
        assert psutil.Process().children() == before


def test_a_composite_is_judged_by_its_terms_wherever_they_run(pool: VerifierPool) -> None:
    def ask(completion: str, **fields: object) -> Outcome:
        terms = [
            {"verifier": "odd", "weight": 3},
            {"verifier": "format", "weight": 1, "arguments": {"max_characters": 2}},
        ]
        arguments = json.dumps({"terms": terms, **fields})
        return pool.verify(Submission("composite", arguments, completion, "the prompt", "18"))

    right = ask("18", gate="odd").verdict
    assert right is not None
    assert (right.reward, right.parts["odd"], right.parts["odd.right"], right.parts["format"]) == (1, 1, 1, 1)
    for completion, gated, summed in (("19", 0.0, 0.25), ("019", 0.0, 0.0)):
        verdicts = [ask(completion, gate="odd").verdict, ask(completion, how="sum").verdict]
        assert [verdict and verdict.reward for verdict in verdicts] == [gated, summed]
    assert ask("raise", gate="odd").failure == "odd: ZeroDivisionError: of its own making"
    assert ask("18", gate="nothing").fault is not None
    for terms in ("[]", '[{"verifier": "nobody", "weight": 1}]'):
        arguments = f'{{"how": "sum", "terms": {terms}}}'
        assert pool.verify(Submission("composite", arguments, "18", "", "18")).fault is not None


def test_a_completion_beyond_all_measure_is_not_even_shown_to_a_judge() -> None:
    judge = JudgeSettings(
        url="http://127.0.0.1:9/",
        model="m",
        rubric="r",
        max_calls=1,
        max_total_tokens=1,
        max_seconds_per_call=1,
    )
    with VerifierPool(Catalog({"judged": judge}), num_workers=1) as pool:
        outcome = pool.verify(Submission("judged", "{}", "x" * 400_001, "", ""))
        unreachable = pool.verify(Submission("judged", "{}", "x", "", ""))
    assert _reason(outcome) == "the completion has 400,001 characters, more than 400,000"
    assert unreachable.verdict is None


def test_threads_share_a_pool(pool: VerifierPool) -> None:
    found: list[float] = []

    def ask() -> None:
        outcomes = pool.verify_all([_odd("18"), _odd("19")] * 20)
        found.extend(outcome.verdict.reward for outcome in outcomes if outcome.verdict)

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [1.0, 0.0] * 120


def test_a_worker_killed_or_stopped_from_outside_is_replaced() -> None:
    worker = Worker(Catalog(ADDED))
    for number in (signal.SIGKILL, signal.SIGSTOP):
        assert worker.judge([_odd("18")])[0].verdict is not None
        assert worker.pid is not None
        os.kill(worker.pid, number)
        assert worker.judge([_odd("18")])[0].verdict is not None
    pid = worker.pid
    worker.close()
    assert pid is not None
    assert not psutil.pid_exists(pid)


def test_a_worker_killed_again_and_again_while_it_starts_is_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python, started = tmp_path / "python", tmp_path / "started"
    python.write_text(
        f'#!/bin/sh\necho >> {started}\n[ "$(wc -l < {started})" -lt 4 ] && kill -9 $$\n'
        f'exec {sys.executable} "$@"\n'
    )
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    worker = Worker(Catalog(ADDED))
    (outcome,) = worker.judge([_odd("18")])
    worker.close()
    assert outcome.verdict is not None
    assert started.read_text() == "\n" * 4


def test_a_worker_that_cannot_start_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(StageError, match=r"does not start .* status is 1"):
        Worker(Catalog(ADDED)).judge([_odd("18")])


def test_a_name_of_burnish_itself_is_not_taken() -> None:
    with pytest.raises(RecipeError, match="Burnish has a verifier named math itself"):
        Catalog({"math": ADDED["odd"]})


def test_what_a_recipe_adds_must_be_there(tmp_path: Path) -> None:
    (tmp_path / "leaves.py").write_text("raise SystemExit(3)")
    (tmp_path / "breaks.py").write_text("undefined")
    for place, complaint in (
        ("tests.verifiers.odd_verifiers:GONE", "has no attribute 'GONE'"),
        ("no_such_module:X", "No module named 'no_such_module'"),
        ("odd", "Empty module name"),
        ("tests.verifiers.odd_verifiers:NO_RECORD", "is function"),
        (f"{tmp_path / 'leaves.py'}:X", "SystemExit: 3"),
        (f"{tmp_path / 'breaks.py'}:X", "NameError: name 'undefined' is not defined"),
    ):
        with pytest.raises(RecipeError, match=complaint):
            Catalog({"mine": place}).find("mine")


def test_a_row_cannot_bring_code_in() -> None:
    with pytest.raises(RecipeError, match="There is no verifier named 'tests"):
        Catalog().find("tests.verifiers.odd_verifiers:ODD")


CHILDREN = """
import multiprocessing, sys
from stages.verifiers.pool import shared_pool
from stages.verifiers.submission import Submission

def judge(sender):
    asked = Submission("odd", "{}", "18", "the prompt", "18")
    sender.send(shared_pool({"odd": "tests.verifiers.odd_verifiers:ODD"}).verify(asked).verdict.reason)

if __name__ == "__main__":
    receiver, sender = multiprocessing.Pipe(duplex=False)
    judge(sender)  # a forked child inherits this process's pool
    child = multiprocessing.get_context(sys.argv[1]).Process(target=judge, args=(sender,), daemon=True)
    child.start()
    print(receiver.recv(), receiver.recv())
    child.join()
    sys.exit(child.exitcode)
"""


@pytest.mark.parametrize("context", ["spawn", "forkserver", "fork"])
def test_daemonic_children_of_every_kind_can_judge(context: str, tmp_path: Path) -> None:
    (tmp_path / "children.py").write_text(CHILDREN)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", tmp_path / "children.py", context],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": os.fspath(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "asked the prompt asked the prompt\n", "")


ORPHAN = """
import sys
from stages.verifiers.catalog import Catalog
from stages.verifiers.submission import Submission
from stages.verifiers.worker import Worker
worker = Worker(Catalog({"odd": "tests.verifiers.odd_verifiers:ODD"}))
worker.judge([Submission("odd", "{}", "18", "", "18")])
print(worker.pid, flush=True)
sys.stdin.readline()
worker.judge([Submission("odd", "{}", "sleep", "", "18")])
"""


def _ends(pid: int) -> bool:
    try:
        watch = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    with os.fdopen(watch, "rb", buffering=0):
        return bool(multiprocessing.connection.wait([watch], timeout=10))


@pytest.mark.skipif(
    not hasattr(os, "pidfd_open"), reason="needs Linux to watch a process that is not a child"
)
@pytest.mark.parametrize("busy", [False, True])
def test_worker_and_fork_end_when_their_parent_is_killed(busy: bool) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", ORPHAN], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdin is not None
        worker = psutil.Process(int(parent.stdout.readline()))
        pids = [worker.pid]
        if busy:
            parent.stdin.write("go\n")
            parent.stdin.flush()
            while not (children := worker.children()):
                assert worker.is_running()
            pids.append(children[0].pid)
        parent.kill()
    assert all(_ends(pid) for pid in pids), "a process outlived its parent"
