"""What most commands begin with: this home, its ledger, a console on which no text can act."""

import json
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from data_contracts.errors import HomeError
from infra.home import Home, home_path, open_home
from infra.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Context:
    home: Home
    ledger: Ledger
    console: Console


def open_context() -> Context:
    """Open the home these circumstances mean. Raises HomeError."""
    home = open_home(home_path(os.environ, Path.cwd()))
    if not home.ledger_path.exists() and any(home.rows_dir.glob("*.parquet")):
        raise HomeError(
            f"The ledger {home.ledger_path} is missing, and the datasets it knows are still there.",
            "the SQLite file that Burnish wrote",
            "Restore it from a backup, or set BURNISH_HOME to another directory.",
        )
    return Context(home, Ledger(home.ledger_path), SafeConsole(emoji=False))


def print_json(value: Any) -> None:
    """For programs: one JSON document on standard output, nothing else."""
    sys.stdout.write(json.dumps(value, indent=2) + "\n")
    sys.stdout.flush()


class SafeConsole(Console):
    """Shows control characters, and those that turn the direction of writing, instead of obeying them.

    Rich sends every string through `render_str` and everything it draws through `render`.
    """

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(_visible(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=_visible(segment.text))


def plain_console(*, stderr: bool = False) -> Console:
    """For text of data and of the command line: strings mean themselves, colours come as `Text` alone."""
    return SafeConsole(stderr=stderr, markup=False, emoji=False, highlight=False)


def plain_text(text: str) -> Text:
    """Model text is hostile: no markup, no control characters that move the cursor or colour the terminal."""
    return Text(_visible(text))


def _visible(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else f"\\x{ord(c):02x}" for c in text)
