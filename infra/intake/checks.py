"""For each row, the first reason why it breaks its contract: the same as the contract itself would give.

Kernels over whole batches find every row that could break a rule, plus a few that only look like it; the
contract's own rules then read just those rows. So a clean million costs less than a second, and no rule is
written twice. Rows come from `mapping`: their text is valid UTF-8 and their columns have the contract's types.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_contracts.row_rules import BLANK, TEMPLATE_TOKEN, WITH_GROUND_TRUTH, arguments_fault
from data_contracts.rows import PreferencePair, Problem, RowKind, SFTExample
from infra.intake.text_search import blank_texts, texts_with

Flags = np.ndarray[Any, np.dtype[np.bool_]]

_DAMAGE = ("\0", "\ufffd")
_TOKENS = (
    *("<|", "<｜", "<start_of_turn>", "<end_of_turn>", "<<SYS>>", "<</SYS>>", "[INST]", "[/INST]"),
    *("<s>", "</s>"),
)
"""What every template token contains. `<|` and tags are common in code: only texts with one meet the pattern."""

_TOKEN_PATTERN = f"{TEMPLATE_TOKEN.pattern}|</?s>"

_SYSTEM, _USER, _ASSISTANT, _START = 1, 2, 3, 4
_FOLLOWS = np.zeros((5, 4), np.bool_)
"""[previous role, role]: whether the second may follow the first; role 0 is none of the three."""

for _previous, _role in (
    *((_START, _SYSTEM), (_START, _USER), (_SYSTEM, _USER)),
    *((_USER, _ASSISTANT), (_ASSISTANT, _USER)),
):
    _FOLLOWS[_previous, _role] = True


def check_rows(kind: RowKind, table: pa.Table) -> pa.Array:
    """One value a row: null where the row keeps its contract, else the first rule that it breaks."""
    if kind not in _SUSPECTS:
        return pa.nulls(table.num_rows, pa.string())
    contract, suspects = _SUSPECTS[kind]
    columns = table.select([name for name in contract.model_fields if name in table.column_names])
    found = [_reasons(contract.fault, batch, suspects(batch)) for batch in columns.to_batches()]
    return pa.concat_arrays(found) if found else pa.nulls(0, pa.string())


def _reasons(fault: Callable[[Any], str | None], batch: pa.RecordBatch, suspects: Flags) -> pa.Array:
    positions = np.flatnonzero(suspects)
    if positions.size == 0:
        return pa.nulls(batch.num_rows, pa.string())
    reasons = np.full(batch.num_rows, None, dtype=object)
    reasons[positions] = [fault(row) for row in batch.take(pa.array(positions)).to_pylist()]
    return pa.array(reasons, pa.string())


def _suspect_examples(batch: pa.RecordBatch) -> Flags:
    return _suspect_conversations(batch["messages"], _ASSISTANT)


def _suspect_pairs(batch: pa.RecordBatch) -> Flags:
    chosen, rejected = batch["chosen"], batch["rejected"]
    trimmed = [pc.utf8_trim(side, characters=BLANK) for side in (chosen, rejected)]  # pyright: ignore[reportAttributeAccessIssue]
    equal = _flags(pc.equal(*trimmed))  # pyright: ignore[reportAttributeAccessIssue]
    suspects = _suspect_conversations(batch["prompt"], _USER) | equal
    return suspects | _suspect_texts(chosen) | _suspect_texts(rejected)


def _suspect_problems(batch: pa.RecordBatch) -> Flags:
    truth, verifier = batch["ground_truth"], batch["verifier"]
    needed = _flags(pc.is_in(verifier, value_set=pa.array(sorted(WITH_GROUND_TRUTH))))  # pyright: ignore[reportAttributeAccessIssue]
    suspects = _suspect_conversations(batch["prompt"], _USER) | _suspect_arguments(batch["arguments"])
    suspects |= _flags(truth.is_null()) | (blank_texts(truth) & needed) | texts_with(truth, _DAMAGE)
    for name in ("problem_id", "verifier", "source"):
        suspects |= _flags(batch[name].is_null()) | blank_texts(batch[name])
    return suspects


def _suspect_conversations(conversations: pa.Array, last: int) -> Flags:
    """Per conversation: missing, a wrong order of roles, a wrong last role, or a suspect text."""
    lengths = _numbers(pc.list_value_length(conversations))  # pyright: ignore[reportAttributeAccessIssue]
    ends = np.cumsum(lengths)
    suspects: Flags = lengths == 0
    roles, texts = conversations.flatten().flatten()
    if len(texts) == 0:
        return suspects
    role = np.zeros(len(roles), np.intp)
    for code, name in ((_SYSTEM, "system"), (_USER, "user"), (_ASSISTANT, "assistant")):
        role[_flags(pc.equal(roles, name))] = code  # pyright: ignore[reportAttributeAccessIssue]
    filled = ~suspects
    previous = np.empty_like(role)
    previous[1:] = role[:-1]
    previous[(ends - lengths)[filled]] = _START
    wrong = ~_FOLLOWS[previous, role] | _suspect_texts(texts)
    suspects[np.searchsorted(ends, np.flatnonzero(wrong), side="right")] = True
    suspects[filled] |= role[ends[filled] - 1] != last
    return suspects


def _suspect_texts(texts: pa.Array) -> Flags:
    suspects = _flags(texts.is_null()) | blank_texts(texts) | texts_with(texts, _DAMAGE)
    unsure = np.flatnonzero(texts_with(texts, _TOKENS))
    if unsure.size:
        matches = pc.match_substring_regex(texts.take(pa.array(unsure)), _TOKEN_PATTERN)  # pyright: ignore[reportAttributeAccessIssue]
        suspects[unsure] |= _flags(matches)
    return suspects


def _suspect_arguments(arguments: pa.Array) -> Flags:
    """Parsed once for each different text: most files have a single one."""
    known = arguments.dictionary_encode()
    faulty = np.array([arguments_fault(text) is not None for text in known.dictionary.to_pylist()], np.bool_)
    if not faulty.any():
        return _flags(arguments.is_null())
    return _flags(arguments.is_null()) | faulty[_numbers(known.indices)]


def _flags(array: Any) -> Flags:
    """Truth values as numpy, null as false."""
    filled = pc.fill_null(array, False) if array.null_count else array
    return filled.to_numpy(zero_copy_only=False)


def _numbers(array: Any) -> Any:
    """Integers as numpy, null as 0."""
    filled = pc.fill_null(array, 0) if array.null_count else array
    return filled.to_numpy(zero_copy_only=False)


_SUSPECTS: dict[RowKind, tuple[Any, Callable[[pa.RecordBatch], Flags]]] = {
    RowKind.sft: (SFTExample, _suspect_examples),
    RowKind.pairs: (PreferencePair, _suspect_pairs),
    RowKind.problems: (Problem, _suspect_problems),
}
