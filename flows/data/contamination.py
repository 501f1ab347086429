"""Findings of a decontamination as a document a person can judge, and the allow list of what they judged harmless."""

import json
from collections import Counter
from pathlib import Path
from typing import Any, Self, cast

from pydantic import BaseModel, ConfigDict, ValidationError

from data_contracts.errors import DataError
from flows.data.making import Findings
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
            raise DataError(
                f"{path} cannot be read as an allow list: {str(error).splitlines()[0]}",
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
    rows_by_kind: dict[str, set[int]] = {}
    for hit in found.hits:
        rows_by_kind.setdefault(hit.kind, set()).add(hit.training_row)
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
        "rows_by_kind": {kind: len(rows) for kind, rows in sorted(rows_by_kind.items())},
        "findings_by_kind": dict(Counter(hit.kind for hit in found.hits)),
        "findings": [_finding(found, hit) for hit in found.hits],
    }


def write_report(path: Path, document: dict[str, Any]) -> None:
    write_atomically(path, json.dumps(document, ensure_ascii=False, indent=1))


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
