"""Code is part of what decides a result: which change of it counts, and which does not."""

from collections.abc import Callable
from pathlib import Path

import pytest

from data_contracts.canonical import fingerprint
from flows import code_identity

# Code


SourceCode = Callable[[str], str]


@pytest.fixture
def fingerprint_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SourceCode:
    """The fingerprint of a stage that imports a helper with this source."""
    stages = tmp_path / "stages"
    stages.mkdir()
    (stages / "__init__.py").touch()
    (stages / "stage.py").write_text(
        "def run():\n    from stages.helper import add\n    import torch\n    return add(1, 2)\n"
    )
    (stages / "bystander.py").write_text("LIMIT = 1\n")
    monkeypatch.setattr(code_identity, "PROJECT", tmp_path)

    def fingerprint_of(helper: str) -> str:
        (stages / "helper.py").write_text(helper)
        return fingerprint(code_identity.Code().of_module("stages.stage"))

    return fingerprint_of


LOGIC = 'def add(a, b):\n    """Sum."""\n    return a + b\n'


@pytest.mark.parametrize(
    "same",
    [
        "# A comment.\ndef add(a, b):\n    return a + b  # another\n",
        '"""A module docstring."""\n\n\ndef add(a, b):\n    return (\n        a\n        + b\n    )\n',
        'def add(a, b):\n    """Another docstring."""\n    return a+b',
    ],
    ids=["comments", "docstring and layout", "another docstring"],
)
def test_comments_docstrings_and_layout_are_no_code(fingerprint_of: SourceCode, same: str) -> None:
    assert fingerprint_of(same) == fingerprint_of(LOGIC)


@pytest.mark.parametrize(
    "other",
    [LOGIC.replace("a + b", "a - b"), LOGIC.replace("(a, b)", "(a, b=1)"), LOGIC + "LIMIT = 1\n"],
)
def test_a_changed_line_of_an_imported_module_is_other_code(fingerprint_of: SourceCode, other: str) -> None:
    assert fingerprint_of(other) != fingerprint_of(LOGIC)


def test_code_that_is_not_imported_decides_nothing(fingerprint_of: SourceCode, tmp_path: Path) -> None:
    before = fingerprint_of(LOGIC)
    (tmp_path / "stages" / "bystander.py").write_text("LIMIT = 2\n")
    assert fingerprint_of(LOGIC) == before
