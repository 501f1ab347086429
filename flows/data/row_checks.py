"""Checks of an import that need more than the row's columns: its verifier, a tokenizer, the schedule's hours."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from data_contracts.errors import DataError
from data_contracts.rows import RowKind
from infra.intake.schedule_checks import schedule_findings
from infra.warehouse.quarantine import reason_class
from stages.verifiers.ground_truths import ground_truth_faults
from stages.verifiers.pool import VerifierPool

Check = Callable[[RowKind, pa.Table], pa.Array]


class GroundTruthCheck:
    """A problem's own ground truth must get reward 1 from its verifier, or no policy could ever be right."""

    def __init__(self, pool: VerifierPool) -> None:
        self._pool = pool

    def __call__(self, kind: RowKind, rows: pa.Table) -> pa.Array:
        if kind is not RowKind.problems:
            return _all_fine(rows)
        problems = rows.select(["prompt", "ground_truth", "verifier", "arguments"]).to_pylist()
        faults = ground_truth_faults(problems, self._pool)
        return pa.array([fault and fault.found for fault in faults], pa.string())


class ScheduleCheck:
    """Events past 24:00 are refused; events that touch or begin together are counted, and kept."""

    def __init__(self) -> None:
        self.warnings: Counter[str] = Counter()

    def __call__(self, kind: RowKind, rows: pa.Table) -> pa.Array:
        if kind is not RowKind.problems:
            return _all_fine(rows)
        findings = schedule_findings(rows)
        self.warnings.update(reason_class(text) for text in findings.warnings.drop_null().to_pylist())
        return findings.errors


class LengthCheck:
    """Rows longer than a stage's `max_length` by the model's own tokenizer and chat template."""

    def __init__(self, model_directory: Path, max_tokens: int) -> None:
        if not (model_directory / "tokenizer_config.json").is_file():
            raise DataError(
                f"{model_directory} holds no tokenizer.",
                "a Hugging Face model directory with tokenizer_config.json",
                "Name the directory of the model that the rows are for.",
            )
        from stages.checkpoint import load_tokenizer

        self._tokenizer = load_tokenizer(model_directory)
        self._max_tokens = max_tokens

    def __call__(self, kind: RowKind, rows: pa.Table) -> pa.Array:
        from stages.handoff import encode_all

        lengths = [0] * rows.num_rows
        for conversations in _conversations(kind, rows):
            encoded = encode_all(self._tokenizer, conversations, prompt=kind is RowKind.problems)
            lengths = [max(length, len(ids)) for length, ids in zip(lengths, encoded, strict=True)]
        limit = self._max_tokens
        return pa.array(
            [f"has {n} tokens, more than {limit}" if n > limit else None for n in lengths], pa.string()
        )


def _conversations(kind: RowKind, rows: pa.Table) -> list[list[list[dict[str, str]]]]:
    if kind is RowKind.sft:
        return [rows["messages"].to_pylist()]
    prompts = rows["prompt"].to_pylist()
    if kind is RowKind.problems:
        return [prompts]
    return [
        [
            [*prompt, {"role": "assistant", "content": text}]
            for prompt, text in zip(prompts, rows[side].to_pylist(), strict=True)
        ]
        for side in ("chosen", "rejected")
    ]


def _all_fine(rows: pa.Table) -> pa.Array:
    return pa.nulls(rows.num_rows, pa.string())
