"""JSON files: an array of objects, one object, objects one after the other, or lines under another name.

Elements are counted from 1. After a syntax error nothing can be told apart: the rest is one unreadable row.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import pyarrow as pa

from data_contracts.errors import DataError
from infra.intake.batches import RawBatch, SourceFile
from infra.intake.fitting import TOO_DEEP, RowCollector
from infra.intake.json_lines import first_objects, read_json_lines
from infra.intake.streams import BLOCK_BYTES, read_whole
from infra.intake.strict_json import (
    MalformedError,
    parse_at,
    parse_object,
    require_object,
    require_unicode,
)

_SPACE = re.compile(r"[ \t\r\n]*")
_BRACKET_OR_TEXT = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{}]', re.DOTALL)
_LINES_LOOKED_AT = 20


@dataclass(frozen=True, slots=True)
class _Element:
    """A row, or the reason why it is none."""

    row: dict[str, Any] | None
    reason: str
    start: int
    end: int


def read_json_file(file: SourceFile, schema: pa.Schema) -> Iterator[RawBatch]:
    """Batches of about 16 MiB of text. Raises DataError where not even a first element can be read."""
    data = read_whole(file)
    if _is_lines(data):
        yield from read_json_lines(file, schema)
        return
    text = data.decode("utf-8", "surrogateescape")
    places: dict[int, tuple[int, int]] = {}
    whole = partial(_texts, text, places)
    collector, size = RowCollector(file.path, schema), 0
    for number, element in enumerate(_elements(text, file), 1):
        raw = text[element.start : element.end].encode("utf-8", "surrogateescape")
        if element.row is None:
            collector.refuse(number, element.reason, raw)
        else:
            places[number] = element.start, element.end
            collector.add(number, element.row, raw)
        size += len(raw)
        if size >= BLOCK_BYTES:
            yield collector.batch(whole)
            collector, size = RowCollector(file.path, schema), 0
    yield collector.batch(whole)


def _texts(text: str, places: dict[int, tuple[int, int]], numbers: Sequence[int]) -> list[str]:
    return [text[slice(*places[number])] for number in numbers]


def first_json_objects(file: SourceFile, count: int) -> Iterator[dict[str, Any]]:
    """Up to `count` of the rows that can be read, from the beginning."""
    data = read_whole(file)
    if _is_lines(data):
        return first_objects(file, count)
    elements = _elements(data.decode("utf-8", "surrogateescape"), file)
    return islice((element.row for element in elements if element.row is not None), count)


def _is_lines(data: bytes) -> bool:
    """Whether the first line is a whole object, and so are most of the next ones."""
    lines = [line for line in islice(_first_lines(data), _LINES_LOOKED_AT) if line.strip()]
    objects = [_is_object(line) for line in lines]
    return bool(objects) and objects[0] and 2 * sum(objects) > len(objects)


def _first_lines(data: bytes) -> Iterator[bytes]:
    start = 0
    while start < len(data):
        end = data.find(b"\n", start) + 1 or len(data)
        yield data[start:end]
        start = end


def _is_object(line: bytes) -> bool:
    try:
        parse_object(line)
    except (MalformedError, RecursionError):
        return False
    return True


def _elements(text: str, file: SourceFile) -> Iterator[_Element]:
    """The elements in order; the last one may be the unread rest. Raises DataError when it would be the first."""
    position, count = _after_space(text, 0), 0
    in_array = text.startswith("[", position)
    try:
        if in_array:
            position = _first_in_array(text, position)
        while position < len(text):
            element = _element(text, position)
            yield element
            count += 1
            position = element.end
            position = _next_in_array(text, position) if in_array else _after_space(text, position)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        if count == 0:
            raise DataError(
                f"{file.path} cannot be read as JSON: {error.msg} ({place}).",
                "an array of objects, or objects one after the other",
                "Check the file, or the program that writes it.",
            ) from error
        problem = f"{error.msg[0].lower()}{error.msg[1:]}"
        rest = f"malformed JSON: {problem} ({place}); the rest of the file was not read"
        yield _Element(None, rest, position, len(text))


def _first_in_array(text: str, start: int) -> int:
    position = _after_space(text, start + 1)
    if position == len(text):
        raise json.JSONDecodeError("Expecting value", text, position)
    return _next_in_array(text, position) if text[position] == "]" else position


def _next_in_array(text: str, end: int) -> int:
    """Where the next element begins, or the text's end. Raises JSONDecodeError."""
    position = _after_space(text, end)
    if text.startswith("]", position):
        after = _after_space(text, position + 1)
        if after < len(text):
            raise json.JSONDecodeError("Extra data", text, after)
        return after
    if not text.startswith(",", position):
        raise json.JSONDecodeError("Expecting ',' delimiter", text, position)
    position = _after_space(text, position + 1)
    if position == len(text):
        raise json.JSONDecodeError("Expecting value", text, position)
    return position


def _element(text: str, start: int) -> _Element:
    """Raises JSONDecodeError where the end of the element cannot be told."""
    try:
        value, end = parse_at(text, start)
    except (MalformedError, RecursionError) as error:
        reason = TOO_DEEP if isinstance(error, RecursionError) else str(error)
        return _Element(None, reason, start, _end_of_brackets(text, start))
    try:
        piece = text[start:end]
        piece.encode()
        if "\\ud" in piece or "\\uD" in piece:
            require_unicode(value)
        return _Element(require_object(value), "", start, end)
    except UnicodeEncodeError:
        return _Element(None, "invalid UTF-8", start, end)
    except MalformedError as error:
        return _Element(None, str(error), start, end)


def _end_of_brackets(text: str, start: int) -> int:
    """Where the brackets that open at `start` are closed. Raises JSONDecodeError where they are not."""
    depth = 0
    for found in _BRACKET_OR_TEXT.finditer(text, start):
        depth += 1 if found[0] in "[{" else -1 if found[0] in "]}" else 0
        if depth <= 0:
            return found.end()
    raise json.JSONDecodeError("Brackets that are not closed", text, start)


def _after_space(text: str, position: int) -> int:
    found = _SPACE.match(text, position)
    assert found is not None
    return found.end()
