"""`burnish data import`: a source becomes a dataset version, and what broke its contract is kept apart.

source ─► files ─► shape and mapping ─► contract, ground truth, length ─► version | quarantine
"""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import xxhash

from data_contracts.canonical import fingerprint
from data_contracts.errors import DataError
from data_contracts.rows import RowKind
from data_contracts.stage_configs import Containment
from flows.data.hub import is_hub_id, read_hub
from flows.data.records import DataStep, record_version
from flows.data.row_checks import Check, GroundTruthCheck, LengthCheck, ScheduleCheck
from infra.intake.arrow_columns import rows_as_json
from infra.intake.batches import RawBatch
from infra.intake.files import find_files
from infra.intake.importing import Counts, Intake, import_batches
from infra.intake.mapping import Defaults, Mapper
from infra.intake.query import is_query, read_query
from infra.intake.reading import read_batches
from infra.intake.shapes import Mapping, custom_mapping, needed_schema, recognise, unknown_shape
from infra.intake.sniffing import sniff_schema
from infra.intake.whole_tables import with_verifier
from infra.ledger import Ledger
from infra.warehouse.committing import Origin, Published
from infra.warehouse.quarantine import Quarantines, QuarantineWriter
from infra.warehouse.warehouse import Warehouse
from stages.verifiers.catalog import Catalog
from stages.verifiers.pool import shared_pool


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """What a person may say about a source."""

    kind: RowKind | None = None
    maps: dict[str, str] = field(default_factory=dict[str, str])
    verifier: str | None = None
    arguments: str = "{}"
    licence: str = ""
    origin: str = ""
    model: Path | None = None
    max_tokens: int | None = None
    check_ground_truth: bool = True
    added: dict[str, str] = field(default_factory=dict[str, str])
    """Verifiers of the person's own: where their records are."""

    sandbox: Containment = "strong"


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What became of a source's rows."""

    published: Published | None
    counts: Counts
    mapping: Mapping
    reasons: Counter[str]
    warnings: Counter[str]
    notes: list[str]
    seconds: float


@dataclass(frozen=True, slots=True)
class Source:
    """Where rows come from: what it is called, its columns, its batches, and its files' digests."""

    name: str
    schema: pa.Schema
    read: Callable[[pa.Schema], Iterator[RawBatch]]
    files: tuple[Path, ...]


OnProgress = Callable[[Counts], None]
_DIGEST_BYTES = 8 << 20


def open_source(text: str, base: Path) -> Source:
    """A path, glob, directory, hub id (`hub:owner/name`) or SQL query. Raises DataError."""
    if not text.strip():
        raise DataError(
            "The source is empty.", "a file, pattern, folder, hub:OWNER/NAME or query", "Name one."
        )
    if is_query(text):
        table = read_query(text, base)
        return Source("query", table.schema, lambda schema: _batches("query", table, schema.names), ())
    if is_hub_id(text):
        table = read_hub(text)
        return Source(text, table.schema, lambda schema: _batches(text, table, schema.names), ())
    files = find_files(text, base)
    return Source(
        text,
        sniff_schema(files),
        lambda schema: read_batches(files, schema),
        tuple(Path(file.path) for file in files),
    )


def choose_mapping(source: Source, options: ImportOptions) -> Mapping:
    """The source's shape, with the person's own expressions in place of its.

    Raises DataError or RecipeError, also for a verifier or arguments that no row could be judged by.
    """
    if options.verifier is not None:
        catalog = Catalog(options.added)
        catalog.find(options.verifier)
        if options.arguments != "{}":
            catalog.arguments(options.verifier, options.arguments)
    if options.maps:
        return custom_mapping(source.schema, options.kind, options.maps)
    found = recognise(source.schema, options.kind)
    if found is None:
        raise unknown_shape(source.schema, options.kind)
    return with_verifier(found, options.verifier)


@dataclass(frozen=True, slots=True)
class Target:
    """Where an import goes."""

    warehouse: Warehouse
    ledger: Ledger
    name: str


def import_dataset(
    target: Target, source: Source, mapping: Mapping, options: ImportOptions, on_progress: OnProgress
) -> ImportReport:
    """Take the source in as the target's next version. Raises DataError when no row keeps its contract."""
    began = time.monotonic()
    warehouse, name = target.warehouse, target.name
    checks = Checks(mapping, options)
    quarantine = QuarantineWriter(warehouse.home)
    needed = needed_schema(source.schema, mapping)
    defaults = Defaults(name, options.verifier, options.arguments)
    try:
        with (
            ThreadPoolExecutor(1) as thread,
            Mapper(mapping, needed, defaults) as mapper,
            warehouse.publisher(name, mapping.kind) as publisher,
        ):
            digests = thread.submit(_digests, source.files)
            intake = Intake(mapping.kind, mapper, checks.all)
            counts = import_batches(source.read(needed), intake, publisher, quarantine, on_progress)
            document = {
                **_document(source, mapping, options),
                "files": digests.result(),
                **asdict(counts),
                "reasons": dict(quarantine.reasons),
                "warnings": dict(checks.warnings),
            }
            identity = {key: document[key] for key in ("command", "mapping", "files", "options")}
            published = (
                publisher.publish(Origin(fingerprint(identity), document)) if counts.accepted else None
            )
        seconds = time.monotonic() - began
        if published is not None:
            step = DataStep("import", identity, ())
            record_version(target.ledger, warehouse, published.version, step, seconds)
        store = Quarantines(warehouse.home, warehouse.catalog)
        fixed = store.add(name, published, quarantine, document)
    finally:
        quarantine.abandon()
    notes: list[str] = []
    if fixed is not None:
        notes.append(
            f"These bad rows were fixed before: {fixed} has those that passed, the quarantine the others"
        )
    return ImportReport(published, counts, mapping, quarantine.reasons, checks.warnings, notes, seconds)


class Checks:
    """The checks an import was asked for, and what they noticed besides refusing rows."""

    def __init__(self, mapping: Mapping, options: ImportOptions) -> None:
        self._schedule = ScheduleCheck()
        self.all: tuple[Check, ...] = ()
        if mapping.kind is RowKind.problems:
            self.all += (self._schedule,)
            if options.check_ground_truth:
                self.all += (GroundTruthCheck(shared_pool(options.added, options.sandbox)),)
        if options.max_tokens is not None and options.model is not None:
            self.all += (LengthCheck(options.model, options.max_tokens),)

    @property
    def warnings(self) -> Counter[str]:
        return self._schedule.warnings


def _document(source: Source, mapping: Mapping, options: ImportOptions) -> dict[str, Any]:
    given = {**asdict(options), "model": str(options.model) if options.model else None}
    return {
        "command": "import",
        "source": source.name,
        "shape": mapping.shape,
        "mapping": mapping.columns,
        "needs": list(mapping.needs),
        "dropped": list(mapping.dropped),
        "options": json.loads(json.dumps(given, default=str)),
    }


def _digests(files: tuple[Path, ...]) -> list[dict[str, Any]]:
    """Which files these were. XXH3, an eighth of SHA-256's time: the rows have fingerprints that prove them."""
    found: list[dict[str, Any]] = []
    for path in files:
        digest = xxhash.xxh3_128()
        with path.open("rb") as file:
            while block := file.read(_DIGEST_BYTES):
                digest.update(block)
        found.append({"path": str(path), "bytes": path.stat().st_size, "xxh3_128": digest.hexdigest()})
    return found


def _batches(name: str, table: pa.Table, columns: list[str]) -> Iterator[RawBatch]:
    def whole(lines: Sequence[int]) -> list[str]:
        return rows_as_json(table.take([line - 1 for line in lines]))

    first = 1
    for batch in table.select(columns).to_batches(max_chunksize=16_384):
        lines = pa.array(range(first, first + batch.num_rows), pa.int64())
        yield RawBatch(name, pa.Table.from_batches([batch]), lines, (), whole)
        first += batch.num_rows
