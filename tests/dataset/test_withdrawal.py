"""Withdrawal of rows on the small world of lineage: what leaves, what runs again, which models are refused."""

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import numpy as np
import pyarrow as pa
import pytest

from data_contracts.errors import DataError, HomeError, NotFoundError, WithdrawnError
from data_contracts.rows import RowKind
from flows.cli import lineage_commands
from flows.lineage.withdrawal import (
    drop_withdrawn,
    flag_models,
    require_untainted,
    undo,
    withdrawn_masks,
)
from flows.lineage.withdrawn_datasets import withdrawals_by_dataset
from infra.records import Input

if TYPE_CHECKING:
    from infra.registry import ModelRegistry
from tests.dataset.lineage_world import PROBLEMS, WORKED, World

# Withdrawal


def test_a_withdrawn_row_leaves_every_later_mix(world: World):
    world.withdraw(row=world.hash_of("a.worked@1", 8))
    masks = withdrawn_masks(world.ledger, world.warehouse, ["a.worked@1", "b.worked@1", "a.problems@1"])
    assert [np.flatnonzero(mask).tolist() for mask in masks] == [[8], [8], []]


def test_a_withdrawn_source_leaves_by_name_later_datasets_too(world: World):
    world.withdraw(source="exam")
    world.publish("d.problems", RowKind.problems, [*PROBLEMS[:1], {**PROBLEMS[1], "source": "other"}])
    (mask,) = withdrawn_masks(world.ledger, world.warehouse, ["d.problems"])
    assert mask.tolist() == [True, False]


def test_a_withdrawal_changes_the_key_of_the_datasets_that_hold_the_rows_and_of_unknown_ones(world: World):
    identities = {e.name: e.identity for e in world.ledger.executions() if e.kind == "dataset"}
    nothing = withdrawals_by_dataset(world.ledger)
    assert all(nothing(identity) == [] for identity in identities.values())
    number = world.withdraw(row=world.hash_of("a.worked@1", 8))
    scope = f"row {world.hash_of('a.worked@1', 8)}"
    withdrawn = withdrawals_by_dataset(world.ledger)
    assert {name: withdrawn(identity) for name, identity in identities.items()} == {
        **{f"{pipeline}.worked": [scope] for pipeline in "abc"},
        "a.problems": [],
        "a.people": [],
    }
    assert withdrawn({"of": "a dataset that was never read"}) == [scope]
    undo(world.ledger, number, "a mistake")
    assert withdrawals_by_dataset(world.ledger)(identities["a.worked"]) == []


def test_a_dataset_read_without_its_withdrawn_rows_is_not_proven_to_have_none(world: World):
    """Another withdrawal, of a row that the first one had left out already, still counts once the first ends."""
    identity = {"of": "fresh", "withdrawn": ["source site"]}
    world.publish("d.worked", RowKind.sft, [{**WORKED[0], "source": "fresh"}])
    world.record("d", "worked", "dataset", identity=identity)
    world.withdraw(row=world.hash_of("a.worked@1", 8))
    assert len(withdrawals_by_dataset(world.ledger)({"of": "fresh"})) == 1


def test_rows_are_dropped_by_the_withdrawals_of_the_identity_and_no_others(world: World):
    world.withdraw(row=world.hash_of("a.worked@1", 8))
    world.withdraw(source="exam")
    worked, problems = (pa.Table.from_pylist(rows) for rows in (WORKED, PROBLEMS))
    scope = f"row {world.hash_of('a.worked@1', 8)}"
    kept, dropped = drop_withdrawn(world.ledger, [scope], worked)
    assert (kept.to_pylist(), dropped) == (WORKED[:8] + WORKED[9:], 1)
    assert drop_withdrawn(world.ledger, [scope], problems) == (problems, 0)
    assert drop_withdrawn(world.ledger, [], worked) == (worked, 0)
    with pytest.raises(DataError, match="All 4 rows were withdrawn"):
        drop_withdrawn(world.ledger, ["source exam"], problems)


def test_a_withdrawn_version_stays_withdrawn_row_by_row(world: World):
    world.withdraw(version="b.worked@1")
    world.publish("e.worked", RowKind.sft, [WORKED[3], {**WORKED[3], "source": "mine"}])
    (mask,) = withdrawn_masks(world.ledger, world.warehouse, ["e.worked"])
    assert mask.tolist() == [True, False]


def test_withdrawing_the_same_twice_is_one_withdrawal(world: World):
    assert world.withdraw(source="site") == world.withdraw(source="site")
    assert len(world.ledger.withdrawals()) == 1
    (decision,) = world.ledger.decisions()
    assert (decision.kind, decision.reason) == ("withdraw", "they asked")
    assert decision.evidence["models"] == ["a.dpo/1", "a.grpo/1", "a.sft/1", "b.sft/1", "c.sft/1"]


def test_rows_that_a_stage_made_are_not_withdrawn_by_themselves(world: World):
    with pytest.raises(DataError, match=r"rows of a\.check@1, which a stage made"):
        world.withdraw(row=world.hash_of("a.check@1", 0))
    with pytest.raises(NotFoundError):
        world.withdraw(source="nobody")
    assert world.ledger.withdrawals() == []


def test_a_model_that_saw_withdrawn_rows_is_refused_until_the_withdrawal_ends(world: World):
    number = world.withdraw(row=world.hash_of("a.worked@1", 8))
    require_untainted(world.home, world.ledger, "c.sft", 1)  # it had dropped the row
    with pytest.raises(WithdrawnError, match=r"a\.grpo/1 saw rows .* because they asked") as refused:
        require_untainted(world.home, world.ledger, "a.grpo", 1)
    assert refused.value.exit_code == 1
    assert refused.value.expected
    assert f"--undo {number}" in refused.value.do
    undo(world.ledger, number, "a mistake")
    require_untainted(world.home, world.ledger, "a.grpo", 1)
    assert [decision.kind for decision in world.ledger.decisions()] == ["undo withdrawal", "withdraw"]
    with pytest.raises(NotFoundError, match="No withdrawal"):
        undo(world.ledger, number, "again")


def test_a_model_that_was_in_training_while_rows_were_withdrawn_is_refused_too(world: World):
    world.withdraw(source="exam")
    problems = Input("problems", "rows", "a.problems", 1, "a problems content", 1.0)
    world.train("a", "late", "grpo", [problems], [(0, 0, 1)])
    with pytest.raises(WithdrawnError):
        require_untainted(world.home, world.ledger, "a.late", 1)


class _Tags:
    """A registry that has lost every model of pipeline b."""

    def __init__(self) -> None:
        self.tags: dict[str, str | None] = {}

    def tag_version(self, name: str, version: int, tag: str, value: str | None) -> bool:
        self.tags[f"{name}/{version}"] = value
        return not name.startswith("b.")


def test_flags_follow_the_withdrawals_in_force_and_lost_models_are_named(world: World):
    registry = _Tags()
    models = ["a.sft/1", "b.sft/1"]
    first = world.withdraw(row=world.hash_of("a.worked@1", 8))
    second = world.withdraw(row=world.hash_of("a.worked@1", 2))
    scopes = [f"row {world.hash_of('a.worked@1', row)}: they asked" for row in (8, 2)]
    expectations = [(None, "; ".join(scopes)), (first, scopes[1]), (second, None)]
    for ended, expected in expectations:
        if ended is not None:
            undo(world.ledger, ended, "a mistake")
        assert flag_models(world.ledger, cast("ModelRegistry", registry), models) == ["b.sft/1"]
        assert registry.tags == dict.fromkeys(models, expected)


@pytest.mark.parametrize("command", ["lineage", "impact", "withdraw"])
def test_a_command_says_whom_it_waits_for(
    world: World, command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("BURNISH_HOME", str(world.home.path))
    monkeypatch.setattr("infra.warehouse.catalog._WAIT_SECONDS", 0.01)
    commands: dict[str, Callable[[], None]] = {
        "lineage": lambda: lineage_commands.lineage("a.sft"),
        "impact": lambda: lineage_commands.impact(source="exam"),
        "withdraw": lambda: lineage_commands.withdraw(source="exam", because="licence", yes=True),
    }
    with world.warehouse.catalog.open(), pytest.raises(HomeError, match="was not free"):
        commands[command]()
    assert "Waiting for a dataset task" in capsys.readouterr().err
