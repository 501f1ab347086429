"""`champion`, `history` and `why`: who is served, who was, and what speaks for it."""

import time
from collections.abc import Iterator
from datetime import datetime

import pytest

from flows.cli.champion_commands import _moment  # pyright: ignore[reportPrivateUsage]
from infra.home import Home
from infra.ledger import Ledger
from infra.records import Decision
from tests.promoting.conftest import Burnish
from tests.promoting.judged_home import HOSTILE, MODEL

FIRST, SECOND, THIRD = (
    datetime.fromisoformat(f"2026-03-{day} 10:00:00+01:00").timestamp() for day in (10, 20, 30)
)


@pytest.fixture(autouse=True)
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A zone whose summer time begins on 2026-03-29 at 2 in the morning."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def past(home: Home, ledger: Ledger) -> None:
    """1 since the 10th, 2 since the 20th, 1 again since the 30th."""
    for made, kind, before, after in (
        (FIRST, "promote", None, 1),
        (SECOND, "promote", 1, 2),
        (THIRD, "rollback", 2, 1),
    ):
        ledger.decide(Decision(made, kind, MODEL, before, after, "ann", f"because {HOSTILE}", {}))


def test_who_was_champion_then(past: None, burnish: Burnish) -> None:
    expected = {
        "2026-03-10": 1,
        "2026-03-10T10:00:00": 1,
        "2026-03-10T09:00:00Z": 1,
        "2026-03-19": 1,
        "2026-03-20": 2,
        "2026-03-20T09:59:59": 1,
        "2026-03-20T10:00": 2,
        "2026-03-20 12:00+03:00": 2,
        "2026-03-20 11:59+03:00": 1,
        "2026-03-29": 2,
        "2026-03-30T10:59:59": 2,
        "2026-03-30T11:00": 1,
    }
    found = {at: burnish("champion", "small", "--at", at, "--json").json["version"] for at in expected}
    assert found == expected


def test_the_first_time_that_is_told_has_a_champion(ledger: Ledger, burnish: Burnish) -> None:
    ledger.decide(Decision(FIRST + 0.5, "promote", MODEL, None, 1, "ann", "", {}))
    told = burnish("champion", "small.sft", "--at", "2026-03-10T10:00:00")
    assert (told.code, "a time from 2026-03-10T10:00:01 on" in told.text) == (2, True)
    assert burnish("champion", "small.sft", "--at", "2026-03-10T10:00:01", "--json").json["version"] == 1


def test_a_time_that_has_no_champion_is_told(past: None, burnish: Burnish) -> None:
    for at, told in {
        "2026-03-09": "small.sft had no champion then. Expected: a time from 2026-03-10T10:00:00 on",
        "2026-03-10T09:59:59": "small.sft had no champion then.",
        "1900-01-01T00:00": "small.sft had no champion then.",
        "2999-01-01T00:00": "is in the future",
        "yesterday": "--at 'yesterday' is no date or time. Expected: a date as 2026-01-31",
        "2026-13-01": "is no date or time",
        "0001-01-01T00:00": "is no date or time",
        "": "is no date or time",
    }.items():
        done = burnish("champion", "small.sft", "--at", at)
        assert (done.code, told in done.text) == (2, True), done.text


def test_a_date_of_today_means_now_and_tomorrow_is_the_future() -> None:
    noon = datetime.fromisoformat("2026-03-28T12:00:00").timestamp()
    assert _moment("2026-03-28", noon) == noon
    assert _moment("2026-03-27", noon) == pytest.approx(noon - 12 * 3600)
    with pytest.raises(Exception, match="in the future"):
        _moment("2026-03-29", noon)


def test_the_champion_of_now_with_its_gate(burnish: Burnish) -> None:
    burnish("promote", "small.sft/1")
    burnish("promote", "small.sft/2", "--reason", f"shorter {HOSTILE}")
    shown = burnish("champion", "small.sft")
    assert "small.sft/2 since" in shown.text
    assert "shorter [bold red]\\x1b[2Jevil[/]" in shown.text
    assert "accuracy is" in shown.text
    assert "\x1b" not in shown.out


def test_a_champion_that_the_gate_refused_is_shown_with_why_it_is_one_in_a_line_of_its_own(
    burnish: Burnish,
) -> None:
    burnish("promote", "small.sft/2")
    burnish("promote", "small.sft/3", "--override", "2 answers in French\nsmall.sft/9 is the champion")
    _, gate, why = burnish("champion", "small.sft").out.splitlines()
    assert gate.startswith("refused: accuracy is not distinguishable")
    assert why == "overridden: 2 answers in French small.sft/9 is the champion"
    assert burnish("champion", "small.sft", "--json").json["override"].startswith("2 answers")


def test_history_is_every_champion_with_from_until_who_and_why(past: None, burnish: Burnish) -> None:
    found = burnish("history", "small.sft", "--json").json["champions"]
    assert [(each["version"], each["kind"], each["from"], each["until"]) for each in found] == [
        (1, "rollback", "2026-03-30T11:00:00+02:00", None),
        (2, "promote", "2026-03-20T10:00:00+01:00", "2026-03-30T11:00:00+02:00"),
        (1, "promote", "2026-03-10T10:00:00+01:00", "2026-03-20T10:00:00+01:00"),
    ]
    shown = burnish("history", "small.sft")
    assert "\x1b" not in shown.out and "rollback" in shown.text
    assert max(map(len, shown.out.splitlines())) <= 60


def test_what_has_no_champion_is_the_users_input(burnish: Burnish) -> None:
    for command in ("history", "champion", "why", "rollback"):
        for name, told in (
            ("small.base", "small.base has no champion, and never had."),
            ("smal.sft", "Did you mean 'small.sft'?"),
        ):
            done = burnish(command, name)
            assert (done.code, told in done.text) == (2, True), done.text


def test_why_goes_from_the_decision_to_the_rows(burnish: Burnish) -> None:
    burnish("promote", "small.sft/1")
    burnish("promote", "small.sft/3", "--reason", f"a try {HOSTILE}")
    found = burnish("why", "small", "--json").json
    assert (found["model"], found["decided"]["kind"], found["decided"]["is_in_force"]) == (
        "small.sft/3",
        "promote",
        True,
    )
    assert found["decided"]["gate"]["passed"]
    evaluated = found["evaluated"]
    assert (evaluated["accuracy"], evaluated["low"], evaluated["high"], evaluated["problems"]) == (
        0.65,
        pytest.approx(0.55),
        pytest.approx(0.75),
        40,
    )
    assert [stage["reference"] for stage in found["stages"]] == ["small.sft/3", "small.base/1"]
    assert found["stages"][0]["config"] == {"learning_rate": 0.01, "steps": 2}, (
        "global_batch 128 is the default"
    )
    assert found["stages"][0]["given"] == ["small.base/1", "small.worked@1"]
    assert [(rows["reference"], rows["rows"]) for rows in found["datasets"]] == [
        ("small.held_out@1", None),
        ("small.worked@1", 2),
    ]
    assert found["verifiers"] == {"exact_match": "code-of-exact-match"}
    shown = burnish("why", "small.sft@champion")
    for told in (
        "champion, promote by",
        "65.0% [55.0%, 75.0%] of 40 completions",
        "learning_rate 0.01",
        "2 rows",
    ):
        assert told in shown.text, told
    assert "\x1b" not in shown.out
    assert max(map(len, shown.out.splitlines())) <= 60


def test_why_of_a_version_that_is_no_champion(burnish: Burnish) -> None:
    burnish("promote", "small.sft/1")
    burnish("promote", "small.sft/2")
    assert burnish("why", "small.sft/1", "--json").json["decided"]["is_in_force"] is False
    assert "It was never the champion." in burnish("why", "small.sft/4").text


def test_help_has_examples(burnish: Burnish) -> None:
    for command in ("promote", "rollback", "champion", "history", "why"):
        assert f"burnish {command} tiny" in burnish(command, "--help").text
