"""Findings of a decontamination as a document a person can judge, and the allow list of what they judged harmless."""

import errno
import json
import os
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self, cast

from pydantic import BaseModel, ConfigDict, ValidationError

from data_contracts.errors import DataError
from flows.data.exports import unwritable
from flows.data.making import Findings
from flows.faults import first_fault
from infra.home import write_atomically
from stages.contamination import Contamination, Decontamination, Kind, Spans

_AROUND = 60
"""Characters shown before and after what matches."""


class AllowList(BaseModel):
    """What a person has judged harmless: `{"problems": [["gsm8k_test@1", 12]], "pairs": […], "texts": ["…"]}`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    problems: tuple[tuple[str, int], ...] = ()
    """Evaluation version and row, whatever row matches."""

    pairs: tuple[tuple[int, str, int], ...] = ()
    """Training row, evaluation version and row."""

    texts: tuple[str, ...] = ()
    """Passages that prove nothing: quotations, instructions, standard formulas."""

    @classmethod
    def read(cls, path: Path | None) -> Self:
        """Raises DataError for a file that is missing or something else."""
        if path is None:
            return cls()
        try:
            return cls.model_validate_json(path.read_text("utf-8"))
        except (OSError, ValidationError, UnicodeDecodeError) as error:
            found = first_fault(error)[0] if isinstance(error, ValidationError) else f"{error}."
            raise DataError(
                f"{path} cannot be read as an allow list: {found}",
                '{"problems": [["NAME@N", ROW]], "pairs": [[ROW, "NAME@N", ROW]], "texts": ["…"]}',
                "Take the places from --report.",
            ) from error


def settings_of(counted: frozenset[str], other_numbers: bool, allow: AllowList) -> Decontamination:
    """The search a person asked for; kinds that do not count are listed all the same."""
    defaults = Decontamination()
    return Decontamination(
        counted=cast(frozenset[Kind], counted) or defaults.counted,
        count_other_numbers=other_numbers,
        allowed_problems=frozenset(allow.problems),
        allowed_pairs=frozenset(allow.pairs),
        harmless_texts=allow.texts,
    )


def findings_document(found: Findings, settings: Decontamination) -> dict[str, Any]:
    """All findings, each with both texts and the ranges of characters that match."""
    return {
        "searched": str(found.version),
        "rows": found.version.num_rows,
        "against": [str(held_out) for held_out in found.sets],
        "settings": {
            "counted": sorted(settings.counted),
            "count_other_numbers": settings.count_other_numbers,
            "allowed_problems": sorted(settings.allowed_problems),
            "allowed_pairs": sorted(settings.allowed_pairs),
            "harmless_texts": list(settings.harmless_texts),
        },
        "contaminated_rows": len(found.contaminated_rows),
        "contaminated_problems": len(
            {(h.evaluation_name, h.evaluation_row) for h in found.hits if h.is_counted}
        ),
        "rows_by_kind": _rows_by_kind(found.hits),
        "counted_rows_by_kind": _rows_by_kind(hit for hit in found.hits if hit.is_counted),
        "findings_by_kind": dict(Counter(hit.kind for hit in found.hits)),
        "findings": [_finding(found, hit) for hit in found.hits],
    }


def require_place(report: Path) -> None:
    """Refuse a place that no report can be written to, before the search. Raises DataError."""
    try:
        if report.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        tempfile.TemporaryFile(dir=report.parent).close()
    except OSError as error:
        raise unwritable(report, error) from error


def write_report(path: Path, document: dict[str, Any]) -> None:
    """Raises DataError when the disk is full, say."""
    try:
        write_atomically(path, json.dumps(document, ensure_ascii=False, indent=1))
    except OSError as error:
        raise unwritable(path, error) from error


def excerpt(text: str, spans: Spans) -> list[tuple[str, bool]]:
    """The part of a text round what matches, as pieces: (piece, whether it matches)."""
    if not spans:
        return [(text[: 2 * _AROUND], False)]
    start, end = max(0, spans[0][0] - _AROUND), min(len(text), spans[-1][1] + _AROUND)
    pieces = [("…", False)] if start else []
    at = start
    for begin, stop in spans:
        pieces += [(text[at:begin], False), (text[begin:stop], True)]
        at = stop
    pieces.append((text[at:end], False))
    return [*pieces, ("…", False)] if end < len(text) else pieces


def _rows_by_kind(hits: Iterable[Contamination]) -> dict[str, int]:
    rows: dict[str, set[int]] = {}
    for hit in hits:
        rows.setdefault(hit.kind, set()).add(hit.training_row)
    return {kind: len(numbers) for kind, numbers in sorted(rows.items())}


def _finding(found: Findings, hit: Contamination) -> dict[str, Any]:
    problem = found.problems[hit.evaluation_name, hit.evaluation_row]
    return {
        "row": hit.training_row,
        "evaluation": hit.evaluation_name,
        "evaluation_row": hit.evaluation_row,
        "kind": hit.kind,
        "score": round(hit.score, 4),
        "counts": hit.is_counted,
        "ground_truth_found": hit.ground_truth_found,
        "numbers_agree": hit.numbers_agree,
        "text": found.texts[hit.training_row].as_py() or "",
        "spans": [list(span) for span in hit.training_spans],
        "problem": problem.prompt,
        "problem_spans": [list(span) for span in hit.evaluation_spans],
    }
