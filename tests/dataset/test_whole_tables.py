"""A user's rows, read as they are: every shape recognised, every gap reported by row and field."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_contracts.errors import DataError
from data_contracts.rows import RowKind
from infra.intake.mapping import Defaults
from infra.intake.whole_tables import normalise, read_file, select_rows

USER, ASSISTANT = {"role": "user", "content": "1+2"}, {"role": "assistant", "content": "3"}
DEFAULTS = Defaults(source="mine", verifier="exact_number", arguments="{}")


def _write(path: Path, rows: list[Any]) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows))
    elif path.suffix == ".csv":
        lines = [",".join(rows[0]), *(",".join(row.values()) for row in rows)]
        path.write_text("\n".join(lines))
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def _read(path: Path, rows: list[Any], defaults: Defaults = DEFAULTS) -> tuple[RowKind, list[dict[str, Any]]]:
    kind, table = normalise(read_file(_write(path, rows)), None, "Dataset x", defaults)
    return kind, table.to_pylist()


@pytest.mark.parametrize("suffix", [".jsonl", ".ndjson", ".json", ".parquet", ".csv"])
def test_prompt_and_completion_become_a_conversation_in_every_format(suffix: str, tmp_path: Path) -> None:
    rows = [{"prompt": "1+2", "completion": "3"}, {"prompt": "2+2", "completion": "four"}]
    kind, found = _read(tmp_path / f"rows{suffix}", rows)
    assert kind is RowKind.sft
    assert found == [
        {"messages": [USER, ASSISTANT], "source": "mine"},
        {
            "messages": [{"role": "user", "content": "2+2"}, {"role": "assistant", "content": "four"}],
            "source": "mine",
        },
    ]


SHAPES: dict[str, tuple[dict[str, Any], RowKind, dict[str, Any]]] = {
    "messages": (
        {"messages": [USER, ASSISTANT], "source": "theirs"},
        RowKind.sft,
        {"messages": [USER, ASSISTANT], "source": "theirs"},
    ),
    "messages with keys of others, in another order": (
        {
            "messages": [
                {"content": "1+2", "name": "ann", "role": "user"},
                {"content": "3", "role": "assistant"},
            ]
        },
        RowKind.sft,
        {"messages": [USER, ASSISTANT], "source": "mine"},
    ),
    "prompt and completion as messages": (
        {"prompt": [USER], "completion": [ASSISTANT]},
        RowKind.sft,
        {"messages": [USER, ASSISTANT], "source": "mine"},
    ),
    "pairs as text": (
        {"prompt": "1+2", "chosen": "3", "rejected": "4"},
        RowKind.pairs,
        {"prompt": [USER], "chosen": "3", "rejected": "4", "source": "mine"},
    ),
    "pairs as whole conversations": (
        {
            "prompt": "1+2",
            "chosen": [USER, ASSISTANT],
            "rejected": [USER, {"role": "assistant", "content": "4"}],
        },
        RowKind.pairs,
        {"prompt": [USER], "chosen": "3", "rejected": "4", "source": "mine"},
    ),
    "problems": (
        {"problem_id": 17, "prompt": "1+2", "ground_truth": 3},
        RowKind.problems,
        {
            "problem_id": "17",
            "prompt": [USER],
            "ground_truth": "3",
            "verifier": "exact_number",
            "arguments": "{}",
            "source": "mine",
        },
    ),
    "problems with a verifier of their own": (
        {
            "problem_id": "a",
            "prompt": [USER],
            "ground_truth": "3",
            "verifier": "format",
            "arguments": {"n": 1},
        },
        RowKind.problems,
        {
            "problem_id": "a",
            "prompt": [USER],
            "ground_truth": "3",
            "verifier": "format",
            "arguments": '{"n":1}',
            "source": "mine",
        },
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_is_recognised_by_its_columns(shape: str, tmp_path: Path) -> None:
    row, kind, expected = SHAPES[shape]
    assert _read(tmp_path / "rows.jsonl", [row]) == (kind, [expected])


@pytest.mark.parametrize(
    "text",
    [
        "1:2:3",
        "12:30:00",
        "03-04-2020",
        "2020-01-01T00:00:00Z",
        "007",
        "1.50",
        "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11",
    ],
)
def test_text_is_never_taken_for_a_time_a_date_or_a_number(text: str, tmp_path: Path) -> None:
    row = {"prompt": [{"role": "user", "content": text}], "ground_truth": text}
    _, (found,) = _read(tmp_path / "rows.jsonl", [row])
    assert (found["prompt"][0]["content"], found["ground_truth"]) == (text, text)


def test_ground_truths_may_be_numbers_and_text_in_one_file(tmp_path: Path) -> None:
    rows = [{"prompt": "a", "ground_truth": 5}, {"prompt": "b", "ground_truth": "x"}]
    _, found = _read(tmp_path / "rows.jsonl", rows)
    assert [row["ground_truth"] for row in found] == ["5", "x"]


def test_arguments_of_one_row_do_not_appear_in_another(tmp_path: Path) -> None:
    rows = [
        {"prompt": "a", "ground_truth": "1", "arguments": {"x": 1}},
        {"prompt": "b", "ground_truth": "1", "arguments": {"y": ["z"]}},
        {"prompt": "c", "ground_truth": "1"},
        {"prompt": "d", "ground_truth": "1", "arguments": '{"already": "text"}'},
    ]
    _, found = _read(tmp_path / "rows.jsonl", rows)
    assert [row["arguments"] for row in found] == ['{"x":1}', '{"y":["z"]}', "{}", '{"already": "text"}']


def test_equal_problems_get_equal_ids_and_others_do_not(tmp_path: Path) -> None:
    rows = [{"prompt": p, "ground_truth": g} for p, g in [("a", "1"), ("a", "1"), ("a", "2"), ("b", "1")]]
    ids = [row["problem_id"] for row in _read(tmp_path / "rows.jsonl", rows)[1]]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3


def test_rows_keep_the_order_of_a_large_file(tmp_path: Path) -> None:
    rows = [{"prompt": str(number), "ground_truth": "0"} for number in range(50_000)]
    _, found = _read(tmp_path / "rows.jsonl", rows)
    assert [int(row["prompt"][0]["content"]) for row in found] == list(range(50_000))


GOOD_PROBLEM: dict[str, Any] = {"prompt": "1+2", "ground_truth": "3"}
GOOD_CHAT: dict[str, Any] = {"messages": [USER, ASSISTANT]}
GAPS: dict[str, tuple[list[dict[str, Any]], str]] = {
    "a field left out": ([GOOD_PROBLEM, {"prompt": "1+3"}], "row 2: ground_truth is missing."),
    "a field of null": (
        [{"prompt": None, "ground_truth": "3"}, GOOD_PROBLEM],
        "row 1: prompt turn 1 is missing.",
    ),
    "a field of spaces": (
        [GOOD_PROBLEM, {"prompt": "1+3", "ground_truth": " "}],
        "row 2: ground_truth is empty.",
    ),
    "a prompt of spaces": ([{"prompt": " ", "ground_truth": "3"}], "row 1: prompt turn 1 is empty."),
    "a chosen left out": (
        [{"prompt": "a", "chosen": "b", "rejected": "c"}, {"prompt": "a", "rejected": "c"}],
        "row 2: chosen is missing.",
    ),
    "a completion left out": (
        [{"prompt": "a", "completion": "b"}, {"prompt": "a"}],
        "row 2: turn 2 is missing.",
    ),
    "no messages": ([GOOD_CHAT, {"messages": []}], "row 2: messages is missing."),
    "a conversation without an end": (
        [GOOD_CHAT, {"messages": [USER, ASSISTANT, USER]}],
        "row 2: messages: the last turn has role user, not assistant.",
    ),
    "a conversation of one": (
        [GOOD_CHAT, {"messages": [ASSISTANT]}],
        "row 2: turn 1: role assistant begins the conversation.",
    ),
    "an unknown role": (
        [GOOD_CHAT, {"messages": [{"role": "tool", "content": "x"}, ASSISTANT]}],
        "row 2: turn 1: role 'tool' is not one of system, user, assistant.",
    ),
    "a message without content": (
        [GOOD_CHAT, {"messages": [{"role": "user"}, ASSISTANT]}],
        "row 2: turn 1 is missing.",
    ),
    "six gaps": (
        [GOOD_PROBLEM, *[{"prompt": "x"}] * 6],
        "6 bad row(s): "
        + "; ".join(f"row {row}: ground_truth is missing" for row in range(2, 7))
        + " and 1 more.",
    ),
}


@pytest.mark.parametrize("gap", GAPS)
def test_a_gap_is_reported_by_row_and_field(gap: str, tmp_path: Path) -> None:
    rows, message = GAPS[gap]
    with pytest.raises(DataError) as caught:
        _read(tmp_path / "rows.jsonl", rows)
    assert message in str(caught.value)
    assert "Dataset x" in str(caught.value)


def test_problems_that_nobody_can_judge_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"row 1: verifier is missing\.(.|\n)*name one per row or in the recipe"
    ):
        _read(tmp_path / "rows.jsonl", [GOOD_PROBLEM], Defaults("mine", None, "{}"))


def test_unknown_columns_are_answered_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        _read(tmp_path / "rows.jsonl", [{"ask": "1+2", "reply": "3"}])
    assert "ask: string\n  reply: string" in str(caught.value)
    assert "--map prompt=" in str(caught.value)


def test_a_kind_that_the_columns_do_not_fit_is_refused(tmp_path: Path) -> None:
    table = read_file(_write(tmp_path / "rows.jsonl", [GOOD_PROBLEM]))
    with pytest.raises(DataError, match="no known shape, to be read as pairs"):
        normalise(table, RowKind.pairs, "Dataset x", DEFAULTS)


def test_messages_that_are_no_messages_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no known shape"):
        _read(tmp_path / "rows.jsonl", [{"messages": 3}])


def test_raw_rows_stay_as_they_came(tmp_path: Path) -> None:
    rows = [{"question": "a", "n": 1}]
    kind, table = normalise(
        read_file(_write(tmp_path / "rows.jsonl", rows)), RowKind.raw, "Dataset x", DEFAULTS
    )
    assert (kind, table.to_pylist()) == (RowKind.raw, rows)


# Files that are not what they say


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("rows.jsonl", b"", "is empty"),
        ("rows.jsonl", b"hello\n", "holds no JSON object"),
        ("rows.jsonl", b'{"prompt": "a"}\n{"prompt": \n', "line 2: malformed JSON"),
        ("rows.jsonl", b"1\n2\n", "holds no JSON object"),
        ("rows.json", b"[]", "holds no JSON object"),
        ("rows.jsonl", b"{}\n{}\n", "holds no JSON object with a key"),
        ("rows.json", b"[1, 2]", "holds no JSON object"),
        ("rows.parquet", b"PAR1 but no more than that", "cannot be read: Parquet magic bytes"),
        ("rows.parquet", b'{"prompt": "a", "completion": "b"}\n', "cannot be read: Parquet magic bytes"),
        ("rows.jsonl", b"PAR1\x15\x04\x15\x00\xff\xfe", "holds no JSON object"),
        ("rows.xlsx", b"x", "has the suffix '.xlsx'"),
        ("rows", b"x", "has the suffix '(none)'"),
    ],
)
def test_a_file_that_is_not_what_it_says_is_refused(
    name: str, content: bytes, message: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_file(tmp_path / name)
    assert message in str(caught.value)
    assert str(tmp_path / name) in str(caught.value)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.jsonl").mkdir()
    with pytest.raises(DataError, match="does not exist"):
        read_file(tmp_path / "missing.jsonl")
    with pytest.raises(DataError, match="holds no data files"):
        read_file(tmp_path / "folder.jsonl")


def test_the_case_of_a_suffix_does_not_matter(tmp_path: Path) -> None:
    assert read_file(_write(tmp_path / "rows.JSONL", [{"a": 1}])).to_pylist() == [{"a": 1}]


# SQL


def test_sql_selects_from_the_named_datasets() -> None:
    tables = {"left": pa.table({"n": [1, 2]}), "right": pa.table({"n": [2, 3]})}
    assert select_rows('select n from "left" join "right" using (n)', tables, "dataset x").to_pylist() == [
        {"n": 2}
    ]


@pytest.mark.parametrize(
    "sql",
    [
        "from '{file}'",
        "from read_csv('{file}')",
        "from read_text('{file}')",
        "from glob('{folder}/*')",
        "set enable_external_access = true; from '{file}'",
        "copy source to '{folder}/copy.csv'",
        "attach '{folder}/other.db' as other; from source",
        "install httpfs; from source",
        "from 'https://example.com/rows.csv'",
    ],
)
def test_sql_reaches_no_file_and_no_network(sql: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("a\n1\n")
    with pytest.raises(DataError, match="The sql of dataset x fails"):
        select_rows(sql.format(file=secret, folder=tmp_path), {"source": pa.table({"a": [1]})}, "dataset x")
    assert list(tmp_path.iterdir()) == [secret]


@pytest.mark.parametrize("sql", ["selct 1", "from sauce", "select b from source", "", "select * from tables"])
def test_sql_that_fails_is_reported_with_the_tables_it_may_name(sql: str) -> None:
    with pytest.raises(DataError, match="a query over source"):
        select_rows(sql, {"source": pa.table({"a": [1]})}, "dataset x")


def test_objects_are_not_taken_for_text(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no known shape"):
        _read(tmp_path / "rows.jsonl", [{"prompt": {"a": 1}, "completion": "x"}])
