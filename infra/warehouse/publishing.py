"""Publish rows as a version: only rows that are new are written, the rest is named by where it stands."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from data_contracts.errors import DataError
from data_contracts.rows import RowKind
from infra.home import Home
from infra.warehouse.catalog import Catalog
from infra.warehouse.committing import Change, Draft, Origin, Published, commit, no_rows
from infra.warehouse.known_rows import KnownRows
from infra.warehouse.manifests import Integers, join_rows
from infra.warehouse.repairing import repair_segments
from infra.warehouse.row_hashes import Hashes, RowHasher, columns_text, fingerprint_of
from infra.warehouse.segments import Segment, SegmentWriter, is_intact


@dataclass(frozen=True, slots=True)
class Located:
    """Rows with their hashes, and where each stands already: segment and row in it, or -1."""

    rows: pa.Table
    hashes: Hashes
    segment: Integers
    position: Integers

    @property
    def is_known(self) -> NDArray[np.bool_]:
        return self.segment >= 0

    def filter(self, keep: NDArray[np.bool_]) -> "Located":
        return Located(
            self.rows.filter(pa.array(keep)), self.hashes[keep], self.segment[keep], self.position[keep]
        )


class Publisher:
    """Takes rows batch by batch and publishes them as the next version of `name`; a context manager.

    `known` are segments whose rows need not be written again. Without them every row is written: a stage's
    rows, which its followers read as one file.
    """

    def __init__(
        self, home: Home, catalog: Catalog, name: str, kind: RowKind, known: Sequence[Segment]
    ) -> None:
        self._home, self._catalog, self._name, self._kind = home, catalog, name, kind
        # Proving what is stored takes as long as reading it: beside the first rows, not before them.
        self._prover = ThreadPoolExecutor(1)
        self._proofs = [(one, self._prover.submit(is_intact, home.rows_dir, one)) for one in known]
        self._damaged: list[Segment] = []
        self._segments: list[str] = []
        self._known = KnownRows(home.rows_dir, [])
        self._hasher = RowHasher()
        self._writer: SegmentWriter | None = None
        self._schema: pa.Schema | None = None
        self._hashes: list[Hashes] = []
        self._segment: list[Integers] = []
        self._position: list[Integers] = []

    def __enter__(self) -> "Publisher":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._prover.shutdown(cancel_futures=True)
        self._hasher.close()
        if self._writer is not None:
            self._writer.abandon()

    def add(self, rows: pa.Table) -> None:
        """Append rows; all batches have the same columns."""
        self.append(self.locate(rows))

    def locate(self, rows: pa.Table) -> "Located":
        """Hash rows and look for them in the known segments. Another thread than `append`'s may do it."""
        is_first = self._schema is None
        self._schema = self._schema or rows.schema
        rows = self._conformed(rows)
        hashes = self._hasher.hash_rows(rows)
        if is_first:
            self._begin(columns_text(self._schema))
        return Located(rows, hashes, *self._known.find(hashes))

    def append(self, located: "Located") -> None:
        """Append rows in their order; those that are nowhere yet are written."""
        if len(located.hashes) == 0:
            return
        segment, position = located.segment.copy(), located.position.copy()
        is_new = ~located.is_known
        num_new = int(is_new.sum())
        if num_new:
            if self._writer is None:
                self._writer = SegmentWriter(self._home.rows_dir, located.rows.schema)
            segment[is_new] = len(self._segments)
            position[is_new] = self._writer.num_rows + np.arange(num_new)
            rows = located.rows if num_new == len(is_new) else located.rows.filter(pa.array(is_new))
            self._writer.add(rows, located.hashes[is_new])
        self._hashes.append(located.hashes)
        self._segment.append(segment)
        self._position.append(position)

    def _conformed(self, rows: pa.Table) -> pa.Table:
        """The rows with the columns of the first batch; what they lack is null. Raises DataError for others."""
        assert self._schema is not None
        if rows.schema.equals(self._schema):
            return rows
        others = [field for field in rows.schema if field not in self._schema]
        if others:
            raise DataError(
                f"{self._name} gets rows with {', '.join(f'{f.name} ({f.type})' for f in others)} besides.",
                f"its columns, {columns_text(self._schema)}",
                "Give all rows the same columns: --map COLUMN=EXPRESSION.",
            )
        columns = [
            rows[field.name] if field.name in rows.column_names else pa.nulls(rows.num_rows, field.type)
            for field in self._schema
        ]
        return pa.table(columns, schema=self._schema)

    def _begin(self, columns: str) -> None:
        known: list[Segment] = []
        for segment, proof in self._proofs:
            if segment.columns == columns:
                (known if proof.result() else self._damaged).append(segment)
        self._segments = [segment.fingerprint for segment in known]
        self._known = KnownRows(self._home.rows_dir, known)

    def publish(self, origin: Origin, after: int | None = None, change: Change | None = None) -> Published:
        """Make the version, and repair what its rows can repair.

        Raises DataError when no row was added, and as `commit` does.
        """
        if self._schema is None or not self._hashes:
            raise no_rows(self._name)
        columns = columns_text(self._schema)
        new = self._writer.finish() if self._writer is not None else None
        manifest = join_rows(
            [*self._segments, *([new.fingerprint] if new else [])],
            np.concatenate(self._segment),
            np.concatenate(self._position),
        )
        draft = Draft(self._name, self._kind, columns, fingerprint_of(columns, self._hashes), manifest, after)
        written = (self._writer, new) if self._writer is not None and new is not None else None
        published = commit(self._home, self._catalog, draft, origin, written, change)
        repair_segments(self._home, self._catalog, self._damaged, published.version)
        return published
