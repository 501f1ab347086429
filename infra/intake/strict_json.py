"""JSON by RFC 8259, strictly, with numbers as they are written.

Python's `json` reads more than JSON (NaN, lone surrogates) and rounds: 1.50 becomes 1.5 and 1e400 infinity.
A number here is its own text, until a column says which type it has.
"""

import json
import math
from typing import Any, NoReturn, cast

_WORDS: dict[type, str] = {
    type(None): "null",
    int: "a number",
    float: "a number",
    str: "text",
    bytes: "bytes",
    dict: "an object",
    list: "a list",
    tuple: "a list",
}


class Whole(str):
    """A number without fraction or exponent, as written."""

    __slots__ = ()


class Fraction(str):
    """A number with a fraction or an exponent, as written."""

    __slots__ = ()


class MalformedError(ValueError):
    """Text that is no JSON, or no object, with the reason as its message."""


def parse_object(raw: bytes) -> dict[str, Any]:
    """The one JSON object that a line holds; of a repeated key the last value.

    Raises MalformedError with the reason, RecursionError for nesting deeper than the interpreter can follow.
    """
    try:
        text = raw.decode()
        value = _DECODER.decode(text)
        if "\\ud" in text or "\\uD" in text:
            require_unicode(value)
    except UnicodeDecodeError as error:
        raise MalformedError(f"invalid UTF-8 at byte {error.start + 1}: {error.reason}") from error
    except json.JSONDecodeError as error:
        raise MalformedError(syntax_reason(error)) from error
    return require_object(value)


def parse_at(text: str, start: int) -> tuple[Any, int]:
    """The value that begins at `start` and where it ends. Raises JSONDecodeError, MalformedError, RecursionError."""
    return _DECODER.raw_decode(text, start)


def require_object(value: Any) -> dict[str, Any]:
    """Raises MalformedError saying what stands where a row, an object, is expected."""
    if not isinstance(value, dict):
        raise MalformedError(f"{described(value)}, expected an object")
    return cast(dict[str, Any], value)


def require_unicode(value: Any) -> None:
    """Raises MalformedError where an escape such as \\ud800 is half of a surrogate pair."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        half = ord(error.object[error.start])
        raise MalformedError(f"invalid Unicode: \\u{half:04x} is half of a surrogate pair") from error


def syntax_reason(error: json.JSONDecodeError) -> str:
    """Why a text of one line is no JSON, and where."""
    return f"malformed JSON: {error.msg[0].lower()}{error.msg[1:]} (column {error.colno})"


def described(value: object) -> str:
    """What kind of value this is, in the words of a message."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Whole | Fraction):
        return "a number"
    return _WORDS.get(type(value), f"a {type(value).__name__}")


def json_text(value: Any) -> str:
    """Compact JSON, numbers as they were written, what JSON does not know as text."""
    match value:
        case Whole() | Fraction():
            return str(value)
        case dict():
            members = cast(dict[str, Any], value).items()
            return "{" + ",".join(f"{json_text(key)}:{json_text(inner)}" for key, inner in members) + "}"
        case list() | tuple():
            return "[" + ",".join(json_text(inner) for inner in cast(list[Any], value)) + "]"
        case bytes():
            return json.dumps(value.decode("utf-8", "backslashreplace"), ensure_ascii=False)
        case float() if not math.isfinite(value):
            return f'"{value}"'
        case _:
            return json.dumps(value, ensure_ascii=False, default=str)


def _refuse_constant(name: str) -> NoReturn:
    raise MalformedError(f"malformed JSON: {name} is no number of JSON")


_DECODER = json.JSONDecoder(parse_int=Whole, parse_float=Fraction, parse_constant=_refuse_constant)
