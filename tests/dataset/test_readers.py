"""Readers: every row of a source comes back, or its file, line and reason do."""

import gzip
import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import ipc

from data_contracts.errors import DataError
from infra.intake.batches import JSON_TEXT, is_json_text
from infra.intake.files import find_files
from infra.intake.json_lines import read_json_lines
from infra.intake.query import read_query
from infra.intake.reading import read_batches
from infra.intake.sniffing import sniff_schema
from tests.dataset.sources import CHAT, gathered, read, written

REAL_DATA = Path(os.environ.get("BURNISH_REAL_DATA", Path(__file__).parents[2] / "../shared/data"))


# files


def test_a_pattern_gives_its_files_sorted(tmp_path: Path) -> None:
    for name in ["b.jsonl.gz", "a.jsonl.gz", "c.jsonl", "d.txt"]:
        (tmp_path / name).write_bytes(b"x")
    assert [(Path(f.path).name, f.format, f.compression) for f in find_files("*.jsonl*", tmp_path)] == [
        ("a.jsonl.gz", "jsonl", "gzip"),
        ("b.jsonl.gz", "jsonl", "gzip"),
        ("c.jsonl", "jsonl", None),
    ]


def test_a_saved_dataset_gives_its_files_in_the_order_of_its_state(tmp_path: Path) -> None:
    for name in ["data-1.arrow", "data-2.arrow", "cache-3.arrow"]:
        (tmp_path / name).write_bytes(b"x")
    state = {"_data_files": [{"filename": "data-2.arrow"}, {"filename": "data-1.arrow"}]}
    (tmp_path / "state.json").write_text(json.dumps(state))
    assert [Path(f.path).name for f in find_files(".", tmp_path)] == ["data-2.arrow", "data-1.arrow"]


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("missing.jsonl", "does not exist"),
        ("empty.csv", "is empty"),
        ("notes.txt", "suffix '.txt'"),
        ("*.parquet", "No file matches"),
        ("folder", "holds no data files, only inner"),
        ("x" * 5000, "cannot be opened"),
    ],
)
def test_a_source_that_names_no_data_is_refused_with_what_was_found(
    tmp_path: Path, source: str, found: str
) -> None:
    (tmp_path / "empty.csv").touch()
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    with pytest.raises(DataError) as error:
        find_files(source, tmp_path)
    assert found in error.value.found
    assert error.value.expected and error.value.do


# sniffing


def test_json_columns_have_jsons_own_types_and_dates_stay_text(tmp_path: Path) -> None:
    rows = [
        {"d": "03-04-2020", "i": 1, "f": 1, "b": True, "n": None, "l": [1], "o": {"a": "x"}, "m": "1"},
        {"d": "1:2:3", "i": None, "f": 0.5, "b": None, "n": None, "l": [], "o": {"b": 2}, "m": 1},
    ]
    file = written(tmp_path, "a.jsonl", "\n".join(map(json.dumps, rows)))
    expected = {
        "d": pa.string(),
        "i": pa.int64(),
        "f": pa.float64(),
        "b": pa.bool_(),
        "n": pa.string(),
        "l": pa.list_(pa.int64()),
        "o": pa.struct({"a": pa.string(), "b": pa.int64()}),
        "m": pa.string(),
    }
    found = sniff_schema([file])
    assert {field.name: field.type for field in found} == expected
    assert not any(map(is_json_text, found))


def test_mixed_columns_and_arguments_are_marked_as_json_text_and_read_so(tmp_path: Path) -> None:
    lines = ['{"x": [1.50], "arguments": {"b": 1e400, "a": "é"}}', '{"x": "[1", "arguments": "{}"}']
    file = written(tmp_path, "a.jsonl", "\n".join(lines))
    schema = sniff_schema([file])
    assert [(f.name, f.type, is_json_text(f)) for f in schema] == [
        ("x", pa.string(), True),
        ("arguments", pa.string(), True),
    ]
    assert read(file, schema)[0] == {
        1: {"x": "[1.50]", "arguments": '{"b":1e400,"a":"é"}'},
        2: {"x": "[1", "arguments": "{}"},
    }


def test_parquet_columns_are_plain_types_and_odd_ones_json_text(tmp_path: Path) -> None:
    table = pa.table(
        {
            "t": pa.array(["a", "b"], pa.large_string()),
            "d": pa.array(["a", "b"]).dictionary_encode(),
            "m": pa.array([[("k", 1)], []], pa.map_(pa.string(), pa.int64())),
            "l": pa.array([["a"], None], pa.large_list(pa.string())),
            "arguments": [{"a": 1, "b": None}, {"a": None, "b": "x"}],
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    (file,) = find_files("a.parquet", tmp_path)
    schema = sniff_schema([file])
    assert [(f.name, str(f.type), is_json_text(f)) for f in schema] == [
        ("t", "string", False),
        ("d", "string", False),
        ("m", "string", True),
        ("l", "list<item: string>", False),
        ("arguments", "string", True),
    ]
    assert list(read(file, schema)[0].values()) == [
        {"t": "a", "d": "a", "m": '[["k",1]]', "l": ["a"], "arguments": '{"a":1}'},
        {"t": "b", "d": "b", "m": "[]", "l": None, "arguments": '{"b":"x"}'},
    ]


def test_a_file_without_an_object_is_refused_with_its_beginning(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"begins with \[1, 2\]"):
        sniff_schema([written(tmp_path, "a.jsonl", "\n[1, 2]\n5\n")])


# CSV


def test_csv_cells_are_texts_and_unquoted_empty_ones_null(tmp_path: Path) -> None:
    text = '\ufeffprompt,n,x\r\n"a ""b"", c\nd",1,""\r\n\r\n é,,\r\nlast,"",007'
    rows, reasons = read(
        written(tmp_path, "a.csv", text), pa.schema({c: pa.string() for c in ["prompt", "n", "x", "absent"]})
    )
    assert rows == {
        2: {"prompt": 'a "b", c\nd', "n": "1", "x": "", "absent": None},
        5: {"prompt": " é", "n": None, "x": None, "absent": None},
        6: {"prompt": "last", "n": "", "x": "007", "absent": None},
    }
    assert not reasons


def test_csv_records_of_another_length_or_with_bad_bytes_or_quotes_are_reported(tmp_path: Path) -> None:
    content = b'a\tb\n1\t2\n1\n"x\ny"\t2\t3\n1\t\xff\n"q"q\t1\n3\t4\n"open\t5\n6\t7\n'
    rows, reasons = read(written(tmp_path, "a.tsv", content), pa.schema({"b": pa.string()}))
    assert rows == {2: {"b": "2"}, 8: {"b": "4"}}
    assert reasons == {
        3: "1 fields, expected 2 as in the header",
        4: "3 fields, expected 2 as in the header",
        6: "invalid UTF-8",
        7: "malformed CSV: '\t' expected after '\"'",
        9: "a quote is never closed: the record reaches to the end of the file, line 10",
    }


@pytest.mark.parametrize("header", ["a,a", "a,", ",a", "a, ", '"a'])
def test_csv_headers_must_name_each_column_once(tmp_path: Path, header: str) -> None:
    with pytest.raises(DataError):
        sniff_schema([written(tmp_path, "a.csv", header + "\n1,2\n")])


# Parquet and Arrow


@pytest.mark.parametrize(
    ("suffix", "thirds"),
    [("parquet", 24_000), ("arrow", 24_000), ("ipc", 24_000), ("parquet.gz", 100), ("arrow.zst", 100)],
)
def test_tables_come_back_with_row_numbers_and_lost_members_reported(
    tmp_path: Path, suffix: str, thirds: int
) -> None:
    messages = [
        [{"role": "u", "content": "a", "tool_calls": None, "name": "n"}],
        [{"role": "u", "content": None, "tool_calls": ["f"], "name": None}],
        None,
    ]
    table = pa.table({"messages": messages * thirds, "source": ["s", "t", None] * thirds})
    sink = pa.BufferOutputStream()
    if suffix.startswith("parquet"):
        pq.write_table(table, sink, row_group_size=20_000)
    else:
        new = ipc.new_stream if suffix == "ipc" else ipc.new_file
        with new(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=70_000)
    compression = {".gz": "gzip", ".zst": "zstd"}.get(Path(f"a.{suffix}").suffix)
    with pa.output_stream(tmp_path / f"a.{suffix}", compression=compression) as file:
        file.write(sink.getvalue())
    rows, reasons = read(find_files(f"a.{suffix}", tmp_path)[0], CHAT)
    assert len(rows) == 2 * thirds and len(reasons) == thirds
    assert rows[1] == {"messages": [{"role": "u", "content": "a"}], "source": "s"}
    last = 3 * thirds
    assert rows[last - 2] == rows[1] and rows[last] == {"messages": None, "source": None}
    assert reasons[last - 1] == "messages[0].tool_calls is not kept by Burnish"


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_text_in_a_table_that_is_no_utf8_is_reported_with_its_place(tmp_path: Path, suffix: str) -> None:
    role = pa.array([b"u", b"\xffx", b"a"]).view(pa.string())
    content = pa.array(["a", "b", "c"])
    struct = pa.StructArray.from_arrays([role, content], ["role", "content"])
    table = pa.table({"messages": pa.ListArray.from_arrays([0, 2, 3], struct), "source": ["s", "t"]})
    path = tmp_path / f"a.{suffix}"
    if suffix == "parquet":
        pq.write_table(table, path)
    else:
        with ipc.new_file(path, table.schema) as writer:
            writer.write_table(table)
    rows, reasons = read(find_files(path.name, tmp_path)[0], CHAT)
    assert rows == {2: {"messages": [{"role": "a", "content": "c"}], "source": "t"}}
    assert reasons == {1: "messages[1].role is invalid UTF-8 at byte 1: invalid start byte"}


def test_a_damaged_file_is_refused_by_name(tmp_path: Path) -> None:
    table = pa.table({"source": [f"row {n}" for n in range(2000)]})
    pq.write_table(table, tmp_path / "a.parquet")
    with ipc.new_stream(tmp_path / "a.ipc", table.schema) as writer:
        writer.write_table(table, max_chunksize=100)
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(b'{"source": "a"}\n' * 2000))
    for path in list(tmp_path.iterdir()):
        whole = path.read_bytes()
        for cut in (1, 8, len(whole) // 2, len(whole) - 5):
            path.write_bytes(whole[:-cut])
            with pytest.raises(DataError, match=path.name):
                read(find_files(path.name, tmp_path)[0], CHAT)


def test_files_of_several_formats_are_one_source(tmp_path: Path) -> None:
    pq.write_table(pa.table({"n": [1], "arguments": [{"a": 1}]}), tmp_path / "a.parquet")
    (tmp_path / "b.jsonl").write_text('{"n": "x", "arguments": {"b": 2}}')
    (tmp_path / "c.csv").write_text("n\n3\n")
    files = find_files(".", tmp_path)
    schema = sniff_schema(files)
    assert schema.field("arguments").metadata == JSON_TEXT
    rows = [row for batch in read_batches(files, schema) for row in batch.rows.to_pylist()]
    assert rows == [
        {"n": "1", "arguments": '{"a":1}'},
        {"n": "x", "arguments": '{"b":2}'},
        {"n": "3", "arguments": None},
    ]


def test_a_parquet_file_whose_column_names_are_no_text_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"source": ["a"]}), tmp_path / "a.parquet", store_schema=False)
    whole = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "a.parquet").write_bytes(whole.replace(b"source", b"s\xffurce"))
    files = find_files("a.parquet", tmp_path)
    for use in (sniff_schema, lambda files: list(read_batches(files, CHAT))):
        with pytest.raises(DataError, match=r"a\.parquet cannot be read"):
            use(files)


@pytest.mark.skipif(not REAL_DATA.is_dir(), reason=f"no public data at {REAL_DATA} (BURNISH_REAL_DATA)")
def test_public_datasets_are_read_whole_and_both_ways_alike() -> None:
    names = [path for kind in ("jsonl", "json", "parquet") for path in sorted(REAL_DATA.rglob(f"*.{kind}"))]
    assert names
    for path in names:
        (file,) = find_files(str(path), Path())
        schema = sniff_schema([file])
        rows, reasons = gathered(list(read_batches([file], schema)), schema)
        assert rows and not reasons, f"{path}: {list(reasons.items())[:3]}"
        if file.format == "jsonl":
            lines = [line for line in path.read_bytes().split(b"\n") if line.strip()]
            assert len(rows) == len(lines)
            exact = gathered(list(read_json_lines(file, schema, exact=True)), schema)
            assert exact == (rows, reasons)


@pytest.mark.parametrize(
    "sql",
    [
        "with a as (copy (select 42 x) to 'out.csv') select * from 'rows.jsonl'",
        "select (with a as (copy (select 42 x) to 'out.csv') select 1) as x",
        "select 1 as x; copy (select 42 x) to 'out.csv'",
    ],
)
def test_a_query_that_would_write_is_refused(tmp_path: Path, sql: str) -> None:
    (tmp_path / "rows.jsonl").write_text('{"x": 1}\n')
    with pytest.raises(DataError, match=r"does more than read: copy|has 2 statements"):
        read_query(sql, tmp_path)
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize(
    "sql",
    [
        "with recursive n as (select 1 as x union all select x + 1 from n where x < 2) from n",
        "select x from 'rows.jsonl' union all select 2 as x order by x",
    ],
)
def test_a_query_that_reads_is_run(tmp_path: Path, sql: str) -> None:
    (tmp_path / "rows.jsonl").write_text('{"x": 1}\n')
    assert read_query(sql, tmp_path)["x"].to_pylist() == [1, 2]
