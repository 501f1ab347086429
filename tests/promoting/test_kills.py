"""Killed before or after any write, a decision leaves a champion, and the next command finishes it once.

Two at once: one decides, the other is told, and nothing is half done.
"""

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest
from mlflow.tracking import MlflowClient

from data_contracts.errors import NotFoundError, PromotionError
from flows.doctor.checkup import examine
from flows.doctor.garbage import Collection
from flows.promoting import promote as promoting
from flows.promoting.aliases import look
from flows.promoting.candidates import Wanted
from flows.promoting.decisions import standing
from flows.promoting.promote import Request, promote
from flows.promoting.rollback import roll_back
from infra.home import Home
from infra.ledger import Ledger
from infra.registry import ModelRegistry
from infra.registry_aliases import RegistryAliases
from tests.promoting.conftest import Burnish, aliases
from tests.promoting.judged_home import MODEL

WRITES = (
    (Ledger, "decide"),
    (MlflowClient, "set_registered_model_alias"),
    (MlflowClient, "delete_registered_model_alias"),
    (MlflowClient, "set_registered_model_tag"),
)
"""Everything by which a decision and its aliases are written."""


def promote_version(home: Home, number: int, **request: Any) -> str:
    registry = ModelRegistry(home.mlflow_uri, home.mlflow_artifacts_dir)
    wanted = Wanted(MODEL, version=number)
    return promote(home, Ledger(home.ledger_path), registry, wanted, Request(**request)).outcome


def prepared(home: Home, *numbers: int) -> None:
    for number in numbers:
        promote_version(home, number)


def killed_at(write: int, when: str, act: Callable[[], object]) -> bool:
    """Do it in a process that is killed before or after its write number `write`; whether it came so far."""
    child = os.fork()
    if child == 0:
        left = [write]

        def counted(real: Callable[..., Any]) -> Callable[..., Any]:
            def call(*given: Any, **named: Any) -> Any:
                left[0] -= 1
                if left[0] == -1 and when == "before":
                    os.kill(os.getpid(), signal.SIGKILL)
                result = real(*given, **named)
                if left[0] == -1:
                    os.kill(os.getpid(), signal.SIGKILL)
                return result

            return call

        for owner, name in WRITES:
            setattr(owner, name, counted(getattr(owner, name)))
        try:
            act()
        finally:
            os._exit(0 if left[0] >= 0 else 1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.waitstatus_to_exitcode(status) == 0
    return os.WIFSIGNALED(status)


def _promotes(home: Home) -> None:
    promote_version(home, 4)


def _is_refused(home: Home) -> None:
    promote_version(home, 3)


def _rolls_back(home: Home) -> None:
    roll_back(home, Ledger(home.ledger_path), MODEL)


def _moved_by_hand(home: Home) -> None:
    MlflowClient(home.mlflow_uri).set_registered_model_alias(MODEL, "champion", "3")


SCENARIOS: dict[str, tuple[tuple[int, ...], Callable[[Home], None], str, int, int]] = {
    "first": ((), _promotes, "promote", 3, 4),
    "promotion": ((1, 2, 3), _promotes, "promote", 5, 4),
    "refusal": ((1, 2), _is_refused, "refuse", 3, 2),
    "rollback": ((1, 2, 4), _rolls_back, "rollback", 4, 2),
}
"""What was promoted before, what is killed, the decision it makes, its number of writes, the champion after it."""

_EVERY = [
    (name, write, when)
    for name, (_, _, _, writes, _) in SCENARIOS.items()
    for write in range(writes)
    for when in ("before", "after")
]
CASES = [
    pytest.param(*case, id="-".join(map(str, case)), marks=pytest.mark.chaos if number % 4 else ())
    for number, case in enumerate(_EVERY)
]


def nexts(home: Home, burnish: Burnish, act: Callable[[Home], None]) -> dict[str, Callable[[], object]]:
    """What a person may do next."""
    return {
        "again": lambda: act(home),
        "champion": lambda: burnish("champion", "small.sft"),
        "doctor": lambda: list(examine(home.path, fix=True)),
    }


@pytest.mark.parametrize(("name", "write", "when"), CASES)
def test_whatever_write_it_is_killed_at_there_is_a_champion_and_the_next_command_finishes_it(
    name: str, write: int, when: str, home: Home, burnish: Burnish
) -> None:
    before, act, kind, _, after = SCENARIOS[name]
    prepared(home, *before)
    ledger = Ledger(home.ledger_path)
    earlier, champion = ledger.decisions(MODEL), standing(ledger, MODEL).champion
    assert killed_at(write, when, lambda: act(home))
    is_decided = (write, when) != (0, "before")
    made = [each.kind for each in ledger.decisions(MODEL)[: len(ledger.decisions(MODEL)) - len(earlier)]]
    assert made == ([kind] if is_decided else [])
    assert aliases(home).get("champion", champion) in (champion, after)
    assert ("champion" in aliases(home)) or champion is None
    chosen = ("again", "champion", "doctor")[(write * 2 + (when == "after")) % 3]
    nexts(home, burnish, act)[chosen]()
    decided = standing(ledger, MODEL)
    assert aliases(home) == decided.aliases
    assert decided.champion == (after if is_decided or chosen == "again" else champion)
    assert len(ledger.decisions(MODEL)) == len(earlier) + (is_decided or chosen == "again")
    assert look(ledger, RegistryAliases(home), MODEL).by_hand == ()


@pytest.mark.parametrize("name", SCENARIOS)
def test_these_are_all_the_writes(name: str, home: Home) -> None:
    before, act, _, writes, _ = SCENARIOS[name]
    prepared(home, *before)
    assert not killed_at(writes, "before", lambda: act(home))


@pytest.mark.chaos
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("write", range(8))
def test_a_take_over_that_was_killed_is_noted_once_and_finished(write: int, when: str, home: Home) -> None:
    prepared(home, 1, 2)
    _moved_by_hand(home)
    ledger = Ledger(home.ledger_path)
    was_killed = killed_at(write, when, lambda: promote_version(home, 4, take_over="a demo"))
    assert aliases(home)["champion"] in (3, 4)
    promote_version(home, 4, take_over="a demo")
    kinds = [each.kind for each in reversed(ledger.decisions(MODEL))]
    assert kinds == ["promote", "promote", "by hand", "promote"], was_killed
    assert aliases(home) == {"champion": 4, "previous": 3}


# Two at once


def _in_a_process(home: Home, number: int, judged: int, go: int) -> tuple[int, int]:
    """Promote in a process of its own that says when it has judged, and decides when told to; its id and words."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        real = promoting.judge_candidate

        def wait(*given: Any, **named: Any) -> Any:
            judgement = real(*given, **named)
            os.write(judged, b"1")
            os.read(go, 1)
            return judgement

        promoting.judge_candidate = wait
        said = "died"
        try:
            said = promote_version(home, number, reason=f"mine {number}")
        except PromotionError as error:
            said = f"told: {error}"
        finally:
            os.write(writer, said.encode())
            os._exit(0)
    os.close(writer)
    return child, reader


def test_of_two_promotions_at_once_one_wins_and_the_other_is_told_by_whom(home: Home) -> None:
    prepared(home, 1)
    (has_judged, judged), (go, start) = os.pipe(), os.pipe()
    both = [_in_a_process(home, number, judged, go) for number in (2, 4)]
    for _ in both:
        assert os.read(has_judged, 1) == b"1"
    os.write(start, b"12")
    said = sorted(_words(*each) for each in both)
    for descriptor in (has_judged, judged, go, start):
        os.close(descriptor)
    assert said[0] == "promoted"
    winner = standing(Ledger(home.ledger_path), MODEL).champion
    assert f"made small.sft/{winner} the champion (promote, because mine {winner})" in said[1]
    assert "this was decided against version 1" in said[1]
    decisions = Ledger(home.ledger_path).decisions(MODEL)
    assert [each.to_version for each in decisions] == [winner, 1]
    assert aliases(home) == {"champion": winner, "previous": 1}


def test_a_version_that_gc_let_go_while_it_was_judged_is_not_promoted(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared(home, 1)
    real = promoting.judge_candidate

    def collected(*given: Any, **named: Any) -> Any:
        judgement = real(*given, **named)
        waste = Collection(home, Ledger(home.ledger_path), 1).find()
        assert [each.remove() for each in waste if each.what == "small.sft/2"] == [""]
        return judgement

    monkeypatch.setattr(promoting, "judge_candidate", collected)
    with pytest.raises(NotFoundError, match=r"`burnish gc` let small\.sft/2 go"):
        promote_version(home, 2)
    assert standing(Ledger(home.ledger_path), MODEL).champion == 1
    assert aliases(home) == {"champion": 1}


def _words(child: int, reader: int) -> str:
    with os.fdopen(reader) as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return said


def test_a_promotion_that_was_judged_against_an_older_champion_is_refused(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared(home, 1)
    real = promoting.judge_candidate

    def overtaken(*given: Any, **named: Any) -> Any:
        judgement = real(*given, **named)
        monkeypatch.setattr(promoting, "judge_candidate", real)
        promote_version(home, 2, reason="first come")
        return judgement

    monkeypatch.setattr(promoting, "judge_candidate", overtaken)
    with pytest.raises(PromotionError, match=r"made small\.sft/2 the champion .*first come"):
        promote_version(home, 4)
    assert aliases(home) == {"champion": 2, "previous": 1}
    assert promote_version(home, 4) == "promoted"
