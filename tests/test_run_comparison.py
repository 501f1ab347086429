"""Two runs compared: fields, nodes, and the accuracy of their models, paired by problem."""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flows.cli.app import execute
from flows.past_runs import find_run
from flows.plan import make_plan
from flows.run_comparison import compare_runs
from flows.run_diff import recipe_differences
from flows.run_pairs import pair_completions
from infra.home import Home, open_home
from infra.ledger import Ledger
from tests.factories import finish, make_document, make_recipe
from tests.test_gate_metrics import rollouts as verdicts_file

Rewards = Mapping[str, Sequence[float]]


def rollouts(path: Path, rewards: Rewards, **changes: Any) -> Path:
    """Problems with a completion a reward; `changes` replace fields of every row."""
    samples = {
        problem: [{"reward": reward, **changes} for reward in given] for problem, given in rewards.items()
    }
    return verdicts_file(path, samples)


# Paired by problem


def test_the_paired_interval_counts_a_problem_once(tmp_path: Path) -> None:
    """Differences of the four problems: 1, 1, 1, 0, whatever their samples.

    The mean is 3/4. A bootstrap over problems draws Binomial(4, 3/4) / 4, whose 2.5 % quantile is 1/4 (a share of
    0.4 % lies below, 5.1 % up to it) and whose 97.5 % quantile is 1. Flipping the signs of the three that changed
    gives a sum as large in 2 of 8 ways: p = 1/4.
    """
    before = rollouts(tmp_path / "a.parquet", {"p": [0, 0], "q": [0, 0.5], "r": [0, 0], "s": [1, 0]})
    after = rollouts(tmp_path / "b.parquet", {"p": [1, 1], "q": [1, 1], "r": [1, 1], "s": [0, 1]})
    found = pair_completions(before, after).comparison
    assert found is not None
    assert (found.difference, found.low, found.high) == (0.75, 0.25, 1.0)
    assert (found.p_value, found.num_problems) == (0.25, 4)


def test_the_other_way_round_gives_the_mirrored_interval(tmp_path: Path) -> None:
    first = rollouts(
        tmp_path / "a.parquet", {name: [float(name in "abcd"), float(name in "cef")] for name in "abcdefgh"}
    )
    second = rollouts(tmp_path / "b.parquet", {name: [float(name in "aefg"), 1.0] for name in "abcdefgh"})
    there, back = pair_completions(first, second).comparison, pair_completions(second, first).comparison
    assert there is not None and back is not None
    assert (there.difference, there.low, there.high) == pytest.approx(
        (-back.difference, -back.high, -back.low)
    )
    assert there.p_value == back.p_value


def test_problems_that_changed_are_counted_both_ways(tmp_path: Path) -> None:
    before = rollouts(
        tmp_path / "a.parquet", {"gained": [0, 0], "up": [1, 0], "lost": [1, 0], "same": [1, 0]}
    )
    after = rollouts(tmp_path / "b.parquet", {"gained": [1, 1], "up": [1, 1], "lost": [0, 0], "same": [0, 1]})
    found = pair_completions(before, after)
    assert [problem.problem_id for problem in found.better] == ["gained", "up"], "the largest change first"
    assert [problem.problem_id for problem in found.worse] == ["lost"]
    assert (found.num_gained, found.num_lost) == (1, 1)
    up = found.better[1]
    assert (up.prompt, up.before, up.after) == ("toss up", 0.5, 1.0)
    assert (up.completion_before, up.completion_after) == ("a 1", "b 0"), "a wrong one, then a right one"


@pytest.mark.parametrize(
    "other",
    [
        {"prompt": [{"role": "user", "content": "another"}]},
        {"ground_truth": "2"},
        {"verifier": "exact_string"},
        {"arguments": '{"tolerance": 1}'},
    ],
    ids=lambda other: next(iter(other)),
)
def test_problems_with_one_id_and_other_content_are_not_paired(tmp_path: Path, other: dict[str, Any]) -> None:
    before = rollouts(tmp_path / "a.parquet", {"p": [0.0], "q": [0.0]})
    after = rollouts(tmp_path / "b.parquet", {"p": [1.0], "q": [1.0], "r": [1.0]}, **other)
    found = pair_completions(before, after)
    assert (found.comparison, found.num_before, found.num_after) == (None, 2, 3)


def test_of_problems_that_overlap_the_shared_ones_are_paired(tmp_path: Path) -> None:
    before = rollouts(tmp_path / "a.parquet", {"only": [0.0], "p": [0.0], "q": [0.0]})
    after = rollouts(tmp_path / "b.parquet", {"p": [1.0], "q": [1.0], "other": [0.0]})
    found = pair_completions(before, after).comparison
    assert found is not None
    assert (found.difference, found.num_problems) == (1.0, 2)


# Fields


def test_fields_are_told_apart_as_added_removed_and_changed() -> None:
    before = make_document(evaluate={"rows": ["problems"], "samples": 2, "limit": 4})
    after = make_document(evaluate={"rows": ["problems"], "samples": 4, "limit": None})
    after["stages"]["dpo"] |= {"beta": 4, "lora": {"rank": 8}}
    after["datasets"]["more"] = {"generate": "arithmetic", "count": 3, "sql": None}
    found = {each.field: (each.what, each.before, each.after) for each in recipe_differences(before, after)}
    assert found == {
        "evaluate.samples": ("changed", 2, 4),
        "evaluate.limit": ("removed", 4, None),
        "dpo.beta": ("added", None, 4),
        "dpo.lora": ("added", None, {"rank": 8}),
        "more": ("added", None, {"generate": "arithmetic", "count": 3}),
    }
    assert recipe_differences(before, before) == []


# Whole runs


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    home = open_home(tmp_path / "home")
    monkeypatch.setenv("BURNISH_HOME", str(home.path))
    return home


@pytest.fixture
def ledger(home: Home) -> Ledger:
    return Ledger(home.ledger_path)


EVALUATED = {"evaluate": {"rows": ["problems"], "samples": 2}}


def add_run(
    home: Home, ledger: Ledger, rewards: Mapping[str, Rewards], changes: Mapping[str, Any] = {}
) -> str:
    """A run that made what no run before made; `rewards` are the completions of evaluations, by stage."""
    recipe = make_recipe({**EVALUATED, **changes})
    plan = make_plan(recipe, home, ledger)
    run_id = ledger.begin_run("small", recipe.model_dump(mode="json"), 1, 1.0)
    made_before = {step.node.name for step in plan.steps if ledger.find_by_key(step.node.key)}
    made = finish(plan, home, ledger, run_id=run_id, version=1 + bool(made_before))
    with sqlite3.connect(home.ledger_path) as db:
        for name in made_before:
            db.execute("delete from executions where run_id = ? and stage = ?", [run_id, name])
        for stage, given in rewards.items():
            content = f"rows of {run_id} {stage}"
            rollouts(home.rows_dir / f"{content}.parquet", given)
            accuracy = {
                "metrics": {"eval/accuracy": 0.5, "eval/pass_at_2": 0.5},
                "notes": [],
                "judged_by": [],
            }
            db.execute(
                "update executions set fingerprint = ?, result = ? where run_id = ? and stage = ?",
                [content, json.dumps(accuracy), run_id, stage],
            )
    for step in plan.steps:
        state = "reused" if step.node.name in made_before else "done"
        ledger.set_stage(run_id, step.node.name, step.node.kind, made[step.node.name].key, state)
    ledger.end_run(run_id, "done", None)
    return run_id


BEFORE = {f"p{i}": [0.0, 0.0] for i in range(6)}
AFTER = {f"p{i}": [1.0, 1.0] for i in range(6)}


@pytest.fixture
def two_runs(home: Home, ledger: Ledger) -> tuple[str, str]:
    same = {"base.evaluate": BEFORE, "sft.evaluate": BEFORE}
    first = add_run(home, ledger, {**same, "dpo.evaluate": BEFORE})
    changes = {"stages.dpo.beta": 4, "run": {"threads": 2}}
    return first, add_run(home, ledger, {"dpo.evaluate": AFTER}, changes)


def test_two_runs_differ_in_what_was_changed_and_what_that_reaches(
    home: Home, ledger: Ledger, two_runs: tuple[str, str]
) -> None:
    found = compare_runs(home, ledger, *(find_run(ledger, run) for run in two_runs))
    assert [(each.field, each.before, each.after) for each in found.fields] == [("dpo.beta", 5.0, 4.0)]
    assert [(each.field, each.what, each.after) for each in found.settings] == [("run.threads", "added", 2)]
    differing = {node.name: (node.state, node.changes) for node in found.nodes if node.state != "same"}
    assert differing == {
        "dpo": ("changed", ("dpo.beta 5.0 → 4.0",)),
        "dpo.evaluate": ("inherited", ()),
    }
    models = {model.stage: model for model in found.models}
    assert models["sft"].unpaired == "the same completions in both"
    pairing = models["dpo"].pairing
    assert pairing is not None and pairing.comparison is not None
    assert (pairing.comparison.difference, pairing.comparison.low, pairing.comparison.high) == (1.0, 1.0, 1.0)
    assert pairing.comparison.p_value == 2 / 2**6


def test_the_comparison_is_told_and_is_one_json_document(
    two_runs: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute(["compare", *two_runs, "--json", "--samples", "2"]) == 0
    document = json.loads(capsys.readouterr().out)
    dpo = next(model for model in document["models"] if model["stage"] == "dpo")
    assert (dpo["paired"]["difference"], dpo["better"], dpo["gained"], dpo["worse"]) == (1.0, 6, 6, 0)
    assert dpo["metrics"]["eval/accuracy"] == [0.5, 0.5]
    assert [each["prompt"] for each in dpo["samples"]["better"]] == ["toss p0", "toss p1"]
    assert execute(["compare", *two_runs, "--samples", "1"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "~ dpo.beta 5.0 → 4.0" in text
    assert "difference +100.0 points [+100.0, +100.0], p=0.031, paired by problem over 6 problems" in text
    assert "toss p0" in text and "toss p1" not in text


def test_an_evaluation_that_differs_itself_is_told(home: Home, ledger: Ledger) -> None:
    evaluations = ("base.evaluate", "sft.evaluate", "dpo.evaluate")
    first = add_run(home, ledger, dict.fromkeys(evaluations, BEFORE))
    evaluate = {"evaluate": {"rows": ["problems"], "samples": 3}}
    second = add_run(home, ledger, dict.fromkeys(evaluations, AFTER), evaluate)
    found = compare_runs(home, ledger, find_run(ledger, first), find_run(ledger, second))
    dpo = next(model for model in found.models if model.stage == "dpo")
    assert dpo.evaluation_changes == ("evaluate.samples 2 → 3",)


def test_nothing_is_paired_where_the_problems_differ(
    home: Home, ledger: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    first = add_run(home, ledger, {"dpo.evaluate": BEFORE})
    other = {"dpo.evaluate": {"another": [1.0]}}
    second = add_run(home, ledger, other, {"stages.dpo.beta": 4})
    assert execute(["compare", first, second, "--samples", "3"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "not paired: the problems differ; the first run was evaluated on 6, the second on 1" in text
    execute(["compare", first, second, "--json"])
    document = json.loads(capsys.readouterr().out)
    dpo = next(model for model in document["models"] if model["stage"] == "dpo")
    assert (dpo["paired"], dpo["unpaired"]) == (None, "the problems differ")


def test_one_identity_with_two_results_is_told_with_what_drifted(home: Home, ledger: Ledger) -> None:
    first, second = add_run(home, ledger, {}), add_run(home, ledger, {})
    (made,) = ledger.find_by_stage("small", "dpo")
    ledger.record(replace(made, run_id=second, fingerprint="another", environment={"torch": "3"}))
    with sqlite3.connect(home.ledger_path) as db:
        db.execute("update executions set environment = ? where run_id = ?", ['{"torch": "2"}', first])
    stage = next(each for each in ledger.run_stages(second) if each.stage == "dpo")
    ledger.set_stage(second, "dpo", "dpo", stage.key, "done")
    found = compare_runs(home, ledger, find_run(ledger, first), find_run(ledger, second))
    dpo = next(node for node in found.nodes if node.name == "dpo")
    assert (dpo.state, dpo.changes) == ("same", ("ran again with another result", "torch 2 → 3"))


def test_completions_cannot_act_on_the_terminal(
    home: Home, ledger: Ledger, two_runs: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    (path,) = home.rows_dir.glob(f"rows of {two_runs[1]} dpo.evaluate.parquet")
    rollouts(path, AFTER, completion="[/red]\x1b[2J\u202e")
    assert execute(["compare", *two_runs, "--samples", "9"]) == 0
    out = capsys.readouterr().out
    assert "[/red]" in out
    assert "\x1b" not in out and "\u202e" not in out


def test_completions_that_are_gone_are_said_to_be(
    home: Home, ledger: Ledger, two_runs: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    (path,) = home.rows_dir.glob(f"rows of {two_runs[0]} dpo.evaluate.parquet")
    path.unlink()
    assert execute(["compare", *two_runs]) == 0
    assert "the completions of the first run are gone" in " ".join(capsys.readouterr().out.split())
    assert execute(["compare", *two_runs, "--stage", "dpo"]) == 2
