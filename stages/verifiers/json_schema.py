"""Reward 1 when the answer is one JSON document that satisfies the dataset's schema (Draft 2020-12, jsonschema).

The document is the whole answer or what its only code fence holds. JSON is read strictly (RFC 8259 and I-JSON,
RFC 7493): no key twice, no NaN, no number beyond a double, no nesting without end. A schema refers to nothing
outside itself, and `format` asserts nothing, as the draft has it.
"""

import json
import math
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Unpack

from pydantic import JsonValue, with_config
from typing_extensions import TypedDict

from data_contracts.errors import DataError, GroundTruthError
from data_contracts.verdict import PosedProblem, Verdict
from stages.verifiers.reading import after_thinking, shortened
from stages.verifiers.verifier import Verifier

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

_MAX_CHARACTERS = 200_000
_MAX_DIGITS = 100
_MAX_DEPTH = 32
_FENCE = re.compile(r"^[ \t]{0,8}(`{3,}|~{3,})[^\n`~]*$", re.MULTILINE)
_DRAFT = "https://json-schema.org/draft/2020-12/schema"


@with_config(extra="forbid")
class JsonSchemaArguments(TypedDict):
    """What the document must satisfy."""

    schema: dict[str, JsonValue]
    """References begin with #. Without `type`, `enum` or `const` at its top, a bare text or number is wrong."""


def json_schema(completion: str, problem: PosedProblem, **arguments: Unpack[JsonSchemaArguments]) -> Verdict:
    """The verdict, in a worker process: patterns in a schema may backtrack.

    A ground truth that is not empty is the document wanted, equal as JSON (1 and 1.0 are one number).
    """
    validator, expected = _validators(json.dumps(arguments["schema"]), problem.ground_truth)
    try:
        document = strict_json(_document_text(after_thinking(completion)))
        if not isinstance(document, dict | list) and not arguments["schema"].keys() & {
            "type",
            "enum",
            "const",
        }:
            raise ValueError("a bare value, and the schema does not ask for one")
        broken = next(validator.iter_errors(document), None)
    except ValueError as error:
        return Verdict(0.0, f"no JSON document: {shortened(str(error))}")
    except RecursionError:
        return Verdict(0.0, "the schema refers to itself without end")
    if broken is not None:
        return Verdict(
            0.0, f"breaks {shortened('/'.join(map(str, broken.absolute_schema_path)))} of the schema"
        )
    if expected is None:
        return Verdict(1.0, "satisfies the schema")
    if not expected.is_valid(document):
        return Verdict(0.0, f"satisfies the schema, but is not {shortened(problem.ground_truth)}")
    return Verdict(1.0, "the document wanted")


JSON_SCHEMA = Verifier(
    summary="an answer in JSON that keeps a schema",
    thorough="stages.verifiers.json_schema:json_schema",
    arguments=JsonSchemaArguments,
    answers="solution",
)


def strict_json(text: str) -> Any:
    """The document. Raises ValueError, with a reason for people, for anything a strict reader refuses."""
    if len(text) > _MAX_CHARACTERS:
        raise ValueError(f"{len(text):,} characters, more than {_MAX_CHARACTERS:,}")
    try:
        document = json.loads(
            text,
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=_finite,
            parse_constant=_no_constant,
        )
    except RecursionError:
        raise ValueError(f"nested more than {_MAX_DEPTH} deep") from None
    if _is_deeper(document, _MAX_DEPTH):
        raise ValueError(f"nested more than {_MAX_DEPTH} deep")
    return document


def _document_text(answer: str) -> str:
    """A line of JSON never is a fence: its texts hold no line breaks. A byte order mark may be ignored (RFC 8259)."""
    fences = list(_FENCE.finditer(answer))
    if not fences:
        return answer.removeprefix("\ufeff")
    if len(fences) != 2 or fences[0][1] != fences[1][1]:
        raise ValueError("not exactly one code fence")
    return answer[fences[0].end() : fences[1].start()]


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) < len(pairs):
        raise ValueError("a key is there twice")
    return document


def _integer(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        raise ValueError(f"a number of {len(digits):,} digits")
    return int(digits)


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError("a number that is too large")
    return value


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _is_deeper(document: Any, depth: int) -> bool:
    """Level by level, without recursion."""
    level = [document]
    for _ in range(depth + 1):
        containers = [value for value in level if isinstance(value, dict | list)]
        level = [
            inner for value in containers for inner in (value.values() if isinstance(value, dict) else value)
        ]
        if not containers:
            return False
    return True


@lru_cache(maxsize=256)
def _validators(schema_json: str, ground_truth: str) -> "tuple[Validator, Validator | None]":
    """One for the schema, one for the ground truth where there is any. Raises DataError for a bad one."""
    from jsonschema import Draft202012Validator
    from referencing import Registry

    if fault := _schema_fault(schema_json):
        raise DataError(
            f"The schema {shortened(schema_json)} cannot be used: {shortened(fault)}.",
            f"a JSON Schema of {_DRAFT} that refers to nothing outside itself",
            "Fix the argument schema of this row.",
        )
    validator = Draft202012Validator(_anonymous(schema_json), registry=Registry())
    if not ground_truth:
        return validator, None
    try:
        expected = strict_json(ground_truth)
        fault = None if validator.is_valid(expected) else "it does not satisfy the schema"
    except (ValueError, RecursionError) as error:
        expected, fault = None, str(error)
    if fault:
        raise GroundTruthError(
            f"The ground truth {shortened(ground_truth)!r} is no right answer: {shortened(fault)}.",
            "a JSON document that satisfies the schema, or nothing",
            "Fix the row or drop it.",
        )
    return validator, Draft202012Validator({"const": expected}, registry=Registry())


def _anonymous(schema_json: str) -> dict[str, Any]:
    """Without the address a schema gives itself, so that # means its top."""
    return {key: value for key, value in strict_json(schema_json).items() if key != "$id"}


def _schema_fault(schema_json: str) -> str | None:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError
    from referencing import Registry
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import DRAFT202012

    try:
        schema = _anonymous(schema_json)
        if not schema or schema.get("$schema", _DRAFT) not in (_DRAFT, f"{_DRAFT}#"):
            return "it says nothing" if not schema else "it is of another draft"
        Draft202012Validator.check_schema(schema)
        resolver = Registry().with_resource("", DRAFT202012.create_resource(schema)).resolver()
        for keyword, target in _references(schema):
            if keyword == "$id" or not target.startswith("#"):
                return f"{keyword} {target}"
            Draft202012Validator.check_schema(resolver.lookup(target).contents)
    except SchemaError as error:
        return error.message
    except Unresolvable as error:
        return f"nothing is at {error.ref}"
    except (ValueError, RecursionError) as error:
        return str(error)
    return None


def _references(schema: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Where a part of the schema names another one or itself."""
    waiting: list[Any] = [schema]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            yield from (
                (key, part[key]) for key in ("$ref", "$dynamicRef", "$id") if isinstance(part.get(key), str)
            )
        waiting.extend(part.values() if isinstance(part, dict) else part if isinstance(part, list) else ())
