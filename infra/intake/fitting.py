"""Bring one row's values to the types asked for, or say which value does not fit, where and why.

This is the exact way, a value at a time. The readers' fast ways must give the same rows; whatever they cannot
be sure about comes here.
"""

import math
from collections.abc import Callable
from typing import Any, cast

import pyarrow as pa

from infra.intake.batches import RawBatch, UnreadableRow, WholeRows, is_json_text, unreadable_row
from infra.intake.strict_json import Fraction, MalformedError, Whole, described, json_text

LOSSES = frozenset({"tool_calls", "function_call"})
"""Keys of a message without which it says something else."""

Fit = Callable[[Any], Any]


class UnfitError(ValueError):
    """A value that does not fit, with its place in the row."""

    def __init__(self, problem: str, place: str = "") -> None:
        super().__init__(problem, place)
        self.problem = problem
        self.place = place

    def inside(self, outer: str) -> "UnfitError":
        """The same, seen from one level further out."""
        return UnfitError(self.problem, outer + self.place)


class RowCollector:
    """Rows of one batch, each fitted or refused as it comes."""

    def __init__(self, file: str, schema: pa.Schema) -> None:
        self._file = file
        self._schema = schema
        self._fits = [(field.name, _fit(field.type, is_json_text(field))) for field in schema]
        self._columns: list[list[Any]] = [[] for _ in schema]
        self._lines: list[int] = []
        self._unreadable: list[UnreadableRow] = []

    def add(self, line: int, row: dict[str, Any], raw: bytes | None = None) -> None:
        """Keep a row, or refuse it with the first value that does not fit; `raw` is its text in the file."""
        values: list[Any] = []
        try:
            for name, fit in self._fits:
                try:
                    values.append(fit(row.get(name)))
                except UnfitError as error:
                    inside = error.inside(shown_key(name))
                    where = inside.place if error.place else f"field {inside.place}"
                    raise MalformedError(f"{where} {error.problem}") from error
        except MalformedError as error:
            self.refuse(line, str(error), json_text(row).encode() if raw is None else raw)
            return
        except RecursionError:
            self.refuse(line, TOO_DEEP, b"" if raw is None else raw)
            return
        self._lines.append(line)
        for column, value in zip(self._columns, values, strict=True):
            column.append(value)

    def refuse(self, line: int, reason: str, raw: bytes) -> None:
        """Account for a row that cannot be read."""
        self._unreadable.append(unreadable_row(self._file, line, reason, raw))

    def batch(self, whole: WholeRows) -> RawBatch:
        """All rows so far; `whole` gives the text of some."""
        arrays = [
            pa.array(column, field.type) for column, field in zip(self._columns, self._schema, strict=True)
        ]
        rows = pa.Table.from_arrays(arrays, schema=self._schema)
        return RawBatch(self._file, rows, pa.array(self._lines, pa.int64()), tuple(self._unreadable), whole)


TOO_DEEP = "nested too deeply"


def shown_key(key: str) -> str:
    """A key as it may stand in a message: plain, or quoted and cut."""
    return key if key.isidentifier() and len(key) <= 80 else json_text(key[:80])


def holds_something(value: Any) -> bool:
    """Whether leaving this value out loses anything: not so for null, "" and what holds only such."""
    match value:
        case None | "" | b"":
            return False
        case dict():
            return any(holds_something(inner) for inner in cast(dict[str, Any], value).values())
        case list() | tuple():
            return len(cast(list[Any], value)) > 0
        case _:
            return True


def _fit(asked: pa.DataType, as_json_text: bool = False) -> Fit:
    if as_json_text:
        return _fit_json_text
    if pa.types.is_list(asked):
        return _list_fit(asked.value_field)
    if pa.types.is_struct(asked):
        return _struct_fit(asked)
    if pa.types.is_integer(asked):
        return _integer_fit(asked)
    simple = {pa.string(): _fit_text, pa.bool_(): _fit_boolean, pa.float64(): _fit_number}
    return simple.get(asked) or _library_fit(asked)


def _fit_text(value: Any) -> str | None:
    if value is None or type(value) is str:
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError as error:
            raise UnfitError(f"is invalid UTF-8 at byte {error.start + 1}: {error.reason}") from error
    if isinstance(value, dict | list | tuple):
        raise UnfitError(f"is {described(cast(object, value))}, expected text")
    return json_text(value) if isinstance(value, bool | int | float) else str(value)


def _fit_json_text(value: Any) -> str | None:
    return json_text(value) if isinstance(value, dict | list | tuple) else _fit_text(value)


def _fit_boolean(value: Any) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    raise UnfitError(f"is {described(value)}, expected true or false")


def _integer_fit(asked: pa.DataType) -> Fit:
    signed = pa.types.is_signed_integer(asked)
    bits = asked.bit_width
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)

    def fit(value: Any) -> int | None:
        if value is None:
            return None
        if isinstance(value, Fraction | float):
            raise UnfitError(f"is {value[:40] if isinstance(value, str) else value}, expected a whole number")
        if isinstance(value, bool) or not isinstance(value, Whole | int):
            raise UnfitError(f"is {described(value)}, expected a whole number")
        if (isinstance(value, Whole) and len(value) > 40) or not low <= int(value) <= high:
            raise UnfitError(f"is {str(value)[:40]}, outside of {asked}")
        return int(value)

    return fit


def _fit_number(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, Whole | Fraction | int | float):
        raise UnfitError(f"is {described(value)}, expected a number")
    number = float(value)
    if isinstance(value, str) and math.isinf(number):
        raise UnfitError(f"is {value[:40]}, too large for a 64-bit number")
    return number


def _list_fit(field: pa.Field) -> Fit:
    fit_item = _fit(field.type, is_json_text(field))

    def fit(value: Any) -> list[Any] | None:
        if value is None:
            return None
        if not isinstance(value, list):
            raise UnfitError(f"is {described(value)}, expected a list")
        items: list[Any] = []
        try:
            for item in cast(list[Any], value):
                items.append(fit_item(item))
        except UnfitError as error:
            raise error.inside(f"[{len(items)}]") from error
        return items

    return fit


def _struct_fit(asked: pa.StructType) -> Fit:
    fits = {field.name: _fit(field.type, is_json_text(field)) for field in asked}

    def fit(value: Any) -> dict[str, Any] | None:
        if value is None:
            return None
        if not isinstance(value, dict):
            raise UnfitError(f"is {described(value)}, expected an object")
        members = cast(dict[str, Any], value)
        if not members.keys() <= fits.keys():
            _require_nothing_lost(members, fits.keys())
        fitted: dict[str, Any] = {}
        for name, fit_member in fits.items():
            try:
                fitted[name] = fit_member(members.get(name))
            except UnfitError as error:
                raise error.inside(f".{shown_key(name)}") from error
        return fitted

    return fit


def _require_nothing_lost(members: dict[str, Any], kept: Any) -> None:
    for key, value in members.items():
        if key in kept or not (key in LOSSES or isinstance(value, dict | list | tuple)):
            continue
        if holds_something(value):
            raise UnfitError("is not kept by Burnish", f".{shown_key(key)}")


def _library_fit(asked: pa.DataType) -> Fit:
    def fit(value: Any) -> Any:
        try:
            pa.scalar(value, asked)
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
            raise UnfitError(f"is {described(value)}, expected {asked}") from error
        return value

    return fit
