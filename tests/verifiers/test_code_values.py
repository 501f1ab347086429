"""Values and messages between the code verifier and the programs it runs."""

import json
import math
import random
import socket

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.verifiers.code_values import MAX_MESSAGE_BYTES, MessageError, decode, encode, receive, send

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
    | st.complex_numbers(allow_nan=False) | st.fractions() | st.dates() | st.timedeltas(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text() | st.integers(), inner)
    | st.frozensets(st.integers() | st.text()),
    max_leaves=20,
)  # fmt: skip


def no_reference(value: object, _: str) -> int:
    raise AssertionError(f"{value!r} is plain")


@given(PLAIN)
@settings(derandomize=True, max_examples=150)
def test_plain_values_come_back_with_their_types(value: object) -> None:
    back = decode(json.loads(json.dumps(encode(value, no_reference))), lambda *_: None)
    assert repr(back) == repr(value) or back == value
    assert type(back) is type(value)


def test_hostile_messages_are_refused_and_nothing_else() -> None:
    rng = random.Random(5)
    names = [
        "list",
        "dict",
        "set",
        "int",
        "type",
        "Fraction",
        "date",
        "complex",
        "range",
        "object",
        "iterator",
        "no",
    ]

    def anything(depth: int) -> object:
        if depth == 0 or rng.random() < 0.3:
            return rng.choice([None, True, 1, -(10**30), math.inf, "x", "0x", "1e999", [], {}])
        if rng.random() < 0.3:
            return [anything(depth - 1) for _ in range(rng.randrange(4))]
        return {rng.choice(names): anything(depth - 1) for _ in range(rng.randrange(1, 3))}

    num_refused = 0
    for _ in range(5_000):
        try:
            decode(anything(4), lambda *_: None)
        except MessageError:
            num_refused += 1
    assert num_refused > 1_000


def test_a_message_has_a_largest_size() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(MessageError):
        send(ours, {"value": "x" * MAX_MESSAGE_BYTES})
    ours, theirs = socket.socketpair()
    ours.sendall(b"\xff" * 4)
    with ours, theirs, pytest.raises(MessageError):
        receive(theirs)
