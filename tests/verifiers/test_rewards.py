"""The reward of GRPO: bounded, combined as the recipe says, with every completion kept."""

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from data_contracts.errors import DataError, StageError
from data_contracts.training_configs import GRPOConfig
from stages.rewards import VerifiedReward
from stages.verdicts import VerdictCounter
from stages.verifiers.catalog import Catalog
from stages.verifiers.pool import VerifierPool

STOP = 9
ADDED = {"odd": "tests.verifiers.odd_verifiers:ODD"}


@pytest.fixture(scope="module")
def pool() -> Iterator[VerifierPool]:
    with VerifierPool(Catalog(ADDED), num_workers=1) as pool:
        yield pool


class Rewarded:
    """A reward with what it logs, asked as TRL asks it."""

    def __init__(self, pool: VerifierPool, folder: Path, **fields: Any) -> None:
        config = GRPOConfig.model_validate({"start": "base", "rows": "x", "steps": 2, **fields})
        self.reward = VerifiedReward(config, VerdictCounter(pool), folder, "start", {STOP})
        self.logged: dict[str, list[float]] = defaultdict(list)

    def __call__(self, *texts: str, step: int = 0, **columns: str) -> list[float | None]:
        problem = {
            "problem_id": "p",
            "ground_truth": "18",
            "verifier": "exact_number",
            "arguments": "{}",
            "source": "sums",
        } | columns
        return self.reward(
            prompts=[[{"role": "user", "content": "17+1"}]] * len(texts),
            completions=[[{"role": "assistant", "content": text}] for text in texts],
            completion_ids=[[1, STOP], *[[1, 2]] * (len(texts) - 1)],
            trainer_state=SimpleNamespace(global_step=step),
            log_metric=lambda name, value: self.logged[name].append(value),
            **{name: [value] * len(texts) for name, value in problem.items()},
        )


@pytest.mark.parametrize(
    ("combine", "rewards"),
    [
        ("gate", [1.0, 0.75, 0.0, 0.0]),
        ("sum", [1.0, 0.75, 0.25, 0.0]),
        ("product", [1.0, 0.0, 0.0, 0.0]),
        ("min", [1.0, 0.0, 0.0, 0.0]),
    ],
)
def test_terms_become_one_bounded_reward(
    pool: VerifierPool, tmp_path: Path, combine: str, rewards: list[float]
) -> None:
    terms = {"problem": 3, "format": {"weight": 1, "arguments": {"starts_with": "<"}}}
    rewarded = Rewarded(pool, tmp_path, rewards=terms, combine=combine)
    assert rewarded("<18", "18", "<19", "19") == rewards
    assert rewarded.logged["reward/problem"] == [0.5]
    assert rewarded.logged["reward/format"] == [0.5]
    assert rewarded.logged["reward/verdict_seconds"][0] >= 0


def test_a_problem_judges_with_its_own_arguments_where_it_names_the_term(
    pool: VerifierPool, tmp_path: Path
) -> None:
    rewarded = Rewarded(pool, tmp_path, rewards={"format": {"arguments": {"starts_with": "<"}}})
    own: dict[str, Any] = {"verifier": "format", "arguments": json.dumps({"ends_with": ">"})}
    assert rewarded("<18", "18>", **own) == [0.0, 1.0]
    assert rewarded("<18", "18>") == [1.0, 0.0]


def test_a_source_can_be_worth_less(pool: VerifierPool, tmp_path: Path) -> None:
    rewarded = Rewarded(pool, tmp_path, source_weights={"easy": 0.25})
    assert [rewarded("18", "19", source=source) for source in ("easy", "hard")] == [[0.25, 0.0], [1.0, 0.0]]


def test_a_verifier_that_fails_gives_no_reward_and_no_row(pool: VerifierPool, tmp_path: Path) -> None:
    rewarded = Rewarded(pool, tmp_path)
    assert rewarded("18", "raise", "x", verifier="odd") == [1.0, None, 0.0]
    assert rewarded.logged["reward/without_verdict"] == [1 / 3]
    assert pq.read_table(tmp_path)["completion"].to_pylist() == ["18", "x"]


def test_a_term_that_fails_takes_the_whole_reward(pool: VerifierPool, tmp_path: Path) -> None:
    """What is counted are completions, not verdicts."""
    rewarded = Rewarded(pool, tmp_path, rewards={"problem": 1, "odd": 1}, combine="sum")
    assert rewarded("18", "raise", "19") == [1.0, None, 0.0]
    assert rewarded.logged["reward/without_verdict"] == [1 / 3]
    with pytest.raises(StageError, match=r"5 of 7 .*: odd: ZeroDivisionError: of its own making"):
        rewarded("raise", "raise", "raise", "raise")


def test_every_completion_is_a_row_and_a_repeated_round_is_not_twice(
    pool: VerifierPool, tmp_path: Path
) -> None:
    rewarded = Rewarded(pool, tmp_path, temperature=0.5)
    for step, texts in ((0, ["lost", "with"]), (2, ["19"]), (0, ["18", "no 19"])):
        rewarded(*texts, step=step)
    rows = pq.read_table(tmp_path).to_pylist()
    kept = [(r["step"], r["sample"], r["completion"], r["reward"], r["finished"]) for r in rows]
    assert kept == [
        (0, 0, "18", 1.0, True),
        (0, 1, "no 19", 0.0, False),
        (2, 0, "19", 0.0, True),
    ]
    assert {key: rows[0][key] for key in ("model", "temperature", "source", "problem_id", "reason")} == {
        "model": "start",
        "temperature": 0.5,
        "source": "sums",
        "problem_id": "p",
        "reason": "exact match",
    }


def test_the_first_term_stays_the_first_however_its_recipe_is_stored() -> None:
    """A database may give the keys of an object back in another order."""
    config = GRPOConfig.model_validate(
        {"start": "base", "rows": "x", "steps": 2, "rewards": ["problem", "format"]}
    )
    stored = json.loads(json.dumps(config.model_dump(mode="json"), sort_keys=True))
    assert list(GRPOConfig.model_validate(stored).rewards) == ["problem", "format"]
    turned = config.model_copy(update={"rewards": dict(reversed(config.rewards.items()))})
    other = GRPOConfig.model_validate(
        {"start": "base", "rows": "x", "steps": 2, "rewards": ["format", "problem"]}
    )
    assert turned.model_dump() != other.model_dump()
    with pytest.raises(ValidationError, match="twice"):
        GRPOConfig.model_validate({"start": "base", "rows": "x", "steps": 2, "rewards": ["format", "format"]})


def test_arguments_that_cannot_be_read_are_a_fault_of_the_problem(pool: VerifierPool, tmp_path: Path) -> None:
    rewarded = Rewarded(pool, tmp_path, rewards=["problem", "repetition"])
    for arguments in ("{", "[]", '{"unknown": 1}'):
        with pytest.raises(DataError):
            rewarded("18", arguments=arguments)
