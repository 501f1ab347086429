"""A recipe is refused for every mistake it has, at the right place, with what would be right."""

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_contracts.errors import RecipeError
from flows.recipe_files import check_recipe, find_recipe, read_recipe, write_recipe
from tests.factories import make_recipe

JUDGE = {"kind": "judge", "url": "http://127.0.0.1/v1", "model": "m", "rubric": "r", "max_calls": 1}
ERROR_CASES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "unknown key of a stage": (
        {"stages.dpo.betta": 5},
        ["stages.dpo.betta: unknown key", "Did you mean 'beta'?"],
    ),
    "unknown key of an adapter": (
        {"stages.sft.lora": {"rnk": 8}},
        ["stages.sft.lora.rnk: unknown key", "Did you mean 'rank'?"],
    ),
    "unknown key of a dataset": (
        {"datasets.worked.cuont": 5},
        ["datasets.worked.cuont: unknown key", "Did you mean 'count'?"],
    ),
    "unknown key at the top": ({"evalute": {}}, ["evalute: unknown key", "Did you mean 'evaluate'?"]),
    "unknown key of run": ({"run.acelerators": 1}, ["run.acelerators: unknown key", "'accelerators'"]),
    "unknown key of base": ({"base.biuld": "x"}, ["base.biuld: unknown key", "Did you mean 'build'?"]),
    "unknown key of evaluate": (
        {"evaluate": {"rows": "problems", "sample": 1}},
        ["evaluate.sample: unknown key", "Did you mean 'samples'?"],
    ),
    "unknown kind of stage": ({"stages.dpo.kind": "ppo"}, ["stages.dpo", "'ppo'", "'grpo'"]),
    "unknown start": (
        {"stages.dpo.start": "stf"},
        ["stages.dpo.start names 'stf'", "Did you mean 'sft'?", "Known: base, sft, dpo"],
    ),
    "start from rows": ({"stages.dpo.start": "check"}, ["stages.dpo.start names 'check'"]),
    "unknown rows": (
        {"stages.dpo.rows": ["preference"]},
        ["stages.dpo.rows names 'preference'", "Did you mean 'preferences'?"],
    ),
    "rows from a model": ({"stages.sft.rows": ["dpo"]}, ["stages.sft.rows names 'dpo'"]),
    "unknown rows of evaluate": (
        {"evaluate": {"rows": "problem"}},
        ["evaluate.rows names 'problem'", "Did you mean 'problems'?"],
    ),
    "unknown rows of a dataset": (
        {"datasets.other": {"sql": "from worke", "rows": ["worke"]}},
        ["datasets.other.rows names 'worke'", "Did you mean 'worked'?"],
    ),
    "beta for sums with averages": (
        {"stages.dpo.beta": 0.1},
        ["stages.dpo: beta = 0.1", "sigmoid_norm averages", "beta >= 1"],
    ),
    "an adapter on an adapter, without a word on the first": (
        {"stages.sft.lora": {}, "stages.dpo.lora": {}},
        ["stages.dpo.lora: sft was trained with LoRA too", "start_adapter: merge", "start_adapter: continue"],
    ),
    "an adapter that is not there, continued": (
        {"stages.dpo.lora": {"start_adapter": "continue"}},
        ["stages.dpo.lora.start_adapter is continue, but sft was trained without LoRA"],
    ),
    "an adapter of another shape, continued": (
        {"stages.sft.lora": {}, "stages.dpo.lora": {"start_adapter": "continue", "rank": 8}},
        ["stages.dpo.lora continues the adapter of sft: rank is 8, there 16"],
    ),
    "a dropout that drops all": (
        {"stages.sft.lora": {"dropout": 1.0}},
        ["stages.sft.lora.dropout", "less than 1"],
    ),
    "beta of the wrong sign": ({"stages.dpo.beta": -1}, ["stages.dpo.beta", "greater than 0", "(found -1)"]),
    "neither steps nor epochs": (
        {"stages.sft.steps": None},
        ["stages.sft", "steps or epochs", "found neither"],
    ),
    "steps and epochs": ({"stages.sft.epochs": 1}, ["stages.sft", "steps or epochs", "found both"]),
    "half a sampling round": (
        {
            "stages.grpo": {
                "kind": "grpo",
                "start": "dpo",
                "rows": "problems",
                "steps": 10,
                "steps_per_generation": 2,
                "num_iterations": 3,
            }
        },
        ["stages.grpo: steps = 10 is not a whole number", "2 * 3 = 6 updates; use 6"],
    ),
    "less than a sampling round": (
        {
            "stages.grpo": {
                "kind": "grpo",
                "start": "dpo",
                "rows": "problems",
                "steps": 3,
                "num_iterations": 4,
            }
        },
        ["steps = 3 is not a whole number", "1 * 4 = 4 updates; use 4"],
    ),
    "warm-up longer than training": (
        {"stages.sft.warmup_steps": 2},
        ["warmup_steps = 2 leaves nothing of steps = 2; use at most 1"],
    ),
    "several greedy samples": (
        {"stages.check.temperature": 0},
        ["stages.check", "temperature 0 draws the same completion 4 times"],
    ),
    "a group of one": (
        {"stages.grpo": {"kind": "grpo", "start": "dpo", "rows": "problems", "steps": 1, "group_size": 1}},
        ["stages.grpo.group_size", "greater than or equal to 2"],
    ),
    "a band upside down": (
        {"stages.band": {"kind": "select", "rows": "check", "pass_rate": [0.9, 0.1]}},
        ["stages.band: pass_rate [0.9, 0.1] is upside down; write [0.1, 0.9]"],
    ),
    "a learning rate without end": ({"stages.sft.learning_rate": math.inf}, ["stages.sft.learning_rate"]),
    "two origins of base": (
        {"base.path": "model"},
        ["base: give one of build, model, path, version; found build and path"],
    ),
    "no origin of base": ({"base": {}}, ["base: give one of build, model, path, version; found none"]),
    "a hub model that may move": ({"base": {"model": "a/b"}}, ["base", "both model and revision"]),
    "two origins of a dataset": (
        {"datasets.worked.path": "rows.jsonl"},
        ["datasets.worked: give one of path, version, hub, generate, sql; found path and generate"],
    ),
    "generate without count": ({"datasets.worked.count": None}, ["datasets.worked: generate needs count"]),
    "sql over nothing": ({"datasets.other": {"sql": "select 1"}}, ["datasets.other: sql needs rows"]),
    "a dataset named as a stage": (
        {"datasets.sft": {"generate": "arithmetic", "count": 1}},
        ["sft names two things"],
    ),
    "a stage named base": (
        {"stages.base": {"kind": "pairs", "rows": "check"}},
        ["base names two things"],
    ),
    "a name with capitals": ({"name": "My Recipe"}, ["name: ", "(found 'My Recipe')"]),
    "rows named twice": (
        {"stages.sft.rows": ["worked", "worked"]},
        ["stages.sft.rows: ['worked'] named twice; give a weight instead"],
    ),
    "a weight of nothing": ({"stages.sft.rows": {"worked": 0}}, ["stages.sft.rows.worked", "greater than 0"]),
    "no rows": ({"stages.sft.rows": []}, ["stages.sft.rows"]),
    "a verifier of no form": (
        {"verifiers": {"own": {"model": "m"}}},
        ["verifiers.own: a verifier is package"],
    ),
    "a judge without a budget": (
        {"verifiers": {"own": JUDGE}},
        ["verifiers.own.max_total_tokens: Field required"],
    ),
}


@pytest.mark.parametrize("case", ERROR_CASES)
def test_a_mistake_is_named_at_its_place_with_what_would_be_right(case: str) -> None:
    changes, words = ERROR_CASES[case]
    with pytest.raises(RecipeError) as caught:
        make_recipe(changes)
    assert "1 mistake(s)" in str(caught.value)
    assert [word for word in words if word not in str(caught.value)] == []


def test_all_mistakes_are_named_at_once() -> None:
    with pytest.raises(RecipeError) as caught:
        make_recipe({"stages.dpo.beta": 0.1, "stages.sft.stepps": 3, "seed": -1})
    assert "3 mistake(s)" in str(caught.value)


TEXT_CASES: dict[str, tuple[str, str]] = {
    "a key twice": ("name: a\nseed: 1\nseed: 2\n", 'line 3: found duplicate key "seed"'),
    "wrong indentation": ("name: a\n  seed: 1\n", "line 2: mapping values are not allowed here"),
    "a list": ("- a\n- b\n", "holds a list, not fields"),
    "nothing": ("", "is empty"),
    "two recipes": ("name: a\n---\nname: b\n", "One file is one recipe"),
    "an object of Python": (
        "name: !!python/object/apply:os.getcwd []\n",
        "line 1: could not determine a constructor",
    ),
    "control characters": ("name: \x01\n", "is not YAML"),
}


@pytest.mark.parametrize("case", TEXT_CASES)
def test_text_that_is_no_recipe_is_refused_with_its_line(case: str, tmp_path: Path) -> None:
    text, message = TEXT_CASES[case]
    path = tmp_path / "my.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError) as caught:
        read_recipe(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_binary_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "my.yaml"
    path.write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(RecipeError, match="is not text"):
        read_recipe(path)


def test_an_unknown_recipe_suggests_a_shipped_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RecipeError, match="Did you mean 'tiny'"):
        find_recipe("tinny")


def test_a_file_in_the_working_directory_wins_over_a_shipped_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny").write_text("mine")
    assert find_recipe("tiny").read_text() == "mine"


# Writing


_NAMES = st.from_regex(r"\A[a-z][a-z0-9_]{0,12}\Z") | st.sampled_from(
    ["null", "true", "yes", "no", "on", "e1"]
)


_RATES = st.floats(min_value=1e-12, max_value=1.0)


@st.composite
def _documents(draw: st.DrawFn) -> dict[str, Any]:
    sft, dataset, check = draw(st.lists(_NAMES.filter("base".__ne__), min_size=3, max_size=3, unique=True))
    sft_config = {
        "kind": "sft",
        "start": "base",
        "rows": {dataset: draw(_RATES)},
        "learning_rate": draw(_RATES),
        "epochs": draw(st.floats(min_value=0.1, max_value=9)),
        "dtype": draw(st.sampled_from(["float32", "bfloat16"])),
        "lora": draw(
            st.none() | st.fixed_dictionaries({"targets": st.just("all-linear") | st.lists(st.text())})
        ),
    }
    own = {"path": str(Path("/", draw(st.text()))), "verifier": draw(st.text()), "arguments": draw(_JSON)}
    return {
        "name": draw(_NAMES),
        "seed": draw(st.integers(0, 2**31 - 1)),
        "base": {"model": draw(st.text(min_size=1)), "revision": draw(st.text())},
        "datasets": {dataset: own},
        "stages": {
            sft: sft_config,
            check: {"kind": "verify", "start": sft, "rows": dataset, "top_p": draw(_RATES)},
        },
    }


_JSON = st.dictionaries(
    st.text(),
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
        max_leaves=4,
    ),
    max_size=2,
)


@given(_documents())
@settings(max_examples=60, deadline=None)
def test_a_written_recipe_reads_back_the_same(
    tmp_path_factory: pytest.TempPathFactory, document: dict[str, Any]
) -> None:
    recipe = check_recipe(document, "test")
    path = tmp_path_factory.mktemp("recipe") / "written.yaml"
    path.write_text(write_recipe(recipe))
    assert read_recipe(path) == recipe
