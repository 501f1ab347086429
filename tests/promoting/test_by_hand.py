"""What somebody changed in MLflow's aliases is noticed by every command, and moved by none without being told."""

from collections.abc import Callable

import pytest
from mlflow.tracking import MlflowClient

from flows.doctor.checkup import examine
from infra.home import Home
from infra.ledger import Ledger
from tests.promoting.conftest import Burnish, aliases
from tests.promoting.judged_home import HOSTILE, MODEL


@pytest.fixture
def promoted(burnish: Burnish) -> Burnish:
    """1, then 2; 3 was refused."""
    for number in (1, 2, 3):
        burnish("promote", f"small.sft/{number}")
    return burnish


def client(home: Home) -> MlflowClient:
    return MlflowClient(home.mlflow_uri)


def kinds(home: Home) -> list[str]:
    return [each.kind for each in reversed(Ledger(home.ledger_path).decisions(MODEL))]


def faults(home: Home, *, fix: bool = False) -> list[str]:
    return [f.found for report in examine(home.path, fix=fix) for f in report.findings if not f.is_note]


def _champion_back(home: Home) -> None:
    """To the champion before: where a promotion that was cut short would have left it."""
    client(home).set_registered_model_alias(MODEL, "champion", "1")


def _champion_elsewhere(home: Home) -> None:
    client(home).set_registered_model_alias(MODEL, "champion", "4")


def _no_champion(home: Home) -> None:
    client(home).delete_registered_model_alias(MODEL, "champion")


def _champion_deleted(home: Home) -> None:
    client(home).delete_model_version(MODEL, "2")


def _previous_moved(home: Home) -> None:
    client(home).set_registered_model_alias(MODEL, "previous", "3")


def _no_candidate(home: Home) -> None:
    client(home).delete_registered_model_alias(MODEL, "candidate")


CHANGES: list[tuple[Callable[[Home], None], str]] = [
    (
        _champion_back,
        "small.sft@champion is version 1 in MLflow, changed by hand; by the ledger it is version 2.",
    ),
    (
        _champion_elsewhere,
        "small.sft@champion is version 4 in MLflow, changed by hand; by the ledger it is version 2.",
    ),
    (_no_champion, "small.sft@champion was deleted by hand in MLflow; by the ledger it is version 2."),
    (_champion_deleted, "small.sft@champion is gone from MLflow with version 2, which was deleted by hand."),
    (
        _previous_moved,
        "small.sft@previous is version 3 in MLflow, changed by hand; by the ledger it is version 1.",
    ),
    (_no_candidate, "small.sft@candidate was deleted by hand in MLflow; by the ledger it is version 3."),
]


@pytest.mark.parametrize(
    ("change", "told"), [pytest.param(*each, id=each[0].__name__.strip("_")) for each in CHANGES]
)
def test_every_command_says_so_and_leaves_it(
    change: Callable[[Home], None], told: str, home: Home, promoted: Burnish
) -> None:
    change(home)
    found, decided = aliases(home), kinds(home)
    for command in (["promote", "small.sft/4"], ["promote", "small.sft/2"], ["rollback", "small.sft"]):
        done = promoted(*command)
        assert (done.code in (1, 2), told in done.text or "MLflow has lost" in done.text) == (True, True), (
            done.text
        )
        assert done.code == 2 or "--take-over" in done.text
    assert told in promoted("champion", "small.sft").text
    assert told in promoted("models").text
    assert promoted("models", "--json").json[-1]["by_hand"] == [told]
    assert told in faults(home)
    assert (aliases(home), kinds(home)) == (found, decided)


@pytest.mark.parametrize("change", [_champion_back, _champion_elsewhere, _previous_moved])
def test_the_doctor_repairs_nothing_that_was_moved(
    change: Callable[[Home], None], home: Home, promoted: Burnish
) -> None:
    change(home)
    found = aliases(home)
    assert len(faults(home, fix=True)) == 1
    assert aliases(home) == found


@pytest.mark.parametrize("change", [_no_champion, _no_candidate])
def test_the_doctor_puts_back_what_was_deleted(
    change: Callable[[Home], None], home: Home, promoted: Burnish
) -> None:
    change(home)
    faults(home, fix=True)
    assert faults(home) == []
    assert aliases(home) == {"champion": 2, "previous": 1, "candidate": 3}


def test_the_doctor_registers_a_deleted_champion_again_and_it_is_champion(
    home: Home, promoted: Burnish
) -> None:
    _champion_deleted(home)
    faults(home, fix=True)
    assert faults(home) == []
    assert aliases(home) == {"champion": 6, "previous": 1, "candidate": 3}
    assert promoted("champion", "small.sft", "--json").json["version"] == 6
    assert promoted("promote", "small.sft/4").code == 0
    assert aliases(home) == {"champion": 4, "previous": 6}


def test_a_moved_champion_is_adopted_and_kept(home: Home, promoted: Burnish) -> None:
    _champion_elsewhere(home)
    done = promoted("promote", "small.sft/4", "--take-over", f"ann tried it {HOSTILE}")
    assert (done.code, aliases(home)) == (0, {"champion": 4, "previous": 2, "candidate": 3})
    assert "Taken over: small.sft/4, made champion by hand in MLflow." in done.text
    decision = Ledger(home.ledger_path).decisions(MODEL)[0]
    assert (decision.kind, decision.from_version, decision.to_version) == ("by hand", 2, 4)
    assert decision.reason == f"ann tried it {HOSTILE}"
    assert decision.evidence["found"] == {"champion": 4, "previous": 1, "candidate": 3}
    assert faults(home) == []
    shown = promoted("history", "small.sft")
    assert "\x1b" not in shown.out
    assert promoted("history", "small.sft", "--json").json["champions"][0]["kind"] == "by hand"


def test_a_rollback_undoes_a_moved_champion(home: Home, promoted: Burnish) -> None:
    _champion_back(home)
    done = promoted("rollback", "small.sft", "--take-over", "a slip")
    assert (done.code, aliases(home)) == (0, {"champion": 2, "previous": 1, "candidate": 3})
    assert kinds(home)[-2:] == ["by hand", "rollback"]


def test_the_adopted_champion_is_what_the_candidate_has_to_beat(home: Home, promoted: Burnish) -> None:
    _champion_elsewhere(home)
    done = promoted("promote", "small.sft/3", "--take-over", "ann tried it", "--json")
    assert (done.code, done.json["outcome"], done.json["against"]) == (1, "refused", "small.sft/4")
    assert aliases(home)["champion"] == 4


@pytest.mark.parametrize("change", [_no_champion, _previous_moved, _no_candidate, _champion_deleted])
def test_what_else_was_changed_is_noted_and_put_back(
    change: Callable[[Home], None], home: Home, promoted: Burnish
) -> None:
    change(home)
    done = promoted("promote", "small.sft/4", "--take-over", "spring cleaning")
    assert done.code == 0, done.text
    assert kinds(home)[-2:] == ["by hand", "promote"]
    expected = {"champion": 4} if change is _champion_deleted else {"champion": 4, "previous": 2}
    assert aliases(home) == expected


def test_a_rollback_that_has_nowhere_to_go_takes_nothing_over(home: Home, burnish: Burnish) -> None:
    burnish("promote", "small.sft/2")
    client(home).set_registered_model_alias(MODEL, "candidate", "1")
    done = burnish("rollback", "small.sft", "--take-over", "a slip")
    assert (done.code, "has no champion before version 2" in done.text) == (2, True)
    assert (kinds(home), aliases(home)["candidate"]) == (["promote"], 1)


def test_a_champion_that_mlflow_has_lost_is_told_also_once_that_was_taken_over(
    home: Home, burnish: Burnish
) -> None:
    burnish("promote", "small.sft/2")
    client(home).delete_model_version(MODEL, "2")
    assert burnish("promote", "small.sft/3", "--take-over", "an accident").code == 1
    told = "MLflow has lost small.sft/2: small.sft@champion names nothing."
    assert told in burnish("champion", "small.sft").text
    assert told in burnish("models").text
    assert burnish("promote", "small.sft/4").code == 0, "a refusal since makes it no news again"


def test_a_champion_of_a_model_nobody_decided_about_can_be_taken_over(home: Home, burnish: Burnish) -> None:
    _champion_elsewhere(home)
    refused = burnish("promote", "small.sft/2")
    assert (refused.code, "by the ledger it is no version" in refused.text) == (1, True)
    assert burnish("promote", "small.sft/4", "--take-over", "it was there before").code == 0
    assert burnish("champion", "small.sft", "--json").json["kind"] == "by hand"


def test_an_alias_of_a_persons_own_is_a_note_and_hinders_nothing(home: Home, promoted: Burnish) -> None:
    client(home).set_registered_model_alias(MODEL, "demo", "1")
    assert promoted("promote", "small.sft/4").code == 0
    assert aliases(home) == {"champion": 4, "previous": 2, "demo": 1}
    assert faults(home) == []
    notes = [f.found for report in examine(home.path) for f in report.findings if f.is_note]
    assert "small.sft@demo is version 1, an alias made by hand in MLflow." in notes


def test_taking_over_where_nothing_was_changed_says_so_and_notes_nothing(
    home: Home, promoted: Burnish
) -> None:
    done = promoted("promote", "small.sft/4", "--take-over", "to be sure")
    assert (done.code, "there is nothing to take over" in done.text) == (0, True)
    assert "by hand" not in kinds(home)
