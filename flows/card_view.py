"""A data card on a terminal: what it says at a glance, one line per fact, lengths as small histograms."""

from collections.abc import Iterable, Mapping

from rich.box import SIMPLE
from rich.console import Group
from rich.table import Table
from rich.text import Text

from data_contracts.data_card import Counts, DataCard, Distribution, Provenance

_BLOCKS = " ▁▂▃▄▅▆▇█"
_SHOWN_VALUES = 5
_SHOWN_CHARACTERS = 40


def card_view(title: str, card: DataCard, withdrawn: int = 0) -> Group:
    """Everything the card says, and how many rows were withdrawn since, for `Console.print`.

    Its texts are shown on one line, control characters escaped.
    """
    heading = Text.assemble((one_line(title), "bold"), f"  {card.rows:,} {card.kind} rows, ")
    heading.append(f"{_size(card.text_bytes)} of text")
    warnings = [Text(f"! {one_line(warning)}", style="yellow") for warning in card.warnings()]
    if withdrawn:
        warnings.insert(0, Text(f"! {_share(withdrawn, card.rows)} rows are withdrawn", style="yellow"))
    return Group(heading, *warnings, _facts(card), _lengths(card))


def card_facts(card: DataCard) -> Iterable[tuple[str, str]]:
    """What it says beside lengths and warnings, each with a name; a fact without one goes on with the last."""
    yield from _content_facts(card)
    yield from _provenance_facts(card.provenance)


def text_histogram(counts: Iterable[int]) -> str:
    """One block per count, the tallest for the largest; nothing counted is a space, anything is at least a line."""
    heights = list(counts)
    largest = max(heights, default=0) or 1
    return "".join(_BLOCKS[-(-count * (len(_BLOCKS) - 1) // largest)] for count in heights)


def one_line(text: str) -> str:
    """Hostile text made harmless: nothing in it breaks the line, moves the cursor or colours the terminal."""
    return "".join(c if c.isprintable() else " " if c in "\n\t" else f"\\x{ord(c):02x}" for c in text)


def _facts(card: DataCard) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim")
    table.add_column()
    for name, fact in card_facts(card):
        table.add_row(name, Text(fact))
    return table


def _content_facts(card: DataCard) -> Iterable[tuple[str, str]]:
    yield "duplicates", f"{_share(card.duplicate_rows, card.rows)} rows repeat an earlier one"
    if card.repeated_prompts is not None:
        yield "", f"{_share(card.repeated_prompts, card.rows)} repeat an earlier prompt"
    if nulls := {column: rows for column, rows in card.nulls.items() if rows}:
        yield "without a value", _listed({one_line(c): _share(rows, card.rows) for c, rows in nulls.items()})
    if card.turns:
        histogram = text_histogram(card.turns.values())
        yield (
            "turns",
            f"{histogram} " + _listed({str(n): f"{rows:,}" for n, rows in card.turns.items()}, limit=8),
        )
        yield "system prompt", _share(card.with_system_prompt, card.rows)
    if card.sources and card.sources.distinct:
        yield "sources", _counts(card.sources, card.rows)
    if card.problems:
        yield "verifiers", _counts(card.problems.verifiers, card.rows)
        yield "ground truths", _counts(card.problems.ground_truths, card.rows)
    if card.pairs:
        yield (
            "chosen",
            f"longer in {_share(card.pairs.chosen_longer, card.rows)} pairs, as long in"
            f" {card.pairs.equal:,}; {card.pairs.mean_difference:+,.0f} characters on average",
        )
    if card.scripts:
        yield "scripts", _listed({script: _percent(share) for script, share in card.scripts.items()})


def _provenance_facts(provenance: Provenance) -> Iterable[tuple[str, str]]:
    if provenance.origin:
        yield "origin", one_line(provenance.origin)
    if provenance.licence:
        yield "licence", one_line(provenance.licence)
    if provenance.imported_at:
        yield "imported", f"{provenance.imported_at:%Y-%m-%d %H:%M}"
    if provenance.mapping:
        yield (
            "columns",
            ", ".join(f"{one_line(to)} ← {one_line(of)}" for to, of in provenance.mapping.items()),
        )
    if provenance.quarantine:
        refused = sum(provenance.quarantine.values())
        reasons = {one_line(reason): f"{rows:,}" for reason, rows in provenance.quarantine.items()}
        yield "quarantined", f"{refused:,} rows: {_listed(reasons)}"
    if provenance.parents:
        yield "made from", ", ".join(one_line(parent) for parent in provenance.parents)
    if provenance.mixture:
        weights = {one_line(s.dataset): f"× {s.weight:g}" for s in provenance.mixture.sources}
        total = f", {provenance.mixture.total:,} rows in all" if provenance.mixture.total else ""
        yield "mixture", f"{_listed(weights, limit=20)}{total}, seed {provenance.mixture.seed}"


def _lengths(card: DataCard) -> Table:
    sampled = (
        "" if card.sampled_rows == card.rows else f"words and scripts: a sample of {card.sampled_rows:,} rows"
    )
    table = Table(box=SIMPLE, pad_edge=False, caption=sampled or None, caption_justify="left")
    table.add_column("length of")
    table.add_column("in")
    for name in ("min", "p5", "p50", "p95", "p99", "max", "mean"):
        table.add_column(name, justify="right")
    table.add_column("log scale", no_wrap=True)
    for lengths in card.lengths:
        table.add_row(
            Text(one_line(lengths.part)),
            lengths.unit,
            *(f"{number:,.0f}" for number in _numbers(lengths)),
            text_histogram(bin.count for bin in lengths.bins),
        )
    return table


def _numbers(of: Distribution) -> tuple[float, ...]:
    return (of.bins[0].low, of.p5, of.p50, of.p95, of.p99, of.max, of.mean)


def _counts(counts: Counts, rows: int) -> str:
    shown = counts.top[:_SHOWN_VALUES]
    listed = ", ".join(f"{_shortened(count.value)} {_share(count.rows, rows)}" for count in shown)
    return listed + (f", and {counts.distinct - len(shown):,} more" if counts.distinct > len(shown) else "")


def _listed(facts: Mapping[str, str], limit: int = _SHOWN_VALUES) -> str:
    listed = ", ".join(f"{name} {fact}" for name, fact in list(facts.items())[:limit])
    return listed + (f", and {len(facts) - limit} more" if len(facts) > limit else "")


def _share(part: int, rows: int) -> str:
    return f"{part:,} ({_percent(part / rows)})" if 0 < part < rows else f"{part:,}"


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %" if share >= 0.0001 else "<0.01 %"


def _shortened(text: str) -> str:
    line = one_line(text)
    return repr(line if len(line) <= _SHOWN_CHARACTERS else f"{line[: _SHOWN_CHARACTERS - 1]}…")


def _size(num_bytes: int) -> str:
    size, unit = float(num_bytes), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if size < 1000:
            break
        size, unit = size / 1000, larger
    return f"{size:,.3g} {unit}"
