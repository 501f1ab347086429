"""Rolling back returns to the champion before, each time one further, and never to one that was left."""

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlflow.tracking import MlflowClient

from flows.promoting.decisions import standing_after, tenures
from flows.promoting.rollback import roll_back
from infra.home import Home
from infra.ledger import Ledger
from infra.records import Decision, Withdrawal
from tests.promoting.conftest import Burnish, aliases
from tests.promoting.judged_home import HOSTILE, MODEL


@pytest.fixture
def promoted(burnish: Burnish) -> Burnish:
    """1, then 2, then 4."""
    for number in (1, 2, 4):
        assert burnish("promote", f"small.sft/{number}").code == 0
    return burnish


def test_each_rollback_goes_one_further_back_until_there_is_none(home: Home, promoted: Burnish) -> None:
    first = promoted("rollback", "small.sft", "--reason", f"worse in use {HOSTILE}", "--json").json
    assert (first["version"], first["left"], first["next"]) == (2, 4, 1)
    assert aliases(home) == {"champion": 2, "previous": 1}
    second = promoted("rollback", "small")
    assert "small.sft/1 is the champion again; version 2 was left." in second.text
    assert aliases(home) == {"champion": 1}
    third = promoted("rollback", "small.sft")
    assert (third.code, aliases(home)) == (2, {"champion": 1})
    assert "small.sft has no champion before version 1." in third.text
    decision = Ledger(home.ledger_path).decisions(MODEL)[1]
    assert (decision.kind, decision.from_version, decision.to_version) == ("rollback", 4, 2)
    assert decision.reason == f"worse in use {HOSTILE}"


def test_any_version_can_be_returned_to_also_one_that_never_was_champion(
    home: Home, promoted: Burnish
) -> None:
    promoted("rollback", "small.sft", "--to", "3")
    assert aliases(home) == {"champion": 3, "previous": 2}, "4 was left"
    promoted("rollback", "small.sft", "--to", "1")
    assert aliases(home) == {"champion": 1}
    same = promoted("rollback", "small.sft", "--to", "1")
    assert (same.code, "small.sft/1 is the champion" in same.text) == (0, True)
    assert len(Ledger(home.ledger_path).decisions(MODEL)) == 5


def test_a_champion_that_was_left_is_returned_to_once_it_was_promoted_again(
    home: Home, promoted: Burnish
) -> None:
    promoted("rollback", "small.sft")
    assert promoted("promote", "small.sft/4").code == 0
    assert aliases(home) == {"champion": 4, "previous": 2}


def test_a_withdrawn_a_damaged_or_a_lost_version_is_not_returned_to(home: Home, promoted: Burnish) -> None:
    ledger = Ledger(home.ledger_path)
    ledger.withdraw(Withdrawal(1.0, "row x", None, b"", "ann", "its author asked", (), ("small.sft/2",)))
    withdrawn = promoted("rollback", "small.sft")
    assert (withdrawn.code, "small.sft/2 saw rows that were withdrawn" in withdrawn.text) == (1, True)
    kept = home.models_dir / ledger.find_by_output(MODEL, 1)[0].fingerprint
    (kept / "model.safetensors").unlink()
    damaged = promoted("rollback", "small.sft", "--to", "1")
    assert (damaged.code, "The model of small.sft/1 in this home has no weights" in damaged.text) == (1, True)
    MlflowClient(home.mlflow_uri).delete_model_version(MODEL, "3")
    lost = promoted("rollback", "small.sft", "--to", "3")
    assert (lost.code, "MLflow has lost small.sft/3" in lost.text) == (2, True)
    unknown = promoted("rollback", "small.sft", "--to", "77")
    assert (unknown.code, "has no version 77. Expected: one of 1, 2, 4, 5" in unknown.text) == (2, True)
    assert aliases(home)["champion"] == 4


def test_it_takes_less_than_a_second_once_the_libraries_are_there(home: Home, promoted: Burnish) -> None:
    ledger = Ledger(home.ledger_path)
    began = time.process_time()
    roll_back(home, ledger, MODEL)
    assert time.process_time() - began < 1


_MOVES = st.lists(st.one_of(st.integers(1, 5), st.just("back")), max_size=12)


@settings(derandomize=True, max_examples=60, deadline=None)
@given(moves=_MOVES)
def test_promotions_and_plain_rollbacks_are_a_stack(
    moves: list[int | str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    ledger = Ledger(_fresh(tmp_path_factory))
    stack: list[int] = []
    decisions: list[Decision] = []
    for number, move in enumerate(moves):
        if move == "back":
            if len(stack) < 2:
                continue
            stack.pop()
            decisions.append(Decision(float(number), "rollback", MODEL, None, stack[-1], "ann", "", {}))
        elif isinstance(move, int) and (not stack or stack[-1] != move):
            stack.append(move)
            decisions.append(Decision(float(number), "promote", MODEL, None, move, "ann", "", {}))
    for decision in decisions:
        ledger.decide(decision)
    found = standing_after(ledger, MODEL, decisions)
    assert (found.champion, found.previous) == (
        stack[-1] if stack else None,
        stack[-2] if len(stack) > 1 else None,
    )
    assert len(tenures(ledger, MODEL)) == len(decisions)


def _fresh(factory: pytest.TempPathFactory) -> Path:
    return factory.mktemp("ledger") / "ledger.db"
