"""`burnish data …` typed into a home of a test's own, and rows to give it."""

import json
from pathlib import Path
from typing import Any

import pytest

from flows.cli.app import execute
from infra.home import open_home
from infra.warehouse.warehouse import Warehouse

Row = dict[str, Any]
PROBLEM = "A farmer keeps 14 brown hens and 23 white hens; each lays 3 eggs a week. How many eggs are laid in 5 weeks?"


class Terminal:
    """Types commands into one home."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self._capsys = folder, capsys
        self.home = open_home(folder / "home")
        self.warehouse = Warehouse(self.home)

    def type(self, *arguments: Any, code: int = 0) -> str:
        """Everything printed, standard error included."""
        found = execute(["data", *map(str, arguments)])
        printed = self._capsys.readouterr()
        assert found == code, printed
        return printed.out + printed.err

    def json(self, *arguments: Any, code: int = 0) -> Any:
        found = execute(["data", *map(str, arguments), "--json"])
        printed = self._capsys.readouterr()
        assert found == code, printed
        return json.loads(printed.out)

    def write(self, name: str, rows: list[Row]) -> Path:
        path = self.folder / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    def rows(self, reference: str) -> list[Row]:
        return self.warehouse.reader.read(self.warehouse.get(reference)).to_pylist()


def chat(prompt: str, completion: str = "yes", **more: Any) -> Row:
    turns = [{"role": "user", "content": prompt}, {"role": "assistant", "content": completion}]
    return {"messages": turns, **more}


def problem(prompt: str, ground_truth: str, **more: Any) -> Row:
    return {"prompt": prompt, "ground_truth": ground_truth, "verifier": "exact_number", **more}
