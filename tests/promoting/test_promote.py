"""A version becomes champion when its recipe's questions are answered against the champion, and else does not."""

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from data_contracts.canonical import fingerprint
from flows.gating import require_passed
from flows.suites import suite_of_verdicts, wear_of
from infra.home import Home
from infra.ledger import Ledger
from infra.records import Decision, Withdrawal
from infra.registry import ModelRegistry
from infra.warehouse.warehouse import Warehouse
from tests.factories import REFUSED_GATE
from tests.promoting.conftest import Burnish, aliases
from tests.promoting.judged_home import DOCUMENT, HOSTILE, MODEL, evaluate


def decisions(home: Home) -> list[tuple[str, int | None, int | None]]:
    """Oldest first."""
    made = Ledger(home.ledger_path).decisions(MODEL)
    return [(each.kind, each.from_version, each.to_version) for each in reversed(made)]


def ask(ledger: Ledger, number: int, **promotion: object) -> None:
    """A newer run that reused version `number`, and whose recipe asks this of a promotion."""
    run = ledger.begin_run("small", {**DOCUMENT, "promotion": promotion}, 1, 0.0)
    ledger.set_stage(run, "sft", "sft", f"key-sft-{number}", "reused")
    ledger.end_run(run, "done", {"lines": []})


def test_the_first_champion_is_compared_with_none_and_the_ledger_keeps_the_evidence(
    home: Home, ledger: Ledger, burnish: Burnish
) -> None:
    done = burnish("promote", "small.sft/1", "--reason", "a beginning")
    assert (done.code, aliases(home)) == (0, {"champion": 1})
    told = "accuracy is 25.0 %, with no other model to compare with"
    assert done.text.startswith(f"small.sft/1 is the champion (the first). {told.capitalize()}. Load it")
    assert done.text.lower().count(told) == 1
    (decision,) = ledger.decisions(MODEL)
    assert (decision.kind, decision.from_version, decision.to_version) == ("promote", None, 1)
    assert decision.reason == "a beginning"
    made = ledger.find_by_output(MODEL, 1)[0]
    gate = decision.evidence.pop("gate")
    assert (gate["passed"], gate["baseline"]) == (True, None)
    assert decision.evidence == {
        "suite": suite_of_verdicts(ledger.find_by_stage("small", "sft.evaluate")[0]),
        "override": None,
        "datasets": {
            "small.worked@1": Warehouse(home).get("small.worked@1").fingerprint,
            "small.held_out@1": "content-held-out",
        },
        "verifiers": {"exact_match": "code-of-exact-match"},
        "parent": "small.base/1",
        "recipe": fingerprint(DOCUMENT),
        "run": made.run_id,
        "accuracy": 0.25,
        "version": 1,
        "candidate_fingerprint": made.fingerprint,
        "against": None,
    }


def test_a_better_version_becomes_champion_and_the_one_before_is_previous(
    home: Home, burnish: Burnish
) -> None:
    burnish("promote", "small.sft/1")
    done = burnish("promote", "small.sft/2", "--json")
    assert (done.code, done.json["outcome"], done.json["previous"]) == (0, "promoted", 1)
    (check,) = done.json["gate"]["checks"]
    assert check["p_value"] == pytest.approx(2 * 0.5**15)
    assert (check["before"], check["after"]) == (0.25, 0.625)
    assert aliases(home) == {"champion": 2, "previous": 1}
    again = burnish("promote", "small.sft/2")
    assert (again.code, "is the champion already" in again.text) == (0, True)
    assert decisions(home) == [("promote", None, 1), ("promote", 1, 2)]


def test_what_cannot_be_told_apart_stays_a_candidate_and_is_shown_with_what_flipped_both_ways(
    home: Home, burnish: Burnish
) -> None:
    burnish("promote", "small.sft/2")
    done = burnish("promote", "small.sft/3")
    assert done.code == 1
    for told in (
        "small.sft/3 is not promoted. Refused: accuracy is not distinguishable from small.sft/2",
        "would decide",
        "4 problems are right more often now",
        "3 problems are right less often now",
        "p30: 0% → 100%",
        "p22: 100% → 0%",
        "no idea [bold red]\\x1b[2Jevil[/]",
        "--override",
    ):
        assert told in done.text, told
    assert "\x1b" not in done.out
    assert aliases(home) == {"champion": 2, "candidate": 3}
    burnish("promote", "small.sft/3", "--reason", "once more")
    assert decisions(home) == [("promote", None, 2), ("refuse", 2, None)], "the same refusal is no second one"


def test_an_override_promotes_all_the_same_and_is_kept(home: Home, ledger: Ledger, burnish: Burnish) -> None:
    burnish("promote", "small.sft/2")
    done = burnish("promote", "small.sft/3", "--override", "2 answers in French")
    assert (done.code, aliases(home)) == (0, {"champion": 3, "previous": 2})
    assert "The gate refused it, and was overridden: 2 answers in French" in done.text
    evidence = ledger.decisions(MODEL)[0].evidence
    assert (evidence["override"], evidence["gate"]["passed"]) == ("2 answers in French", False)
    unneeded = burnish("promote", "small.sft/4", "--override", "just to be sure", "--json")
    assert (unneeded.json["outcome"], unneeded.json["override"]) == ("promoted", None)
    assert ledger.decisions(MODEL)[0].evidence["override"] is None
    for option in ("--override", "--take-over", "--reason"):
        assert burnish("promote", "small.sft/1", option, " ").code == 2
        assert "1,001 characters" in burnish("promote", "small.sft/1", option, 1001 * "x").text


def test_the_newest_run_that_had_the_model_says_what_is_asked_also_of_a_first_champion(
    home: Home, ledger: Ledger, burnish: Burnish
) -> None:
    ask(ledger, 1, metrics={"accuracy": {"at_least": 0.9}})
    refused = burnish("promote", "small.sft/1")
    assert (refused.code, aliases(home)) == (1, {"candidate": 1})
    ask(ledger, 1, metrics={"accuracy": {"at_least": 0.2}})
    assert burnish("promote", "small.sft/1").code == 0
    assert aliases(home) == {"champion": 1}


def test_it_is_held_against_another_version_when_asked(home: Home, burnish: Burnish) -> None:
    burnish("promote", "small.sft/2")
    assert burnish("promote", "small.sft/3", "--against", "1", "--json").json["against"] == "small.sft/1"
    assert aliases(home) == {"champion": 3, "previous": 2}


def test_a_dry_run_judges_and_changes_nothing(home: Home, burnish: Burnish) -> None:
    burnish("promote", "small.sft/1")
    before = decisions(home)
    better = burnish("promote", "small.sft/2", "--dry-run")
    assert (better.code, "small.sft/2 would be the champion (before: version 1)" in better.text) == (0, True)
    burnish("promote", "small.sft/2")
    refused = burnish("promote", "small.sft/3", "--dry-run")
    assert (refused.code, "would not be promoted" in refused.text) == (1, True)
    assert decisions(home) == [*before, ("promote", 1, 2)]
    assert aliases(home) == {"champion": 2, "previous": 1}


def test_a_version_is_named_in_many_ways(burnish: Burnish) -> None:
    for arguments, version in (
        (["small"], 4),
        (["small", "--stage", "sft"], 4),
        (["small", "--stage", "sft", "--version", "2"], 2),
        (["small.sft"], 5),
        (["models:/small.sft/3"], 3),
        (["small.sft", "--version", "3"], 3),
    ):
        assert burnish("promote", *arguments, "--dry-run", "--json").json["version"] == version


def test_what_nothing_answers_to_is_the_users_input(burnish: Burnish) -> None:
    for arguments, told in (
        (["nonsense"], "There is no model or finished pipeline 'nonsense'"),
        (["smal.sft"], "Did you mean 'small.sft'?"),
        (
            ["small", "--stage", "dpo"],
            "No run of small made a model at stage 'dpo'. Expected: one of base, sft",
        ),
        (
            ["small.sft/99"],
            "small.sft has no version '99' that a run of this home made. Expected: one of 1, 2, 3",
        ),
        (["small.sft/1", "--version", "2"], "both name a version"),
        (["small.sft", "--stage", "sft"], "`burnish promote small --stage sft`"),
        (["small.sft/2", "--against", "99"], "has no version '99'"),
    ):
        done = burnish("promote", *arguments)
        assert (done.code, told in done.text) == (2, True), done.text


def test_a_model_that_nothing_verified_can_be_first_and_never_beats_a_champion(
    home: Home, burnish: Burnish, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = burnish("promote", "small.sft/5")
    assert (first.code, "Nothing verified small.sft/5" in first.text) == (0, True)
    assert "to compare with" not in first.text
    monkeypatch.setattr("flows.promoting.judging.evaluate_missing", lambda *given: None)
    burnish("promote", "small.sft/1", "--override", "5 was never verified")
    refused = burnish("promote", "small.sft/5")
    assert (refused.code, "its recipe has no evaluate section" in refused.text) == (1, True)
    assert aliases(home) == {"champion": 1, "previous": 5, "candidate": 5}


def test_a_suite_is_worn_once_ten_models_were_judged_on_it(
    home: Home, ledger: Ledger, burnish: Burnish
) -> None:
    suite = suite_of_verdicts(ledger.find_by_stage("small", "sft.evaluate")[0])
    for number in [*range(8), 7]:
        evidence = {"suite": suite, "candidate_fingerprint": f"other-{number}", "version": 1}
        ledger.decide(Decision(1.0, "refuse", "other.sft", None, None, "ann", "", evidence))
    ninth = burnish("promote", "small.sft/1", "--json").json
    assert (ninth["num_choices"], ninth["wear"]) == (9, "")
    tenth = burnish("promote", "small.sft/2")
    assert "This suite is worn: 10 models were judged on it" in tenth.text
    assert "is 40%" in tenth.text, "1 - 0.95^10 = 0.4013"
    assert "Dwork et al., Science 2015" in tenth.text


def test_a_model_that_gates_judged_on_the_suite_is_one_choice_also_where_a_gate_was_overridden(
    ledger: Ledger, burnish: Burnish
) -> None:
    verdicts = ledger.find_by_stage("small", "sft.evaluate")
    suite = suite_of_verdicts(verdicts[0])
    (model,) = [given.fingerprint for given in verdicts[0].inputs if given.role == "start"]
    result = {"gate": REFUSED_GATE["gate"], "suite": suite, "candidate_fingerprint": model}
    for number in range(2):
        gate = replace(
            verdicts[0],
            stage=f"proof{number}",
            kind="gate",
            key=f"proof{number}",
            name=f"small.proof{number}",
        )
        ledger.record(replace(gate, input_key=f"input-proof{number}", result=result))
        require_passed(ledger, ledger.find_by_stage("small", f"proof{number}")[0], "shorter answers")
    version = verdicts[0].inputs[0].version
    first = burnish("promote", f"small.sft/{version}", "--json")
    assert first.json["num_choices"] == 1
    other = next(number for number in (1, 2) if number != version)
    assert burnish("promote", f"small.sft/{other}", "--json").json["num_choices"] == 2


def test_the_chance_of_luck_is_that_of_at_least_one_false_find() -> None:
    assert f"luck is {1 - 0.95**14:.0%} (1 - (1 - 0.05)^14)" in wear_of(14, 0.05)
    assert (wear_of(9, 0.05), wear_of(4, 0.1)) == ("", ""), "0.37 and 0.34"


# Refused whatever the verdicts


def _weights(folder: Path) -> Path:
    return folder / "model.safetensors"


def _kept(home: Home) -> Path:
    return home.models_dir / Ledger(home.ledger_path).find_by_output(MODEL, 2)[0].fingerprint


def _copy(home: Home) -> Path:
    return ModelRegistry(home.mlflow_uri, home.mlflow_artifacts_dir).model_directory("small.sft/2")


def _change(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda home: shutil.rmtree(_kept(home)), "in this home is gone"),
        (lambda home: _weights(_kept(home)).unlink(), "in this home has no weights"),
        (lambda home: (_kept(home) / "config.json").unlink(), "in this home has other content"),
        (lambda home: _change(_weights(_kept(home))), "in this home has other content than its run made"),
        (lambda home: _change(_weights(_copy(home))), "MLflow's copy of small.sft/2 has other content"),
        (lambda home: _weights(_copy(home)).unlink(), "The weights of small.sft/2 are gone"),
        (lambda home: shutil.rmtree(_copy(home)), "small.sft/2"),
    ],
    ids=["gone", "no weights", "no config", "changed", "copy changed", "no copy of weights", "no copy"],
)
def test_a_model_whose_files_are_not_its_own_is_refused_with_what_repairs_it(
    damage: Callable[[Home], None], told: str, home: Home, burnish: Burnish
) -> None:
    burnish("promote", "small.sft/2", "--dry-run")  # what was read then is remembered
    damage(home)
    done = burnish("promote", "small.sft/2", "--override", "whatever")
    assert (done.code, aliases(home)) == (1, {})
    assert told in done.text
    assert "`burnish doctor --deep --fix`" in done.text
    assert "`burnish run small --force sft`" in done.text


def test_a_model_that_saw_withdrawn_rows_is_refused(home: Home, ledger: Ledger, burnish: Burnish) -> None:
    ledger.withdraw(
        Withdrawal(1.0, "row x", None, b"", "ann", f"its author asked {HOSTILE}", (), ("small.sft/2",))
    )
    done = burnish("promote", "small.sft/2", "--override", "whatever")
    assert (done.code, aliases(home)) == (1, {})
    assert "small.sft/2 saw rows that were withdrawn: row x, because its author asked" in done.text
    assert "\x1b" not in done.err


def test_a_version_that_mlflow_lost_is_refused_with_what_repairs_it(home: Home, burnish: Burnish) -> None:
    MlflowClient(home.mlflow_uri).delete_model_version(MODEL, "2")
    done = burnish("promote", "small.sft/2")
    assert (done.code, "MLflow has lost small.sft/2" in done.text) == (2, True)
    assert "`burnish doctor --fix`" in done.text


def test_a_version_that_gc_let_go_is_refused_with_what_makes_it_again(
    home: Home, ledger: Ledger, burnish: Burnish
) -> None:
    ledger.decide(Decision(time.time(), "release", MODEL, 2, None, "me", "nothing needs it", {}))
    MlflowClient(home.mlflow_uri).delete_model_version(MODEL, "2")
    done = burnish("promote", "small.sft/2")
    assert (done.code, "`burnish gc` let small.sft/2 go" in done.text) == (2, True)
    assert "`burnish run small` makes it again" in done.text


def test_verdicts_of_another_suite_are_no_baseline(home: Home, ledger: Ledger, burnish: Burnish) -> None:
    burnish("promote", "small.sft/1")
    made = ledger.find_by_output(MODEL, 5)[0]
    other = evaluate(home, ledger, made, range(40))
    assert suite_of_verdicts(other) == suite_of_verdicts(ledger.find_by_stage("small", "sft.evaluate")[-1])
    ledger.record(replace(other, identity={**other.identity, "seed": 8}))
    done = burnish("promote", "small.sft/5", "--dry-run")
    assert (done.code, "small.sft/5 was not judged. The suite was not run on both" in done.text) == (1, True)
    assert burnish("promote", "small.sft/5", "--dry-run", "--json").json["outcome"] == "undecided"


def test_json_of_a_refusal_is_one_document(burnish: Burnish) -> None:
    burnish("promote", "small.sft/2")
    done = burnish("promote", "small.sft/3", "--json")
    assert (done.code, json.loads(done.out)["outcome"]) == (1, "refused")
