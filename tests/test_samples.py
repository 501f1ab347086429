"""The completions behind a run's numbers, as a person looks for them."""

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from data_contracts.errors import NotFoundError
from flows.cli.app import execute
from flows.plan import make_plan
from infra.home import Home, open_home
from infra.ledger import Ledger
from infra.warehouse.samples import Sought, completions, flipped
from tests.factories import finish, make_recipe
from tests.test_gate_metrics import rollouts

HOSTILE = "[/red][bold]\x1b[31;5m\x1b]0;owned\x07\x9b2J<script>alert(1)</script>\u202e\u2066gnp\u2069\r\x00"
Samples = Mapping[str, Sequence[Mapping[str, Any]]]
RIGHT, WRONG = {"reward": 1.0}, {"reward": 0.0}


# Found by verdict, problem and text


@pytest.fixture
def file(tmp_path: Path) -> Path:
    prompt = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2 + 2?"}]
    return rollouts(
        tmp_path / "rows.parquet",
        {
            "p": [RIGHT | {"completion": "Éclair 100% _"}, WRONG | {"completion": "five"}],
            "it's": [WRONG | {"completion": "vier", "prompt": prompt}, RIGHT | {"reward": 0.5}],
        },
    )


@pytest.mark.parametrize(
    ("sought", "found"),
    [
        (Sought(), [("p", 0), ("p", 1), ("it's", 0), ("it's", 1)]),
        (Sought(is_right=True), [("p", 0)]),
        (Sought(is_right=False), [("p", 1), ("it's", 0), ("it's", 1)]),
        (Sought(problem="it's"), [("it's", 0), ("it's", 1)]),
        (Sought(problem="' or 1 = 1 --"), []),
        (Sought(search="FIVE"), [("p", 1)]),
        (Sought(search="éCLAIR"), [("p", 0)]),
        (Sought(search="100% _"), [("p", 0)]),
        (Sought(search="%"), [("p", 0)]),
        (Sought(search="be BRIEF"), [("it's", 0)]),
        (Sought(search="2 + 2?"), [("it's", 0)]),
        (Sought(search="'); drop table x; --"), []),
        (Sought(is_right=False, problem="p", search="i"), [("p", 1)]),
    ],
)
def test_completions_are_found_by_verdict_problem_and_text_as_it_stands(
    file: Path, sought: Sought, found: list[tuple[str, int]]
) -> None:
    rows = completions(file, sought, 100)
    assert [(row["problem_id"], row["sample"]) for row in rows] == found
    assert completions(file, sought, 1) == rows[:1]


def test_completions_that_are_gone_are_said_to_be(tmp_path: Path, file: Path) -> None:
    gone = tmp_path / "gone.parquet"
    for look in (lambda: completions(gone, Sought(), 1), lambda: flipped(file, gone, Sought(), 1)):
        with pytest.raises(NotFoundError, match="gone"):
            look()


# Where two models differ


def test_a_problem_flipped_where_the_majority_of_its_samples_did_and_of_equally_many_the_first(
    tmp_path: Path,
) -> None:
    before: Samples = {
        "gained": [WRONG, WRONG, RIGHT],
        "lost": [RIGHT, RIGHT, WRONG],
        "tie to right": [WRONG, RIGHT],
        "tie to wrong": [RIGHT, WRONG],
        "better, yet wrong": [WRONG, WRONG, WRONG],
        "same": [RIGHT],
        "gone": [WRONG],
    }
    after: Samples = {
        "lost": [WRONG, RIGHT, WRONG],
        "gained": [WRONG, RIGHT, RIGHT],
        "tie to right": [RIGHT, WRONG],
        "tie to wrong": [WRONG, RIGHT],
        "better, yet wrong": [WRONG, WRONG, RIGHT],
        "same": [RIGHT],
        "new": [RIGHT],
    }
    was, now = rollouts(tmp_path / "a.parquet", before), rollouts(tmp_path / "b.parquet", after)
    rows = flipped(was, now, Sought(), 100)
    assert [(row["problem_id"], row["is_right"]) for row in rows] == [
        *(("lost", False), ("gained", True), ("tie to right", True), ("tie to wrong", False)),
    ]
    gained = rows[1]
    assert (gained["num_right_before"], gained["num_before"]) == (1, 3)
    assert (gained["num_right_after"], gained["num_after"]) == (2, 3)
    assert (gained["before"]["completion"], gained["after"]["completion"]) == ("a 0", "b 1"), (
        "the verdict's first"
    )
    assert {(row["num_flipped"], row["num_gained"]) for row in rows} == {(4, 2)}
    back = flipped(now, was, Sought(), 100)
    assert {(row["problem_id"], row["is_right"]) for row in back} == {
        (row["problem_id"], not row["is_right"]) for row in rows
    }
    only = flipped(was, now, Sought(is_right=True, search="TOSS gained"), 100)
    assert [row["problem_id"] for row in only] == ["gained"]
    first = flipped(was, now, Sought(), 1)
    assert (len(first), first[0]["num_flipped"]) == (1, 4), "counted beyond what is shown"


def test_problems_with_one_id_and_other_content_did_not_flip(tmp_path: Path) -> None:
    was = rollouts(tmp_path / "a.parquet", {"p": [WRONG], "q": [WRONG]})
    now = rollouts(tmp_path / "b.parquet", {"p": [RIGHT | {"ground_truth": "2"}], "q": [RIGHT]})
    assert [row["problem_id"] for row in flipped(was, now, Sought(), 9)] == ["q"]


# On the command line


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Mapping[str, Samples]], str]:
    home = open_home(tmp_path / "home")
    monkeypatch.setenv("BURNISH_HOME", str(home.path))
    monkeypatch.setenv("COLUMNS", "100")
    return lambda rows: _add_run(home, Ledger(home.ledger_path), rows)


def _add_run(home: Home, ledger: Ledger, rows: Mapping[str, Samples]) -> str:
    """A finished run whose verify stages gave these rows."""
    recipe = make_recipe({"evaluate": {"rows": ["problems"], "samples": 2}})
    plan = make_plan(recipe, home, ledger)
    run_id = ledger.begin_run("small", recipe.model_dump(mode="json"), 1, 1.0)
    made = finish(plan, home, ledger, run_id=run_id)
    with sqlite3.connect(home.ledger_path) as db:
        for stage, given in rows.items():
            rollouts(home.rows_dir / f"{stage}.parquet", given)
            change = "update executions set fingerprint = ? where run_id = ? and stage = ?"
            db.execute(change, [stage, run_id, stage])
    for step in plan.steps:
        ledger.set_stage(run_id, step.node.name, step.node.kind, made[step.node.name].key, "done")
    ledger.end_run(run_id, "done", None)
    return run_id


def _rows(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    assert execute(["samples", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_stage_a_run_or_both_are_named(
    run: Callable[[Mapping[str, Samples]], str], capsys: pytest.CaptureFixture[str]
) -> None:
    run_id = run(
        {"check": {"c": [RIGHT]}, "sft.evaluate": {"s": [WRONG, RIGHT]}, "dpo.evaluate": {"d": [RIGHT]}}
    )
    for arguments in (
        ["sft"],
        ["sft", run_id],
        ["--stage", "sft"],
        ["--stage", "sft.evaluate", "--run", "small"],
    ):
        assert [row["problem_id"] for row in _rows(capsys, *arguments)] == ["s", "s"]
    for arguments in ([], ["small"], [run_id], ["dpo", "last"]):
        assert [row["problem_id"] for row in _rows(capsys, *arguments)] == ["d"]
    assert [row["problem_id"] for row in _rows(capsys, "check")] == ["c"]
    assert [row["sample"] for row in _rows(capsys, "sft", "--failed")] == [0]
    assert _rows(capsys, "sft", "--wrong") == _rows(capsys, "sft", "--failed")
    assert [row["sample"] for row in _rows(capsys, "sft", "--right", "--problem", "s")] == [1]
    assert execute(["samples", "nothing"]) == 2
    assert "no completions of 'nothing'" in capsys.readouterr().err
    assert execute(["samples", "sft", "--search", "nowhere"]) == 0
    assert "no such completions" in capsys.readouterr().out


def test_flipped_problems_stand_side_by_side_with_verdicts_reasons_and_parts(
    run: Callable[[Mapping[str, Samples]], str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parts = json.dumps({"format": 1.0, "answer": 0.25})
    worse = WRONG | {"completion": "about five", "reason": "answered 5", "parts": parts}
    run({"sft.evaluate": {"p": [worse], "q": [RIGHT]}, "dpo.evaluate": {"p": [RIGHT], "q": [WRONG]}})
    assert execute(["samples", "small", "--flipped", "sft:dpo"]) == 0
    out = capsys.readouterr().out
    lines = [" ".join(line.replace("│", "|").replace("┃", "|").split()) for line in out.splitlines()]
    assert lines[0] == "2 problems flipped from sft.evaluate to dpo.evaluate: 1 to right, 1 to wrong"
    assert "p wrong → right" in lines and "q right → wrong" in lines
    assert "toss p" in lines and "ground truth: 1" in lines
    assert "| sft.evaluate: 0 of 1 right | dpo.evaluate: 1 of 1 right |" in lines
    assert "| about five | dpo.evaluate 0 |" in lines
    assert "| reward 0: answered 5 | reward 1: because |" in lines
    assert "| format 1, answer 0.25 | |" in lines
    monkeypatch.setenv("COLUMNS", "60")
    execute(["samples", "--flipped", "sft:dpo", "--right"])
    narrow = capsys.readouterr().out
    assert "about five" in narrow and "dpo.evaluate 0" in narrow and "right → wrong" not in narrow
    assert all(len(line) <= 60 for line in narrow.splitlines())
    (only,) = _rows(capsys, "--flipped", "sft:dpo", "--problem", "q")
    assert (only["is_right"], only["before"]["reward"], only["after"]["reward"]) == (False, 1.0, 0.0)
    assert execute(["samples", "--flipped", "dpo:dpo"]) == 0
    assert "agree on every such problem" in capsys.readouterr().out


@pytest.mark.parametrize("flips", ["sft", "sft:", ":dpo", "sft:nothing", "sft:dpo:check"])
def test_flips_of_what_is_no_pair_of_stages_are_refused(
    run: Callable[[Mapping[str, Samples]], str], capsys: pytest.CaptureFixture[str], flips: str
) -> None:
    run({"sft.evaluate": {"p": [RIGHT]}, "dpo.evaluate": {"p": [WRONG]}})
    assert execute(["samples", "--flipped", flips]) == 2
    assert execute(["samples", "sft", "--flipped", "sft:dpo"]) == 2, "a third stage"
    capsys.readouterr()


@pytest.mark.parametrize("columns", ["40", "100", "200"])
def test_text_of_models_and_rows_is_shown_and_acts_on_nothing(
    run: Callable[[Mapping[str, Samples]], str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    columns: str,
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    hostile = {
        "completion": HOSTILE,
        "reason": HOSTILE,
        "ground_truth": HOSTILE,
        "prompt": [{"role": "user", "content": HOSTILE}],
        "parts": json.dumps({HOSTILE: 1.0}),
    }
    rows = {HOSTILE: [WRONG | hostile]}
    run({"sft.evaluate": rows, "dpo.evaluate": {HOSTILE: [RIGHT | hostile]}})
    for arguments in ([], ["--flipped", "sft:dpo"], ["--search", HOSTILE], ["--problem", HOSTILE]):
        assert execute(["samples", *arguments]) == 0
        out = capsys.readouterr().out
        assert all(line.isprintable() for line in out.split("\n"))
        together = "".join(c for c in out if c not in "│┃ \n")
        assert "[/red][bold]\\x1b[31;5m" in together or int(columns) < 100
        assert "<script>" in together or int(columns) < 100
    assert [row["completion"] for row in _rows(capsys, "dpo")] == [HOSTILE]
