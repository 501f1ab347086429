"""`burnish verifier`, typed as a person would, and the template that it prints."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from flows.cli.app import execute
from stages.verifiers.shipped import SHIPPED

Type = Callable[..., str]


@pytest.fixture
def type_(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Type:
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.chdir(tmp_path)

    def type_(*arguments: str, code: int = 0) -> str:
        found = execute(["verifier", *arguments])
        printed = capsys.readouterr()
        assert found == code, printed
        return printed.out + printed.err

    return type_


@pytest.fixture
def own(type_: Type, tmp_path: Path) -> Path:
    file = tmp_path / "mine.py"
    file.write_text(type_("template"))
    return file


def test_the_list_names_every_verifier_and_says_what_it_rewards(type_: Type) -> None:
    listed = json.loads(type_("list", "--json"))
    assert {each["name"] for each in listed} >= set(SHIPPED)
    assert all(each["summary"] for each in listed)
    assert "max_characters" in type_("list")


def test_a_completion_is_tried_and_the_reason_is_told(type_: Type) -> None:
    verdict = json.loads(type_("try", "exact_number", "it is 19", "--ground-truth", "18", "--json"))
    assert (verdict["reward"], verdict["reason"]) == (0.0, "answered 19, expected 18")


def test_a_completion_is_read_from_standard_input_whatever_its_bytes(
    type_: Type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\xff it is 18")))
    verdict = json.loads(type_("try", "exact_number", "-", "--ground-truth", "18", "--json"))
    assert verdict["reward"] == 1.0
    assert json.loads(type_("try", "exact_number", "-18", "--ground-truth", "-18", "--json"))["reward"] == 1.0


def test_the_template_keeps_every_promise(type_: Type, own: Path) -> None:
    checks = json.loads(type_("check", f"{own.name}:LAST_WORD", "--ground-truth", "blue", "--json"))
    assert (len(checks), [each["fault"] for each in checks]) == (5, [""] * 5)


def test_a_changed_template_that_breaks_a_promise_is_found(type_: Type, own: Path) -> None:
    own.write_text(own.read_text().replace("after_thinking(completion)", "completion"))
    assert "a thought without end" in type_("check", "mine.py:LAST_WORD", "--ground-truth", "blue", code=1)
    own.write_text(own.read_text().replace("found == expected", "bool(1 / len(found) ** 0)"))
    assert "nonsense" in type_("check", "mine.py:LAST_WORD", "--ground-truth", "blue", code=1)


def test_a_verifier_that_raises_or_hangs_is_found(type_: Type) -> None:
    place = "tests.verifiers.odd_verifiers:ODD"
    assert "can be solved" in type_("check", place)
    added = ("--add", f"odd={place}")
    assert "ZeroDivisionError" in type_("try", "odd", "raise", *added, code=2)
    assert "needed more than" in type_("try", "odd", "loop", *added)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("check", "nothing"), "There is no verifier named 'nothing'"),
        (("check", "gone.py:X"), "The verifier gone.py:X cannot be loaded"),
        (("check", "mine.py"), "mine.py names a file and no record in it"),
        (("check", "mine.py:GONE"), "has no attribute 'GONE'"),
        (("check", "mine.py:LAST_WORD", "--ground-truth", "two words"), "is not one word"),
        (("try", "exact_number", "18", "--ground-truth", "x"), "is no number"),
        (("try", "format", "18", "--arguments", "{"), "do not fit"),
        (("try", "own", "18", "--add", "own"), "cannot be read"),
    ],
)
def test_mistakes_are_explained(type_: Type, own: Path, arguments: tuple[str, ...], complaint: str) -> None:
    code = 1 if "two words" in arguments else 2
    assert complaint in " ".join(type_(*arguments, code=code).split())
