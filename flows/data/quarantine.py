"""Look into the quarantine, and take rows in that pass after a correction.

Rows leave it only into a version: those that still break their contract stay, with their first file and line.
"""

import json
import os
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from data_contracts.errors import DataError, NotFoundError
from data_contracts.rows import RowKind
from flows.data.imports import (
    Checks,
    ImportOptions,
    ImportReport,
    OnProgress,
    Target,
    choose_mapping,
    open_source,
)
from flows.data.records import DataStep, record_version
from infra.intake.importing import Counts, Intake, import_batches
from infra.intake.mapping import Defaults, Mapper
from infra.intake.shapes import needed_schema
from infra.warehouse.catalog import DatasetVersion
from infra.warehouse.committing import Origin
from infra.warehouse.publishing import Publisher
from infra.warehouse.quarantine import BadRow, Quarantine, Quarantines, QuarantineWriter
from infra.warehouse.warehouse import Warehouse


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
    quarantines = _quarantines(warehouse, name)
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


def fix_quarantine(
    target: Target, maps: dict[str, str], corrected: Path | None, on_progress: OnProgress
) -> ImportReport:
    """Read the bad rows again, each as its own import read it, and publish the newest version with those that pass.

    `maps` are expressions besides that import's own. Raises DataError.
    """
    began = time.monotonic()
    warehouse, name = target.warehouse, target.name
    quarantines = _quarantines(warehouse, name)
    groups = _read_groups(warehouse, quarantines, corrected)
    newest = _version_before(warehouse, name, [found.quarantine_id for found in quarantines])
    rounds = [_Round(target, found, rows, maps) for found, rows in groups]
    kind = newest.kind if newest else rounds[0].mapping.kind
    try:
        with warehouse.publisher(name, kind) as publisher:
            for piece in warehouse.reader.pieces(newest) if newest else ():
                publisher.add(piece)
            counts = Counts(0, 0, 0)
            for one in rounds:
                found = one.run(kind, publisher, on_progress)
                counts = Counts(
                    counts.read + found.read,
                    counts.accepted + found.accepted,
                    counts.quarantined + found.quarantined,
                )
            reasons = sum((one.left.reasons for one in rounds), Counter[str]())
            document = {
                **(newest.origin if newest else quarantines[-1].origin),
                "command": "fix",
                "fixes": [found.quarantine_id for found in quarantines],
                "before": str(newest) if newest else None,
                "fixed": counts.accepted,
                "reasons": dict(reasons),
            }
            after = newest.version if newest else 0
            published = publisher.publish(Origin("", document), after) if counts.accepted else None
        seconds = time.monotonic() - began
        if published is not None:
            step = DataStep("fix", {"maps": maps, "fixed": counts.accepted}, (newest,) if newest else ())
            record_version(target.ledger, published.version, step, seconds)
        store = Quarantines(warehouse.home, warehouse.catalog)
        store.replace(name, [(one.quarantine, one.left) for one in rounds])
    finally:
        for one in rounds:
            one.end()
    warnings = sum((one.checks.warnings for one in rounds), Counter[str]())
    notes = [note for one in rounds for note in one.checks.notes]
    return ImportReport(published, counts, rounds[-1].mapping, reasons, warnings, notes, seconds)


class _Round:
    """The bad rows of one import on their way back in, with that import's options."""

    def __init__(
        self, target: Target, quarantine: Quarantine, rows: Sequence[BadRow], maps: dict[str, str]
    ) -> None:
        home, name = target.warehouse.home, target.name
        self.quarantine = quarantine
        self._options = _options(quarantine, maps)
        self._defaults = Defaults(name, self._options.verifier, self._options.arguments)
        self._path = home.work_dir / f"quarantine-{quarantine.quarantine_id}-{os.getpid()}.jsonl"
        lines = "".join(_one_line(row.row) + "\n" for row in rows)
        self._path.write_text(lines, "utf-8", "backslashreplace", newline="\n")
        self._source = open_source(str(self._path), home.work_dir)
        self.mapping = choose_mapping(self._source, self._options)
        self.checks = Checks(self.mapping, self._options)
        self.left = QuarantineWriter(home, lambda bad: replace(rows[bad.line - 1], reason=bad.reason))

    def run(self, kind: RowKind, publisher: Publisher, on_progress: OnProgress) -> Counts:
        if self.mapping.kind is not kind:
            raise DataError(
                f"The bad rows of {self.quarantine.origin['source']} are {self.mapping.kind}, the others {kind}.",
                "rows of one kind",
                "Import that source again under a name of its own.",
            )
        needed = needed_schema(self._source.schema, self.mapping)
        with Mapper(self.mapping, needed, self._defaults) as mapper:
            intake = Intake(kind, mapper, self.checks.all)
            return import_batches(self._source.read(needed), intake, publisher, self.left, on_progress)

    def end(self) -> None:
        self.left.abandon()
        self._path.unlink(missing_ok=True)


def _version_before(warehouse: Warehouse, name: str, fixes: list[str]) -> DatasetVersion | None:
    """The version these quarantines' rows join: the newest, unless it is what a fix made before it was killed."""
    newest = _newest(warehouse, name)
    if newest is not None and newest.origin.get("fixes") == fixes:
        before: str | None = newest.origin["before"]
        return warehouse.get(before) if before else None
    return newest


def _quarantines(warehouse: Warehouse, name: str) -> list[Quarantine]:
    quarantines = Quarantines(warehouse.home, warehouse.catalog).of(name)
    if not quarantines:
        _require_dataset(warehouse, name)
        raise NotFoundError(f"No row of {name} is in quarantine.", "rows that broke their contract", "")
    return quarantines


def _require_dataset(warehouse: Warehouse, name: str) -> None:
    if _newest(warehouse, name) is None:
        warehouse.get(name)  # explains which there are


def _newest(warehouse: Warehouse, name: str) -> DatasetVersion | None:
    versions = warehouse.versions(name)
    return versions[-1] if versions else None


def _options(quarantine: Quarantine, maps: dict[str, str]) -> ImportOptions:
    given: dict[str, Any] = quarantine.origin["options"]
    return ImportOptions(
        kind=RowKind(given["kind"]) if given["kind"] else None,
        maps={**given["maps"], **maps},
        verifier=given["verifier"],
        arguments=given["arguments"],
        licence=given["licence"],
        origin=given["origin"],
        model=Path(given["model"]) if given["model"] else None,
        max_tokens=given["max_tokens"],
        check_ground_truth=given["check_ground_truth"],
    )


def _read_groups(
    warehouse: Warehouse, quarantines: Sequence[Quarantine], corrected: Path | None
) -> list[tuple[Quarantine, list[BadRow]]]:
    """Each quarantine's rows, as they are or as the exported file now has them."""
    store = Quarantines(warehouse.home, warehouse.catalog)
    groups = {found.quarantine_id: (found, store.rows(found)) for found in quarantines}
    lines = [] if corrected is None else _lines_of(corrected)
    seen: set[tuple[str, int]] = set()
    for number, line in enumerate(lines, 1):
        try:
            found = json.loads(line)
            place, row = (str(found["quarantine"]), int(found["number"])), found["row"]
            rows = groups[place[0]][1]
            rows[place[1]] = replace(rows[place[1]], row=row if isinstance(row, str) else json.dumps(row))
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise DataError(
                f"{corrected}, line {number}: this is none of the quarantined rows ({error}).",
                "the lines that --export wrote, with only `row` changed",
                "Export again, and correct the rows in place.",
            ) from error
        if place in seen:
            raise DataError(f"{corrected}, line {number}: this row stands there twice.", "each row once")
        seen.add(place)
    if corrected is not None and not seen:
        raise DataError(f"{corrected} has no rows.", "the lines that --export wrote", "Export again.")
    return list(groups.values())


def _lines_of(path: Path) -> list[str]:
    try:
        return [line for line in path.read_text("utf-8").split("\n") if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise DataError(f"{path} cannot be read: {why}.", "the file that --export wrote", "") from error


def _as_object(text: str) -> Any:
    """The row as JSON where it is JSON, so that it is easy to correct; else the text as it stands."""
    try:
        found = json.loads(text)
    except ValueError:
        return text
    return found if isinstance(found, dict) else text


def _one_line(text: str) -> str:
    """A row's text on one line. In JSON a line's end stands only between values, where a blank means the same."""
    return text.replace("\r", " ").replace("\n", " ") or "null"
