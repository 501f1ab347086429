"""Compute a data card: DuckDB measures Arrow batch by batch and keeps counts and hashes, never texts.

Exact over all rows: bytes, characters, turns, sources, ground truths, duplicates (by 64-bit hashes: among a million
different rows two are taken for equal with a probability of one in 37 million). What needs a regular expression,
words and scripts, is measured on an even sample of a large dataset.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Literal, TypeAlias, cast

import duckdb
import numpy as np
import pyarrow as pa

from data_contracts.data_card import (
    Count,
    Counts,
    DataCard,
    Distribution,
    PairFacts,
    ProblemFacts,
    Provenance,
)
from data_contracts.errors import DataError
from data_contracts.rows import RowKind
from infra.card_queries import Layout, layout_of, measure_rows, measure_sample

_BATCH_ROWS = 100_000
_SAMPLED_ROWS = 10_000
_TOP = 10
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_TABLES = """
create table tally (measure varchar, value bigint, count bigint);
create table sampled (key ubigint, measure varchar, value bigint);
create table categories (measure varchar, key ubigint, value varchar, count bigint);
create table hashes (whole ubigint, prompt ubigint, ground_truth ubigint);
"""

_Tallies: TypeAlias = dict[str, dict[int, int]]
"""Measure -> how often each value occurs."""


def make_card(
    kind: RowKind, rows: pa.Table | Iterable[pa.Table], provenance: Provenance | None = None
) -> DataCard:
    """Describe rows of `kind`, given whole or as consecutive tables of one schema. Raises DataError for no rows.

    Every text column of raw rows is a part of its own; their prompts and turns are not looked for.
    """
    with duckdb.connect(":memory:", config={"autoinstall_known_extensions": "false"}) as db:
        db.execute(_TABLES)
        seen = _Seen()
        for batch in _batches(rows):
            layout = layout_of(kind, batch.schema)
            seen.add(batch, layout)
            db.register("batch", _with_keys(batch, seen.rows - batch.num_rows))
            measure_rows(db, layout)
            measure_sample(db, layout, seen.largest_key)
            db.unregister("batch")
        if seen.rows == 0:
            raise DataError(
                "There are no rows to describe.", "at least one row", "Check where they come from."
            )
        return _card(db, kind, seen, provenance or Provenance())


class _Seen:
    """What is known of the rows so far without reading them."""

    def __init__(self) -> None:
        self.rows = 0
        self.nulls: dict[str, int] = defaultdict(int)
        self.parts: tuple[str, ...] = ()
        self.largest_key = 2**64 - 1
        """Rows with keys up to here are the sample. Halved as rows come in, so that a row once dropped stays out."""

    def add(self, batch: pa.Table, layout: Layout) -> None:
        self.rows += batch.num_rows
        self.parts = tuple(layout.parts)
        for name, column in zip(batch.column_names, batch.columns, strict=True):
            self.nulls[name] += column.null_count
        while self.rows * (self.largest_key + 1) > _SAMPLED_ROWS << 64:
            self.largest_key >>= 1


def _batches(rows: pa.Table | Iterable[pa.Table]) -> Iterator[pa.Table]:
    tables = cast("Iterable[pa.Table]", (rows,) if isinstance(rows, pa.Table) else rows)
    for table in tables:
        for start in range(0, table.num_rows, _BATCH_ROWS):
            yield table.slice(start, _BATCH_ROWS)


def _with_keys(batch: pa.Table, first_row: int) -> pa.Table:
    """The columns as c0, c1, ... and a sampling key: multiples of 2^64 over the golden ratio, evenly spread."""
    keys = np.arange(first_row, first_row + batch.num_rows, dtype=np.uint64) * _GOLDEN
    renamed = batch.rename_columns([f"c{place}" for place in range(batch.num_columns)])
    return renamed.append_column("key", pa.array(keys))


def _card(db: duckdb.DuckDBPyConnection, kind: RowKind, seen: _Seen, provenance: Provenance) -> DataCard:
    tallies = _tallies(db, "select measure, value, sum(count)::bigint from tally group by all", [])
    sampled = _tallies(
        db,
        "select measure, value, count(*) from sampled where key <= $1 group by all",
        [seen.largest_key],
    )
    ((duplicates, repeated, conflicting),) = db.execute(
        "select count(*) - count(distinct whole), count(prompt) - count(distinct prompt), (select count(*) from"
        " (select prompt from hashes group by prompt having count(distinct ground_truth) > 1)) from hashes"
    ).fetchall()
    problems = None
    if kind is RowKind.problems:
        verifiers, ground_truths = _counts(db, "verifier"), _counts(db, "ground_truth")
        problems = ProblemFacts(
            verifiers=verifiers, ground_truths=ground_truths, conflicting_prompts=conflicting
        )
    return DataCard(
        kind=kind,
        rows=seen.rows,
        text_bytes=sum(value * count for value, count in tallies["bytes"].items()),
        nulls=dict(seen.nulls),
        lengths=_lengths(seen.parts, tallies, sampled),
        turns=dict(sorted(tallies["turns"].items())),
        with_system_prompt=tallies["system"].get(1, 0),
        sources=_counts(db, "source"),
        duplicate_rows=duplicates,
        repeated_prompts=None if kind is RowKind.raw else repeated,
        pairs=_pair_facts(tallies["difference"]) if kind is RowKind.pairs else None,
        problems=problems,
        scripts=_scripts(sampled),
        sampled_rows=sum(sampled["words row"].values()),
        provenance=provenance,
    )


def _tallies(db: duckdb.DuckDBPyConnection, query: str, parameters: list[int]) -> _Tallies:
    tallies: _Tallies = defaultdict(dict)
    for measure, value, count in db.execute(query, parameters).fetchall():
        tallies[measure][value] = count
    return tallies


def _lengths(parts: tuple[str, ...], tallies: _Tallies, sampled: _Tallies) -> tuple[Distribution, ...]:
    names = {f"{place}": part for place, part in enumerate(parts)}
    if len(parts) != 1:
        names = {"row": "row"} | names
    measured: list[tuple[str, Literal["characters", "words"], dict[int, int]]] = [
        *((part, "characters", tallies[f"characters {n}"]) for n, part in names.items()),
        *((part, "words", sampled[f"words {n}"]) for n, part in names.items()),
    ]
    return tuple(Distribution.of(part, unit, counts) for part, unit, counts in measured if counts)


def _counts(db: duckdb.DuckDBPyConnection, column: str) -> Counts:
    """The most frequent values of a column, and how many there are."""
    values = db.execute(
        "select any_value(value), sum(count)::bigint as num_rows from categories where measure = $1 group by key"
        " order by num_rows desc, 1 limit $2",
        [column, _TOP],
    ).fetchall()
    ((distinct,),) = db.execute(
        "select count(distinct key) from categories where measure = $1", [column]
    ).fetchall()
    return Counts(distinct=distinct, top=tuple(Count(value=value, rows=rows) for value, rows in values))


def _pair_facts(differences: dict[int, int]) -> PairFacts:
    return PairFacts(
        chosen_longer=sum(count for value, count in differences.items() if value > 0),
        equal=differences.get(0, 0),
        mean_difference=sum(v * count for v, count in differences.items()) / sum(differences.values()),
    )


def _scripts(sampled: _Tallies) -> dict[str, float]:
    """Script -> share, largest first."""
    letters = {
        measure.removeprefix("script "): sum(value * count for value, count in counts.items())
        for measure, counts in sampled.items()
        if measure.startswith("script ")
    }
    total = sum(letters.values())
    by_share = sorted(letters.items(), key=lambda item: (-item[1], item[0]))
    return {script: number / total for script, number in by_share if number}
