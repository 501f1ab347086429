"""Shapes: which columns are recognised, and what they become."""

import json
from typing import Any

import pyarrow as pa
import pytest

from data_contracts.rows import RowKind
from infra.intake.mapping import Mapper, apply_mapping
from infra.intake.shapes import custom_mapping, recognise
from tests.dataset.mapped_rows import ASSISTANT, CHAT, DEFAULTS, JSON_TEXT, PAIR, USER, Row, mapped

WRONG = {"role": "assistant", "content": "4"}


SYSTEM = {"role": "system", "content": "Add."}


def without_id(row: Row) -> Row:
    return {name: value for name, value in row.items() if name != "problem_id"}


def problem(ground_truth: str, verifier: str, arguments: str = "{}", **rest: Any) -> Row:
    row = {"prompt": [USER], "ground_truth": ground_truth, "verifier": verifier, "arguments": arguments}
    return {**row, "source": "mine", **rest}


SHAPES: dict[str, tuple[Row, str, Row]] = {
    "messages": (
        {"messages": [USER, ASSISTANT], "source": "theirs"},
        "OpenAI messages",
        {**CHAT, "source": "theirs"},
    ),
    "messages with keys of others, in another order": (
        {"messages": [{"content": "1+2", "name": "ann", "role": "user"}, {**ASSISTANT, "name": None}]},
        "OpenAI messages",
        CHAT,
    ),
    "messages as JSON text": ({"messages": json.dumps([USER, ASSISTANT])}, "OpenAI messages", CHAT),
    "conversations of roles": ({"conversations": [USER, ASSISTANT]}, "OpenAI messages", CHAT),
    "ShareGPT": (
        {"conversations": [{"from": "human", "value": "1+2"}, {"from": "gpt", "value": "3"}]},
        "ShareGPT",
        CHAT,
    ),
    "ShareGPT with our names and a system column": (
        {
            "conversations": [{"from": "user", "value": "1+2"}, {"from": "assistant", "value": "3"}],
            "system": "Add.",
        },
        "ShareGPT",
        {**CHAT, "messages": [SYSTEM, USER, ASSISTANT]},
    ),
    "ShareGPT with its own system turn": (
        {
            "conversations": [
                {"from": f, "value": v} for f, v in [("system", "Add."), ("human", "1+2"), ("gpt", "3")]
            ]
        },
        "ShareGPT",
        {**CHAT, "messages": [SYSTEM, USER, ASSISTANT]},
    ),
    "Alpaca with input": (
        {"instruction": "Add.", "input": "1+2", "output": "3"},
        "Alpaca",
        {**CHAT, "messages": [{"role": "user", "content": "Add.\n\n1+2"}, ASSISTANT]},
    ),
    "Alpaca without input": ({"instruction": "1+2", "input": " ", "output": "3"}, "Alpaca", CHAT),
    "prompt and completion": ({"prompt": "1+2", "completion": "3"}, "prompt and completion", CHAT),
    "prompt and completion as messages": (
        {"prompt": [SYSTEM, USER], "completion": [ASSISTANT]},
        "prompt and completion",
        {**CHAT, "messages": [SYSTEM, USER, ASSISTANT]},
    ),
    "pairs as text": ({"prompt": "1+2", "chosen": "3", "rejected": "4"}, "preference pairs", PAIR),
    "pairs of completions": (
        {"prompt": [USER], "chosen": [ASSISTANT], "rejected": [WRONG]},
        "preference pairs",
        PAIR,
    ),
    "pairs as whole conversations beside their prompt": (
        {
            "prompt": "1+2",
            "chosen": [SYSTEM, USER, ASSISTANT],
            "rejected": [SYSTEM, USER, WRONG],
            "messages": [USER],
        },
        "preference pairs",
        {**PAIR, "prompt": [SYSTEM, USER]},
    ),
    "pairs whose conversations hold the prompt": (
        {"chosen": [USER, WRONG, USER, ASSISTANT], "rejected": [USER, WRONG, USER, WRONG]},
        "preference pairs",
        {**PAIR, "prompt": [USER, WRONG, USER]},
    ),
    "pairs that begin with the prompt's messages": (
        {"prompt": [USER], "chosen": [USER, ASSISTANT], "rejected": [USER, WRONG]},
        "preference pairs",
        PAIR,
    ),
    "pairs that go on after the prompt's messages": (
        {"prompt": [USER], "chosen": [WRONG, USER, ASSISTANT], "rejected": [WRONG, USER, WRONG]},
        "preference pairs",
        {**PAIR, "prompt": [USER, WRONG, USER]},
    ),
    "pairs that part too early": (
        {"chosen": [USER, ASSISTANT, USER, ASSISTANT], "rejected": [USER, WRONG, USER, WRONG]},
        "preference pairs",
        {**PAIR, "prompt": None},
    ),
    "problems": (
        {"problem_id": 17, "prompt": "1+2", "ground_truth": 3},
        "problems",
        {**problem("3", "exact_number"), "problem_id": "17"},
    ),
    "problems with everything": (
        {
            "prompt": [USER],
            "ground_truth": "3",
            "verifier": "format",
            "arguments": {"n": 1},
            "source": "x",
            "level": 2,
        },
        "problems",
        problem("3", "format", '{"n":1}', source="x", level="2"),
    ),
    "GSM8K": (
        {"question": "1+2", "answer": "Add.\n#### 1,003"},
        "GSM8K",
        problem("1003", "gsm8k"),
    ),
    "verl": (
        {
            "data_source": "math",
            "prompt": [USER],
            "ability": "math",
            "reward_model": {"ground_truth": "\\frac12", "style": "rule"},
            "extra_info": {"index": 0},
        },
        "verl",
        problem("\\frac12", "math", source="math"),
    ),
    "MATH-500": (
        {
            "problem": "1+2",
            "solution": "…",
            "answer": "3",
            "subject": "Algebra",
            "level": 2,
            "unique_id": "a/1",
        },
        "MATH-500",
        problem("3", "math", problem_id="a/1", level="2", subject="Algebra"),
    ),
    "IFEval": (
        {"key": 5, "prompt": "1+2", "instruction_id_list": ["a:b", "c"], "kwargs": '[{"n": 1}, {}]'},
        "IFEval",
        problem("", "ifeval", '{"instruction_id_list":["a:b","c"],"kwargs":[{"n":1},{}]}', problem_id="5"),
    ),
    "HumanEval": (
        {
            "task_id": "H/0",
            "prompt": "1+2",
            "entry_point": "f",
            "canonical_solution": " return 3",
            "test": "t",
        },
        "HumanEval",
        problem(" return 3", "code", '{"prompt":"1+2","entry_point":"f","test":"t"}', problem_id="H/0"),
    ),
    "event scheduling": (
        {
            "events": [["a", "09:00", "10:00"]],
            "priority_events": ["a"],
            "optimal_score": 120,
            "prompt": "1+2",
        },
        "event scheduling",
        problem("120", "schedule", '{"events":[["a","09:00","10:00"]],"priority_events":["a"]}'),
    ),
}


@pytest.mark.parametrize("name", SHAPES)
def test_a_shape_is_recognised_and_mapped(name: str) -> None:
    row, shape, expected = SHAPES[name]
    table = pa.Table.from_pylist([row])
    found = recognise(table.schema)
    assert found is not None and found.shape == shape
    (made,) = mapped(table)
    assert (made if "problem_id" in expected else without_id(made)) == expected
    assert set(found.needs) | set(found.dropped) == set(row)


def test_mbpps_prompt_shows_the_tests_that_name_the_function() -> None:
    row = {
        "text": "Write it.",
        "code": "def f(): ...",
        "task_id": 7,
        "test_list": ["assert f()", "assert g()"],
    }
    (made,) = mapped([{**row, "test_setup_code": "", "challenge_test_list": []}])
    shown = "Write it.\n\nYour code should pass these tests:\nassert f()\nassert g()"
    assert made["prompt"] == [{"role": "user", "content": shown}]
    assert (made["problem_id"], made["ground_truth"], made["verifier"]) == ("7", "def f(): ...", "code")
    given = {"test_list": row["test_list"], "test_setup_code": "", "challenge_test_list": []}
    assert json.loads(made["arguments"]) == given


def test_gsm8k_can_be_read_as_examples() -> None:
    assert mapped([{"question": "1+2", "answer": "3"}], RowKind.sft) == [CHAT]


def test_a_gsm8k_answer_without_a_final_line_has_no_ground_truth() -> None:
    (made,) = mapped([{"question": "1+2", "answer": "#### 4\nor so it seems"}])
    assert made["ground_truth"] == ""


def test_a_file_that_could_be_two_kinds_is_what_was_asked_for() -> None:
    row = {"prompt": "1+2", "chosen": "3", "rejected": "4", "messages": [USER, ASSISTANT]}
    assert mapped([row]) == [PAIR]
    assert mapped([row], RowKind.sft) == [CHAT]


def test_keys_that_other_rows_have_do_not_reach_a_rows_arguments() -> None:
    rows = [
        {"prompt": "a", "ground_truth": "1", "arguments": {"x": 1, "in": [{"p": 1}, {"q": None}]}},
        {"prompt": "b", "ground_truth": "1", "arguments": {"y": ["z"]}},
        {"prompt": "c", "ground_truth": "1", "arguments": None},
    ]
    found = [row["arguments"] for row in mapped(rows)]
    assert [json.loads(text) for text in found] == [{"x": 1, "in": [{"p": 1}, {}]}, {"y": ["z"]}, {}]


def test_ifevals_kwargs_from_parquet_and_from_json_are_the_same() -> None:
    row = {"key": 1, "prompt": "p", "instruction_id_list": ["a", "b"]}
    kwargs = [{"n": 1}, {"word": "x"}]
    as_structs = pa.Table.from_pylist([{**row, "kwargs": kwargs}])
    as_text = pa.Table.from_pylist([{**row, "kwargs": json.dumps(kwargs)}])
    marked = as_text.cast(as_text.schema.set(3, as_text.schema.field("kwargs").with_metadata(JSON_TEXT)))
    assert mapped(as_structs) == mapped(marked)
    assert json.loads(mapped(marked)[0]["arguments"])["kwargs"] == kwargs


def test_equal_problems_get_equal_ids_and_others_do_not() -> None:
    rows = [{"prompt": p, "ground_truth": g} for p, g in [("a", "1"), ("a", "1"), ("a", "2"), ("b", "1")]]
    ids = [row["problem_id"] for row in mapped(rows)]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3
    assert all(len(name) == 16 for name in ids)


def test_a_missing_id_is_made_and_a_given_one_kept() -> None:
    rows = [{"problem_id": name, "prompt": "a", "ground_truth": "1"} for name in ("x", None)]
    first, second = (row["problem_id"] for row in mapped(rows))
    assert first == "x" and len(second) == 16


@pytest.mark.parametrize(
    "text", ["1:2:3", "03-04-2020", "2020-01-01T00:00:00Z", "007", "1.50", "[1, 2]", "{}"]
)
def test_text_stays_text(text: str) -> None:
    (made,) = mapped([{"prompt": text, "ground_truth": text}])
    assert (made["prompt"][0]["content"], made["ground_truth"]) == (text, text)


def test_raw_rows_and_rollouts_stay_as_they_came() -> None:
    rows = [{"question": "a", "n": [1]}]
    assert mapped(rows, RowKind.raw) == rows
    rollouts = [{"problem_id": "a", "completion": "b", "reward": 1.0, "parts": {"x": 1}}]
    assert mapped(rollouts) == rollouts


def test_rows_keep_their_number_and_order_over_many_chunks() -> None:
    parts = [
        pa.table({"prompt": [str(n) for n in range(k, k + 999)], "completion": ["x"] * 999})
        for k in range(50)
    ]
    table = pa.concat_tables(parts)
    made = mapped(table)
    assert [row["messages"][0]["content"] for row in made] == table["prompt"].to_pylist()


def test_a_mapper_serves_many_batches() -> None:
    table = pa.table({"prompt": ["a", "b"], "ground_truth": ["1", "2"]})
    mapping = custom_mapping(table.schema, None, {})
    with Mapper(mapping, table.schema, DEFAULTS) as mapper:
        parts = [mapper.apply(table.slice(n, 1)) for n in (0, 1)]
        assert mapper.apply(table.slice(0, 0)).num_rows == 0
    assert pa.concat_tables(parts) == apply_mapping(mapping, table, DEFAULTS)


def test_bytes_that_are_no_text_are_reported_as_damage() -> None:
    broken = pa.array([b"a\xff", b"fine", b"\xed\xa0\x80"]).view(pa.string())
    turns = pa.StructArray.from_arrays([pa.array(["user"] * 3), broken], names=["role", "content"])
    chats = pa.ListArray.from_arrays(pa.array([0, 1, 3], pa.int32()), turns)
    pairs = pa.table({"prompt": pa.array(["x", "y"]), "completion": broken[:2]})
    assert [row["messages"][1]["content"] for row in mapped(pairs)] == ["a\ufffd", "fine"]
    found = mapped(pa.table({"messages": chats}))
    assert [turn["content"] for row in found for turn in row["messages"]] == ["a\ufffd", "fine", "\ufffd" * 3]
