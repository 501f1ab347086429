"""The warehouse: datasets as immutable versions in DuckDB.

    catalog (DuckDB)  ─ names ─►  manifests  ─ runs of rows ─►  segments (Parquet, each row once)

A version is `name@N`, a fingerprint of its rows and their order, and a manifest over segments. The database
is opened briefly; training reads one Parquet file and never holds it. Each version is also a view, so that
`select * from "tiny.worked@1"` works in any DuckDB client.
"""

import json
import time
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from data_contracts.errors import DataError, RecipeError
from data_contracts.rows import RowKind
from infra.home import Home
from infra.warehouse.catalog import Catalog, DatasetVersion, OnWait, select_segments
from infra.warehouse.committing import Draft, Origin, Published, commit, no_rows
from infra.warehouse.manifests import Integers, Manifest, join_rows
from infra.warehouse.publishing import Publisher
from infra.warehouse.reading import Reader
from infra.warehouse.references import TAG_PATTERN, resolve
from infra.warehouse.row_hashes import fingerprint_of
from infra.warehouse.segments import Segment, read_hashes, require_unchanged, rows_path


class Warehouse:
    """Publish and read dataset versions of one home."""

    def __init__(self, home: Home, on_wait: OnWait | None = None) -> None:
        self.home = home
        self.catalog = Catalog(home, on_wait)
        self.reader = Reader(home, self.catalog)

    def publish(self, name: str, kind: RowKind, rows: pa.Table, stage_key: str) -> DatasetVersion:
        """Store `rows` whole as the next version of `name`; rows it already has make no new version.

        One file, because stages read files. Raises DataError for no rows.
        """
        if rows.num_rows == 0:
            raise no_rows(name)
        with Publisher(self.home, self.catalog, name, kind, known=()) as publisher:
            publisher.add(rows)
            return publisher.publish(Origin(stage_key)).version

    def publisher(self, name: str, kind: RowKind) -> Publisher:
        """Publish in batches; rows that a version of `name` has, as rows of this kind, are not written again."""
        with self.catalog.open() as db:
            versions = self.catalog.select_versions(db, "name = $1 and kind = $2", [name, kind.value])
            fingerprints = dict.fromkeys(s for version in reversed(versions) for s in version.segments)
            segments = select_segments(db, list(fingerprints))
        return Publisher(self.home, self.catalog, name, kind, list(segments.values()))

    def publish_selection(
        self,
        name: str,
        sources: Sequence[DatasetVersion],
        source: Integers,
        row: Integers,
        origin: Origin,
    ) -> Published:
        """The rows `row[i]` of `sources[source[i]]`, in order, as a version: nothing is copied.

        Raises DataError for no rows, for damaged ones, and for sources whose columns do not agree.
        """
        if len(row) == 0:
            raise no_rows(name)
        manifest, kind = self._select(sources, source, row), sources[0].kind
        segments = self.catalog.segments(manifest.segments)
        ordered = [segments[fingerprint] for fingerprint in manifest.segments]
        columns = _all_columns(name, ordered)
        for segment in ordered:
            require_unchanged(rows_path(self.home.rows_dir, segment.fingerprint), segment)
        hashes = [read_hashes(self.home.rows_dir, segment) for segment in ordered]
        before = np.concatenate([[0], np.cumsum([len(part) for part in hashes])[:-1]]).astype(np.int64)
        segment, position = manifest.positions()
        chosen = np.concatenate(hashes)[before[segment] + position]
        draft = Draft(name, kind, columns, fingerprint_of(columns, [chosen]), manifest)
        return commit(self.home, self.catalog, draft, origin)

    def versions(self, name: str | None = None) -> list[DatasetVersion]:
        """All versions (of `name`), by name, oldest first."""
        with self.catalog.open() as db:
            return self.catalog.select_versions(db, "$1 is null or name = $1", [name])

    def get(self, reference: str) -> DatasetVersion:
        """`name` (the newest), `name@3`, `name@tag` or `name@2026-11-21` (as of then). Raises NotFoundError."""
        with self.catalog.open() as db:
            return resolve(self.catalog, db, reference)

    def tag(self, reference: str, tag: str) -> DatasetVersion:
        """Give a version a name that stays until it is moved. Raises NotFoundError, or RecipeError for the tag."""
        if not TAG_PATTERN.fullmatch(tag):
            raise RecipeError(
                f"{tag!r} is no tag.", "a small letter, then letters, digits, dot, dash or underscore", ""
            )
        with self.catalog.change() as db:
            version = resolve(self.catalog, db, reference)
            db.execute(
                "insert or replace into tags values ($1, $2, $3, $4)",
                [version.name, tag, version.version, time.time()],
            )
        return version

    def tags(self) -> dict[tuple[str, int], list[str]]:
        """Tags by name and version."""
        with self.catalog.open() as db:
            rows = db.execute("select name, version, tag from tags order by tag").fetchall()
        found: dict[tuple[str, int], list[str]] = {}
        for name, version, tag in rows:
            found.setdefault((name, version), []).append(tag)
        return found

    def _select(self, sources: Sequence[DatasetVersion], source: Integers, row: Integers) -> Manifest:
        names: dict[str, int] = {}
        segment, position = np.empty(len(row), np.int64), np.empty(len(row), np.int64)
        for index, version in enumerate(sources):
            manifest = self.reader.manifest(version)
            own = np.array([names.setdefault(name, len(names)) for name in manifest.segments], np.int64)
            of_segment, of_position = manifest.positions()
            taken = source == index
            segment[taken] = own[of_segment[row[taken]]]
            position[taken] = of_position[row[taken]]
        return join_rows(list(names), segment, position)


def _all_columns(name: str, segments: Sequence[Segment]) -> str:
    """The union of the segments' columns, as JSON. Raises DataError when two disagree on a type."""
    types: dict[str, str] = {}
    for segment in segments:
        for column, kind in json.loads(segment.columns):
            if types.setdefault(column, kind) != kind:
                raise DataError(
                    f"Dataset {name}: the column {column} is {types[column]} in one source and {kind} in another.",
                    "one type for a column",
                    "Import one of them again with --map, so that the column's type is the same.",
                )
    return json.dumps([list(item) for item in types.items()])
