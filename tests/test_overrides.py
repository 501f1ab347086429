"""`--set` of the command line: one field of a recipe, by its dotted place."""

from pathlib import Path
from typing import Any

import pytest

from data_contracts.errors import RecipeError
from flows.recipe_files import check_recipe, read_recipe, write_recipe
from tests.factories import make_document

# --set


@pytest.fixture
def recipe_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The small recipe, with a dataset from a file, in a folder that is not the working directory."""
    document = make_document()
    document["datasets"]["own"] = {"path": "data/own.jsonl"}
    path = tmp_path / "recipes" / "small.yaml"
    path.parent.mkdir()
    path.write_text(write_recipe(check_recipe(document, "test")))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return path


@pytest.mark.parametrize(
    ("override", "place", "value"),
    [
        ("dpo.beta=4", "stages.dpo.beta", 4.0),
        ("stages.dpo.beta=4", "stages.dpo.beta", 4.0),
        ("seed=1", "seed", 1),
        ("run.parallel-stages=2", "run.parallel_stages", 2),
        ("problems.count=8", "datasets.problems.count", 8),
        ("sft.learning_rate=1e-3", "stages.sft.learning_rate", 0.001),
        ("sft.lora.rank=4", "stages.sft.lora.rank", 4),
        ("sft.lora={rank: 4}", "stages.sft.lora.rank", 4),
        ("dpo.rows={preferences: 0.5}", "stages.dpo.rows", {"preferences": 0.5}),
        ("evaluate.rows=[problems]", "evaluate.rows", {"problems": 1.0}),
        ("check.limit=null", "stages.check.limit", None),
        ("preferences.max_completion_length=", "stages.preferences.max_completion_length", None),
    ],
)
def test_set_overrides_one_field(recipe_path: Path, override: str, place: str, value: Any) -> None:
    found: Any = read_recipe(recipe_path, [override])
    for part in place.split("."):
        found = found[part] if isinstance(found, dict) and part in found else getattr(found, part)
    assert found == value


def test_the_last_override_of_a_field_wins(recipe_path: Path) -> None:
    assert read_recipe(recipe_path, ["seed=1", "seed=2"]).seed == 2


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("dpo.beta", "cannot be read"),
        ("=4", "cannot be read"),
        ("dop.beta=4", "Did you mean 'dpo'?"),
        ("dpo.betta=4", "stages.dpo.betta: unknown key. Did you mean 'beta'?"),
        ("seed.x=4", "'seed' has no fields"),
        ("dpo.beta=[", "the value is not YAML"),
    ],
)
def test_an_override_that_cannot_be_meant_is_refused(recipe_path: Path, override: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        read_recipe(recipe_path, [override])
    assert message in str(caught.value)


def test_a_path_is_taken_from_the_recipes_folder(recipe_path: Path) -> None:
    assert read_recipe(recipe_path).datasets["own"].path == str(recipe_path.parent / "data/own.jsonl")


@pytest.mark.parametrize("override", ["own.path=other.jsonl", "datasets.own={path: other.jsonl}"])
def test_a_path_in_an_override_is_taken_from_the_working_directory(recipe_path: Path, override: str) -> None:
    assert read_recipe(recipe_path, [override]).datasets["own"].path == str(Path.cwd() / "other.jsonl")


def test_an_absolute_path_stays(recipe_path: Path) -> None:
    assert read_recipe(recipe_path, ["own.path=/data/x.jsonl"]).datasets["own"].path == "/data/x.jsonl"
