"""Take quarantined rows into a version that pass after a correction.

A fix only ever takes rows out: those that still break their contract stay as they were, with their first file,
line and reason. What it takes out and what it publishes is one transaction, so a kill or another fix finds the
rows on one side or on the other.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from data_contracts.errors import BurnishError, DataError
from data_contracts.rows import RowKind
from flows.data.imports import (
    Checks,
    ImportOptions,
    ImportReport,
    OnProgress,
    Source,
    Target,
    choose_mapping,
)
from flows.data.quarantine import QuarantinedRows, quarantined_rows
from flows.data.records import DataStep, record_version
from infra.being_written import path_to_write
from infra.intake.batches import SourceFile
from infra.intake.importing import Counts, Intake, import_batches
from infra.intake.json_lines import first_objects
from infra.intake.mapping import Defaults, Mapper
from infra.intake.reading import read_batches
from infra.intake.shapes import needed_schema
from infra.intake.sniffing import sniff_schema
from infra.warehouse.committing import Origin
from infra.warehouse.publishing import Publisher
from infra.warehouse.quarantine import (
    ADMITTED,
    BadRow,
    Quarantine,
    Quarantines,
    QuarantineWriter,
    reason_class,
)

_BYTE_ORDER_MARK = "\ufeff"
"""Readers take one off a file's beginning: with ours there, one of the first row stays."""


def fix_quarantine(
    target: Target, maps: dict[str, str], corrected: Path | None, on_progress: OnProgress
) -> ImportReport:
    """Read the bad rows again, each as its own import read it, and publish the newest version with those that pass.

    `maps` are expressions besides that import's own; `corrected` is an exported file with rows as they should be.
    Raises DataError when no import's rows can be read so, and when another command made a version meanwhile.
    """
    began = time.monotonic()
    warehouse, name = target.warehouse, target.name
    _record_fixes(target)
    store = Quarantines(warehouse.home, warehouse.catalog)
    groups = quarantined_rows(warehouse, name, corrected)
    newest = next(reversed(warehouse.versions(name)), None)
    with ExitStack() as stack:
        rounds = [_Round(target, group, stack) for group in groups]
        opened = _those_that(rounds, lambda one: one.open(maps))
        kind = newest.kind if newest else opened[0].mapping.kind
        publisher = stack.enter_context(warehouse.publisher(name, kind))
        for piece in warehouse.reader.pieces(newest) if newest else ():
            publisher.add(piece)
        ready = _those_that(opened, lambda one: one.prepare(kind, publisher))
        for one in ready:
            one.run(kind, publisher, on_progress)
        counts = _sum([one.counts for one in rounds])
        reasons = sum((one.reasons for one in rounds), Counter[str]())
        fruitful = [one for one in ready if one.counts.accepted]
        told = newest.origin if newest else ready[-1].group.quarantine.origin
        document = {
            **told,
            "command": "fix",
            "maps": maps,
            "before": str(newest) if newest else None,
            "fixed": counts.accepted,
            ADMITTED: [*told.get(ADMITTED, []), *(one.group.quarantine.admission for one in fruitful)],
            "reasons": dict(reasons),
            "seconds": time.monotonic() - began,
        }
        replacement = store.replacement([(one.group.quarantine, one.left) for one in fruitful])
        after = newest.version if newest else 0
        published = publisher.publish(Origin("", document), after, replacement) if fruitful else None
    _record_fixes(target)
    warnings = sum((one.checks.warnings for one in ready), Counter[str]())
    seconds = time.monotonic() - began
    return ImportReport(published, counts, ready[-1].mapping, reasons, warnings, [], seconds)


class _Round:
    """One import's bad rows on their way back in: `open`, `prepare` and `run`, or they stay as they are."""

    def __init__(self, target: Target, group: QuarantinedRows, stack: ExitStack) -> None:
        home = target.warehouse.home
        self.group = group
        self.counts = Counts(len(group.rows), 0, len(group.rows))
        self.reasons: Counter[str] = Counter()
        self.error: BurnishError | None = None
        self.left = QuarantineWriter(home, self._as_it_was)
        self._name, self._stack = target.name, stack
        self._file = SourceFile(str(path_to_write(home.quarantine_dir)), "jsonl", None)
        stack.callback(self.left.abandon)

    def stay(self, error: BurnishError) -> None:
        """None of these rows can be tried, for one reason."""
        self.error = error
        self.reasons = Counter({reason_class(error.found.splitlines()[0]): len(self.group.rows)})

    def open(self, maps: dict[str, str]) -> None:
        """Choose the mapping. Raises DataError or RecipeError where none reads these rows."""
        origin, path = self.group.quarantine.origin, Path(self._file.path)
        self._stack.callback(path.unlink, missing_ok=True)
        lines = "".join(f"{_one_line(text)}\n" for text in self.group.texts)
        path.write_text(_BYTE_ORDER_MARK + lines, "utf-8", "backslashreplace", newline="\n")
        if not any(first_objects(self._file, len(self.group.rows))):
            raise DataError(
                f"None of the bad rows of {self.group.source} is a JSON object.",
                "rows with columns",
                f"Correct them: burnish data quarantine {self._name} --export bad.jsonl",
            )
        found = sniff_schema([self._file])
        absent = [name for name in origin["needs"] if name not in found.names]
        self.schema = pa.schema([*found, *(pa.field(name, pa.string()) for name in absent)])
        source = Source(self.group.source, self.schema, partial(read_batches, [self._file]), ())
        self._options = _options(self.group.quarantine, maps)
        self.mapping = choose_mapping(source, self._options)
        self.checks = Checks(self.mapping, self._options)

    def prepare(self, kind: RowKind, publisher: Publisher) -> None:
        """Bind the mapping. Raises DataError where it gives no rows that can stand beside the others."""
        if self.mapping.kind is not kind:
            raise DataError(
                f"The bad rows of {self.group.source} are {self.mapping.kind}, the others {kind}.",
                "rows of one kind",
                "Import that source again under a name of its own.",
            )
        self._needed = needed_schema(self.schema, self.mapping)
        defaults = Defaults(self._name, self._options.verifier, self._options.arguments)
        self._mapper = self._stack.enter_context(Mapper(self.mapping, self._needed, defaults))
        publisher.locate(self._mapper.apply(self._needed.empty_table()))

    def run(self, kind: RowKind, publisher: Publisher, on_progress: OnProgress) -> None:
        batches = read_batches([self._file], self._needed)
        intake = Intake(kind, self._mapper, self.checks.all)
        self.counts = import_batches(batches, intake, publisher, self.left, on_progress)
        assert self.counts.read == len(self.group.rows)

    def _as_it_was(self, bad: BadRow) -> BadRow:
        self.reasons[reason_class(bad.reason)] += 1
        return self.group.rows[bad.line - 1]


def _those_that(rounds: Sequence[_Round], step: Callable[[_Round], None]) -> list[_Round]:
    """The rounds whose step succeeds; the others stay. Raises the first one's error when none is left."""
    for one in rounds:
        try:
            step(one)
        except BurnishError as error:
            one.stay(error)
    able = [one for one in rounds if one.error is None]
    if not able and (error := rounds[0].error) is not None:
        raise error
    return able


def _record_fixes(target: Target) -> None:
    """Note every fix in the ledger; also one that was killed between the catalog's transaction and this note."""
    versions = target.warehouse.versions(target.name)
    for version in versions:
        told = version.origin
        if told.get("command") == "fix" and ADMITTED in told:
            parents = tuple(parent for parent in versions if str(parent) == told["before"])
            step = DataStep("fix", {"maps": told["maps"], "fixed": told["fixed"]}, parents)
            record_version(target.ledger, target.warehouse, version, step, told["seconds"])


def _sum(counts: Sequence[Counts]) -> Counts:
    return Counts(
        sum(one.read for one in counts),
        sum(one.accepted for one in counts),
        sum(one.quarantined for one in counts),
    )


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
        added=given["added"],
        sandbox=given["sandbox"],
    )


def _one_line(text: str) -> str:
    """A row's text on one line. In JSON a line's end stands only between values, where a blank means the same.

    A blank line would be no row at all: it becomes a row that is none, and stays.
    """
    return text.replace("\r", " ").replace("\n", " ") if text.strip() else "null"
