"""One strict JSON document that satisfies the schema."""

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_contracts.errors import DataError, GroundTruthError
from data_contracts.verdict import PosedProblem
from stages.verifiers.json_schema import json_schema, strict_json

NOTHING = PosedProblem("", "")
PERSON: dict[str, Any] = {
    "type": "object",
    "properties": {"name": {"type": "string", "minLength": 1}, "age": {"type": "integer", "minimum": 0}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
TREE: dict[str, Any] = {
    "$defs": {"tree": {"type": "array", "items": {"$ref": "#/$defs/tree"}}},
    "$ref": "#/$defs/tree",
}
ANNA = '{"name": "Anna", "age": 3}'


@pytest.mark.parametrize(
    ("completion", "schema"),
    [
        (ANNA, PERSON),
        (f"\n {ANNA}\n", PERSON),
        (f"<think>hm</think>{ANNA}", PERSON),
        (f"Here it is:\n```json\n{ANNA}\n```\nDone.", PERSON),
        (f"```\n{ANNA}\n```", PERSON),
        (f"````json\n{ANNA}\n````", PERSON),
        (f"1. It is:\n     ```json\n     {ANNA}\n     ```", PERSON),
        (f"~~~json\n{ANNA}\n~~~", PERSON),
        ("\ufeff" + ANNA, PERSON),
        ('{"name": "```", "age": 3}', PERSON),
        ('{"name": "Anna", "age": 3.0}', PERSON),
        ("[[], [[]]]", TREE),
        ("3", {"type": "integer"}),
        ('"a"', {"enum": ["a", "b"]}),
        ("null", {"const": None}),
        ('{"$ref": "x"}', {"properties": {"$ref": {"type": "string"}}}),
        ('{"a": 1}', {"$id": "https://example.org/a", "$schema": "https://json-schema.org/draft/2020-12/schema",
                      "properties": {"a": {"$ref": "#/$defs/n"}}, "$defs": {"n": {"type": "integer"}}}),
    ],
)  # fmt: skip
def test_a_document_that_satisfies_the_schema_is_right(completion: str, schema: dict[str, Any]) -> None:
    assert json_schema(completion, NOTHING, schema=schema).reward == 1.0


@pytest.mark.parametrize(
    "completion",
    [
        "",
        "Anna, 3",
        f"Here it is: {ANNA}",
        f"{ANNA} {ANNA}",
        f"{ANNA}\n{ANNA}",
        f"```json\n{ANNA}\n```\n```json\n{ANNA}\n```",
        f"```json\n{ANNA}",
        f"{ANNA}\n```json\n```",
        f"<think>{ANNA}</think>",
        f"<think>{ANNA}",
        '{"name": "Anna", "age": 3, "age": 3}',
        '{"name": "Bob", "name": "Anna", "age": 3}',
        '{"name": "Anna", "\\u0061ge": 3, "age": 4}',
        '{"name": "Anna", "age": NaN}',
        '{"name": "Anna", "age": Infinity}',
        '{"name": "Anna", "age": -Infinity}',
        '{"name": "Anna", "age": 1e999}',
        '{"name": "Anna", "age": true}',
        '{"name": "Anna", "age": "3"}',
        '{"name": "Anna", "age": -1}',
        '{"name": "Anna", "age": 3, "role": "admin"}',
        '{"name": "Anna", "\u0430ge": 3}',
        '{"name": "", "age": 3}',
        '{"name": "Anna", "age": 3,}',
        "{'name': 'Anna', 'age': 3}",
        '{"name": "An\nna", "age": 3}',
        '{"name": "Anna", "age": 03}',
        '{"name": "Anna", "age": ' + "9" * 101 + "}",
        '{"name": "Anna", "age": ' + "9" * 100_000 + "}",
        '{"name": "Anna", "age": 9**9**9}',
        "\ufeff\ufeff" + ANNA,
        ANNA + "\ufeff",
        f"~~~json\n{ANNA}\n```",
        f"````json\n{ANNA}\n```",
        f"```json\n{ANNA}\n~~~",
        f"~~~json\n{ANNA}\n~~~\n~~~json\n{ANNA}\n~~~",
        f"~~~json\n{ANNA}",
        ANNA + "\u200b",
        '{"$schema": {}, "name": "Anna", "age": 3}',
        '"name age"',
        "true",
        "[" + ANNA + "]",
        "[" * 150_000,
        '{"name":' * 20_000,
        "[" * 100_000 + "]" * 100_000,
        ANNA + " " * 200_000,
        '{"name": "\\ud800", "age": -1}',
    ],
)  # fmt: skip
def test_anything_else_is_wrong(completion: str) -> None:
    assert json_schema(completion, NOTHING, schema=PERSON).reward == 0.0


@pytest.mark.parametrize(
    ("completion", "schema"),
    [
        ("3", {"minimum": 1}),
        ('"x"', {"minLength": 1}),
        ("true", {"title": "anything"}),
        ("[" * 40 + "]" * 40, TREE),
        ('{"a": 1}', {"$ref": "#"}),
        ("[1, 1.0]", {"uniqueItems": True}),
        ('{"a": 1e300}', {"properties": {"a": {"multipleOf": 0.7e-300}}}),
    ],
)
def test_schemas_with_holes_do_not_let_everything_pass(completion: str, schema: dict[str, Any]) -> None:
    assert json_schema(completion, NOTHING, schema=schema).reward == 0.0


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "text"},
        {"pattern": "("},
        {"multipleOf": 0},
        {"$ref": "https://example.org/schema.json"},
        {"$ref": "file:///etc/passwd"},
        {"$ref": "other.json#/a"},
        {"$ref": "#/$defs/missing"},
        {"$ref": "#/title", "title": "no schema"},
        {"$ref": "#/x/y", "x": {"y": {"type": "text"}}},
        {"properties": {"a": {"items": [{"$dynamicRef": "http://localhost/x"}]}}},
        {"properties": {"a": {"$id": "http://localhost/x"}}},
        {"$schema": "http://json-schema.org/draft-07/schema#"},
        {"maximum": float("inf")},
        json.loads('{"not":' * 60 + "{}" + "}" * 60),
    ],
)
@pytest.mark.parametrize("completion", ["", "{}"])
def test_a_schema_that_cannot_judge_is_refused_whatever_the_completion(
    schema: dict[str, Any], completion: str
) -> None:
    with pytest.raises(DataError):
        json_schema(completion, NOTHING, schema=schema)


@pytest.mark.parametrize(
    ("completion", "ground_truth", "reward"),
    [
        ('{"a": [1, {"b": null}]}', '{ "a": [1.0, {"b": null}] }', 1.0),
        ('{"b": 2, "a": 1}', '{"a": 1, "b": 2}', 1.0),
        ('{"a": true}', '{"a": 1}', 0.0),
        ('{"a": [false]}', '{"a": [0]}', 0.0),
        ('{"a": 1}', '{"a": 1, "b": 2}', 0.0),
        ('{"a": "1"}', '{"a": 1}', 0.0),
        ("[2, 1]", "[1, 2]", 0.0),
    ],
)
def test_a_ground_truth_must_be_equalled_as_json(completion: str, ground_truth: str, reward: float) -> None:
    schema: dict[str, Any] = {"type": ["object", "array"]}
    assert json_schema(completion, PosedProblem("", ground_truth), schema=schema).reward == reward


@pytest.mark.parametrize("ground_truth", ["Anna", '{"name": "Anna"}', '{"a":1,"a":1}', "NaN", "[" * 5000])
def test_a_ground_truth_that_breaks_its_schema_is_refused(ground_truth: str) -> None:
    with pytest.raises(GroundTruthError):
        json_schema(ANNA, PosedProblem("", ground_truth), schema=PERSON)


def test_reading_takes_linear_time() -> None:
    started = time.process_time()
    for piece in ('"', '\\"', "```\n", "[1,", '{"a":', "[[],[]],", " "):
        json_schema(piece * (190_000 // len(piece)), NOTHING, schema=PERSON)
    assert time.process_time() - started < 3.0


NUMBERS = st.integers(-(10**9), 10**9) | st.floats(allow_nan=False, allow_infinity=False)
LEAF = st.none() | st.booleans() | NUMBERS | st.text()
DOCUMENTS = st.recursive(
    LEAF, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8
)


@settings(derandomize=True, deadline=None)
@given(DOCUMENTS)
def test_what_python_writes_is_read_back(document: Any) -> None:
    assert strict_json(json.dumps(document)) == document


@settings(derandomize=True, deadline=None, max_examples=300)
@given(st.text(alphabet='{}[]",:01eE-+.truefalsn\\ `\n'))
def test_no_text_raises(completion: str) -> None:
    json_schema(completion, NOTHING, schema=PERSON)
