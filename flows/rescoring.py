"""Judge rollouts again, chunk by chunk, on this machine's cores or on a cluster's.

    rollouts ─► chunks ─► judge (threads | Dask | Ray) ─► verdicts in the rows' order ─► next version

Where a chunk is judged makes no difference: a verdict follows from its row alone. So the runner is no part of what
the new version records about itself.
"""

import logging
import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from prefect import Task, flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.futures import PrefectFuture

from data_contracts.canonical import fingerprint
from data_contracts.errors import DataError, RecipeError, ServerError
from data_contracts.rows import RowKind
from flows.data.records import DataStep, record_version
from flows.data.rollouts import (
    chunks_to_judge,
    join_verdicts,
    read_chunk,
    read_rollouts,
    with_verdicts,
    write_verdicts,
)
from flows.lineage.withdrawal import withdrawn_masks
from infra.home import home_path, open_home
from infra.ledger import Ledger
from infra.warehouse.committing import Origin, Published
from infra.warehouse.warehouse import Warehouse
from stages.comparison import wilson_interval
from stages.verdicts import require_few_failures
from stages.verifiers.catalog import Catalog
from stages.verifiers.pool import shared_pool
from stages.verifiers.submission import submission

_CHUNK_ROWS = 512
"""A task costs 10 ms with threads and 60 ms with Dask; a quick verifier judges some hundred rows meanwhile."""

_MOST_WAITING = 256
"""Chunks handed over and not back yet: what a runner holds in memory."""

OnProgress: TypeAlias = Callable[[int, int], None]

on_progress: ContextVar[OnProgress] = ContextVar("on_progress", default=lambda *_: None)
"""Told the rows judged so far, and all of them."""

logger = logging.getLogger("burnish")


@dataclass(frozen=True, slots=True)
class Rescored:
    """What became of the rows, and how the new verdicts compare with the old ones."""

    published: Published
    withdrawn: int
    """Rows that somebody withdrew: not judged, and left out."""

    without_verdict: int
    """Rows whose verifier failed: left out."""

    rose: int
    fell: int
    stayed: int
    right_before: int
    """Rows that had reward 1, of those with a new verdict."""

    right_after: int
    seconds: float
    """From the first chunk's hand-over to the last verdict, the start of a cluster included."""

    @property
    def num_rows(self) -> int:
        return self.rose + self.fell + self.stayed

    @property
    def verdicts_per_second(self) -> float:
        return self.num_rows / self.seconds

    def accuracy(self, right: int) -> tuple[float, float, float]:
        """The share of full rewards, and between what it lies (Wilson, 95 %)."""
        low, high = wilson_interval(right, self.num_rows)
        return right / self.num_rows, low, high


@flow(name="rescore", validate_parameters=False, persist_result=False)
def rescore(
    rollouts: str,
    to: str,
    verifier: str | None = None,
    arguments: str | None = None,
    added: dict[str, str] | None = None,
) -> Rescored:
    """Publish the rollouts of a version, with the verdicts they get today, as the next version of `to`.

    Without `verifier` and `arguments` rows are judged by their own. Raises DataError, RecipeError, and StageError
    when too many verdicts could not be had.
    """
    began = time.monotonic()
    home = open_home(home_path(os.environ, Path.cwd()))
    warehouse, ledger, added = Warehouse(home), Ledger(home.ledger_path), added or {}
    version = warehouse.get(rollouts)
    if verifier is not None and arguments is None:
        arguments = "{}"  # the row's own are another verifier's
    rows = read_rollouts(warehouse, version, verifier, arguments)
    _require_verifiers(rows, Catalog(added), arguments)
    (withdrawn,) = withdrawn_masks(ledger, warehouse, [str(version)])
    if withdrawn.all():
        raise DataError(f"All rows of {version} were withdrawn.", "at least one row that may be used", "")
    rows, numbers = rows.filter(pa.array(~withdrawn)), np.flatnonzero(~withdrawn)
    handed_over = time.monotonic()
    chunks = chunks_to_judge(version, rows, numbers, _CHUNK_ROWS)
    verdicts = join_verdicts(list(_judged(chunks, added, rows.num_rows)))
    seconds = time.monotonic() - handed_over
    has_verdict = verdicts["reward"].is_valid()
    lost = verdicts["reward"].is_null()
    failures = verdicts["reason"].filter(lost).to_pylist()
    names = rows["verifier"].filter(lost).to_pylist()
    require_few_failures(rows.num_rows, len(failures), f"{names[0]}: {failures[0]}" if failures else "")
    identity = {
        "command": "rescore",
        "of": str(version),
        "verifier": verifier,
        "arguments": arguments,
        "added": added,
        "withdrawn": int(withdrawn.sum()),
        "parents": {str(version): version.fingerprint},
    }
    with warehouse.publisher(to, RowKind.rollouts) as publisher:
        publisher.add(with_verdicts(rows, verdicts).filter(has_verdict))
        published = publisher.publish(Origin(fingerprint(identity), identity))
    step = DataStep("rescore", identity, (version,))
    record_version(ledger, warehouse, published.version, step, time.monotonic() - began)
    logger.info("%s holds the verdicts of %s given again", published.version, version)
    before = rows["reward"].filter(has_verdict).to_numpy()
    after = verdicts["reward"].filter(has_verdict).to_numpy()
    return Rescored(
        published=published,
        withdrawn=int(withdrawn.sum()),
        without_verdict=len(failures),
        rose=int((after > before).sum()),
        fell=int((after < before).sum()),
        stayed=int((after == before).sum()),
        right_before=int((before == 1.0).sum()),
        right_after=int((after == 1.0).sum()),
        seconds=seconds,
    )


def _may_pass(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """A machine short of memory may do better later; what is wrong with a row stays so."""
    return not isinstance(state.data, DataError | RecipeError)


@task(
    name="judge",
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=2,
    retry_delay_seconds=1,
    retry_condition_fn=_may_pass,
)
def judge(chunk: bytes, added: dict[str, str]) -> bytes:
    """The verdicts of a chunk, from the pool of verifiers of whichever process this runs in.

    Raises DataError for a problem that cannot be checked, RecipeError for a verifier that is not there.
    """
    rows = read_chunk(chunk)
    outcomes = shared_pool(added).verify_all([submission(row, row["completion"]) for row in rows])
    for row, outcome in zip(rows, outcomes, strict=True):
        if (fault := outcome.fault) is not None:
            raise type(fault)(f"Row {row['row']}: {fault.found}", fault.expected, fault.do)
    return write_verdicts(outcomes)


def _judged(chunks: Iterator[bytes], added: dict[str, str], num_rows: int) -> Iterator[bytes]:
    """The verdicts of every chunk, in order. Raises ServerError where no cluster answers."""
    tell = on_progress.get()
    done = 0
    tell(done, num_rows)
    waiting = deque(_handed_over(chunk, added) for chunk in islice(chunks, _MOST_WAITING))
    while waiting:
        yield waiting.popleft().result()
        done = min(done + _CHUNK_ROWS, num_rows)
        tell(done, num_rows)
        waiting.extend(_handed_over(chunk, added) for chunk in islice(chunks, 1))


def _handed_over(chunk: bytes, added: dict[str, str]) -> PrefectFuture[bytes]:
    try:
        return judge.submit(chunk, added)
    except OSError as error:
        raise ServerError(
            f"The cluster cannot be reached: {error}.",
            "a scheduler that answers",
            "Check the address, or leave it out: a cluster of this machine's cores is started then.",
        ) from error


def _require_verifiers(rows: pa.Table, catalog: Catalog, arguments: str | None) -> None:
    """Raises RecipeError for a verifier that is not there, DataError for arguments it does not take."""
    for name in rows["verifier"].unique().to_pylist():
        catalog.find(name)
        if arguments is not None:
            catalog.arguments(name, arguments)
