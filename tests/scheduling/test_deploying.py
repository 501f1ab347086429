"""What the command line adds to a recipe that is put on a schedule, and how its mistakes are answered."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from data_contracts.errors import RecipeError
from flows.cli.app import execute
from flows.cli.deploying import read_deployed
from flows.schedule import Wanted, deploy, pool_type, read_schedule
from infra.home import Home
from tests.factories import make_recipe

TOKEN = "T0k3n-that-nobody-may-see"


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (f"webhook=https://hooks.example.org/{TOKEN}", "--notify webhook=… does not say where"),
        (f"email=mailtos://me:{TOKEN}@example.org", "--notify email=… does not say where"),
        ("webhook=", "--notify webhook=… does not say where"),
        ("webhook=env:A B", "--notify webhook=… does not say where"),
        (f"slack={TOKEN}", "--notify cannot be read"),
        (f"=env:{TOKEN}", "--notify cannot be read"),
        (TOKEN, "--notify cannot be read"),
        ("", "--notify cannot be read"),
    ],
)
def test_an_address_on_the_command_line_is_refused_in_words_and_not_repeated(given: str, found: str) -> None:
    with pytest.raises(RecipeError) as refused:
        read_deployed("tiny", None, [given])
    assert str(refused.value).startswith(found)
    assert "=env:NAME" in refused.value.expected and "=file:/" in refused.value.expected
    assert TOKEN not in str(refused.value)


def test_an_address_in_a_recipe_is_refused_in_words_too() -> None:
    with pytest.raises(RecipeError) as refused:
        read_deployed("tiny", [f"run.notify.webhook=https://hooks.example.org/{TOKEN}"], None)
    assert "run.notify.webhook: this is no place of an address" in str(refused.value)
    assert "env:NAME" in str(refused.value) and "pattern" not in str(refused.value)
    assert TOKEN not in str(refused.value)


def test_a_way_that_there_is_not_is_answered_with_those_that_there_are() -> None:
    with pytest.raises(
        RecipeError, match=r"run\.notify\.slack: unknown key\. Known: webhook, email, command, on"
    ):
        read_deployed("tiny", ["run.notify.slack=env:HOOK"], None)


def test_who_is_told_comes_with_the_deployment() -> None:
    recipe = read_deployed("tiny", None, ["webhook=env:HOOK", "on=[failure, success]"])
    assert recipe.run.notify is not None
    assert (recipe.run.notify.webhook, recipe.run.notify.on) == ("env:HOOK", ("failure", "success"))


@pytest.mark.parametrize(
    "option", [("--interval", "0"), ("--cron", ""), ("--set", "seed=1"), ("--interval", "9")]
)
def test_a_schedule_without_a_recipe_is_a_mistake(
    option: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute(["serve", *option]) == 2
    assert "There is no recipe to put on a schedule." in capsys.readouterr().err


@pytest.mark.parametrize("name", ["", " ", "a/b", "50%", "<b>", "a\nb"])
def test_what_is_no_name_of_a_deployment_or_a_pool_is_refused_before_a_server_is_asked(name: str) -> None:
    when = read_schedule(None, 60, "UTC")
    with pytest.raises(RecipeError, match=r"--name .* is no name"):
        deploy(Home(Path("/nowhere")), make_recipe(), Wanted(name, "burnish", when, None), datetime.now(UTC))
    with pytest.raises(RecipeError, match=r"--pool .* is no name"):
        pool_type(name)


def test_two_recipes_of_one_name_are_not_served_side_by_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BURNISH_HOME", str(tmp_path / "home"))
    assert execute(["serve", "tiny", "tiny", "--interval", "60"]) == 2
    assert "Several of these recipes have the name tiny." in capsys.readouterr().err
