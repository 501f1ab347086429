"""Lineage and withdrawal on a small world made by hand: every count here was worked out on paper.

Three pipelines (a, b, c) read the same ten conversations. Pipeline a goes on: four problems, two rollouts each,
pairs from the two problems with mixed verdicts, DPO on them; the same two problems selected, GRPO on them.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_contracts.errors import DataError, HomeError, NotFoundError, RecipeError, WithdrawnError
from data_contracts.rows import RowKind
from data_contracts.stage_configs import PairsConfig
from flows.cli import lineage_commands
from flows.lineage.impact import Impact, Selection, Wanted, assess, select
from flows.lineage.models import find_model, model_lineage
from flows.lineage.paths import row_paths, sample_rows
from flows.lineage.view import path_lines
from flows.lineage.withdrawal import (
    drop_withdrawn,
    flag_models,
    require_untainted,
    undo,
    withdraw,
    withdrawn_masks,
)
from flows.lineage.withdrawn_datasets import withdrawals_by_dataset
from infra.home import Home, open_home
from infra.ledger import Ledger
from infra.records import Execution, Input, Role
from infra.warehouse.locating import HashSet, find_row
from infra.warehouse.row_hashes import HASH_TYPE, RowHasher
from infra.warehouse.warehouse import Warehouse
from stages.mixed_rows import read_mixed_rows, write_training_rows
from tests.factories import make_job, write_input

if TYPE_CHECKING:
    from infra.registry import ModelRegistry

Rows = list[dict[str, Any]]

WORKED: Rows = [
    {
        "messages": [{"role": "user", "content": f"{n}"}, {"role": "assistant", "content": "!"}],
        "source": "site",
    }
    for n in range(10)
]
PROBLEMS: Rows = [{"problem_id": f"p{n}", "ground_truth": str(n), "source": "exam"} for n in range(4)]
REWARDS = {"p0": (1.0, 0.0), "p1": (1.0, 1.0), "p2": (0.0, 0.0), "p3": (0.25, 1.0)}
ROLLOUTS: Rows = [
    {"problem_id": problem, "completion": f"{problem} try {n}", "reward": reward}
    for problem, rewards in REWARDS.items()
    for n, reward in enumerate(rewards)
]
PAIRS: Rows = [
    {
        "problem_id": "p0",
        "prompt": [{"role": "user", "content": "0"}],
        "chosen": "p0 try 0",
        "rejected": "p0 try 1",
    },
    {
        "problem_id": "p3",
        "prompt": [{"role": "user", "content": "3"}],
        "chosen": "p3 try 1",
        "rejected": "p3 try 0",
    },
    {"problem_id": "", "prompt": [{"role": "user", "content": "x"}], "chosen": "better", "rejected": "worse"},
]
PREFERRED: Rows = [
    {
        "prompt": [{"role": "user", "content": "x"}],
        "chosen": "better",
        "rejected": "worse",
        "source": "people",
    }
]
BAND: Rows = [{"problem_id": "p0", "pass_rate": 0.5}, {"problem_id": "p3", "pass_rate": 0.5}]


@dataclass
class World:
    home: Home
    ledger: Ledger
    warehouse: Warehouse

    def publish(self, name: str, kind: RowKind, rows: Rows) -> int:
        return self.warehouse.publish(name, kind, pa.Table.from_pylist(rows), "key").version

    def record(
        self, pipeline: str, stage: str, kind: str, given: Sequence[Input] = (), **changes: Any
    ) -> Input:
        """A finished stage, as an input of the next one."""
        is_model = kind in ("base", "sft", "dpo", "grpo")
        fields: dict[str, Any] = {
            "run_id": "run",
            "pipeline": pipeline,
            "stage": stage,
            "kind": kind,
            "key": f"{pipeline} {stage}",
            "input_key": f"{pipeline}-{stage}-input",
            "identity": {"config": {"pass_rate": [0.1, 0.9]}, "of": [pipeline, stage]},
            "inputs": tuple(given),
            "output": "model" if is_model else "rows",
            "fingerprint": f"{pipeline} {stage} content",
            "name": f"{pipeline}.{stage}",
            "version": 1,
            "result": {"metrics": {}, "notes": []},
            "libraries": {},
            "seconds": 1.0,
            "ended": 0.0,
        }
        execution = Execution(**fields | changes)
        self.ledger.record(execution)
        return Input(stage, "rows", execution.name, execution.version, execution.fingerprint, 1.0)

    def train(
        self,
        pipeline: str,
        stage: str,
        kind: str,
        given: Sequence[Input],
        rows: Sequence[tuple[int, int, int]],
    ) -> Input:
        """A trained model; `rows`: (input, row, times)."""
        columns = zip(
            ("input", "row", "times"), (np.int16, np.int64, np.int32), zip(*rows, strict=True), strict=True
        )
        table = pa.table({name: np.array(values, kind_) for name, kind_, values in columns})
        pq.write_table(table, self.home.lineage_dir / f"{pipeline}-{stage}-input.parquet")
        metrics = {f"{kind}/passes": 0.5, f"{kind}/rows_drawn": 5.0}
        return self.record(pipeline, stage, kind, given, result={"metrics": metrics, "notes": []})

    def hash_of(self, reference: str, row: int) -> str:
        return self.warehouse.reader.hashes(self.warehouse.get(reference))[row].tobytes().hex()

    def select(self, **wanted: str) -> Selection:
        return select(self.warehouse, Wanted(**wanted))

    def assess(self, **wanted: str) -> Impact:
        return assess(self.home, self.ledger, self.warehouse, self.select(**wanted))

    def withdraw(self, **wanted: str) -> int:
        impact = self.assess(**wanted)
        return withdraw(self.ledger, self.warehouse, self.select(**wanted), impact, "they asked")

    def made(self, model: str) -> Execution:
        return find_model(self.ledger, model, lambda name: {"champion": 1})

    def run(self, pipeline: str, stages: Sequence[str]) -> None:
        run = self.ledger.begin_run(pipeline, {}, 1, 0.0)
        for stage in stages:
            self.ledger.set_stage(run, stage, "kind", f"{pipeline} {stage}", "done")


def _as(role: Role, given: Input, weight: float = 1.0) -> Input:
    return Input(given.node, role, given.name, given.version, given.fingerprint, weight)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The world, made once; every test has a copy."""
    home = open_home(tmp_path_factory.mktemp("built") / "home")
    world = World(home, Ledger(home.ledger_path), Warehouse(home))
    everybody = [(0, row, 1) for row in range(10)]
    for pipeline in "abc":
        world.publish(f"{pipeline}.worked", RowKind.sft, WORKED)
        worked = world.record(pipeline, "worked", "dataset")
        base = world.record(pipeline, "base", "base")
        rows = everybody if pipeline != "c" else everybody[:7]  # c drops the last three: too long
        sft = world.train(pipeline, "sft", "sft", [_as("start", base), worked], rows)
        world.run(pipeline, ["worked", "base", "sft"])
        if pipeline == "a":
            _go_on(world, sft)
    return home.path


@pytest.fixture
def world(built: Path, tmp_path: Path) -> World:
    home = Home(Path(shutil.copytree(built, tmp_path / "home")))
    return World(home, Ledger(home.ledger_path), Warehouse(home))


def _go_on(world: World, sft: Input) -> None:
    for stage, kind, rows in [
        ("problems", RowKind.problems, PROBLEMS),
        ("check", RowKind.rollouts, ROLLOUTS),
        ("people", RowKind.pairs, PREFERRED),
        ("preferences", RowKind.pairs, PAIRS),
        ("band", RowKind.problems, BAND),
    ]:
        world.publish(f"a.{stage}", kind, rows)
    problems = world.record("a", "problems", "dataset")
    people = world.record("a", "people", "dataset")
    verdicts = {"eval/accuracy": 0.5, "eval/problems": 4.0, "eval/completions": 8.0}
    check = world.record(
        "a", "check", "verify", [_as("start", sft), problems], result={"metrics": verdicts, "notes": []}
    )
    counts = {"pairs/pairs": 3.0, "pairs/on_policy": 2.0}
    preferences = world.record(
        "a", "preferences", "pairs", [check, people], result={"metrics": counts, "notes": []}
    )
    dpo = world.train(
        "a", "dpo", "dpo", [_as("start", sft), _as("rows", preferences, 2.0)], [(0, 0, 2), (0, 2, 2)]
    )
    parts = {"select/below": 1.0, "select/in_band": 2.0, "select/above": 1.0}
    band = world.record("a", "band", "select", [check], result={"metrics": parts, "notes": []})
    world.train("a", "grpo", "grpo", [_as("start", dpo), band], [(0, 0, 1), (0, 1, 1)])
    stages = ["worked", "problems", "people", "base", "sft", "check", "preferences", "dpo", "band", "grpo"]
    world.run("a", stages)


# Impact


def test_a_row_that_three_pipelines_share_is_found_in_all_and_with_what_came_of_it(world: World):
    impact = world.assess(row=world.hash_of("b.worked@1", 8))
    assert [(h.version, h.rows, h.of) for h in impact.versions] == [(f"{p}.worked@1", 1, 10) for p in "abc"]
    assert {(s.model, s.how) for s in impact.models} == {
        ("a.sft/1", "trained on them in sft"),
        ("b.sft/1", "trained on them in sft"),
        ("a.dpo/1", "through a.sft/1"),
        ("a.grpo/1", "through a.dpo/1"),
    }, "c dropped row 8"
    assert {use.made: use.rows for use in impact.uses} == {"a.sft/1": 1, "b.sft/1": 1, "c.sft/1": 0}
    assert impact.rerun == {
        "a": ("worked", "sft", "check", "preferences", "dpo", "band", "grpo"),
        "b": ("worked", "sft"),
        "c": ("worked", "sft"),
    }


def test_a_problem_is_followed_through_its_verdicts_to_the_pair_and_into_dpo_and_grpo(world: World):
    impact = world.assess(row=world.hash_of("a.problems@1", 0))
    uses = {use.stage: use for use in impact.uses}
    assert (uses["check"].completions, uses["check"].right) == (2, 1)
    assert (uses["preferences"].rows, uses["preferences"].chosen, uses["preferences"].rejected) == (1, 1, 1)
    assert (uses["preferences"].chosen_reward, uses["preferences"].rejected_reward) == (1.0, 0.0)
    assert (uses["dpo"].rows, uses["dpo"].times, uses["dpo"].weight, uses["dpo"].passes) == (1, 2, 2.0, 0.5)
    assert (uses["band"].rows, uses["grpo"].rows) == (1, 1)
    assert [seen.model for seen in impact.models] == ["a.dpo/1", "a.grpo/1"]
    assert impact.rerun == {"a": ("problems", "check", "preferences", "dpo", "band", "grpo")}


def test_a_problem_without_a_pair_touches_no_model(world: World):
    impact = world.assess(row=world.hash_of("a.problems@1", 1))
    assert {use.stage: use.rows for use in impact.uses} == {"check": 2, "preferences": 0, "band": 0}
    assert impact.models == ()


def test_a_pair_that_the_trainer_dropped_is_not_seen_by_dpo(world: World):
    """Problem p3 became pair 1, which is not among DPO's rows; GRPO read it through the band."""
    impact = world.assess(row=world.hash_of("a.problems@1", 3))
    assert {use.stage: use.rows for use in impact.uses if use.kind in ("dpo", "grpo")} == {
        "dpo": 0,
        "grpo": 1,
    }
    assert [(s.model, s.how) for s in impact.models] == [("a.grpo/1", "trained on them in grpo")]


def test_one_rollout_stands_on_one_side_of_its_pair(world: World):
    (use,) = [
        use
        for use in world.assess(row=world.hash_of("a.check@1", 1)).uses
        if use.stage == "preferences" and use.given == "a.check@1"
    ]
    assert (use.chosen, use.rejected, use.rejected_reward) == (0, 1, 0.0)


def test_a_preference_from_people_is_followed_into_the_pairs_by_its_texts(world: World):
    impact = world.assess(version="a.people@1")
    assert {use.stage: use.rows for use in impact.uses} == {"preferences": 1, "dpo": 1}
    assert [seen.model for seen in impact.models] == ["a.dpo/1", "a.grpo/1"]


def test_a_version_is_found_in_later_versions_that_share_its_rows(world: World):
    world.publish("a.worked", RowKind.sft, [*WORKED[5:], {**WORKED[0], "source": "new"}])
    found = {h.version: h.rows for h in world.assess(version="a.worked@1").versions}
    assert found == {"a.worked@1": 10, "a.worked@2": 5, "b.worked@1": 10, "c.worked@1": 10}


def test_a_source_is_found_by_its_name_in_every_dataset(world: World):
    found = {h.version: h.rows for h in world.assess(source="exam").versions if not h.is_derived}
    assert found == {"a.problems@1": 4}
    with pytest.raises(NotFoundError, match="No version holds a row of the source nobody"):
        world.select(source="nobody")


def test_what_a_query_made_of_a_row_is_followed_by_hash(world: World):
    world.publish("a.even", RowKind.sft, WORKED[::2])
    worked = Input("worked", "rows", "a.worked", 1, "a worked content", 1.0)
    even = world.record("a", "even", "dataset", [worked])
    world.train("a", "small", "sft", [even], [(0, row, 1) for row in range(5)])
    models = {
        number: {seen.model for seen in world.assess(row=world.hash_of("a.worked@1", number)).models}
        for number in (3, 4)
    }
    assert "a.small/1" in models[4]
    assert "a.small/1" not in models[3]


def test_text_of_a_hostile_source_is_shown_and_not_obeyed(world: World):
    with pytest.raises(NotFoundError, match="source '; drop table versions; --"):
        world.select(source="'; drop table versions; --")
    assert len(world.warehouse.versions()) == 8


# Naming rows


@pytest.mark.parametrize("prefix", ["", "abc", "zzzzzzzz", "0" * 33, "'; --    "])
def test_what_is_no_hash_is_refused(world: World, prefix: str):
    with pytest.raises(RecipeError, match="no row hash"):
        find_row(world.warehouse, prefix)


def test_a_hash_nothing_has_is_not_found(world: World):
    with pytest.raises(NotFoundError, match="No rows have"):
        find_row(world.warehouse, "0" * 32)


def test_every_prefix_of_a_hash_finds_the_row(world: World):
    whole = world.hash_of("a.worked@1", 4)
    for length in (8, 15, 16, 17, 31, 32):
        row_hash, held = find_row(world.warehouse, whole[:length].upper())
        assert row_hash.hex() == whole
        assert {str(h.version): h.rows.tolist() for h in held} == {f"{p}.worked@1": [4] for p in "abc"}


@settings(derandomize=True, max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 40), max_size=30), st.lists(st.integers(0, 81), max_size=30))
def test_a_set_of_hashes_has_its_members_and_no_others(members: list[int], asked: list[int]):
    """Every odd number agrees with the even one before it in the first half of its hash."""

    def hashes(numbers: list[int]) -> Any:
        return np.frombuffer(b"".join((n // 2).to_bytes(8) + n.to_bytes(8) for n in numbers), HASH_TYPE)

    even = [2 * number for number in members]
    assert HashSet(hashes(even)).contains(hashes(asked)).tolist() == [n in even for n in asked]


# Lineage


def test_lineage_has_every_artifact_once_with_the_rows_each_training_was_given(world: World):
    lineage = model_lineage(world.home, world.ledger, world.warehouse, world.made("a.grpo"))
    references = [artifact.reference for artifact in lineage.artifacts]
    assert references[0] == lineage.model == "a.grpo/1"
    rows = ["band", "preferences", "people", "check", "problems", "worked"]
    models = ["grpo", "dpo", "sft", "base"]
    assert sorted(references) == sorted([f"a.{name}@1" for name in rows] + [f"a.{name}/1" for name in models])
    (start, given_rows) = lineage["a.dpo/1"].inputs
    assert (start.role, start.reference) == ("start", "a.sft/1")
    assert (given_rows.reference, given_rows.weight, given_rows.rows, given_rows.times, given_rows.of) == (
        "a.preferences@1",
        2.0,
        2,
        4,
        3,
    )
    assert lineage["a.dpo/1"].facts["dpo/passes"] == 0.5
    assert lineage["a.check@1"].facts["eval/accuracy"] == 0.5
    assert lineage["a.band@1"].facts["select/in_band"] == 2.0
    pairs = lineage["a.preferences@1"].facts
    assert (pairs["pairs/chosen_reward"], pairs["pairs/rejected_reward"]) == (1.0, 0.125)
    assert (pairs["pairs/completions"], pairs["pairs/right"]) == (8, 4)


def test_a_model_is_named_by_name_version_or_alias(world: World):
    assert {world.made(name).stage for name in ("a.dpo", "a.dpo/1", "a.dpo@champion", "models:/a.dpo/1")} == {
        "dpo"
    }
    for wrong in ("a.dpo/2", "a.nothing", "a.dpo@nobody", "a.worked"):
        with pytest.raises(NotFoundError):
            world.made(wrong)
    for dataset in ("a.worked", "a.worked@1", "a.worked@champion"):
        with pytest.raises(NotFoundError, match=rf"a dataset\.(?s:.)*`burnish data impact {dataset}`"):
            world.made(dataset)


def test_the_way_of_a_row_names_every_stage_and_both_sides(world: World):
    held = world.select(row=world.hash_of("a.problems@1", 0)).held
    (path,) = row_paths(world.home, world.ledger, world.warehouse, world.made("a.dpo"), held)
    assert path_lines(path) == (
        f"row 0 of a.problems@1 ({world.hash_of('a.problems@1', 0)}) → check (a.check@1): 2 rollouts, 1 right → "
        "preferences (a.preferences@1): chosen 'p0 try 0' / rejected 'p0 try 1' → "
        "dpo (a.dpo/1): 1 row at weight 2, up to 0.5 passes"
    )


def test_sampled_rows_are_rows_that_reached_a_trainer(world: World):
    found = sample_rows(world.home, world.ledger, world.warehouse, world.made("a.grpo"), 100)
    rows = sorted((str(held.version), int(held.rows[0])) for held in found)
    assert rows == [("a.problems@1", 0), ("a.problems@1", 3), *[("a.worked@1", row) for row in range(10)]]
    assert len(sample_rows(world.home, world.ledger, world.warehouse, world.made("a.grpo"), 3)) == 3


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


# What the trainers write


@settings(derandomize=True, max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 9), st.sampled_from([0.0, 0.5, 1.0, 1.5, 2.0, 2.4])), min_size=1, max_size=3
    )
)
def test_positions_name_the_rows_they_stand_beside(
    tmp_path_factory: pytest.TempPathFactory, inputs: list[tuple[int, float]]
):
    folder = tmp_path_factory.mktemp("mixed")
    given_rows = [
        write_input(folder, f"in{i}", RowKind.raw, [{"at": [i, row]} for row in range(count)], weight=weight)
        for i, (count, weight) in enumerate(inputs)
    ]
    mixed = read_mixed_rows(given_rows, ["at"], seed=3)
    texts = [row["at"] for row in mixed.table.to_pylist()]
    assert texts == np.stack([mixed.input, mixed.row], axis=1).tolist()
    is_kept = np.arange(len(texts)) % 3 != 1
    job = make_job(folder, PairsConfig.model_validate({"kind": "pairs", "rows": ["x"]}))
    job.work_dir.mkdir()
    write_training_rows(job, mixed, is_kept)
    expected: Mapping[tuple[int, ...], int] = {
        tuple(at): sum(text == at for text, kept in zip(texts, is_kept, strict=True) if kept)
        for at, kept in zip(texts, is_kept, strict=True)
        if kept
    }
    written = pq.read_table(job.training_rows_path).to_pylist()
    assert {(row["input"], row["row"]): row["times"] for row in written} == expected


def test_the_hash_of_a_row_does_not_hang_on_its_version(world: World):
    hasher = RowHasher()
    alone = hasher.hash_rows(pa.Table.from_pylist(WORKED[4:5]))[0].tobytes().hex()
    hasher.close()
    assert alone == world.hash_of("a.worked@1", 4) == world.hash_of("c.worked@1", 4)
