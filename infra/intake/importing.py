"""From a source to a version: read, map, check and publish, each in a thread of its own.

Every row that is read ends in the publisher or in the quarantine; the counts are compared at the end.
"""

import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from data_contracts.rows import RowKind
from infra.intake.batches import RawBatch
from infra.intake.checks import check_rows
from infra.intake.mapping import Mapper
from infra.warehouse.publishing import Located, Publisher
from infra.warehouse.quarantine import BadRow, QuarantineWriter

_BATCHES_AHEAD = 3
_SWITCH_SECONDS = 0.0005
"""Hashing holds Python's lock; at the usual 5 ms the other threads wait for it a tenth of the time."""

Item = TypeVar("Item")
ExtraCheck = Callable[[RowKind, pa.Table], pa.Array]
"""Another rule for rows that keep their contract: null or a reason for each."""


@dataclass(frozen=True, slots=True)
class Intake:
    """What an import does with each batch."""

    kind: RowKind
    mapper: Mapper
    checks: tuple[ExtraCheck, ...] = ()


@dataclass(frozen=True, slots=True)
class Counts:
    """Rows of one import; `read` is always the sum of the other two."""

    read: int
    accepted: int
    quarantined: int


@dataclass(frozen=True, slots=True)
class _Checked:
    rows: Located | None
    bad: list[BadRow]
    num_read: int


def import_batches(
    batches: Iterable[RawBatch],
    intake: Intake,
    publisher: Publisher,
    quarantine: QuarantineWriter,
    on_progress: Callable[[Counts], None],
) -> Counts:
    """Take all batches in; bad rows go to the quarantine. Raises DataError for a source that is damaged."""
    read = accepted = 0
    interval = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_SECONDS)
    checked = _ahead(_check(batch, intake, publisher) for batch in _ahead(batches))
    try:
        for part in checked:
            if part.rows is not None:
                publisher.append(part.rows)
                accepted += len(part.rows.hashes)
            quarantine.add(part.bad)
            read += part.num_read
            on_progress(Counts(read, accepted, quarantine.num_rows))
    finally:
        checked.close()
        sys.setswitchinterval(interval)
    assert read == accepted + quarantine.num_rows
    return Counts(read, accepted, quarantine.num_rows)


def _check(batch: RawBatch, intake: Intake, publisher: Publisher) -> _Checked:
    num_read = batch.rows.num_rows + len(batch.unreadable)
    bad = [BadRow(row.file, row.line, row.reason, row.text) for row in batch.unreadable]
    if batch.rows.num_rows == 0:
        return _Checked(None, bad, num_read)
    located, lines = publisher.locate(intake.mapper.apply(batch.rows)), batch.lines
    for check in (_new_rows_check(located), *intake.checks):
        reasons = check(intake.kind, located.rows)
        if reasons.null_count == len(reasons):
            continue
        refused = reasons.is_valid()
        bad += _bad_rows(batch, lines.filter(refused).to_pylist(), reasons.drop_null().to_pylist())
        kept = reasons.is_null()
        located, lines = located.filter(kept.to_numpy(zero_copy_only=False)), lines.filter(kept)
    return _Checked(located, bad, num_read)


def _new_rows_check(located: Located) -> ExtraCheck:
    """The contract of the rows that no version of the dataset has: what was accepted once stays accepted."""

    def check(kind: RowKind, rows: pa.Table) -> pa.Array:
        new = np.flatnonzero(~located.is_known)
        if len(new) == rows.num_rows:
            return check_rows(kind, rows)
        reasons = np.full(rows.num_rows, None, object)
        reasons[new] = check_rows(kind, rows.take(pa.array(new))).to_numpy(zero_copy_only=False)
        return pa.array(reasons, pa.string())

    return check


def _bad_rows(batch: RawBatch, lines: list[int], reasons: list[str]) -> list[BadRow]:
    rows = zip(lines, reasons, batch.whole(lines), strict=True)
    return [BadRow(batch.file, line, reason, text) for line, reason, text in rows]


def _ahead(items: Iterable[Item]) -> Generator[Item]:
    """The items, a few of them made ahead in a thread."""
    iterator: Iterator[Item] = iter(items)
    end: Any = object()
    thread = ThreadPoolExecutor(1)
    waiting: deque[Future[Item]] = deque(thread.submit(next, iterator, end) for _ in range(_BATCHES_AHEAD))
    try:
        while (item := waiting.popleft().result()) is not end:
            waiting.append(thread.submit(next, iterator, end))
            yield item
    finally:
        thread.shutdown(cancel_futures=True)
