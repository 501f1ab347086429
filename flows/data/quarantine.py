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
from infra.intake.importing import Intake, import_batches
from infra.intake.mapping import Defaults, Mapper
from infra.intake.shapes import needed_schema
from infra.warehouse.catalog import DatasetVersion
from infra.warehouse.committing import Origin
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
    """Write all bad rows as JSONL: file, line, reason, and the row to correct. Raises DataError."""
    rows = _all_rows(warehouse, name)[1]
    if path.exists():
        raise DataError(f"{path} exists already.", "a new file", "Name another one, or remove it.")
    with path.open("w", encoding="utf-8", errors="backslashreplace") as file:
        for row in rows:
            file.write(json.dumps({**asdict(row), "row": _as_object(row.row)}, ensure_ascii=False) + "\n")
    return len(rows)


def fix_quarantine(
    target: Target, maps: dict[str, str], corrected: Path | None, on_progress: OnProgress
) -> ImportReport:
    """Read the bad rows again and publish the newest version with those that pass. Raises DataError."""
    began = time.monotonic()
    warehouse, name = target.warehouse, target.name
    store, (quarantines, kept) = Quarantines(warehouse.home, warehouse.catalog), _all_rows(warehouse, name)
    rows = _read_corrected(corrected, kept) if corrected is not None else kept
    fixes = [found.quarantine_id for found in quarantines]
    newest = _version_before(warehouse, name, fixes)
    options = _options(quarantines[-1], maps)
    path = warehouse.home.work_dir / f"quarantine-{name}-{os.getpid()}.jsonl"
    path.write_text("".join(_one_line(row.row) + "\n" for row in rows), "utf-8", "backslashreplace")
    source = open_source(str(path), path.parent)
    mapping = choose_mapping(source, options)
    checks = Checks(mapping, options)
    left = QuarantineWriter(
        warehouse.home, lambda bad: replace(rows[bad.line - 1], reason=bad.reason, row=rows[bad.line - 1].row)
    )
    try:
        needed = needed_schema(source.schema, mapping)
        defaults = Defaults(name, options.verifier, options.arguments)
        with (
            Mapper(mapping, needed, defaults) as mapper,
            warehouse.publisher(name, mapping.kind) as publisher,
        ):
            for piece in warehouse.reader.pieces(newest) if newest else ():
                publisher.add(piece)
            intake = Intake(mapping.kind, mapper, checks.all)
            counts = import_batches(source.read(needed), intake, publisher, left, on_progress)
            document = {
                **(newest.origin if newest else quarantines[-1].origin),
                "command": "fix",
                "fixes": fixes,
                "before": str(newest) if newest else None,
                "fixed": counts.accepted,
                "mapping": mapping.columns,
                "reasons": dict(left.reasons),
            }
            published = publisher.publish(Origin("", document)) if counts.accepted else None
        version = published.version.version if published else newest.version if newest else None
        store.add(name, version, left, document, replaces=quarantines)
    finally:
        left.abandon()
        path.unlink(missing_ok=True)
    seconds = time.monotonic() - began
    if published is not None:
        step = DataStep("fix", {"maps": maps, "fixed": counts.accepted}, (newest,) if newest else ())
        record_version(target.ledger, published.version, step, seconds)
    return ImportReport(published, counts, mapping, left.reasons, checks.warnings, checks.notes, seconds)


def _version_before(warehouse: Warehouse, name: str, fixes: list[str]) -> DatasetVersion | None:
    """The version these quarantines' rows join: the newest, unless it is what a fix made before it was killed."""
    newest = _newest(warehouse, name)
    if newest is not None and newest.origin.get("fixes") == fixes:
        before: str | None = newest.origin["before"]
        return warehouse.get(before) if before else None
    return newest


def _all_rows(warehouse: Warehouse, name: str) -> tuple[list[Quarantine], list[BadRow]]:
    store = Quarantines(warehouse.home, warehouse.catalog)
    quarantines = store.of(name)
    if not quarantines:
        _require_dataset(warehouse, name)
        raise NotFoundError(f"No row of {name} is in quarantine.", "rows that broke their contract", "")
    return quarantines, [row for found in quarantines for row in store.rows(found)]


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


def _read_corrected(path: Path, kept: Sequence[BadRow]) -> list[BadRow]:
    """The exported file as the person left it: each line is one bad row, found again by its file and line."""
    places = {(row.file, row.line): index for index, row in enumerate(kept)}
    rows = list(kept)
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        try:
            found = json.loads(line)
            place, row = places[found["file"], found["line"]], found["row"]
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{path}, line {number}: this is none of the quarantined rows ({error}).",
                "the lines that --export wrote, with only `row` changed",
                "Export again, and correct the rows in place.",
            ) from error
        rows[place] = replace(rows[place], row=row if isinstance(row, str) else json.dumps(row))
    return rows


def _as_object(text: str) -> Any:
    """The row as JSON where it is JSON, so that it is easy to correct; else the text as it stands."""
    try:
        found = json.loads(text)
    except ValueError:
        return text
    return found if isinstance(found, dict) else text


def _one_line(text: str) -> str:
    """A row's text on one line: JSON that spans several means the same on one."""
    return " ".join(text.splitlines()) or "null"
