"""Which shape a file's columns have, and therefore how they become rows of a kind.

A mapping is SQL that a person can read: one expression for each of our columns. It is recognised from the
schema alone, and any of its expressions can be replaced by the person's own.
"""

from collections.abc import Mapping as Map
from dataclasses import dataclass

import pyarrow as pa

from data_contracts.errors import DataError
from data_contracts.rows import REQUIRED_COLUMNS, RowKind, recognise_kind
from infra.intake.chat_shapes import CHAT_SHAPES, PAIR_SHAPES
from infra.intake.column_types import has_turns, is_scalar, is_text, quoted, turn
from infra.intake.expressions import identifiers_of
from infra.intake.problem_shapes import PROBLEM_SHAPES

_SHAPES = (*PROBLEM_SHAPES, *PAIR_SHAPES, *CHAT_SHAPES)
_EXTRAS = ("id", "level", "subject", "type", "category", "difficulty", "language")
"""Scalar columns worth selecting by later. As text, so that files which disagree on their type still mix."""

_SOURCES = ("source", "data_source", "dataset")
_AS_IT_IS = (RowKind.raw, RowKind.rollouts)
_NEEDED = {
    RowKind.sft: ("messages",),
    RowKind.pairs: ("prompt", "chosen", "rejected"),
    RowKind.problems: ("prompt", "ground_truth"),
}
_SHOWN_TYPE = 80


@dataclass(frozen=True, slots=True)
class Mapping:
    """How the columns of one file become those of a row kind."""

    shape: str
    kind: RowKind
    columns: dict[str, str]
    """Our column -> DuckDB SQL over the file's columns."""

    needs: tuple[str, ...]
    """The file's columns that the expressions read."""

    dropped: tuple[str, ...]
    """The file's columns that are not kept."""


def recognise(schema: pa.Schema, kind: RowKind | None = None) -> Mapping | None:
    """The first known shape that these columns have, among those of `kind` where it is given."""
    if kind is RowKind.raw or (
        kind in (None, RowKind.rollouts) and recognise_kind(schema.names) is RowKind.rollouts
    ):
        columns = {name: quoted(name) for name in schema.names}
        return Mapping(
            f"{kind or RowKind.rollouts} rows", kind or RowKind.rollouts, columns, tuple(columns), ()
        )
    for shape in _SHAPES:
        if kind in (None, shape.kind) and (columns := shape.read(schema)) is not None:
            return _mapping(shape.name, shape.kind, _with_beside(schema, columns), schema)
    return None


def custom_mapping(schema: pa.Schema, kind: RowKind | None, maps: Map[str, str]) -> Mapping:
    """The recognised mapping with a person's own expressions in it, or one made of these alone.

    For SFT examples, `prompt` and `completion` (text) may stand for `messages`. Raises DataError for columns
    that no shape and no expression explains, and for what is not one expression.
    """
    read = {column: identifiers_of(column, expression) for column, expression in maps.items()}
    kind = kind or recognise_kind(list(maps))
    base = recognise(schema, kind)
    if not maps and base:
        return base
    kind = base.kind if base else kind
    if kind in _AS_IT_IS:
        raise DataError(
            f"Rows of kind {kind} are kept as they came; they have no columns to map.",
            "a kind with a contract: " + ", ".join(_NEEDED),
            "Leave out --map, or name another kind.",
        )
    beside = base.columns if base else _with_beside(schema, {})
    columns = {**beside, **(_conversation(maps) if kind is RowKind.sft else maps)}
    if kind is None or any(column not in columns for column in _NEEDED[kind]):
        raise unknown_shape(schema, kind)
    named = f"{base.shape}, changed by --map" if base else "given by --map"
    theirs = frozenset[str]().union(*read.values())
    return _mapping(named, kind, columns, schema, theirs)


def describe(mapping: Mapping) -> list[tuple[str, str]]:
    """(our column, where it comes from), in the order of the columns, defaults in words included."""
    shown = dict(mapping.columns)
    if mapping.kind is RowKind.problems:
        shown.setdefault("problem_id", "(a hash of prompt, ground_truth and verifier)")
        shown.setdefault("verifier", "(the verifier named for the dataset)")
        shown.setdefault("arguments", "(the arguments given for the dataset)")
    if mapping.kind not in _AS_IT_IS:
        shown.setdefault("source", "(the dataset's name)")
    return list(shown.items())


def unknown_shape(schema: pa.Schema, kind: RowKind | None) -> DataError:
    """The error for columns that no shape explains, with a --map made of the file's own names."""
    shown = "\n".join(f"  {field.name}: {str(field.type)[:_SHOWN_TYPE]}" for field in schema)
    known = "\n".join(f"  {s.name} ({s.kind}): {s.looks}" for s in _SHAPES if kind in (None, s.kind))
    wanted = f", to be read as {kind}" if kind else ""
    return DataError(
        f"The columns have no known shape{wanted}:\n{shown}",
        f"one of these shapes:\n{known}",
        f"Say which column is which, such as: {_example(schema, kind)}",
    )


def needed_schema(schema: pa.Schema, mapping: Mapping) -> pa.Schema:
    """What to ask a reader for: the columns the mapping reads, their turns without keys that it leaves out.

    A reader reports a turn whose other keys hold something, such as a tool's call; asked for them, it would not.
    """
    return pa.schema([_without_extras(schema, name, mapping) for name in mapping.needs])


def _without_extras(schema: pa.Schema, name: str, mapping: Mapping) -> pa.Field:
    field = schema.field(name)
    for role, content in (("role", "content"), ("from", "value")):
        reads = " ".join(expression for expression in mapping.columns.values() if name in expression)
        extras = (
            {inner.name for inner in field.type.value_type} - {role, content}
            if has_turns(schema, name, role, content)
            else set[str]()
        )
        if extras and not any(extra in reads.replace(quoted(name), "") for extra in extras):
            return field.with_type(pa.list_(pa.struct([(role, pa.string()), (content, pa.string())])))
    return field


def _mapping(
    shape: str,
    kind: RowKind,
    columns: dict[str, str],
    schema: pa.Schema,
    theirs: frozenset[str] = frozenset(),
) -> Mapping:
    written = " ".join(columns.values())
    needs = tuple(name for name in schema.names if quoted(name) in written or name.lower() in theirs)
    _require_distinct(needs)
    return Mapping(shape, kind, columns, needs, tuple(name for name in schema.names if name not in needs))


def _require_distinct(needs: tuple[str, ...]) -> None:
    if len({name.lower() for name in needs}) < len(needs):
        raise DataError(
            f"Two of the columns {', '.join(needs)} differ only in the case of their letters.",
            "names that SQL can tell apart",
            "Rename one of them in the file.",
        )


def _with_beside(schema: pa.Schema, columns: dict[str, str]) -> dict[str, str]:
    """The columns of a shape, and beside them where each row comes from and the extras worth keeping."""
    source = next((name for name in _SOURCES if _is_scalar(schema, name)), None)
    extras = [name for name in _EXTRAS if name not in columns and _is_scalar(schema, name)]
    kept = {name: _as_text(schema, name) for name in extras}
    return {**columns, **({"source": _as_text(schema, source)} if source else {}), **kept}


def _as_text(schema: pa.Schema, name: str) -> str:
    return quoted(name) if is_text(schema.field(name).type) else f"{quoted(name)}::varchar"


def _is_scalar(schema: pa.Schema, name: str) -> bool:
    return name in schema.names and is_scalar(schema.field(name).type)


def _conversation(maps: Map[str, str]) -> dict[str, str]:
    if "messages" in maps or not {"prompt", "completion"} <= set(maps):
        return dict(maps)
    asked, answered = (
        turn("user", f"(\n{maps['prompt']}\n)"),
        turn("assistant", f"(\n{maps['completion']}\n)"),
    )
    rest = {name: text for name, text in maps.items() if name not in ("prompt", "completion")}
    return {"messages": f"[{asked}, {answered}]", **rest}


def _example(schema: pa.Schema, kind: RowKind | None) -> str:
    texts = [field.name for field in schema if is_text(field.type)] or schema.names or ["COLUMN"]
    wanted = REQUIRED_COLUMNS[kind][-1] if kind else ("prompt", "completion")
    given = [texts[min(position, len(texts) - 1)] for position in range(len(wanted))]
    return " ".join(f"--map {ours}={_bare(name)}" for ours, name in zip(wanted, given, strict=True))


def _bare(name: str) -> str:
    return name if name.isidentifier() and name.isascii() else f"'{quoted(name)}'"
