"""What a row is: 128 bits of the SHA-256 of its JSON, as DuckDB writes it.

Made in one place only, because two writers of JSON differ on floats. A version's fingerprint is the hash of
its columns and of its rows' hashes in order, so it can be proven from the hashes alone.
"""

import hashlib
import json
from collections.abc import Iterable
from itertools import pairwise

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from data_contracts.canonical import FINGERPRINT_LENGTH

HASH_BYTES = 16
Hashes = np.ndarray[tuple[int], np.dtype[np.void]]
"""One `V16` item a row."""

HASH_TYPE = np.dtype((np.void, HASH_BYTES))

_ROWS_AT_ONCE = 65_536


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
        # The digest is taken here, over the bytes that DuckDB wrote: its own sha256 is the same function at a
        # third of the speed.
        digests: list[bytes] = []
        for start in range(0, rows.num_rows, _ROWS_AT_ONCE):
            self._db.register("batch", rows.slice(start, _ROWS_AT_ONCE))
            documents = self._db.sql("select to_json(batch)::varchar as document from batch")
            column = documents.to_arrow_table().column("document")
            digests += [_digests(chunk) for chunk in column.chunks]
        return np.frombuffer(b"".join(digests), HASH_TYPE)

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
    width = np.int64 if pa.types.is_large_binary(documents.type) else np.int32
    _, offsets, content = documents.buffers()
    bounds = np.frombuffer(offsets, width)[documents.offset : documents.offset + len(documents) + 1].tolist()
    text = memoryview(content)
    sha256 = hashlib.sha256
    return b"".join([sha256(text[start:end]).digest()[:HASH_BYTES] for start, end in pairwise(bounds)])


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
