"""What a person can get wrong: found before anything computes, explained in three parts, nothing half-written."""

import json
from collections.abc import Callable
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra.home import HOME_FORMAT
from tests.pipeline.coin import write_coin, write_jsonl
from tests.pipeline.conftest import World, burnish
from tests.pipeline.shell import Outcome, Shell

RIGHT = {"prompt": "toss 1", "completion": "1"}
CALL = {"prompt": "toss 1", "ground_truth": "1"}


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    return write_coin(tmp_path)


def kept(home: Path) -> list[str]:
    """Everything a run would leave, the ledger aside."""
    rooms = ("warehouse", "models", "mlflow", "prefect", "work", "logs", "reference_logprobs")
    return [str(path) for room in rooms for path in (home / room).rglob("*") if path.is_file()]


def edit(recipe: Path, before: str, after: str) -> None:
    text = recipe.read_text()
    assert before in text
    recipe.write_text(text.replace(before, after))


def refused(shell: Shell, recipe: Path, *arguments: str, parts: list[str]) -> Outcome:
    home = recipe.parent / "home"
    outcome = shell.run("run", recipe, *arguments, home=home)
    assert outcome.code == 2, outcome.text
    for part in parts:
        assert part in outcome.text, outcome.text
    assert "Traceback" not in outcome.text
    assert kept(home) == []
    return outcome


MISTAKES = {
    "unknown key": (
        ("learning_rate: 4e-3", "learning_rte: 4e-3"),
        ["stages.sft.learning_rte: unknown key", "Did you mean 'learning_rate'?"],
    ),
    "unknown key of a dataset": (
        ("{path: calls.jsonl, verifier", "{path: calls.jsonl, verifer"),
        ["datasets.calls.verifer: unknown key", "Did you mean 'verifier'?"],
    ),
    "unknown kind": (("kind: grpo", "kind: gppo"), ["stages.grpo", "gppo", "'grpo'"]),
    "unknown start": (
        ("kind: grpo, start: dpo", "kind: grpo, start: dop"),
        ["stages.grpo.start names 'dop'", "Did you mean 'dpo'?", "Known: base, sft, dpo, grpo"],
    ),
    "start that is no model": (
        ("kind: grpo, start: dpo", "kind: grpo, start: band"),
        ["stages.grpo.start names 'band'", "Known: base, sft, dpo, grpo"],
    ),
    "unknown rows": (
        ("rows: [sft_check]", "rows: [check]"),
        ["stages.preferences.rows names 'check'", "Known: "],
    ),
    "cycle": (
        ("kind: sft, start: base", "kind: sft, start: grpo"),
        ["goes in a circle: ", "sft -> grpo -> dpo -> sft", "Change the start or rows"],
    ),
    "rows of the wrong kind": (
        ("kind: sft, start: base, rows: [tosses]", "kind: sft, start: base, rows: [calls]"),
        ["Stage sft (sft) reads calls, whose rows are problems", "Expected: sft"],
    ),
    "batch larger than the rows": (
        ("global_batch: 16", "global_batch: 512"),
        ["Stage sft has 160 rows", "at least 512", "smaller batch"],
    ),
    "steps that are no whole rounds": (
        ("steps: 2,", "steps: 3, num_iterations: 2,"),
        ["steps = 3", "1 * 2 = 2 updates", "use 2"],
    ),
    "beta of another loss": (("beta: 5", "beta: 0.1"), ["beta = 0.1", "sigmoid_norm", "beta >= 1"]),
    "a number that is none": (("steps: 8", "steps: many"), ["stages.sft.steps", "integer", "'many'"]),
    "missing data file": (
        ("tosses.jsonl", "tossed.jsonl"),
        ["tossed.jsonl does not exist", "Expected: a data file", "path"],
    ),
    "file of no known format": (("tosses.jsonl", "coin.yaml"), ["the suffix '.yaml'", ".jsonl", ".parquet"]),
    "unknown verifier": (
        ("calls.jsonl, verifier: exact_number", "calls.jsonl, verifier: exact_numbr"),
        ["no verifier named 'exact_numbr'", "Did you mean exact_number?"],
    ),
    "no YAML": (
        ("stages:", "stages: ["),
        ["coin.yaml, line", "Expected: plain YAML", "brackets and quotes"],
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_the_recipe_is_refused(shell: Shell, recipe: Path, mistake: str):
    (before, after), parts = MISTAKES[mistake]
    edit(recipe, before, after)
    refused(shell, recipe, parts=parts)


def test_batch_arithmetic_that_cannot_work_shows_the_numbers(shell: Shell, recipe: Path):
    refused(
        shell,
        recipe,
        "--set",
        "run.micro_batch=3",
        parts=["Stage sft: run.micro_batch = 3", "16 = 5 * 3 + 1", "a divisor of 16"],
    )


def write_pairs_as_sft(path: Path) -> None:
    write_jsonl(path, [{"prompt": "toss 1", "chosen": "1", "rejected": "0"}] * 20)


FILES: dict[str, tuple[str, Callable[[Path], object], list[str]]] = {
    "text instead of JSON": (
        "tosses.jsonl",
        lambda path: path.write_text("prompt,completion\ntoss 1,1\n"),
        ["tosses.jsonl holds no JSON object", "one object per row"],
    ),
    "a line that breaks off": (
        "tosses.jsonl",
        lambda path: path.write_text(f'{json.dumps(RIGHT)}\n\n{{"prompt": "toss 1", "comple\n'),
        ["tosses.jsonl, line 3: malformed JSON: unterminated string", "burnish data import"],
    ),
    "JSON instead of Parquet": (
        "held_out.parquet",
        lambda path: write_jsonl(path, [CALL] * 20),
        ["held_out.parquet cannot be read: Parquet magic bytes", "a whole parquet file"],
    ),
    "empty": ("tosses.jsonl", lambda path: path.write_text(""), ["tosses.jsonl is empty", "at least one row"]),
    "no rows": (
        "held_out.parquet",
        lambda path: pq.write_table(pa.Table.from_pylist([CALL]).slice(1), path),
        ["Dataset held_out has no rows", "at least one row"],
    ),
    "a row without its field": (
        "tosses.jsonl",
        lambda path: write_jsonl(path, [RIGHT] * 16 + [{"prompt": "toss 2"}] + [RIGHT] * 16),
        ["Dataset tosses", "row 17: turn 2 is missing", "Correct or remove"],
    ),
    "a ground truth left empty": (
        "calls.jsonl",
        lambda path: write_jsonl(path, [CALL, CALL | {"ground_truth": ""}] * 8),
        ["Dataset calls: 8 bad", "row 2: ground_truth is empty", "and 3 more"],
    ),
    "a ground truth its verifier rejects": (
        "calls.jsonl",
        lambda path: write_jsonl(path, [CALL] * 3 + [CALL | {"ground_truth": "heads"}] * 13),
        ["Dataset calls", "Row 4", "'heads' is no number"],
    ),
    "columns of nothing known": (
        "tosses.jsonl",
        lambda path: write_jsonl(path, [{"question": "toss 1", "reply": "1"}] * 20),
        ["Dataset tosses: The columns have no known shape", "question: string", "prompt, completion"],
    ),
    "rows of another kind": ("tosses.jsonl", write_pairs_as_sft, ["sft (sft) reads tosses, whose rows are pairs"]),
}  # fmt: skip


@pytest.mark.parametrize("mistake", FILES)
def test_a_data_file_that_is_not_what_it_says_is_refused(shell: Shell, recipe: Path, mistake: str):
    name, write, parts = FILES[mistake]
    write(recipe.parent / name)
    refused(shell, recipe, parts=parts)


def test_the_command_itself_leaves_nothing_behind_either(world: World, recipe: Path):
    """What it started for the run, a server among them, goes with it."""
    write_jsonl(recipe.parent / "tosses.jsonl", [{"prompt": "toss 2"}])
    home = recipe.parent / "home"
    outcome = burnish(world.environment | {"BURNISH_HOME": str(home)}, [], "run", recipe)
    assert outcome.code == 2
    assert "Traceback" not in outcome.text
    assert kept(home) == []
    assert [process for process in psutil.process_iter() if uses(process, home)] == []


def uses(process: psutil.Process, home: Path) -> bool:
    try:
        return process.environ().get("BURNISH_HOME") == str(home)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False


def test_a_home_that_cannot_be_written_is_refused(shell: Shell, recipe: Path, tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    outcome = shell.run("run", recipe, home=tmp_path / "file" / "home")
    assert outcome.code == 2
    assert "cannot be written: Not a directory" in outcome.text
    assert "Set BURNISH_HOME to another directory" in outcome.text
    assert "Traceback" not in outcome.text


@pytest.mark.parametrize(
    ("marker", "parts"),
    [
        (json.dumps({"format": HOME_FORMAT + 1}), ["written by a newer Burnish", "Upgrade Burnish"]),
        ("not json", ["home.json is damaged", "Restore the file"]),
    ],
    ids=["newer", "damaged"],
)
def test_a_home_this_version_does_not_know_is_left_alone(
    shell: Shell, recipe: Path, tmp_path: Path, marker: str, parts: list[str]
):
    home = tmp_path / "home"
    home.mkdir()
    (home / "home.json").write_text(marker)
    outcome = shell.run("run", recipe, home=home)
    assert outcome.code == 2
    for part in parts:
        assert part in outcome.text
    assert [path.name for path in home.rglob("*") if path.is_file()] == ["home.json"]
    assert (home / "home.json").read_text() == marker
