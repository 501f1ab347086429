"""Lineage on a small world made by hand: every count here was worked out on paper."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_contracts.errors import NotFoundError, RecipeError
from data_contracts.rows import RowKind
from data_contracts.stage_configs import PairsConfig
from flows.lineage.models import model_lineage
from flows.lineage.paths import row_paths, sample_rows
from flows.lineage.view import path_lines
from infra.records import Input
from infra.warehouse.locating import HashSet, find_row
from infra.warehouse.row_hashes import HASH_TYPE, RowHasher
from stages.mixed_rows import read_mixed_rows, write_training_rows
from tests.dataset.lineage_world import WORKED, World
from tests.factories import make_job, write_input

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
