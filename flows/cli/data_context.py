"""What the `data` commands begin with: a warehouse that says whom it waits for, and a progress line."""

import re
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from data_contracts.errors import RecipeError
from flows.cli.context import open_context, plain_console
from infra.home import Home
from infra.ledger import Ledger

if TYPE_CHECKING:
    from infra.warehouse.committing import Published
    from infra.warehouse.warehouse import Warehouse

_NAME = re.compile(r"[a-z][a-z0-9_]{0,47}")

NewName = Annotated[str, Parameter(help="The dataset to make; its next version.")]
Reference = Annotated[str, Parameter(help="NAME, NAME@3, NAME@TAG or NAME@2026-11-21.")]


@dataclass(frozen=True, slots=True)
class DataContext:
    home: Home
    ledger: Ledger
    warehouse: "Warehouse"
    console: Console


def open_data() -> DataContext:
    """Open the home these circumstances mean. Raises HomeError."""
    from infra.warehouse.warehouse import Warehouse

    context = open_context()
    errors = Console(stderr=True)
    warehouse = Warehouse(
        context.home, on_wait=lambda who: errors.print(f"Waiting for {who}…", highlight=False)
    )
    return DataContext(context.home, context.ledger, warehouse, context.console)


def require_new_name(name: str) -> str:
    """The name of a dataset a person makes. Raises RecipeError; names with a dot belong to pipelines."""
    if not _NAME.fullmatch(name):
        raise RecipeError(
            f"{name!r} is no name for a dataset.",
            "a small letter, then small letters, digits or underscores, at most 48",
            "Names with a dot belong to the datasets of pipelines.",
        )
    return name


def print_made(warehouse: "Warehouse", made: "Published", what: str = "") -> None:
    """The version and how many rows it has; and when these were there already, which one its name means."""
    version = made.version
    sentence = Text.assemble((str(version), "bold"), f": {version.num_rows:,} rows{what}.")
    if not made.is_new:
        newest = warehouse.get(version.name)
        sentence.append(" It was there already")
        sentence.append("." if newest.version == version.version else f"; the newest is {newest}.")
    plain_console().print(sentence, soft_wrap=True)


class RowsLine:
    """A progress line that counts rows."""

    def __init__(self, progress: Progress, title: str) -> None:
        self._progress = progress
        self._task = progress.add_task(title, total=None, text="")

    def show(self, done: int, total: int | None = None, text: str = "") -> None:
        self._progress.update(self._task, completed=done, total=total, text=text)


@contextmanager
def rows_line(title: str) -> Generator[RowsLine]:
    """A progress line on the terminal, gone when the work is done."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[text]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield RowsLine(progress, title)
