"""The report of a run: what it says, in every state of a run, and that no text in it can act."""

import base64
import hashlib
import json
import re
import shutil
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from flows.cli.app import execute
from flows.past_runs import find_run
from flows.report.publishing import publish_report
from flows.report.samples import PROBLEMS, choose_problems
from flows.suites import suite_of_verdicts
from infra.home import Home, open_home
from infra.ledger import Ledger
from infra.records import FAILED, INTERRUPTED, REFUSED, Decision
from tests.factories import REFUSED_GATE
from tests.report.conftest import NOW, report_of
from tests.report.read_page import Page
from tests.report.trained_home import make_home, recipe, run


@pytest.fixture
def own(home: Home, tmp_path: Path) -> Home:
    """A copy to write into."""
    shutil.copytree(home.path, tmp_path / "home")
    return open_home(tmp_path / "home")


# What it says


def test_the_verdict_comes_first_with_its_size_and_how_sure_it_is(page: str) -> None:
    """Of 40 completions each: 16 right of sft, 28 of grpo; 8 problems gained and 2 lost, of 20."""
    words = Page(page).words()
    sentence = "grpo is not distinguishable from sft: 70.0 % right against 40.0 %, +30.0 points ["
    assert sentence in words
    assert words.index(sentence) < words.index("Accuracy by model")
    assert "sft is better than base: +40.0 points" in words


def test_a_model_has_its_accuracy_and_its_verdict_against_each_it_was_trained_from(page: str) -> None:
    found = Page(page)
    assert found.row("sft", "small.sft/1")[2:5] == ["base", "better", "40.0"]
    assert found.row("grpo", "small.grpo/1")[2:5] == ["sft", "not distinguishable", "70.0"]


def test_each_source_has_its_own_accuracy(page: str) -> None:
    """grpo is right on problems 2 to 15: seven even ones of ten (`sums`), and seven odd ones of ten."""
    cells = Page(page).row("sums")
    assert [cell.partition(" ")[0] for cell in cells[1:]] == ["0.0", "40.0", "70.0"]


def test_an_alarm_is_told_with_its_step_and_marked_in_the_curves(page: str) -> None:
    row = Page(page).row("grpo", "1")
    assert row[2:] == [
        "entropy collapse",
        "entropy fell from 1.2 to 0.05 <b>within</b> 20 steps",
        "note",
        "60",
    ]


def test_a_suite_that_was_chosen_by_too_often_is_called_worn(own: Home) -> None:
    """This run's last model and nine others: 1 - 0.95^10 is above 0.4."""
    ledger = Ledger(own.ledger_path)
    suite = suite_of_verdicts(ledger.find_by_stage("small", "grpo.evaluate")[0])
    for number in range(9):
        if number == 8:
            assert "This suite is worn" not in report_of(own)
        evidence = {"suite": suite, "candidate_fingerprint": f"model {number}"}
        ledger.decide(Decision(1.0, "refuse", "small.other", None, None, "ann", "", evidence))
    assert "This suite is worn: 10 models were judged on it" in Page(report_of(own)).words()


def test_what_an_audit_found_stands_in_the_report(page: str) -> None:
    found = Page(page)
    assert found.row("exact_match", "Right completions refused")[2:4] == ["3", "40"]
    assert found.row("exact_match", "say nothing")[2:] == ["20", "0.125", "0.0"]
    assert "Audit audit: the reward pays nonsense" in found.words()


def test_problems_that_changed_come_first_and_both_ways(page: str) -> None:
    """The first was lost, and of each changed problem a completion of the better and of the worse is shown."""
    order = re.findall(r'class="sample card" data-why="(\w+)"', page)
    assert order[:2] == ["lost", "gained"]
    assert Counter(order) == {"lost": 2, "gained": 14, "failed": 4}
    first = page[page.index('class="sample card"') :].partition("</details>")[0]
    assert re.findall(r"(\d) of 2 right", first) == ["0", "2", "0"]


def test_a_long_completion_is_cut_and_says_where_all_of_it_is(page: str) -> None:
    assert "Cut after 600 of 1," in Page(page).words()
    assert page.count("word word") < 200


def test_problems_are_chosen_with_flips_of_every_step_then_failures_then_the_rest() -> None:
    """Of 1,000 problems: 100 lost and 100 gained last, 200 gained before; the others fail or are right."""
    sft = {n: float(n < 500) for n in range(1000)}
    dpo = {n: float(n < 700) for n in range(1000)}
    grpo = {n: 0.0 if n < 100 else float(n < 800) for n in range(1000)}
    chosen = choose_problems({"sft": sft, "dpo": dpo, "grpo": grpo}, PROBLEMS)
    counts = Counter(chosen.values())
    assert len(chosen) == PROBLEMS
    assert counts["lost", "dpo → grpo"] == counts["gained", "dpo → grpo"] == 9
    assert counts["gained", "sft → dpo"] == 18
    assert counts["failed", ""] == counts["right", ""] == 12


def test_the_same_run_gives_the_same_report(home: Home, page: str) -> None:
    assert report_of(home) == page


def test_the_difference_from_the_last_run_is_told(own: Home) -> None:
    run(own, recipe(**{"stages.grpo.steps": 90}))
    words = Page(report_of(own)).words()
    found = Page(report_of(own)).row("grpo.steps")
    assert found[1:] == ["changed", "120", "90"]
    assert "This is the first run" not in words


# Runs in every state


def test_a_run_that_reused_everything_shows_the_curves_of_the_run_that_made_them(own: Home) -> None:
    run(own, recipe())
    words = Page(report_of(own)).words()
    assert "120 of 120 steps" in words
    assert "The recipe is the same." in words
    assert "saved by reuse" in words
    assert "made · v1" not in words and "reused · v1" in words


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (FAILED, "The run failed."),
        (INTERRUPTED, "The run was stopped before its end."),
        (REFUSED, "A gate refused"),
    ],
)
def test_a_run_that_did_not_finish_says_how_it_ended(tmp_path: Path, state: str, said: str) -> None:
    home = open_home(tmp_path / "home")
    run(home, recipe(), ["worked", "problems", "base", "sft", "base.evaluate", "sft.evaluate"], state)
    words = Page(report_of(home)).words()
    assert said in words
    assert "sft is better than base" in words


def test_a_failed_stage_says_why(tmp_path: Path) -> None:
    home = open_home(tmp_path / "home")
    run_id = run(home, recipe(), ["worked", "problems", "base"], FAILED)
    Ledger(home.ledger_path).set_stage(run_id, "sft", "sft", "key", FAILED, "the loss is <nan>")
    words = Page(report_of(home)).words()
    assert "Stage sft failed: the loss is <nan>" in words
    assert "No model was verified: nothing can be said of accuracy." in words


def test_a_run_of_which_nothing_finished_has_a_report(tmp_path: Path) -> None:
    home = open_home(tmp_path / "home")
    run(home, recipe(), [], FAILED)
    assert "No model was made: nothing can be said of accuracy." in Page(report_of(home)).words()


def test_a_stage_at_work_shows_how_far_it_is(tmp_path: Path) -> None:
    home = open_home(tmp_path / "home")
    ledger = Ledger(home.ledger_path)
    run_id = run(home, recipe(), ["worked", "base"], INTERRUPTED)
    ledger.set_stage(run_id, "sft", "sft", "key-at-work", "running")
    folder = home.work_dir / "key-at-work"
    folder.mkdir()
    line = {"seconds": 3.0, "step": 7, "total": 90, "metrics": {"sft/loss": 0.5}}
    (folder / "progress.jsonl").write_text(json.dumps(line) + '\n{"seconds": 4.0, "st')
    assert "7 of 90 steps" in Page(report_of(home)).words()


def test_a_refused_gate_is_a_problem_and_its_table_is_shown(own: Home) -> None:
    ledger = Ledger(own.ledger_path)
    chosen = find_run(ledger, None)
    check = {
        "metric": "accuracy",
        "requirement": "improve_by",
        "bound": 0.0,
        "before": 0.4,
        "after": 0.375,
        "effect": -0.025,
        "low": -0.1,
        "high": 0.05,
        "p_adjusted": 0.31,
        "num_problems": 20,
        "verdict": "not distinguishable",
        "holds": False,
        "sentence": "accuracy is not distinguishable",
    }
    gate = REFUSED_GATE["gate"] | {"checks": [check]}
    made = next(each for each in ledger.executions() if each.stage == "audit")
    result = {**REFUSED_GATE, "gate": gate}
    ledger.record(
        replace(made, stage="better", kind="gate", key="key-gate", result=result, ended=time.time())
    )
    ledger.set_stage(chosen.run_id, "better", "gate", "key-gate", REFUSED, "refused")
    found = Page(report_of(own))
    assert "Problem Gate better: refused: no better" in found.words()
    row = found.row("accuracy", "improve by 0")
    assert row[2:8] == [
        "not distinguishable",
        "no",
        "0.4",
        "0.375",
        "-0.025",
        "-0.1 to 0.05",
    ]


# One file, in which no text can act


def test_the_page_needs_nothing_but_itself(page: str) -> None:
    links = [
        value for _, own in Page(page).elements for name, value in own.items() if name in ("href", "src")
    ]
    assert links and all(link.startswith("#") for link in links)
    assert "@import" not in page and "url(http" not in page


def test_every_reference_within_the_page_leads_somewhere_and_no_id_is_there_twice(page: str) -> None:
    elements = Page(page).elements
    ids = Counter(own["id"] for _, own in elements if "id" in own)
    assert {name: number for name, number in ids.items() if number > 1} == {}
    referred = {own["href"][1:] for _, own in elements if own.get("href", "").startswith("#")}
    referred |= set(re.findall(r"url\(#([^)]+)\)", page))
    assert referred <= ids.keys()


def test_hostile_text_is_shown_and_does_nothing(page: str) -> None:
    found = Page(page)
    assert len(found.scripts) == 1 and "hacked" not in found.scripts[0]
    assert {element for element, _ in found.elements} & {"img", "b", "iframe", "object"} == set()
    assert [name for _, own in found.elements for name in own if name.startswith("on")] == []
    assert "<script>window.hacked = 1</script>" in found.text and "{{ 7 * 7 }}" in found.text
    assert re.findall(r"[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]", page) == []
    assert r"\x1b[2J\x202e\x00" in found.text


def test_the_policy_of_the_page_allows_its_own_script_and_nothing_else(page: str) -> None:
    found = Page(page)
    policy = next(own["content"] for _, own in found.elements if own.get("http-equiv"))
    digest = base64.b64encode(hashlib.sha256(found.scripts[0].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")
    assert "unsafe-eval" not in policy and "http" not in policy


def test_every_figure_has_a_title_a_drawing_and_its_numbers(page: str) -> None:
    figures = page.split("<figure")[1:]
    assert len(figures) >= 10
    for figure in figures:
        inside = Page("<figure" + figure.partition("</figure>")[0])
        tags = Counter(tag for tag, _ in inside.elements)
        assert tags["svg"] == tags["title"] == tags["desc"] == 1
        assert tags["path"] + tags["use"] > 3
        assert len(inside.rows) >= 2 and all(len(row) == len(inside.rows[0]) for row in inside.rows)


# The command


def test_a_run_is_found_by_its_beginning_its_recipe_or_as_the_newest(
    own: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BURNISH_HOME", str(own.path))
    run_id = find_run(Ledger(own.ledger_path), None).run_id
    for wanted in ([], [run_id[:-1]], ["small"]):
        kept = own.path / "reports" / f"{run_id}.html"
        kept.unlink(missing_ok=True)
        assert execute(["report", *wanted]) == 0
        assert run_id in kept.read_text()
    assert execute(["report", "--output", str(tmp_path / "elsewhere" / "mine.html")]) == 0
    assert (tmp_path / "elsewhere" / "mine.html").exists()
    before = sorted(tmp_path.parent.iterdir())
    for wrong in (tmp_path, Path("/proc/no/mine.html")):
        assert execute(["report", "--output", str(wrong)]) == 2
    assert sorted(tmp_path.parent.iterdir()) == before
    assert execute(["report", "nobody"]) == 2


def test_the_report_is_kept_beside_its_run_in_mlflow(
    own: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from infra.mlflow_database import connect
    from infra.registry import ModelRegistry

    home, run_id = own, find_run(Ledger(own.ledger_path), None).run_id
    registry = ModelRegistry(home.mlflow_uri, home.mlflow_artifacts_dir)
    mlflow_run = registry.start_pipeline_run("small", run_id, "")
    Ledger(home.ledger_path).note_run_ids(run_id, None, mlflow_run)
    monkeypatch.setenv("BURNISH_HOME", str(home.path))
    assert execute(["report"]) == 0
    client = connect(home.mlflow_uri, home.mlflow_artifacts_dir)
    kept = Path(client.download_artifacts(mlflow_run, "report.html", str(tmp_path)))
    assert kept.read_text() == (home.path / "reports" / f"{run_id}.html").read_text()
    Ledger(home.ledger_path).note_run_ids(run_id, None, "0" * 32)
    assert execute(["report"]) == 0
    assert "MLflow has no copy" in capsys.readouterr().out


def test_a_flow_run_shows_its_verdict_and_where_its_report_is(
    own: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[tuple[str, str]] = []
    monkeypatch.setattr(
        "prefect.artifacts.create_markdown_artifact",
        lambda markdown, key, description: shown.append((key, markdown)),
    )
    ledger = Ledger(own.ledger_path)
    run_id = find_run(ledger, None).run_id
    assert publish_report(own, ledger, run_id, NOW) == []
    ((key, markdown),) = shown
    assert re.fullmatch("[a-z0-9-]+", key)
    assert "**grpo is not distinguishable from sft: 70.0 % right" in markdown
    assert str(own.path / "reports" / f"{run_id}.html") in markdown
    assert (own.path / "reports" / f"{run_id}.html").exists()


def test_a_second_home_with_the_same_run_gives_no_other_ids(tmp_path: Path, page: str) -> None:
    """Charts are the same wherever they are drawn, the run's own name and times apart."""
    other = report_of(make_home(tmp_path / "home"))
    assert re.findall(r'id="(curve[^"]*|accuracy[^"]*)"', other) == re.findall(
        r'id="(curve[^"]*|accuracy[^"]*)"', page
    )
