"""What counts as the text of a row when rows are compared: its turns, one after the other."""

import unicodedata
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_contracts.rows import RowKind

_SEPARATOR = "\n"


def row_texts(kind: RowKind, rows: pa.Table) -> pa.ChunkedArray:
    """[rows] all that a model would be trained on: every turn, or the prompt with both completions."""
    if kind is RowKind.sft:
        return _joined(rows["messages"])
    prompt = prompt_texts(kind, rows)
    if kind is RowKind.pairs:
        return _with(prompt, rows["chosen"], rows["rejected"])
    return prompt


def prompt_texts(kind: RowKind, rows: pa.Table) -> pa.ChunkedArray:
    """[rows] what the model is asked: the turns before the last completion."""
    if kind is RowKind.sft:
        return _joined(rows["messages"], without_last=True)
    return _joined(rows["prompt"])


def columns_of_texts(kind: RowKind) -> list[str]:
    """The columns that these functions read."""
    return {
        RowKind.sft: ["messages"],
        RowKind.pairs: ["prompt", "chosen", "rejected"],
    }.get(kind, ["prompt"])


def exact_text(text: str) -> str:
    """Equal for texts that are exact duplicates: NFC, case folded, every run of white space one space."""
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())
    return " ".join(folded.split())


def _joined(conversations: pa.ChunkedArray, *, without_last: bool = False) -> pa.ChunkedArray:
    chunks = [_joined_chunk(chunk, without_last) for chunk in conversations.chunks]
    return pa.chunked_array(chunks, pa.string())


def _joined_chunk(conversations: pa.Array, without_last: bool) -> pa.Array:
    lengths = pc.fill_null(pc.list_value_length(conversations), 0).to_numpy()  # pyright: ignore[reportAttributeAccessIssue]
    texts: Any = conversations.flatten().field("content")
    ends = np.cumsum(lengths)
    if without_last:
        keep = np.ones(len(texts), np.bool_)
        keep[ends[lengths > 0] - 1] = False
        texts, ends = texts.filter(pa.array(keep)), np.cumsum(np.maximum(lengths - 1, 0))
    offsets = pa.array(np.concatenate([[0], ends]), pa.int32())
    return pc.binary_join(pa.ListArray.from_arrays(offsets, texts), _SEPARATOR)  # pyright: ignore[reportAttributeAccessIssue]


def _with(*columns: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.binary_join_element_wise(*columns, _SEPARATOR)  # pyright: ignore[reportAttributeAccessIssue]
