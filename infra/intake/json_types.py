"""Which Arrow type holds a set of JSON values, by JSON's own types only.

Nothing is guessed from a text: "03-04-2020" and "1:2:3" are texts, not dates and times.
"""

from collections.abc import Iterable
from functools import reduce
from typing import Any, cast

import pyarrow as pa

from infra.intake.strict_json import Fraction, Whole

_DEEPEST = 64
_SCALARS: dict[type, pa.DataType] = {
    type(None): pa.null(),
    bool: pa.bool_(),
    Fraction: pa.float64(),
    str: pa.string(),
}
_LARGEST_WHOLE = 18


class MixedTypesError(ValueError):
    """Values that no single type holds, other than as JSON text."""


def type_of(value: Any, depth: int = 0) -> pa.DataType:
    """The type of one value, null where it says nothing. Raises MixedTypesError."""
    if depth > _DEEPEST:
        raise MixedTypesError("nested too deeply for a type")
    if isinstance(value, dict):
        members = cast(dict[str, Any], value).items()
        return pa.struct([(key, type_of(inner, depth + 1)) for key, inner in members])
    if isinstance(value, list):
        return pa.list_(merged_all(type_of(item, depth + 1) for item in cast(list[Any], value)))
    if isinstance(value, Whole):
        return pa.int64() if _fits_int64(value) else pa.string()
    return _SCALARS[type(value)]


def merged_all(types: Iterable[pa.DataType]) -> pa.DataType:
    """The type that holds values of all these types. Raises MixedTypesError."""
    return reduce(merged, dict.fromkeys(types), pa.null())


def merged(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    """The type that holds values of both; scalars of two kinds become text. Raises MixedTypesError."""
    if one == other or pa.types.is_null(other):
        return one
    if pa.types.is_null(one):
        return other
    if pa.types.is_list(one) and pa.types.is_list(other):
        return pa.list_(merged(one.value_type, other.value_type))
    if pa.types.is_struct(one) and pa.types.is_struct(other):
        members = {field.name: field.type for field in one}
        for field in other:
            members[field.name] = merged(members.get(field.name, pa.null()), field.type)
        return pa.struct(list(members.items()))
    return _merged_scalars(one, other)


def _merged_scalars(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    if pa.types.is_nested(one) or pa.types.is_nested(other):
        raise MixedTypesError(f"{one} and {other}")
    if pa.types.is_integer(one) and pa.types.is_integer(other):
        return pa.int64()
    return pa.float64() if _is_number(one) and _is_number(other) else pa.string()


def settled(found: pa.DataType) -> pa.DataType:
    """The type with text where only null was seen."""
    if pa.types.is_null(found):
        return pa.string()
    if pa.types.is_list(found):
        return pa.list_(settled(found.value_type))
    if pa.types.is_struct(found):
        return pa.struct([(field.name, settled(field.type)) for field in found])
    return found


def has_empty_object(found: pa.DataType) -> bool:
    """Whether some object in it was never seen with a key."""
    if pa.types.is_list(found):
        return has_empty_object(found.value_type)
    if pa.types.is_struct(found):
        return found.num_fields == 0 or any(has_empty_object(field.type) for field in found)
    return False


def widened(asked: pa.DataType, found: pa.DataType) -> pa.DataType:
    """The type asked for, with the members that objects were found to have besides."""
    if pa.types.is_list(asked) and pa.types.is_list(found):
        return pa.list_(widened(asked.value_type, found.value_type))
    if pa.types.is_struct(asked) and pa.types.is_struct(found):
        others = {field.name: field.type for field in found}
        kept = [(field.name, widened(field.type, others.pop(field.name, pa.null()))) for field in asked]
        return pa.struct([*kept, *others.items()])
    return asked


def _fits_int64(text: str) -> bool:
    return len(text) <= _LARGEST_WHOLE or (len(text) <= 40 and -(2**63) <= int(text) < 2**63)


def _is_number(found: pa.DataType) -> bool:
    return pa.types.is_integer(found) or pa.types.is_floating(found)
