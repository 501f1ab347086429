"""Values as JSON, so that what a model's program returns reaches its tests as plain data and nothing else.

Only built-in values cross, each under its type's name: what arrives is a real list or int, whose `==` is Python's own,
whatever class the program had made. Anything else stays where it is and crosses as a number that means it.
"""

import json
import socket
import struct
from collections import deque
from collections.abc import Callable, Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

MAX_MESSAGE_BYTES = 8 * 2**20
_LENGTH = struct.Struct("=I")
_BIGGEST_PLAIN_INT = 2**53

Reference = Callable[[object, str], int]
Resolve = Callable[[str, int], object]
Encoder = Callable[[Any, Reference], Any]


class MessageError(Exception):
    """What came is no message: too long, cut off, or not ours."""


def send(channel: socket.socket, message: dict[str, Any]) -> None:
    """Raises OSError when nobody is there to read, MessageError for more than MAX_MESSAGE_BYTES."""
    data = json.dumps(message).encode()
    if len(data) > MAX_MESSAGE_BYTES:
        raise MessageError(f"a value of {len(data):,} bytes is too large")
    channel.sendall(_LENGTH.pack(len(data)) + data)


def receive(channel: socket.socket) -> dict[str, Any] | None:
    """The next message, or None at the end. Raises MessageError."""
    header = _read(channel, _LENGTH.size)
    if not header:
        return None
    (length,) = _LENGTH.unpack(header.ljust(_LENGTH.size, b"\xff"))
    if length > MAX_MESSAGE_BYTES:
        raise MessageError(f"a message of {length:,} bytes is too large")
    try:
        message = json.loads(_read(channel, length))
    except (ValueError, RecursionError) as error:
        raise MessageError("no valid message") from error
    if not isinstance(message, dict):
        raise MessageError("no valid message")
    return message


def _read(channel: socket.socket, length: int) -> bytes:
    parts: list[bytes] = []
    while length and (part := channel.recv(min(length, 1 << 16))):
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


def encode(value: object, reference: Reference) -> Any:
    """`reference(value, kind)` numbers a value that is not plain; kind is `iterator` or `object`."""
    encoder = _ENCODERS.get(type(value)) or next(
        (encoder for cls, encoder in _ENCODERS.items() if isinstance(value, cls)), _encode_other
    )
    return encoder(value, reference)


def _encode_int(value: int, _: Reference) -> Any:
    number = int(value)
    return number if abs(number) < _BIGGEST_PLAIN_INT else {"int": hex(number)}


def _items(name: str) -> Encoder:
    return lambda value, reference: {name: [encode(item, reference) for item in value]}


def _plain(name: str, content: Callable[[Any], object]) -> Encoder:
    return lambda value, _: {name: content(value)}


def _encode_other(value: object, reference: Reference) -> Any:
    kind = "iterator" if isinstance(value, Iterator) else "object"
    return {kind: reference(value, kind)}


def _encode_type(value: type, reference: Reference) -> Any:
    is_known = _TYPES.get(value.__name__) is value
    return {"type": value.__name__} if is_known else _encode_other(value, reference)


_TYPES: dict[str, type] = {
    cls.__name__: cls
    for cls in (bool, int, float, complex, str, bytes, list, tuple, set, frozenset, dict, type(None), object)
}
_ENCODERS: dict[type, Encoder] = {  # a class stands before those it inherits from
    type(None): lambda *_: None,
    bool: lambda value, _: value,
    int: _encode_int,
    float: lambda value, _: float(value),
    str: lambda value, _: str.__str__(value),
    list: _items("list"),
    tuple: _items("tuple"),
    set: _items("set"),
    frozenset: _items("frozenset"),
    deque: _items("deque"),
    dict: lambda value, reference: {
        "dict": [[encode(key, reference), encode(item, reference)] for key, item in value.items()]
    },
    bytes: _plain("bytes", bytes.hex),
    bytearray: _plain("bytearray", bytearray.hex),
    complex: _plain("complex", lambda value: [value.real, value.imag]),
    range: lambda value, reference: _items("range")((value.start, value.stop, value.step), reference),
    Decimal: _plain("Decimal", str),
    Fraction: _plain("Fraction", str),
    datetime: _plain("datetime", datetime.isoformat),
    date: _plain("date", date.isoformat),
    time: _plain("time", time.isoformat),
    timedelta: _plain("timedelta", lambda value: [value.days, value.seconds, value.microseconds]),
    type({}.keys()): _items("dict_keys"),
    type({}.values()): _items("dict_values"),
    type({}.items()): _items("dict_items"),
    type: _encode_type,
}
PLAIN_ATTRIBUTES = frozenset(name for cls in _ENCODERS for name in dir(cls))
"""Of all values that cross."""

_FROM_ITEMS: dict[str, Callable[[list[Any]], object]] = {
    "list": list,
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
    "deque": deque,
    "dict": dict,
    "range": lambda items: range(*items),
    "dict_keys": lambda items: dict.fromkeys(items).keys(),
    "dict_values": lambda items: dict(enumerate(items)).values(),
    "dict_items": lambda items: dict(items).items(),
}
_FROM_PLAIN: dict[str, Callable[[Any], object]] = {
    "int": lambda digits: int(digits, 16),
    "type": _TYPES.__getitem__,
    "bytes": bytes.fromhex,
    "bytearray": bytearray.fromhex,
    "complex": lambda parts: complex(*parts),
    "Decimal": Decimal,
    "Fraction": Fraction,
    "datetime": datetime.fromisoformat,
    "date": date.fromisoformat,
    "time": time.fromisoformat,
    "timedelta": lambda parts: timedelta(*parts),
}


def decode(data: Any, resolve: Resolve) -> Any:
    """What `encode` made. `resolve(kind, number)` finds what a number means. Raises MessageError."""
    try:
        return _decode(data, resolve)
    except (TypeError, ValueError, KeyError, ArithmeticError, RecursionError) as error:
        raise MessageError("no valid value") from error


def _decode(data: Any, resolve: Resolve) -> Any:
    if not isinstance(data, dict):
        if isinstance(data, list):
            raise MessageError("no valid value")
        return data
    ((name, content),) = data.items()
    if name == "dict":
        return {_decode(key, resolve): _decode(item, resolve) for key, item in content}
    if name in _FROM_ITEMS:
        return _FROM_ITEMS[name]([_decode(item, resolve) for item in content])
    if name in _FROM_PLAIN:
        return _FROM_PLAIN[name](content)
    if name not in ("iterator", "object"):
        raise MessageError("no valid value")
    return resolve(name, int(content))
