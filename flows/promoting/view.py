"""Promotions, history and reasons for a terminal. All of it is plain text: reasons and completions are hostile."""

import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from flows.card_view import one_line
from flows.gate_view import gate_lines
from flows.promoting.decisions import OVERRIDE, Tenure, gate_sentence
from infra.records import Decision

if TYPE_CHECKING:
    from flows.promoting.promote import Promotion
    from flows.promoting.rollback import Rollback
    from flows.promoting.why import Decided, Explanation, Made, Rows

_SHORT = 12


def promotion_lines(done: "Promotion") -> Iterable[str]:
    """What was decided and why, for people."""
    yield from done.notes
    named, would = f"{done.model}/{done.version}", "would be" if done.is_dry else "is"
    if done.outcome == "champion already":
        yield f"{named} is the champion already."
    elif done.outcome == "undecided":
        yield f"{named} was not judged. {_sentence(done.sentence)}"
    elif done.outcome == "refused":
        yield f"{named} {'would not be' if done.is_dry else 'is not'} promoted. {_sentence(done.sentence)}"
    else:
        before = "the first" if done.previous is None else f"before: version {done.previous}"
        yield f"{named} {would} the champion ({before}). {_sentence(done.sentence)}"
    if done.override is not None:
        yield f"The gate refused it, and was overridden: {one_line(done.override)}"
    if done.gate is not None:
        yield from gate_lines(done.gate)
    if done.wear:
        yield done.wear
    if done.outcome == "refused" and not done.is_dry:
        yield f'It stays a candidate. `burnish promote {named} --override "why"` promotes it all the same.'
    if done.outcome in ("promoted", "champion already") and not done.is_dry:
        yield f"Load it with transformers from models:/{done.model}@champion"


def rollback_lines(done: "Rollback") -> Iterable[str]:
    yield from done.notes
    named = f"{done.model}/{done.version}"
    if done.left is None:
        yield f"{named} is the champion; nothing else was moved."
    else:
        yield f"{named} is the champion again; version {done.left} was left."
    if done.next is None:
        yield "There is no earlier champion to return to."
    else:
        yield f"Another `burnish rollback {done.model}` returns to version {done.next}."


def history_table(model: str, held: Sequence[Tenure]) -> Table:
    """Newest first: who held the alias, from when, by whose decision."""
    table = Table(title=Text(f"Champions of {model}"), title_justify="left")
    for heading in ("version", "from", "until", "by", "why"):
        table.add_column(heading, overflow="fold")
    for tenure in reversed(held):
        table.add_row(
            str(tenure.version),
            local_time(tenure.began),
            local_time(tenure.ended) if tenure.ended else "now",
            Text(one_line(f"{tenure.move.actor}, {tenure.move.kind}")),
            Text(one_line(" · ".join(reasons(tenure.move)))),
        )
    return table


def explanation_view(why: "Explanation") -> RenderableType:
    """From the decision to the rows on one screen."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for name, fact in _facts(why):
        table.add_row(name, Text(one_line(fact)))
    return Group(Text.assemble((why.model, "bold"), (f" {why.fingerprint[:_SHORT]}", "dim")), table)


def local_time(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def reasons(move: Decision) -> list[str]:
    """What was said for a decision: by the person, by the gate, and for going on where it refused."""
    override = f"overridden: {move.evidence[OVERRIDE]}" if move.evidence.get(OVERRIDE) else ""
    return list(filter(None, [move.reason, gate_sentence(move.evidence), override]))


def _facts(why: "Explanation") -> Iterable[tuple[str, str]]:
    yield "decided", "It was never the champion." if why.decided is None else _decision(why.decided)
    if why.decided is not None and why.decided.gate is not None:
        yield "gate", why.decided.gate.sentence
    if why.decided is not None and why.decided.override:
        yield "overridden", why.decided.override
    if why.evaluated is None:
        yield "evaluation", "none"
    else:
        found = why.evaluated
        yield (
            "evaluation",
            f"{found.accuracy:.1%} [{found.low:.1%}, {found.high:.1%}] of {found.completions:,} completions "
            f"on {found.problems:,} problems ({', '.join(found.rows)})",
        )
    for stage in why.stages:
        yield stage.kind, _stage(stage)
    for rows in why.datasets:
        yield "rows", _dataset(rows)
    for name, code in why.verifiers.items():
        yield "verifier", f"{name} {code[:_SHORT]}"


def _decision(decided: "Decided") -> str:
    reason = f": {decided.reason}" if decided.reason else ""
    state = "champion" if decided.is_in_force else "champion once"
    return f"{state}, {decided.kind} by {decided.actor} on {local_time(decided.made)}{reason}"


def _stage(made: "Made") -> str:
    config = ", ".join(f"{name} {value}" for name, value in made.config.items())
    given = f"← {', '.join(made.given)}" if made.given else ""
    return " · ".join(filter(None, [f"{made.reference} {made.fingerprint[:_SHORT]}", config, given]))


def _dataset(rows: "Rows") -> str:
    counted = "gone from this home" if rows.rows is None else f"{rows.rows:,} rows"
    licence = ", ".join(rows.licences) or "no licence told"
    return f"{rows.reference} {rows.fingerprint[:_SHORT]} · {counted} · {licence}"


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"
