"""Findings of a decontamination on a terminal: what matched, side by side, the matching words marked."""

from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from flows.card_view import one_line
from flows.data.contamination import excerpt


def findings_view(document: dict[str, Any], show: int) -> Group:
    """How many rows of each kind, found and counted, then the strongest findings that count, then of the others."""
    kinds = Table(
        title=f"{document['searched']} against {', '.join(document['against'])}", title_justify="left"
    )
    for heading in ("kind", "rows found", "of them counted"):
        kinds.add_column(heading, justify="left" if heading == "kind" else "right")
    for kind, rows in document["rows_by_kind"].items():
        kinds.add_row(kind, f"{rows:,}", f"{document['counted_rows_by_kind'].get(kind, 0):,}")
    parts: list[RenderableType] = [kinds if document["rows_by_kind"] else Text("Nothing was found.")]
    ranked = sorted(document["findings"], key=_strength)
    parts += [_side_by_side(finding) for finding in ranked[:show]]
    if len(ranked) > show:
        parts.append(
            Text(f"{len(ranked) - show:,} more findings: --report FILE has all of them.", style="dim")
        )
    return Group(*parts)


def _strength(finding: dict[str, Any]) -> tuple[bool, bool, bool, float, int]:
    """What counts first; of these the exact, then those whose ground truth is there, too, then by share."""
    return (
        not finding["counts"],
        finding["kind"] != "exact",
        not finding["ground_truth_found"],
        -finding["score"],
        finding["row"],
    )


def _side_by_side(finding: dict[str, Any]) -> Table:
    evidence = ", ".join(
        text
        for text, holds in (
            ("counts", finding["counts"]),
            ("the ground truth is there", finding["ground_truth_found"]),
            ("other numbers", not finding["numbers_agree"]),
        )
        if holds
    )
    table = Table(title=f"{finding['kind']} {finding['score']:.0%} {evidence}", title_justify="left")
    table.add_column(f"row {finding['row']}", ratio=1)
    table.add_column(f"{finding['evaluation']} row {finding['evaluation_row']}", ratio=1)
    table.add_row(
        _marked(finding["text"], finding["spans"]), _marked(finding["problem"], finding["problem_spans"])
    )
    return table


def _marked(text: str, spans: list[list[int]]) -> Text:
    marked = Text()
    for piece, matches in excerpt(text, tuple((start, end) for start, end in spans)):
        marked.append(one_line(piece), "bold yellow" if matches else "")
    return marked
