"""Readers under more than 20,000 odd rows: the generator knows for each line what must come back."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import ipc

from data_contracts.errors import DataError
from infra.intake.batches import RawBatch, SourceFile
from infra.intake.files import find_files
from infra.intake.json_lines import read_json_lines
from infra.intake.reading import read_batches

MESSAGES = pa.list_(pa.struct({"role": pa.string(), "content": pa.string()}))
SCHEMA = pa.schema({"prompt": pa.string(), "score": pa.int64(), "messages": MESSAGES})
FLAT = pa.schema({"prompt": pa.string(), "score": pa.int64()})
CHARACTERS = "ab \"\\/\n\t\r\x00\x7f\u2028é漢\U0001f600{}[],:'<&"
ODD_ROWS = {"json lines": 11_000, "json": 3_000, "csv": 4_000, "tables": 3_000}

Row = dict[str, object]


def test_the_sources_hold_at_least_twenty_thousand_odd_rows() -> None:
    assert sum(ODD_ROWS.values()) >= 20_000


def check(batches: list[RawBatch], expected: dict[int, Row | None], schema: pa.Schema) -> None:
    rows: dict[int, Row | None] = {}
    for batch in batches:
        assert batch.rows.schema.equals(schema)
        batch.rows.validate(full=True)
        found = list(zip(batch.lines.to_pylist(), batch.rows.to_pylist(), strict=True))
        found += [(bad.line, None) for bad in batch.unreadable]
        assert all(bad.reason for bad in batch.unreadable)
        for line, row in found:
            assert line not in rows, f"line {line} twice"
            rows[line] = row
    assert rows == expected


def compressed(random: Random, content: bytes) -> tuple[str, bytes]:
    return random.choice(
        [
            lambda: ("", content),
            lambda: (".gz", gzip.compress(content, 1)),
            lambda: (".zst", pa.compress(content, "zstd", asbytes=True)),
        ]
    )()


def saved(tmp_path: Path, random: Random, name: str, content: bytes) -> SourceFile:
    suffix, data = compressed(random, content)
    (tmp_path / (name + suffix)).write_bytes(data)
    (file,) = find_files(name + suffix, tmp_path)
    return file


def text(random: Random) -> str:
    length = random.choice([0, 1, 5, 20, 20, 20, 200])
    return "".join(random.choices(CHARACTERS, k=length))


def good(random: Random) -> Row:
    turns = [
        {"role": text(random), "content": random.choice([None, text(random)])}
        for _ in range(random.randrange(4))
    ]
    return {
        "prompt": random.choice([None, text(random), text(random)]),
        "score": random.choice([None, 0, -1, 2**63 - 1, -(2**63), random.randrange(1000)]),
        "messages": random.choice([None, turns, turns]),
    }


def dumped(random: Random, row: Row) -> str:
    extra = {"id": random.randrange(9), "meta": {"k": [text(random)]}} if random.random() < 0.3 else {}
    return json.dumps(row | extra, ensure_ascii=random.random() < 0.5)


def nested(random: Random) -> str:
    deep = random.choice([2_000, 10_000, 10_000])
    return random.choice(
        ['{"prompt":' + "[" * deep + "]" * deep + "}", '{"prompt":' * deep + "1" + "}" * deep]
    )


def json_of(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


BAD_MESSAGES: list[Callable[[Random], bytes]] = [
    lambda r: json_of({**good(r), "messages": r.choice(["x", 5, {}, ["x"], [[]], [{"content": ["a"]}]])}),
    lambda r: json_of({"messages": [{"role": "a", "tool_calls": r.choice(["f", [1], 5, {"a": 1}, True])}]}),
    lambda r: json_of({"messages": [{}, {"parts": r.choice([[None], {"a": {"b": 0}}])}]}),
]
BAD_ELEMENTS: list[Callable[[Random], bytes]] = [
    lambda r: r.choice([b"5", b"null", b"true", b'"x"', b"[1]", b"[{}]", b"-0.5e3", b'"{"']),
    lambda r: b'{"prompt": "a", "score": %s}' % r.choice([b"NaN", b"Infinity", b"-Infinity"]),
    lambda r: b'{"prompt": "%s"}' % r.choice([rb"\ud800", rb"\udc00", rb"\uDBFF x", rb"\udfff\ud800"]),
    lambda r: b'{"%s": 1}' % r.choice([rb"\ud800", rb"\udc00a"]),
    lambda r: b'{"prompt": "%s"}' % r.choice([b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf5abc", b"\xc0\x80"]),
    lambda r: json_of({**good(r), "prompt": r.choice([[], ["a"], {}, {"a": 1}])}),
    lambda r: json_of(
        {**good(r), "score": r.choice(["5", True, 0.5, 1.0, [1], 2**63, -(2**63) - 1, 10**400])}
    ),
    lambda r: b'{"score": 1' + b"0" * r.choice([20, 400, 5000]) + b"}",
    lambda r: nested(r).encode() if r.random() < 0.05 else b"[[]]",
]
BAD_LINES: list[Callable[[Random], bytes]] = [
    lambda r: dumped(r, good(r)).encode()[: r.randrange(1, 20)],
    lambda r: (
        dumped(r, good(r)).encode() + r.choice([b"}", b",", b" x", b"{}", b" null", b"\x00", b"//", b"\r{}"])
    ),
    lambda r: r.choice([b"null ", b"\x00", b"\x0b", b"\xef\xbb\xbf", b"\xa0"]) + dumped(r, good(r)).encode(),
    lambda r: b'{"prompt": "a%sb"}' % r.choice([b"\x00", b"\x01", b"\t", b"\x1f", rb"\x", rb"\u12", b'"']),
    lambda r: r.choice(
        [b"{'prompt': 1}", b"{prompt: 1}", b'{"a": 01}', b'{"a": .5}', b'{"a": 1,}', b"]", b"hello"]
    ),
    lambda r: b'{"extra": ' + r.choice([b"tru", b"NaN", b"[NaN ]", b"Inf", b"1e", b"+1", b"0x1"]) + b"}",
]


def odd_but_good(random: Random) -> tuple[bytes, Row]:
    """A line that looks odd and is a row all the same."""
    row = good(random)
    line = dumped(random, row)
    none: Row = {"prompt": None, "score": None, "messages": None}
    number = random.choice(["18", "0.50", "1e400", "-0", "true", "false", "1" + "0" * 5000])
    long = text(random) * 1000
    turns = '[null, {}, {"role": 5, "name": "n", "weight": 0.5, "tool_calls": []}]'
    kept = [None, {"role": None, "content": None}, {"role": "5", "content": None}]
    source, expected = random.choice(
        [
            ('{"prompt": "first", ' + line[1:], row),
            (f" \t{line}  ", row),
            (line.replace("{", "{\t ", 1) + "\r", row),
            ("{}", none),
            (f'{{"prompt": {number}}}', none | {"prompt": number}),
            (json.dumps({"prompt": long}), none | {"prompt": long}),
            (r'{"pr\u006fmpt": "\u0000\ud83d\ude00"}', none | {"prompt": "\x00\U0001f600"}),
            ('{"x": 1e999, "y": 12345678901234567890123, "": [], "x": [1, "a"]}', none),
            (f'{{"messages": {turns}}}', none | {"messages": kept}),
        ]
    )
    return source.encode(), expected


def json_lines_source(random: Random, schema: pa.Schema) -> tuple[bytes, dict[int, Row | None], int]:
    """Lines joined, what must come back of them, and how many are odd."""
    bad = [*BAD_ELEMENTS, *BAD_LINES, *(BAD_MESSAGES if "messages" in schema.names else [])]
    oddness = random.choice([0.01, 0.5, 0.9])
    lines, expected, odd = [], {}, 0
    for number in range(1, random.randrange(100, 800)):
        kind = random.random() if number > 1 and random.random() < oddness else None
        odd += kind is not None
        row: Row | None
        if kind is None:
            row = good(random)
            line = dumped(random, row).encode()
        elif kind < 0.1:
            lines.append(random.choice([b"", b" ", b"\t \r"]))
            continue
        elif kind < 0.4:
            line, row = odd_but_good(random)
        else:
            line, row = random.choice(bad)(random), None
        lines.append(line)
        expected[number] = row and {name: row[name] for name in schema.names}
    start = random.choice([b"", b"\xef\xbb\xbf"])
    end = random.choice([b"", b"\n", b"\n\n \n"])
    return start + random.choice([b"\n", b"\r\n"]).join(lines) + end, expected, odd


def test_json_lines_lose_no_row_however_odd_their_neighbours(tmp_path: Path) -> None:
    random, odd, seed = Random(1), 0, 0
    while odd < ODD_ROWS["json lines"]:
        schema = random.choice([SCHEMA, SCHEMA, FLAT])
        content, expected, num_odd = json_lines_source(random, schema)
        file = saved(tmp_path, random, f"{seed}.jsonl", content)
        check(list(read_json_lines(file, schema, random.choice([500, 5_000, 16 << 20]))), expected, schema)
        odd, seed = odd + num_odd, seed + 1
    assert odd >= ODD_ROWS["json lines"]


@pytest.mark.parametrize("schema", [SCHEMA, FLAT])
def test_the_fast_and_the_exact_way_read_clean_lines_alike(tmp_path: Path, schema: pa.Schema) -> None:
    random = Random(2)
    rows = [good(random) for _ in range(3000)]
    file = saved(tmp_path, random, "a.jsonl", "\n".join(dumped(random, row) for row in rows).encode())
    fast, exact = (list(read_json_lines(file, schema, exact=way)) for way in (False, True))
    assert [batch.rows.to_pylist() for batch in fast] == [batch.rows.to_pylist() for batch in exact]
    assert [batch.lines.to_pylist() for batch in fast] == [batch.lines.to_pylist() for batch in exact]


def test_json_files_lose_no_element_before_a_syntax_error(tmp_path: Path) -> None:
    random, odd, seed = Random(3), 0, 0
    while odd < ODD_ROWS["json"]:
        elements, expected = [json.dumps({}).encode()], {1: dict.fromkeys(SCHEMA.names)}
        for number in range(2, random.randrange(10, 200)):
            is_odd = random.random() < 0.5
            odd += is_odd
            row: Row | None = None
            if not is_odd:
                row = good(random)
                element = json.dumps(row, indent=random.choice([None, 1])).encode()
            elif random.random() < 0.3:
                element, row = odd_but_good(random)
            else:
                element = random.choice([*BAD_ELEMENTS, *BAD_MESSAGES])(random)
            elements.append(element)
            expected[number] = row
        content = b"[" + b",\n".join(elements)
        end, is_broken = random.choice([(b"]", 0), (b"\n] \n", 0), (b"", 1), (b',{"a":]', 1), (b"]]", 1)])
        if is_broken:
            expected[len(elements) + 1] = None
        check(
            list(read_batches([saved(tmp_path, random, f"{seed}.json", content + end)], SCHEMA)),
            expected,
            SCHEMA,
        )
        odd, seed = odd + is_broken, seed + 1
    assert odd >= ODD_ROWS["json"]


def csv_cell(random: Random, value: str | None) -> str:
    if value is None:
        return ""
    is_plain = value and not set(value) & set('",\t\r\n') and random.random() < 0.5
    return value if is_plain else '"' + value.replace('"', '""') + '"'


def test_csv_files_lose_no_record(tmp_path: Path) -> None:
    random, odd, seed = Random(4), 0, 0
    schema = pa.schema({"prompt": pa.string(), "note": pa.string()})
    while odd < ODD_ROWS["csv"]:
        suffix, comma = random.choice([("csv", ","), ("tsv", "\t")])
        newline = random.choice(["\n", "\r\n"])
        content, expected, line = comma.join(["prompt", "score", "note"]).encode() + newline.encode(), {}, 2
        for _ in range(random.randrange(20, 300)):
            kind = random.random()
            odd += kind < 0.6
            cells = [random.choice([None, text(random)]) for _ in range(3)]
            record = comma.join(csv_cell(random, cell) for cell in cells).encode()
            if kind < 0.1:
                record = b""
            elif kind < 0.3:
                record = random.choice([record + comma.encode() + b"x", b'"x', b'"a\nb"', b"x"])
                record = record + b'"' if record == b'"x' else record
                expected[line] = None
            elif kind < 0.4:
                record = comma.encode().join(
                    [b"a", b"b", random.choice([b"\xff", b"\xc3", b'"\xed\xa0\x80"'])]
                )
                expected[line] = None
            elif kind < 0.5:
                record = b'"a"b' + 2 * comma.encode()
                expected[line] = None
            else:
                expected[line] = {"prompt": cells[0], "note": cells[2]}
            content += record + newline.encode()
            line += record.count(b"\n") + 1
        if random.random() < 0.3:
            content += b'"never closed\n1,2,3\n'
            expected[line] = None
            odd += 1
        check(
            list(read_batches([saved(tmp_path, random, f"{seed}.{suffix}", content)], schema)),
            expected,
            schema,
        )
        seed += 1
    assert odd >= ODD_ROWS["csv"]


def table_source(random: Random, num_rows: int) -> tuple[pa.Table, dict[int, Row | None], int]:
    """A table some of whose rows hold bytes that are no UTF-8, or what a message may not lose."""
    prompts, roles, calls, expected, odd = [], [], [], {}, 0
    for number in range(1, num_rows + 1):
        kind = random.random()
        prompt, role, call = text(random).encode(), text(random).encode(), None
        row: Row | None = {"prompt": prompt.decode(), "messages": [{"role": role.decode(), "content": "c"}]}
        if kind < 0.5:
            bad = random.choice([b"\xff", b"a\xc3", b"\xed\xa0\x80"])
            prompt, role, call = random.choice(
                [(bad, role, None), (prompt, bad, None), (prompt, role, ["f"])]
            )
            odd, row = odd + 1, None
        prompts.append(prompt)
        roles.append(role)
        calls.append(call)
        expected[number] = row
    wide = random.random() < 0.5
    turns = pa.StructArray.from_arrays(
        [
            pa.array(["c"] * num_rows),
            pa.array(calls, pa.list_(pa.string())),
            pa.array(roles).view(pa.string()),
        ],
        ["content", "tool_calls", "role"],
    )
    lists = (pa.LargeListArray if wide else pa.ListArray).from_arrays(range(num_rows + 1), turns)
    prompt_array = (
        pa.array(prompts, pa.large_binary()).view(pa.large_string())
        if wide
        else pa.array(prompts).view(pa.string())
    )
    return pa.table({"messages": lists, "id": range(num_rows), "prompt": prompt_array}), expected, odd


def table_bytes(random: Random, table: pa.Table, suffix: str) -> bytes:
    sink = pa.BufferOutputStream()
    if suffix == "parquet":
        pq.write_table(table, sink, row_group_size=random.choice([7, 100, 1000]))
    else:
        new = ipc.new_stream if suffix == "ipc" else ipc.new_file
        with new(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=random.choice([7, 100, 1000]))
    return sink.getvalue().to_pybytes()


def test_tables_lose_no_row(tmp_path: Path) -> None:
    random, odd, seed = Random(5), 0, 0
    schema = pa.schema({"prompt": pa.string(), "messages": MESSAGES})
    while odd < ODD_ROWS["tables"]:
        table, expected, num_odd = table_source(random, random.randrange(1, 500))
        suffix = random.choice(["parquet", "arrow", "ipc"])
        content = table_bytes(random, table, suffix)
        check(
            list(read_batches([saved(tmp_path, random, f"{seed}.{suffix}", content)], schema)),
            expected,
            schema,
        )
        odd, seed = odd + num_odd, seed + 1
    assert odd >= ODD_ROWS["tables"]


@pytest.mark.parametrize(
    "suffix", ["jsonl.gz", "jsonl.zst", "csv.gz", "json.zst", "parquet", "arrow", "ipc", "parquet.gz"]
)
def test_a_file_cut_anywhere_is_refused_as_a_whole(tmp_path: Path, suffix: str) -> None:
    random = Random(6)
    kind, *packed = suffix.split(".")
    if kind in ("parquet", "arrow", "ipc"):
        content = table_bytes(random, pa.table({"prompt": [text(random) for _ in range(500)]}), kind)
    elif kind == "csv":
        content = b"prompt\n" + b"some text\n" * 3000
    else:
        content = b"\n".join(json_of({"prompt": text(random)}) for _ in range(500))
    if packed:
        content = gzip.compress(content) if packed == ["gz"] else pa.compress(content, "zstd", asbytes=True)
    path = tmp_path / f"a.{suffix}"
    for _ in range(60):
        path.write_bytes(content[: random.randrange(1, len(content))])
        with pytest.raises(DataError, match=path.name):
            list(read_batches(find_files(path.name, tmp_path), FLAT))
