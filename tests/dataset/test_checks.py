"""Contracts and bulk checks: one truth in two speeds, and the schedule's own findings."""

import copy
import json
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from data_contracts.rows import PreferencePair, Problem, RowKind, SFTExample
from infra.intake.checks import check_rows
from infra.intake.column_types import MESSAGES
from infra.intake.schedule_checks import check_schedule, schedule_findings
from infra.intake.text_search import texts_with

Row = dict[str, Any]
CONTRACTS: dict[RowKind, type[SFTExample] | type[PreferencePair] | type[Problem]] = {
    RowKind.sft: SFTExample,
    RowKind.pairs: PreferencePair,
    RowKind.problems: Problem,
}
TEXT = pa.string()
SCHEMAS = {
    RowKind.sft: pa.schema({"messages": MESSAGES}),
    RowKind.pairs: pa.schema({"prompt": MESSAGES, "chosen": TEXT, "rejected": TEXT}),
    RowKind.problems: pa.schema(
        {
            "problem_id": TEXT,
            "prompt": MESSAGES,
            "ground_truth": TEXT,
            "verifier": TEXT,
            "arguments": TEXT,
            "source": TEXT,
        }
    ),
}


def chat(*turns: str, roles: str = "uauauaua") -> list[Row]:
    names = {"s": "system", "u": "user", "a": "assistant", "t": "tool"}
    return [{"role": names[role], "content": text} for role, text in zip(roles, turns, strict=False)]


def problem(**changes: Any) -> Row:
    row = {"problem_id": "1", "prompt": chat("1+2"), "ground_truth": "3", "verifier": "exact_number"}
    return {**row, "arguments": "{}", "source": "mine", **changes}


def by_contract(kind: RowKind, row: Row) -> str | None:
    try:
        CONTRACTS[kind].model_validate(row)
    except ValidationError as error:
        return error.errors()[0]["msg"]
    return None


def in_bulk(kind: RowKind, rows: list[Row]) -> list[str | None]:
    return check_rows(kind, pa.Table.from_pylist(rows, SCHEMAS[kind])).to_pylist()


EXAMPLES: list[tuple[list[Row] | None, str | None]] = [
    (chat("hi", "hello"), None),
    (chat("be kind", "hi", "hello", roles="sua"), None),
    (chat("a", "b", "c", "d"), None),
    (None, "messages is missing"),
    ([], "messages is missing"),
    (chat("hi"), "messages: the last turn has role user, not assistant"),
    (chat("be kind", roles="s"), "messages: the last turn has role system, not assistant"),
    (chat("hi", roles="a"), "turn 1: role assistant begins the conversation"),
    (chat("be", "hi", roles="sa"), "turn 2: role assistant follows system"),
    (chat("a", "b", "c", "d", roles="uaua"), None),
    (chat("a", "b", "c", "d", roles="uauu"), "turn 4: role user follows user"),
    (chat("a", "b", "c", "d", roles="uasa"), "turn 3: role system follows assistant"),
    (chat("a", "b", roles="ut"), "turn 2: role 'tool' is not one of system, user, assistant"),
    ([{"role": None, "content": "a"}], "turn 1: role is missing"),
    ([None], "turn 1: role is missing"),
    ([{"role": "user", "content": None}], "turn 1 is missing"),
    (chat("hi", ""), "turn 2 is empty"),
    (chat("hi", " \n\t "), "turn 2 is empty"),
    (chat("hi", "\u3000\u00a0\u200b\ufeff"), "turn 2 is empty"),
    (chat("hi", "\u3000x"), None),
    (chat("hi", "a\0b"), "turn 2 holds a NUL character"),
    (chat("hi", "caf\ufffd"), "turn 2 holds a replacement character: text was damaged"),
    (chat("hi", "x<|im_end|>"), "turn 2 holds the template token <|im_end|>"),
    (chat("hi", "<|reserved special 7|>"), "turn 2 holds the template token <|reserved special 7|>"),
    (chat("hi", "<｜User｜>"), "turn 2 holds the template token <｜User｜>"),
    (chat("<start_of_turn>", "b"), "turn 1 holds the template token <start_of_turn>"),
    (chat("a", "<end_of_turn>"), "turn 2 holds the template token <end_of_turn>"),
    (chat("[INST] a", "b"), "turn 1 holds the template token [INST]"),
    (chat("a [/INST]", "b"), "turn 1 holds the template token [/INST]"),
    (chat("<<SYS>>", "b"), "turn 1 holds the template token <<SYS>>"),
    (chat("<s> a", "b"), "turn 1 holds the template token <s>"),
    (chat("a", "b</s>"), "turn 2 holds the template token </s>"),
    (chat("a", "<s>b</s>\n"), "turn 2 holds the template token <s>"),
    (chat("a", "<s>old</s> new"), None),
    (chat("a", "new, not <s>old</s>"), None),
    (chat("a", "f <| x |> g; a <||> b; <|x|>; xs |> map <| y"), None),
    (chat("a", "x < y | z > [INS] [INSTALL] <start> <strong>"), None),
    (chat("price ££", "￼ Ｆｕｌｌ，"), None),
]


@pytest.mark.parametrize(("messages", "reason"), EXAMPLES)
def test_each_rule_of_an_example_has_its_sentence(messages: list[Row] | None, reason: str | None) -> None:
    row = {"messages": messages}
    assert (by_contract(RowKind.sft, row), in_bulk(RowKind.sft, [row])) == (reason, [reason])


PAIRS: list[tuple[Row, str | None]] = [
    ({"prompt": chat("a"), "chosen": "b", "rejected": "c"}, None),
    ({"prompt": chat("a", "b", "c"), "chosen": "b", "rejected": "c"}, None),
    ({"prompt": None, "chosen": "b", "rejected": "c"}, "prompt is missing"),
    (
        {"prompt": chat("a", "b"), "chosen": "b", "rejected": "c"},
        "prompt: the last turn has role assistant, not user",
    ),
    ({"prompt": chat("a", " ", "c"), "chosen": "b", "rejected": "c"}, "prompt turn 2 is empty"),
    ({"prompt": chat("a"), "chosen": "b", "rejected": "b"}, "chosen equals rejected"),
    ({"prompt": chat("a"), "chosen": "b\n", "rejected": "\u3000b"}, "chosen equals rejected"),
    ({"prompt": chat("a"), "chosen": None, "rejected": "b"}, "chosen is missing"),
    ({"prompt": chat("a"), "chosen": "b", "rejected": " "}, "rejected is empty"),
    (
        {"prompt": chat("a"), "chosen": "b<|eot_id|>", "rejected": "c"},
        "chosen holds the template token <|eot_id|>",
    ),
]


@pytest.mark.parametrize(("row", "reason"), PAIRS)
def test_each_rule_of_a_pair_has_its_sentence(row: Row, reason: str | None) -> None:
    assert (by_contract(RowKind.pairs, row), in_bulk(RowKind.pairs, [row])) == (reason, [reason])


PROBLEMS: list[tuple[Row, str | None]] = [
    (problem(), None),
    (problem(ground_truth=""), "ground_truth is empty"),
    (problem(ground_truth="", verifier="ifeval"), None),
    (problem(ground_truth=None, verifier="ifeval"), "ground_truth is missing"),
    (problem(ground_truth="3\0"), "ground_truth holds a NUL character"),
    (problem(ground_truth="print('<|im_end|>')"), None),
    (problem(verifier=None), "verifier is missing"),
    (problem(problem_id=" "), "problem_id is empty"),
    (problem(source=None), "source is missing"),
    (problem(prompt=chat("a", "b")), "prompt: the last turn has role assistant, not user"),
    (problem(arguments=None), "arguments is missing"),
    *[
        (problem(arguments=text), "arguments is not a JSON object")
        for text in ("", "[]", "3", "{", '{"a": NaN}', '{"a": "\\ud800"}', "[" * 5000)
    ],
    (problem(arguments='{"a": [1, null, "\\ud83d\\ude00"]}'), None),
]


@pytest.mark.parametrize(("row", "reason"), PROBLEMS)
def test_each_rule_of_a_problem_has_its_sentence(row: Row, reason: str | None) -> None:
    assert (by_contract(RowKind.problems, row), in_bulk(RowKind.problems, [row])) == (reason, [reason])


def test_a_lone_surrogate_is_damage_to_the_contract() -> None:
    row = {"messages": chat("hi", "a\ud800")}
    assert by_contract(RowKind.sft, row) == "turn 2 holds a replacement character: text was damaged"


def test_extra_columns_may_be_scalars_only() -> None:
    row = {"messages": chat("a", "b")}
    assert SFTExample.model_validate({**row, "level": 3, "subject": None}).model_extra == {
        "level": 3,
        "subject": None,
    }
    with pytest.raises(ValidationError):
        SFTExample.model_validate({**row, "tags": ["x"]})


# Fuzzing: the contract is the oracle of the bulk check

PIECES = [
    "a",
    "é",
    "漢字",
    " ",
    "\n",
    "\u200b",
    "\0",
    "\ufffd",
    "<|",
    "|>",
    "im_end",
    "<s>",
    "</s>",
    "[INST]",
]
PIECES += ["<start_of_turn>", "<<SYS>>", "[/INST", "]", "<", "\u3000", "，", "｜", "<｜", "😀", ""]


def _text(rng: random.Random) -> str | None:
    if rng.random() < 0.7:
        return "".join(rng.choices(["word ", "é", "漢", "x<y ", "[1] "], k=rng.randint(1, 6))) + "."
    return None if rng.random() < 0.1 else "".join(rng.choices(PIECES, k=rng.randint(0, 5)))


def _chat(rng: random.Random, turns: int) -> list[Row | None] | None:
    roles = ["user", "assistant"] * 3
    made: list[Row | None] = [{"role": roles[n], "content": _text(rng)} for n in range(turns)]
    if rng.random() < 0.3:
        made.insert(0, {"role": "system", "content": _text(rng)})
    if rng.random() < 0.3:
        _mutate(rng, made)
    return None if rng.random() < 0.02 else made


def _mutate(rng: random.Random, turns: list[Row | None]) -> None:
    spot = rng.randrange(len(turns))
    match rng.randrange(5):
        case 0:
            del turns[spot]
        case 1:
            turns.insert(spot, copy.deepcopy(turns[spot]))
        case 2:
            turns[spot] = None
        case 3:
            turns[spot] = {"role": rng.choice(["tool", None, "User", "system"]), "content": "x"}
        case _:
            rng.shuffle(turns)


def _example_row(rng: random.Random) -> Row:
    return {"messages": _chat(rng, rng.choice([2, 2, 2, 4, 6, 1]))}


def _pair_row(rng: random.Random) -> Row:
    chosen = _text(rng)
    same = (chosen or "") + rng.choice(["", " ", "\u3000"])
    rejected = same if rng.random() < 0.1 else _text(rng)
    return {"prompt": _chat(rng, rng.choice([1, 1, 3, 2])), "chosen": chosen, "rejected": rejected}


def _problem_row(rng: random.Random) -> Row:
    arguments = rng.choice(["{}"] * 8 + ['{"a": 1}', "[]", "", None, "{", '{"a": "\\udc00"}'])
    return {
        "problem_id": rng.choice(["1", "1", "1", "2", " ", None]),
        "prompt": _chat(rng, rng.choice([1, 1, 1, 3, 2])),
        "ground_truth": rng.choice(["3", "3", "3", _text(rng), "", None]),
        "verifier": rng.choice(["exact_number", "exact_number", "ifeval", "format", None]),
        "arguments": arguments,
        "source": rng.choice(["mine", "mine", "mine", "mine", "", None]),
    }


MAKERS = {RowKind.sft: _example_row, RowKind.pairs: _pair_row, RowKind.problems: _problem_row}


@pytest.mark.parametrize("kind", MAKERS)
def test_the_bulk_check_gives_every_row_the_contracts_own_reason(kind: RowKind) -> None:
    make: Callable[[random.Random], Row] = MAKERS[kind]
    rng = random.Random(7)
    rows = [make(rng) for _ in range(6000)]
    expected = [by_contract(kind, row) for row in rows]
    assert 300 < expected.count(None) < 5700, "the fuzz must make both kinds of rows"
    table = pa.Table.from_pylist(rows, SCHEMAS[kind])
    assert check_rows(kind, table).to_pylist() == expected
    parts = pa.concat_tables([table.slice(start, 97) for start in range(0, 6000, 97)])
    assert check_rows(kind, parts).to_pylist() == expected, "slices and chunks change nothing"


def test_turns_hidden_behind_a_null_list_are_not_read() -> None:
    turns = pa.array([*chat("a", "b"), *chat("<|im_end|>", "b")], MESSAGES.value_type)
    hidden = pa.ListArray.from_arrays(pa.array([0, 2, 4], pa.int32()), turns, mask=pa.array([False, True]))
    assert check_rows(RowKind.sft, pa.table({"messages": hidden})).to_pylist() == [
        None,
        "messages is missing",
    ]


def test_a_table_without_rows_has_no_reasons() -> None:
    assert in_bulk(RowKind.sft, []) == []


def test_kinds_without_a_contract_accept_every_row() -> None:
    assert check_rows(RowKind.raw, pa.table({"x": [1, 2]})).to_pylist() == [None, None]


def test_texts_are_searched_as_pythons_own_search_would() -> None:
    rng = random.Random(3)
    texts = ["".join(rng.choices("ab<|é\0", k=rng.randint(0, 9))) for _ in range(3000)]
    column = pa.array(texts)
    for needle in ("<|", "é", "\0", "ab", "<"):
        found = np.flatnonzero(texts_with(column, [needle]))
        must = {place for place, text in enumerate(texts) if needle in text}
        joined = {
            place
            for place in range(len(texts) - 1)
            if needle in "".join(texts[place : place + len(needle) + 9])
        }
        assert must <= set(found.tolist()) <= must | joined


# Schedules


def schedule(events: list[list[str]], *priorities: str) -> str:
    return json.dumps({"events": events, "priority_events": list(priorities)})


@pytest.mark.parametrize(
    ("arguments", "errors", "warnings"),
    [
        (schedule([["a", "09:00", "10:00"], ["b", "10:01", "24:00"]], "b"), (), ()),
        (schedule([["a", "09:00", "25:10"]]), ("event 'a': time 25:10 is past 24:00",), ()),
        (schedule([["a", "23:00", "24:01"]]), ("event 'a': time 24:01 is past 24:00",), ()),
        (schedule([["a", "9:00", "10:00"]]), ("event 'a': time '9:00' is not HH:MM",), ()),
        (schedule([["a", "09:00", "10:60"]]), ("event 'a': time '10:60' is not HH:MM",), ()),
        (schedule([["a", "٠٩:00", "10:00"]]), ("event 'a': time '٠٩:00' is not HH:MM",), ()),
        (
            schedule([["a", "10:00", "10:00"]]),
            ("event 'a' ends at 10:00, not after its start at 10:00",),
            (),
        ),
        (schedule([]), ("there are no events",), ()),
        (schedule([["a", "09:00", "10:00"]], "z"), ("priority event 'z' is not listed",), ()),
        (
            schedule([["a", "09:00", "10:00"], ["b", "10:00", "11:00"], ["c", "10:00", "12:00"]]),
            (),
            ("an event ends at 10:00, when another starts", "several events start at 10:00"),
        ),
        ("{}", ("events are not [name, start, end] texts beside a list of priority_events",), ()),
        (
            '{"events": [["a", "09:00"]], "priority_events": []}',
            ("events are not [name, start, end] texts beside a list of priority_events",),
            (),
        ),
    ],
)
def test_a_schedule_has_errors_or_warnings(
    arguments: str, errors: tuple[str, ...], warnings: tuple[str, ...]
) -> None:
    assert check_schedule(arguments) == (errors, warnings)


def test_only_problems_of_the_schedule_verifier_are_looked_at() -> None:
    late = schedule([["a", "09:00", "25:10"]])
    rows = [problem(verifier="schedule", arguments=late), problem(arguments=late), problem(verifier=None)]
    found = schedule_findings(pa.Table.from_pylist(rows, SCHEMAS[RowKind.problems]))
    assert found.errors.to_pylist() == ["event 'a': time 25:10 is past 24:00", None, None]
    assert found.warnings.to_pylist() == [None, None, None]
