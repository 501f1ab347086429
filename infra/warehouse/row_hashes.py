"""What a row is: 128 bits of the SHA-256 of its columns' names and values.

Text, and lists of records of text such as messages, are hashed as the bytes that stand in Arrow's buffers; any
other value as its JSON, made in one place only, because two writers of JSON differ on floats. A version's
fingerprint is the hash of its columns and of its rows' hashes in order, so it can be proven from the hashes
alone.
"""

import hashlib
import json
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from data_contracts.canonical import FINGERPRINT_LENGTH

HASH_BYTES = 16
Hashes = np.ndarray[tuple[int], np.dtype[np.void]]
"""One `V16` item a row."""

HASH_TYPE = np.dtype((np.void, HASH_BYTES))

_ROWS_AT_ONCE = 8_192
_NULL, _NULL_RECORD = -1, -2
"""What stands for the length of something that is not there."""

Part = Any
"""[rows] A `pyarrow` array of bytes, or one scalar for all rows."""


class RowHasher:
    """Hashes the rows of many batches over one DuckDB connection."""

    def __init__(self) -> None:
        self._db = duckdb.connect(
            ":memory:",
            config={"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"},
        )

    def hash_rows(self, rows: pa.Table) -> Hashes:
        """One hash per row, in order."""
        if rows.num_rows == 0:
            return np.empty(0, HASH_TYPE)
        batches = rows.to_batches(max_chunksize=_ROWS_AT_ONCE)
        return np.frombuffer(b"".join([_digests(self._documents(batch)) for batch in batches]), HASH_TYPE)

    def _documents(self, rows: pa.RecordBatch) -> pa.Array:
        """[rows] The bytes that are hashed: numbers tell where each text ends, so no two rows give the same."""
        parts: list[Part] = [_scalar(json.dumps(rows.schema.names).encode())]
        others: list[str] = []
        for field, column in zip(rows.schema, rows.columns, strict=True):
            if _is_text(field.type):
                parts += _text_parts(column)
            elif _is_list_of_records(field.type):
                parts += _record_parts(column)
            else:
                others.append(field.name)
        if others:
            self._db.register("batch", pa.Table.from_batches([rows.select(others)]))
            documents = self._db.sql("select to_json(batch)::varchar as document from batch")
            parts += _text_parts(documents.to_arrow_table().column("document").combine_chunks())
        return pc.binary_join_element_wise(*parts, _scalar(b""))  # pyright: ignore

    def close(self) -> None:
        self._db.close()


def words_of(hashes: Hashes) -> NDArray[np.uint64]:
    """[rows, 2] Each hash as two little-endian 64-bit words, the same on every machine."""
    return np.ascontiguousarray(hashes).view("<u8").reshape(-1, 2)


def halves_of(hashes: Hashes) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """The first and the second word of each hash, each contiguous: [rows], [rows]."""
    words = words_of(hashes)
    return np.ascontiguousarray(words[:, 0]), np.ascontiguousarray(words[:, 1])


def fingerprint_of(columns: str, hashes: Iterable[Hashes]) -> str:
    """The fingerprint of rows with these columns (`columns_text`) and hashes, in order."""
    digest = hashlib.sha256(columns.encode())
    for part in hashes:
        digest.update(np.ascontiguousarray(part).view(np.uint8).data)
    return digest.hexdigest()[:FINGERPRINT_LENGTH]


def columns_text(schema: pa.Schema) -> str:
    """Names and types as JSON, whatever library made the table."""
    return json.dumps([[field.name, _type_text(field.type)] for field in schema])


def _digests(documents: pa.Array) -> bytes:
    """The shortened SHA-256 of every item, one after the other."""
    bounds = _offsets(documents).tolist()
    text = memoryview(documents.buffers()[2])
    sha256 = hashlib.sha256
    return b"".join([sha256(text[start:end]).digest()[:HASH_BYTES] for start, end in pairwise(bounds)])


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _is_list_of_records(kind: pa.DataType) -> bool:
    return (
        (pa.types.is_list(kind) or pa.types.is_large_list(kind))
        and pa.types.is_struct(kind.value_type)
        and kind.value_type.num_fields > 0
        and all(_is_text(field.type) for field in kind.value_type.fields)
    )


def _text_parts(column: pa.Array) -> list[Part]:
    """A length, and the text."""
    return [_numbers(_lengths(column)), _with_offsets(*_content(column))]


def _record_parts(column: pa.Array) -> list[Part]:
    """The number of records; then for each of their fields its name, its lengths and its texts, joined."""
    counts = column.value_lengths()
    ends = np.cumsum([0, *counts.fill_null(0).to_numpy()])
    records = column.flatten()
    is_null = records.is_null().to_numpy(zero_copy_only=False)
    parts: list[Part] = [_numbers(counts.fill_null(_NULL).to_numpy())]
    for field, texts in zip(records.type.fields, records.flatten(), strict=True):
        lengths = np.where(is_null, _NULL_RECORD, _lengths(texts))
        offsets, content = _content(texts)
        parts += [
            _scalar(json.dumps(field.name).encode()),
            _numbers(lengths, ends),
            _with_offsets(offsets[ends], content),
        ]
    return parts


def _lengths(texts: pa.Array) -> NDArray[np.int64]:
    """[rows] Bytes of each text."""
    return pc.binary_length(texts).fill_null(_NULL).to_numpy().astype("<i8")  # pyright: ignore


def _content(texts: pa.Array) -> tuple[NDArray[np.int64], pa.Buffer | None]:
    """[rows + 1] Where each text begins and the last ends, in these bytes; what is null takes none."""
    whole = texts.fill_null("") if texts.null_count else texts
    return _offsets(whole), whole.buffers()[2]


def _offsets(texts: pa.Array) -> NDArray[np.int64]:
    wide = pa.types.is_large_string(texts.type) or pa.types.is_large_binary(texts.type)
    offsets = np.frombuffer(texts.buffers()[1], np.int64 if wide else np.int32)
    return offsets[texts.offset : texts.offset + len(texts) + 1].astype(np.int64)


def _numbers(values: NDArray[np.int64], ends: NDArray[np.int64] | None = None) -> pa.Array:
    """[rows] 8 bytes a number: one number a row, or those between two of `ends`."""
    ends = np.arange(len(values) + 1) if ends is None else ends
    return _with_offsets(ends * 8, pa.py_buffer(np.ascontiguousarray(values, "<i8")))


def _with_offsets(offsets: NDArray[np.int64], content: pa.Buffer | None) -> pa.Array:
    buffers = [None, pa.py_buffer(np.ascontiguousarray(offsets, np.int64)), content]
    return pa.Array.from_buffers(pa.large_binary(), len(offsets) - 1, buffers)


def _scalar(content: bytes) -> pa.Scalar:
    return pa.scalar(content, pa.large_binary())


def _type_text(kind: pa.DataType) -> str:
    if pa.types.is_struct(kind):
        return "struct<" + ", ".join(f"{f.name}: {_type_text(f.type)}" for f in kind.fields) + ">"
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return f"list<{_type_text(kind.value_type)}>"
    if pa.types.is_dictionary(kind):
        return _type_text(kind.value_type)
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return "string"
    return str(kind)
