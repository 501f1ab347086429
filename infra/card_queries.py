"""The SQL behind a data card: every query measures one batch, and adds counts to the card's tables.

A batch's columns are called c0, c1, ...: a user's column names never become SQL.
"""

# ruff: noqa: S608 - SQL is put together from our own names; values are parameters

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import duckdb
import pyarrow as pa

from data_contracts.rows import RowKind

_SHOWN_CHARACTERS = 200
_ASCII = r"[\x00-\x7F]+"
_TEXT_PARTS = {
    RowKind.pairs: ("prompt", "chosen", "rejected"),
    RowKind.problems: ("prompt", "ground_truth"),
    RowKind.rollouts: ("prompt", "completion"),
}
_SCRIPTS = (
    *("Cyrillic", "Greek", "Arabic", "Hebrew", "Devanagari", "Bengali", "Tamil", "Thai"),
    *("Han", "Hiragana", "Katakana", "Hangul"),
)
_REMOVED = {script: rf"[^\p{{{script}}}]+" for script in ("Latin", *_SCRIPTS)} | {
    "other": "[" + "".join(rf"\p{{{script}}}" for script in ("Latin", *_SCRIPTS)) + r"\P{L}]+"
}
"""What to remove from a text to keep the letters of a script."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a batch holds what is measured, as SQL over its columns."""

    parts: dict[str, str]
    """Part of a row -> its texts, a list."""

    conversation: str | None
    """The column of messages whose turns count."""

    categories: dict[str, str]
    """Column whose values are counted -> its place."""

    is_pairs: bool
    identity: str | None
    """What makes two raw rows equal; rows of other kinds are as equal as their parts."""


def layout_of(kind: RowKind, schema: pa.Schema) -> Layout:
    """The parts of rows of this kind. Expects the columns its kind requires."""
    column = {name: f"c{place}" for place, name in enumerate(schema.names)}
    categories = {n: column[n] for n in ("source", "verifier", "ground_truth") if n in column}
    if kind is RowKind.raw:
        texts = {
            field.name: f"[{column[field.name]}]"
            for field in schema
            if pa.types.is_string(field.type) or pa.types.is_large_string(field.type)
        }
        return Layout(texts, None, categories, False, f"hash({', '.join(column.values())})")
    if kind is RowKind.sft:
        messages = column["messages"]
        parts = {
            "prompt": f"[m.content for m in {messages} if m.role <> 'assistant']",
            "completion": f"[m.content for m in {messages} if m.role = 'assistant']",
        }
        return Layout(parts, messages, categories, False, None)
    has_messages = {name: pa.types.is_list(schema.field(name).type) for name in _TEXT_PARTS[kind]}
    parts = {
        name: f"[m.content for m in {column[name]}]" if has_messages[name] else f"[{column[name]}]"
        for name in _TEXT_PARTS[kind]
    }
    return Layout(
        parts, column["prompt"] if has_messages["prompt"] else None, categories, kind is RowKind.pairs, None
    )


def measure_rows(db: duckdb.DuckDBPyConnection, layout: Layout) -> None:
    """Add the batch's exact measures to `tally`, its hashes to `hashes`, its values to `categories`."""
    measures = _row_measures(layout)
    columns = _columns(measures | _row_hashes(layout))
    db.execute(f"create or replace temp table measured as select {columns} from {_with_texts(layout)}")
    db.execute(
        "insert into tally select measure, value, count(*) from"
        f" (unpivot (select {_names(measures)} from measured) on * into name measure value value) group by all"
    )
    db.execute("insert into hashes select whole, prompt, ground_truth from measured")
    for name, column in layout.categories.items():
        db.execute(
            f"insert into categories select $1, hash({column}), any_value({column}[:{_SHOWN_CHARACTERS}]), count(*)"
            f" from batch where {column} is not null group by hash({column})",
            [name],
        )


def measure_sample(db: duckdb.DuckDBPyConnection, layout: Layout, largest_key: int) -> None:
    """Add words and letters by script to `sampled`, for the batch's rows with keys up to `largest_key`."""
    texts = {f"text{place}": _joined(f"texts{place}") for place in range(len(layout.parts))}
    whole = " || ' ' || ".join(["''", *(f"coalesce({name}, '')" for name in texts)])
    words = {f"words {place}": rf"len(regexp_extract_all({text}, '\S+'))" for place, text in enumerate(texts)}
    measures = words | {"words row": _sum(words.values())}
    # Most text is ASCII, where one script is enough; the others are looked for in what is left.
    measures |= {f"script {name}": _num_left("beyond_ascii", removed) for name, removed in _REMOVED.items()}
    measures["script Latin"] += f" + {_num_left('whole', '[^A-Za-z]+')}"
    sample = f"(select key, {_columns(texts)} from {_with_texts(layout)} where key <= $1)"
    wholes = f"(select *, {whole} as whole, regexp_replace({whole}, '{_ASCII}', '', 'g') as beyond_ascii from {sample})"
    db.execute(
        "insert into sampled select key, measure, value from"
        f" (unpivot (select key, {_columns(measures)} from {wholes})"
        f" on {_names(measures)} into name measure value value)",
        [largest_key],
    )


def _row_measures(layout: Layout) -> dict[str, str]:
    """Whole numbers of a row; null where a part has no text."""
    places = {part: place for place, part in enumerate(layout.parts)}
    characters = {
        f"characters {n}": f"list_sum([length(text) for text in texts{n}])::bigint" for n in places.values()
    }
    measures = characters | {
        "characters row": _sum(characters.values()),
        "bytes": _sum(f"list_sum([strlen(text) for text in texts{n}])" for n in places.values()),
    }
    if layout.conversation:
        system = f"len([m for m in {layout.conversation} if m.role = 'system']) > 0"
        measures |= {"turns": f"len({layout.conversation})", "system": f"({system})::bigint"}
    if layout.is_pairs:
        chosen, rejected = (characters[f"characters {places[side]}"] for side in ("chosen", "rejected"))
        measures["difference"] = f"{chosen} - {rejected}"
    return measures


def _row_hashes(layout: Layout) -> dict[str, str]:
    """Of the whole row, of its prompt and of its ground truth."""
    parts = {part: f"hash([lower(text) for text in texts{n}])" for n, part in enumerate(layout.parts)}
    ground_truth = layout.categories.get("ground_truth")
    return {
        "whole": layout.identity or f"hash({', '.join(parts.values())})",
        "prompt": "null" if layout.identity else parts["prompt"],
        "ground_truth": f"hash({ground_truth})" if ground_truth else "null",
    }


def _with_texts(layout: Layout) -> str:
    """The batch, and for every part a list of its texts: texts0, texts1, ..."""
    lists = {f"texts{place}": texts for place, texts in enumerate(layout.parts.values())}
    return f"(select {', '.join(['*', *_named(lists)])} from batch)"


def _joined(texts: str) -> str:
    """One text of several; null of none."""
    return f"case when len([text for text in {texts} if text is not null]) > 0 then array_to_string({texts}, ' ') end"


def _num_left(text: str, removed: str) -> str:
    return f"length(regexp_replace({text}, '{removed}', '', 'g'))"


def _sum(terms: Iterable[str]) -> str:
    return " + ".join(["0::bigint", *(f"coalesce({term}, 0)::bigint" for term in terms)])


def _columns(expressions: Mapping[str, str]) -> str:
    return ", ".join(_named(expressions)) or "null"


def _named(expressions: Mapping[str, str]) -> list[str]:
    return [f'{sql} as "{name}"' for name, sql in expressions.items()]


def _names(expressions: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in expressions)
