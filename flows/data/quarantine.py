"""Look into the quarantine: which rows broke their contract, and why.

They can be written to a file, corrected there, and read back, each under its quarantine and its number in it.
"""

import json
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from data_contracts.errors import DataError, NotFoundError
from infra.warehouse.quarantine import BadRow, Quarantine, Quarantines
from infra.warehouse.warehouse import Warehouse


@dataclass(frozen=True, slots=True)
class QuarantinedRows:
    """The bad rows of one import, and the text each is tried with."""

    quarantine: Quarantine
    rows: list[BadRow]
    texts: list[str]

    @property
    def source(self) -> str:
        return self.quarantine.origin["source"]


def quarantined(warehouse: Warehouse, name: str, limit: int) -> tuple[list[BadRow], Counter[str]]:
    """The first bad rows of a dataset, and how many there are of each reason."""
    store = Quarantines(warehouse.home, warehouse.catalog)
    rows: list[BadRow] = []
    reasons: Counter[str] = Counter()
    for found in store.of(name):
        rows += store.rows(found, limit - len(rows)) if len(rows) < limit else []
        reasons += store.reasons(found)
    if not reasons:
        _require_dataset(warehouse, name)
    return rows, reasons


def export_bad_rows(warehouse: Warehouse, name: str, path: Path) -> int:
    """Write all bad rows as JSONL: which row, its reason, and the row to correct. Raises DataError."""
    quarantines = _require_quarantines(warehouse, name)
    if path.exists() or not path.absolute().parent.is_dir():
        found = "exists already" if path.exists() else "is in no folder that exists"
        raise DataError(f"{path} {found}.", "a new file in an existing folder", "Name another one.")
    store, count = Quarantines(warehouse.home, warehouse.catalog), 0
    with path.open("w", encoding="utf-8", errors="backslashreplace") as file:
        for found in quarantines:
            for number, row in enumerate(store.rows(found)):
                place = {"quarantine": found.quarantine_id, "number": number}
                document = {**place, **asdict(row), "row": _as_object(row.row)}
                file.write(json.dumps(document, ensure_ascii=False) + "\n")
                count += 1
    return count


def quarantined_rows(warehouse: Warehouse, name: str, corrected: Path | None) -> list[QuarantinedRows]:
    """Each import's bad rows, with their text as it is or as the exported file now has it.

    Raises NotFoundError for none, DataError for a file that is not what `export_bad_rows` wrote.
    """
    store, quarantines = Quarantines(warehouse.home, warehouse.catalog), _require_quarantines(warehouse, name)
    rows = [store.rows(found) for found in quarantines]
    groups = [
        QuarantinedRows(one, bad, [row.row for row in bad])
        for one, bad in zip(quarantines, rows, strict=True)
    ]
    if corrected is None:
        return groups
    texts = {group.quarantine.quarantine_id: group.texts for group in groups}
    seen: set[tuple[str, int]] = set()
    for number, line in enumerate(_lines_of(corrected), 1):
        found = _correction(corrected, number, line)
        place = found.quarantine, found.number
        if found.number >= len(texts.get(found.quarantine, ())):
            raise _no_quarantined_row(corrected, number, f"row {found.number} of {found.quarantine}")
        if place in seen:
            raise DataError(f"{corrected}, line {number}: this row stands there twice.", "each row once")
        seen.add(place)
        if found.row != _as_object(texts[found.quarantine][found.number]):
            text = found.row if isinstance(found.row, str) else json.dumps(found.row)
            texts[found.quarantine][found.number] = text
    if not seen:
        raise DataError(f"{corrected} has no rows.", "the lines that --export wrote", "Export again.")
    return groups


def _require_quarantines(warehouse: Warehouse, name: str) -> list[Quarantine]:
    """A dataset's quarantines, oldest first. Raises NotFoundError when it has none."""
    quarantines = Quarantines(warehouse.home, warehouse.catalog).of(name)
    if not quarantines:
        _require_dataset(warehouse, name)
        raise NotFoundError(f"No row of {name} is in quarantine.", "rows that broke their contract", "")
    return quarantines


def _require_dataset(warehouse: Warehouse, name: str) -> None:
    if not warehouse.versions(name):
        warehouse.get(name)  # explains which there are


def _as_object(text: str) -> Any:
    """The row as JSON where it is JSON, so that it is easy to correct; else the text as it stands."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return found if isinstance(found, dict) else text


class _Correction(BaseModel):
    """A line that --export wrote; what it says besides is for the reader."""

    model_config = ConfigDict(frozen=True, strict=True)

    quarantine: str
    number: int = Field(ge=0)
    row: Any


def _correction(corrected: Path, number: int, line: str) -> _Correction:
    try:
        return _Correction.model_validate(json.loads(line))
    except ValidationError as error:
        first = error.errors()[0]
        problem = ".".join(map(str, first["loc"])) + ": " + first["msg"]
        raise _no_quarantined_row(corrected, number, problem) from error
    except (ValueError, RecursionError) as error:
        raise _no_quarantined_row(corrected, number, str(error)) from error


def _no_quarantined_row(corrected: Path, number: int, problem: str) -> DataError:
    return DataError(
        f"{corrected}, line {number}: this is none of the quarantined rows ({problem}).",
        "the lines that --export wrote, with only `row` changed",
        "Export again, and correct the rows in place.",
    )


def _lines_of(path: Path) -> list[str]:
    try:
        return [line for line in path.read_text("utf-8").split("\n") if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise DataError(f"{path} cannot be read: {why}.", "the file that --export wrote", "") from error
