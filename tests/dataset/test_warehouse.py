"""Dataset versions: equal rows are one version, different rows never share one, and two processes may publish."""

import hashlib
import json
import multiprocessing
import random
import struct
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_contracts.errors import DataError, HomeError, NotFoundError
from data_contracts.rows import RowKind
from infra.home import Home, open_home
from infra.warehouse.row_hashes import RowHasher
from infra.warehouse.warehouse import Warehouse
from tests.factories import fingerprint_rows

ROWS: list[dict[str, Any]] = [{"prompt": "1+2", "n": 1}, {"prompt": "2+2", "n": 2}]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return open_home(tmp_path / "home")


@pytest.fixture
def warehouse(home: Home) -> Warehouse:
    return Warehouse(home)


def _publish(warehouse: Warehouse, rows: list[dict[str, Any]], name: str = "tiny.worked") -> str:
    return str(warehouse.publish(name, RowKind.raw, pa.Table.from_pylist(rows), "key"))


def test_publishing_the_same_rows_twice_keeps_one_version(warehouse: Warehouse) -> None:
    assert [_publish(warehouse, ROWS), _publish(warehouse, ROWS)] == ["tiny.worked@1", "tiny.worked@1"]
    assert [str(version) for version in warehouse.versions()] == ["tiny.worked@1"]


def test_other_rows_are_the_next_version_and_old_rows_their_old_one(warehouse: Warehouse) -> None:
    versions = [_publish(warehouse, rows) for rows in (ROWS, ROWS[:1], ROWS)]
    assert versions == ["tiny.worked@1", "tiny.worked@2", "tiny.worked@1"]


def test_two_names_share_the_file_of_equal_rows(warehouse: Warehouse, home: Home) -> None:
    assert _publish(warehouse, ROWS, "a.x") == "a.x@1"
    assert _publish(warehouse, ROWS, "b.x") == "b.x@1"
    assert len(list(home.rows_dir.glob("*.parquet"))) == 1


def test_a_version_reads_back_in_order(warehouse: Warehouse) -> None:
    _publish(warehouse, ROWS)
    assert pq.read_table(warehouse.get("tiny.worked").path).to_pylist() == ROWS


def test_any_duckdb_client_reads_a_version_by_its_name(warehouse: Warehouse, home: Home) -> None:
    _publish(warehouse, ROWS)
    _publish(warehouse, ROWS[:1])
    with duckdb.connect(home.warehouse_path, read_only=True) as db:
        assert db.sql('select * from "tiny.worked@1"').to_arrow_table().to_pylist() == ROWS
        assert db.sql('select * from "tiny.worked@2"').to_arrow_table().to_pylist() == ROWS[:1]


def test_no_rows_make_no_version(warehouse: Warehouse) -> None:
    with pytest.raises(DataError, match=r"Dataset tiny\.worked has no rows"):
        warehouse.publish("tiny.worked", RowKind.raw, pa.table({"a": pa.array([], pa.int64())}), "key")
    assert warehouse.versions() == []


def test_get_answers_with_the_newest_or_the_asked_version(warehouse: Warehouse) -> None:
    _publish(warehouse, ROWS)
    _publish(warehouse, ROWS[:1])
    assert (warehouse.get("tiny.worked").version, warehouse.get("tiny.worked@1").num_rows) == (2, 2)


def test_an_unknown_name_is_answered_with_the_known_names(warehouse: Warehouse) -> None:
    _publish(warehouse, ROWS)
    with pytest.raises(NotFoundError, match=r"one of tiny\.worked"):
        warehouse.get("other")


def test_an_unknown_version_is_answered_with_the_known_versions(warehouse: Warehouse) -> None:
    _publish(warehouse, ROWS)
    with pytest.raises(NotFoundError, match="a version from 1 to 1, a tag, or a date since"):
        warehouse.get("tiny.worked@3")


CHATS: list[dict[str, Any]] = [
    {"source": "a", "n": 1, "messages": [{"role": "user", "content": "1+2"}, {"role": "é", "content": ""}]},
    {"source": None, "n": 2, "messages": [{"role": None, "content": "null\0"}, None]},
    {"source": "", "n": None, "messages": None},
    {"source": "a", "n": 1, "messages": []},
]


def _hash_as_described(row: dict[str, Any]) -> bytes:
    """16 bytes of the SHA-256 of: the names; text after its length; lists of records as a count and, for every
    field, its name, its lengths and its texts; then the other columns as JSON after its length."""
    content = json.dumps(list(row)).encode()
    others: dict[str, Any] = {}
    for name, value in row.items():
        if name == "messages":
            content += struct.pack("<q", -1 if value is None else len(value))
            for field in ("role", "content"):
                texts = [record and record[field] for record in value or []]
                missing = [-2 if record is None else -1 for record in value or []]
                content += json.dumps(field).encode()
                content += b"".join(map(_length, texts, missing))
                content += "".join(text or "" for text in texts).encode()
        elif name in ("source", "prompt"):
            content += _length(value, -1) + (value or "").encode()
        else:
            others[name] = value
    if others:
        document = json.dumps(others, separators=(",", ":"))
        content += _length(document, 0) + document.encode()
    return hashlib.sha256(content).digest()[:16]


def _length(text: str | None, missing: int) -> bytes:
    return struct.pack("<q", missing if text is None else len(text.encode()))


@pytest.mark.parametrize("rows", [ROWS, CHATS])
def test_the_fingerprint_is_the_one_described(rows: list[dict[str, Any]]) -> None:
    """SHA-256 of the columns' names and types as JSON, then of the hash of every row."""
    kinds = {"messages": "list<struct<role: string, content: string>>", "n": "int64"}
    columns = json.dumps([[name, kinds.get(name, "string")] for name in rows[0]])
    expected = hashlib.sha256(columns.encode() + b"".join(map(_hash_as_described, rows))).hexdigest()[:32]
    assert fingerprint_rows(pa.Table.from_pylist(rows)) == expected


def test_rows_hash_equal_when_and_only_when_they_are_equal() -> None:
    """Thousands of rows of few, hostile values; the layout of their columns in memory is nothing to them."""
    rng = random.Random(0)

    def text() -> str | None:
        return rng.choice([None, "", "a", "aa", "\0", "null", "é", '"}'])

    def messages() -> list[dict[str, str | None] | None] | None:
        records = [rng.choice([None, {"role": text(), "content": text()}]) for _ in range(rng.randint(0, 2))]
        return rng.choice([None, records, records])

    rows = [{"t": text(), "m": messages(), "n": rng.choice([None, 1, 2])} for _ in range(12_000)]
    table = pa.Table.from_pylist(rows)
    hashes = _hashes(table)
    by_row = {json.dumps(row): digest for row, digest in zip(rows, hashes, strict=True)}
    assert [by_row[json.dumps(row)] for row in rows] == hashes
    assert len(set(by_row.values())) == len(by_row) > 2_000
    order = rng.sample(range(len(rows)), 3_000)
    assert _hashes(table.take(pa.array(order))) == [hashes[i] for i in order]
    assert _hashes(table.slice(10_001, 700)) == hashes[10_001:10_701]
    wide = pa.large_list(pa.struct([("role", pa.large_string()), ("content", pa.large_string())]))
    assert _hashes(table.cast(pa.schema({"t": pa.large_string(), "m": wide, "n": pa.int16()}))) == hashes


def _hashes(rows: pa.Table) -> list[bytes]:
    hasher = RowHasher()
    try:
        return [item.tobytes() for item in hasher.hash_rows(rows)]
    finally:
        hasher.close()


def test_every_difference_in_content_is_another_fingerprint() -> None:
    tables = [
        pa.Table.from_pylist(ROWS),
        pa.Table.from_pylist(ROWS[::-1]),
        pa.Table.from_pylist(ROWS[:1]),
        pa.Table.from_pylist([*ROWS, ROWS[1]]),
        pa.Table.from_pylist([ROWS[0], {"prompt": "2+2", "n": 3}]),
        pa.Table.from_pylist([ROWS[0], {"prompt": "2+2 ", "n": 2}]),
        pa.Table.from_pylist([ROWS[0], {"prompt": "2+2", "n": None}]),
        pa.Table.from_pylist([{"prompt": r["prompt"], "m": r["n"]} for r in ROWS]),
        pa.Table.from_pylist([{"n": r["n"], "prompt": r["prompt"]} for r in ROWS]),
        pa.Table.from_pylist([{**r, "n": float(r["n"])} for r in ROWS]),
        pa.Table.from_pylist([{**r, "n": str(r["n"])} for r in ROWS]),
        pa.Table.from_pylist(ROWS, schema=pa.schema({"prompt": pa.string(), "n": pa.int32()})),
    ]
    assert len({fingerprint_rows(table) for table in tables}) == len(tables)


def test_the_layout_in_memory_is_no_content() -> None:
    table = pa.table({"n": range(30_000)})
    chunked = pa.concat_tables([table.slice(start, 700) for start in range(0, 30_000, 700)])
    assert fingerprint_rows(chunked) == fingerprint_rows(table)


def test_two_processes_may_publish_at_once(home: Home) -> None:
    Warehouse(home).versions()
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["infra.warehouse.warehouse"])
    with processes.Pool(2) as pool:
        published = pool.starmap(_publish_range, [(home.path, 0), (home.path, 2)])
    assert published[0][2] == published[1][0]  # the one both have
    assert {*published[0], *published[1]} == {f"tiny.worked@{number}" for number in range(1, 6)}
    files = [pq.read_table(version.path) for version in Warehouse(home).versions()]
    assert {table["n"][0].as_py() for table in files} == set(range(5))


def _publish_range(home_path: Path, start: int) -> list[str]:
    warehouse = Warehouse(open_home(home_path))
    return [_publish(warehouse, [{"n": number}]) for number in range(start, start + 3)]


def test_a_damaged_warehouse_is_named_and_left_alone(warehouse: Warehouse, home: Home) -> None:
    home.warehouse_path.write_text("no database" * 1000)
    with pytest.raises(HomeError, match=r"The warehouse .*warehouse\.duckdb cannot be used: "):
        _publish(warehouse, ROWS)
    assert home.warehouse_path.read_text() == "no database" * 1000
