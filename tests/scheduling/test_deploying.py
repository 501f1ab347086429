"""What the command line adds to a recipe that is put on a schedule, and how its mistakes are answered."""

import pytest

from data_contracts.errors import RecipeError
from flows.cli.app import execute
from flows.cli.deploying import read_deployed

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
