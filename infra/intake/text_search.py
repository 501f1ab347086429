"""Find which texts of an Arrow column are empty or contain given strings, several times faster than by kernels.

All texts of a column lie in one buffer. Numpy compares that buffer with a string's first byte at memory speed,
and only the few places left are compared further; Arrow's substring kernel reads a byte at a time.
"""

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from data_contracts.row_rules import BLANK

Array = np.ndarray[Any, Any]

_BLOCK_BYTES = 1 << 20
"""What stays in a core's cache between the comparison and the search for its hits."""

_MAY_BE_BLANK = np.zeros(256, np.bool_)
_MAY_BE_BLANK[[character.encode()[0] for character in BLANK]] = True


def texts_with(texts: pa.Array, needles: Sequence[str]) -> Array:
    """One truth value a text: whether it contains any needle (false for null).

    Buffers are searched across the ends of texts, so a needle split between two neighbours is found too.
    """
    offsets, data = _buffers(texts)
    found = np.zeros(len(texts), np.bool_)
    for first, group in _by_first_byte(tuple(needle.encode() for needle in needles)):
        for places in _places(data, first):
            for needle in group:
                hits = places
                for position, byte in enumerate(needle[1:], 1):
                    hits = hits[hits + position < data.size]
                    hits = hits[data[hits + position] == byte]
                if hits.size:
                    found[np.searchsorted(offsets, hits, side="right") - 1] = True
    return found


def blank_texts(texts: pa.Array) -> Array:
    """One truth value a text: whether it is empty or holds nothing that prints (true or false for null)."""
    offsets, data = _buffers(texts)
    blank: Array = offsets[1:] == offsets[:-1]
    full = np.flatnonzero(~blank)
    unsure = full[_MAY_BE_BLANK[data[offsets[full]]]]
    if unsure.size:
        matches = pc.match_substring_regex(texts.take(pa.array(unsure)), f"^[{BLANK}]*$")  # pyright: ignore[reportAttributeAccessIssue]
        blank[unsure] = pc.fill_null(matches, False).to_numpy(zero_copy_only=False)
    return blank


def _places(data: Array, byte: int) -> Iterator[Array]:
    """Where a byte stands, block by block."""
    for start in range(0, data.size, _BLOCK_BYTES):
        hits = np.flatnonzero(data[start : start + _BLOCK_BYTES] == byte)
        if hits.size:
            yield hits + start


@functools.cache
def _by_first_byte(needles: tuple[bytes, ...]) -> list[tuple[int, list[bytes]]]:
    first = sorted({needle[0] for needle in needles})
    return [(byte, [needle for needle in needles if needle[0] == byte]) for byte in first]


def _buffers(texts: pa.Array) -> tuple[Array, Array]:
    """(offsets from 0, bytes) of a string array, slices included."""
    if len(texts) == 0:
        return np.zeros(1, np.int64), np.zeros(0, np.uint8)
    width = np.int64 if pt.is_large_string(texts.type) else np.int32
    _, places, values = texts.buffers()
    offsets = np.frombuffer(places, width)[texts.offset : texts.offset + len(texts) + 1]
    if values is None:
        return offsets - offsets[0], np.zeros(0, np.uint8)
    return offsets - offsets[0], np.frombuffer(values, np.uint8)[offsets[0] : offsets[-1]]
