"""Readers of JSON and JSON lines: every element comes back, or its line and reason do."""

import gzip
from pathlib import Path

import pyarrow as pa
import pytest

from data_contracts.errors import DataError
from infra.intake.fast_json import FastJson
from infra.intake.json_lines import read_json_lines
from infra.intake.reading import read_batches
from infra.intake.streams import newlines_in
from infra.intake.strict_json import Fraction
from tests.dataset.sources import CHAT, read, written

# JSON lines


def test_each_line_that_is_no_row_is_reported_with_its_line_and_reason(tmp_path: Path) -> None:
    lines = {
        1: (b'{"prompt": "good", "n": 1}', None),
        2: (b'{"prompt": ["a"]}', "field prompt is a list, expected text"),
        4: (b"5", "a number, expected an object"),
        5: (b"null", "null, expected an object"),
        6: (b"{}{}", "malformed JSON: extra data (column 3)"),
        7: (b'{"prompt": "\xff"}', "invalid UTF-8 at byte 13: invalid start byte"),
        8: (b'{"prompt": "\\ud800"}', "invalid Unicode: \\ud800 is half of a surrogate pair"),
        9: (b'{"n": NaN}', "malformed JSON: NaN is no number of JSON"),
        10: (b'{"n": 0.5}', "field n is 0.5, expected a whole number"),
        11: (b'{"n": 9223372036854775808}', "field n is 9223372036854775808, outside of int64"),
        12: (b'{"n": true}', "field n is true, expected a whole number"),
        13: (b'{"prompt":' + b"[" * 10_000, "nested too deeply"),
    }
    content = b"\n".join(lines[n][0] if n in lines else b" \t" for n in range(1, 14))
    schema = pa.schema({"prompt": pa.string(), "n": pa.int64()})
    rows, reasons = read(written(tmp_path, "a.jsonl", content), schema)
    assert rows == {1: {"prompt": "good", "n": 1}}
    assert reasons == {number: reason for number, (_, reason) in lines.items() if reason}


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ('{"role": "u", "content": {"a": 1}}', "messages[1].content is an object, expected text"),
        ('{"role": "u", "tool_calls": [{"id": 1}]}', "messages[1].tool_calls is not kept by Burnish"),
        ('{"role": "u", "parts": {"a": 1}}', "messages[1].parts is not kept by Burnish"),
        ('{"role": "u", "function_call": "f"}', "messages[1].function_call is not kept by Burnish"),
        ("5", "messages[1] is a number, expected an object"),
        ('{"role": "u", "tool_calls": null, "name": "n", "weight": 0.5}', None),
        ('{"role": "u", "tool_calls": []}', None),
    ],
)
def test_what_a_message_has_besides_is_dropped_only_where_nothing_is_lost(
    tmp_path: Path, message: str, reason: str | None
) -> None:
    good = '{"messages": [{"role": "a", "content": "b"}]}\n'
    odd = '{"messages": [{"role": "a", "content": "b"}, ' + message + "]}\n"
    rows, reasons = read(written(tmp_path, "a.jsonl", good * 500 + odd + good), CHAT)
    assert len(rows) + len(reasons) == 502
    assert reasons == ({501: reason} if reason else {})
    assert reason or rows[501]["messages"][1] == {"role": "u", "content": None}


def test_scalars_become_text_as_they_are_written(tmp_path: Path) -> None:
    content = "\n".join(f'{{"prompt": {v}}}' for v in ["true", "18", "0.50", "1e400", "null", '"x"'])
    rows, reasons = read(written(tmp_path, "a.jsonl", content), pa.schema({"prompt": pa.string()}))
    assert not reasons
    assert [row["prompt"] for row in rows.values()] == ["true", "18", "0.50", "1e400", None, "x"]


def test_a_line_of_twenty_megabytes_and_a_last_line_without_end_are_rows(tmp_path: Path) -> None:
    long = "x" * 20_000_000
    file = written(
        tmp_path, "a.jsonl", f'\ufeff{{"source": "a"}}\r\n{{"source": "{long}"}}\r\n{{"source": "c"}}'
    )
    rows, reasons = read(file, CHAT)
    assert {line: row["source"] for line, row in rows.items()} == {1: "a", 2: long, 3: "c"}
    assert not reasons


def test_the_text_of_an_unreadable_row_is_cut_at_a_megabyte_with_its_bytes_shown(tmp_path: Path) -> None:
    file = written(tmp_path, "a.jsonl", b"\xff" + b"x" * 2_000_000)
    (batch,) = read_batches([file], CHAT)
    (bad,) = batch.unreadable
    assert bad.text.startswith("\\xffxxx") and bad.text.endswith("[cut: 2,000,001 bytes]")
    assert len(bad.text) < 1_000_100


@pytest.mark.parametrize(
    "suspect", ["null", "{} null {}", "{}{}\n", '{"a":\n1}', "{}\r{}", "{} \n{}", "{}\v"]
)
def test_the_fast_way_leaves_blocks_with_other_than_an_object_per_line(suspect: str) -> None:
    block = ('{"source": "a"}\n' + suspect + '\n{"source": "b"}\n').encode()
    assert FastJson(CHAT).rows(block, newlines_in(block)) is None


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity", "Inf"])
@pytest.mark.parametrize("schema", [CHAT, pa.schema({"source": pa.string()})])
def test_the_fast_way_refuses_numbers_that_json_does_not_know(word: str, schema: pa.Schema) -> None:
    for number, is_read in ((word, False), ("0.5", True)):
        fast = FastJson(schema)
        fast.learn([{"source": "a", "y": [Fraction("0.5")]}])
        block = ('{"source": "Information, NaN", "y": [' + number + "]}\n").encode()
        assert (fast.rows(block, newlines_in(block)) is not None) is is_read


def test_the_fast_way_leaves_blocks_in_which_a_known_member_would_be_lost() -> None:
    for call, is_read in (('[{"f": "x"}]', False), ("[]", True), ("null", True)):
        fast = FastJson(CHAT)
        fast.learn([{"messages": [{"tool_calls": [{"f": "x"}]}]}])
        block = ('{"messages": [{"role": "a", "tool_calls": ' + call + "}]}").encode()
        assert (fast.rows(block, newlines_in(block)) is not None) is is_read


def test_an_object_on_two_lines_does_not_make_up_for_two_on_one() -> None:
    block = b'{"x": {}\n, "y": 1}\n{}{}\n'
    assert FastJson(pa.schema({"source": pa.string()})).rows(block, newlines_in(block)) is None


def test_the_fast_way_is_taken_by_chats_with_other_fields(tmp_path: Path) -> None:
    row = '{"messages": [{"role": "a", "content": "é \\ud83d\\ude00", "name": "n"}], "id": 5, "meta": {"k": [1]}}\n'
    fast = FastJson(CHAT)
    fast.learn([{"messages": [{"name": "n"}], "id": "x", "meta": {}}])
    file = written(tmp_path, "a.jsonl", row * 1000)
    first, *_ = read_json_lines(file, CHAT)
    assert first.rows.num_rows == 1000
    assert first.rows.slice(999).to_pylist() == [
        {"messages": [{"role": "a", "content": "é \U0001f600"}], "source": None}
    ]


def test_utf16_and_compressed_data_under_a_text_name_are_refused(tmp_path: Path) -> None:
    for encoding in ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"]:
        with pytest.raises(DataError, match=encoding[:6].upper()):
            read(written(tmp_path, "a.jsonl", '{"source": "a"}'.encode(encoding)), CHAT)
    with pytest.raises(DataError, match=r"ends in \.gz"):
        read(written(tmp_path, "a.jsonl", gzip.compress(b"{}")), CHAT)


# JSON


@pytest.mark.parametrize(
    ("text", "elements"),
    [
        ('[{"source": "a"}, {"source": "b"}]', 2),
        ('{"source": "a"}', 1),
        ('{\n "source": "a"\n}\n{\n "source": "b"\n}', 2),
        ('{"source": "a"} {"source": "b"}', 2),
        ('{"source": "a"}\n\n{"source": "b"}\n', 2),
    ],
)
def test_json_files_are_arrays_objects_or_objects_in_a_row(tmp_path: Path, text: str, elements: int) -> None:
    rows, reasons = read(written(tmp_path, "a.json", text), CHAT)
    assert [row["source"] for row in rows.values()] == ["a", "b"][:elements]
    assert not reasons


def test_elements_that_are_no_rows_are_reported_and_the_next_ones_read(tmp_path: Path) -> None:
    deep = b'{"x":' * 10_000 + b"1" + b"}" * 10_000
    elements = [
        b"{}",
        b"5",
        b'{"source": NaN}',
        b'{"source": "\xff]"}',
        b'{"source": "\\ud800"}',
        deep,
        b"{}",
    ]
    rows, reasons = read(written(tmp_path, "a.json", b"[" + b",\n".join(elements) + b"]"), CHAT)
    assert sorted(rows) == [1, 7]
    assert reasons == {
        2: "a number, expected an object",
        3: "malformed JSON: NaN is no number of JSON",
        4: "invalid UTF-8",
        5: "invalid Unicode: \\ud800 is half of a surrogate pair",
        6: "nested too deeply",
    }


@pytest.mark.parametrize(
    ("end", "rest"),
    [
        (',{"a":}]', '{"a":}]'),
        (",]", "]"),
        ("", ""),
        ("x]", "x]"),
        ("]]", "]]"),
        (",", ","),
        (', {"a": 1', '{"a": 1'),
    ],
)
def test_after_a_syntax_error_the_rest_is_one_unreadable_row(tmp_path: Path, end: str, rest: str) -> None:
    (batch,) = read_batches([written(tmp_path, "a.json", '[{"source":"a"},\n{"source":"b"}' + end)], CHAT)
    assert batch.lines.to_pylist() == [1, 2]
    (bad,) = batch.unreadable
    assert (bad.line, bad.text) == (3, rest)
    assert "line 2, column" in bad.reason


def test_a_json_file_of_which_nothing_can_be_read_is_refused(tmp_path: Path) -> None:
    for text in ["[", "nonsense", "[,]", '{"a": ']:
        with pytest.raises(DataError, match="cannot be read as JSON"):
            read(written(tmp_path, "a.json", text), CHAT)
