"""A person's own expressions: what they may do, and how columns of no shape are answered."""

import pyarrow as pa
import pytest

from data_contracts.errors import DataError
from data_contracts.rows import RowKind
from infra.intake.checks import check_rows
from infra.intake.mapping import apply_mapping
from infra.intake.shapes import custom_mapping, describe
from tests.dataset.mapped_rows import CHAT, DEFAULTS, PAIR, mapped

# A person's own expressions


def test_one_column_of_a_shape_can_be_replaced() -> None:
    (made,) = mapped([{"question": "1+2", "answer": "#### 3"}], prompt="question || '?'", verifier="'format'")
    assert made["prompt"] == [{"role": "user", "content": "1+2?"}]
    assert (made["ground_truth"], made["verifier"]) == ("3", "format")


def test_columns_of_no_shape_can_be_named() -> None:
    row = {"Frage": "1+2", "die Antwort": "3", "n": 5, "Quelle": "x"}
    made = mapped(
        [row], prompt="frage", completion='"die Antwort" -- the answer', score="n + 1", source="Quelle"
    )
    assert made == [{**CHAT, "source": "x", "score": 6}]
    (pair,) = mapped([row], RowKind.pairs, prompt="Frage", chosen='"die Antwort"', rejected="n")
    assert pair == {**PAIR, "rejected": "5"}


def test_what_is_read_and_what_is_dropped_is_known() -> None:
    schema = pa.table({"q": ["a"], "a": ["b"], "note": ["c"]}).schema
    found = custom_mapping(schema, None, {"prompt": "trim(q)", "ground_truth": "a"})
    assert (found.kind, found.needs, found.dropped) == (RowKind.problems, ("q", "a"), ("note",))
    assert describe(found)[:2] == [("prompt", "trim(q)"), ("ground_truth", "a")]
    assert ("source", "(the dataset's name)") in describe(found)


def test_a_value_that_cannot_be_made_is_missing_and_spares_the_others() -> None:
    rows = [{"q": "a", "n": "7"}, {"q": "b", "n": "seven"}]
    table = pa.Table.from_pylist(rows)
    made = apply_mapping(
        custom_mapping(table.schema, None, {"prompt": "q", "ground_truth": "n::int * 2"}), table, DEFAULTS
    )
    assert made["ground_truth"].to_pylist() == ["14", None]
    assert check_rows(RowKind.problems, made).to_pylist() == [None, "ground_truth is missing"]


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "q; drop table x",
        "q, q",
        "q) , (q",
        "select 1",
        "*",
        "columns(*)",
        "unnest([1, 2])",
        "max(q)",
        "count(*)",
        "row_number() over ()",
        "random()",
        "(select 1)",
        "(select content from read_text('/etc/passwd'))",
        "exists(from 'rows.csv')",
        "read_text('/etc/passwd')",
        "getenv('HOME')",
        "current_setting('home_directory')",
        "repeat(q, 10000000000)",
        "len(range(3000000000))",
        "list_reduce(['a'], lambda x, y: x || y)",
        "nothing",
        "$1",
        "?",
        "q /* open",
        "[1]",
        "{'a': 1}",
        "'a' || chr(0",
        "q\ud800",
        "(" * 3000 + "q" + ")" * 3000,
        "+".join(["1"] * 900),
        "-" * 5000 + "1",
    ],
)
def test_what_is_not_one_value_of_one_row_is_refused_by_name(expression: str) -> None:
    with pytest.raises(DataError) as caught:
        mapped([{"q": "a"}, {"q": "b"}], prompt="q", ground_truth=expression)
    assert "ground_truth" in str(caught.value)


def test_columns_that_no_shape_explains_are_answered_with_the_way_out() -> None:
    with pytest.raises(DataError) as caught:
        mapped([{"Frage": "1+2", "die Antwort": "3", "n": 5}])
    message = str(caught.value)
    assert "Frage: string" in message and "n: int64" in message
    assert "ShareGPT (sft): conversations: list of {from, value}" in message
    assert "--map prompt=Frage --map completion='\"die Antwort\"'" in message


def test_a_kind_that_the_columns_do_not_fit_is_refused() -> None:
    with pytest.raises(DataError, match=r"to be read as pairs(.|\n)*--map prompt=prompt --map chosen="):
        mapped([{"prompt": "1+2", "ground_truth": "3"}], RowKind.pairs)


def test_columns_of_objects_are_no_text() -> None:
    with pytest.raises(DataError, match="no known shape"):
        mapped([{"prompt": {"text": "a"}, "ground_truth": "b"}])
    with pytest.raises(DataError, match="no known shape"):
        mapped([{"messages": 3}])


def test_two_columns_that_sql_cannot_tell_apart_are_refused() -> None:
    with pytest.raises(DataError, match="differ only in the case"):
        mapped([{"q": "a", "Q": "b"}], prompt="q", completion="Q")
