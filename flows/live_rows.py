"""The rows of the live view: what is known of a run's stages, as lines that fit a terminal of any size."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from rich.text import Text

from flows.curves import sparkline
from flows.pace import time_left
from flows.stage_numbers import StageNumbers
from flows.view import alarm_text, one_line
from infra import records as states

_MARKS = {
    states.DONE: ("✔", "green"),
    states.REUSED: ("=", "cyan"),
    states.FAILED: ("✘", "red"),
    states.REFUSED: ("✘", "red"),
    states.INTERRUPTED: ("■", "yellow"),
    states.SKIPPED: ("–", "dim"),
    states.RUNNING: ("▸", "bold yellow"),
    states.WAITING: ("◌", "yellow"),
}
_TO_COME = "to come"

_FEW_STAGES = 20
"""So many are all shown, where the terminal is high enough."""

_NUM_RECENT, _NUM_NEXT = 2, 3
_BAR_COLUMNS, _CURVE_COLUMNS = 20, 48
_LABELS = 22
"""Columns before a curve."""


@dataclass(slots=True)
class StageRow:
    """A stage of the run as the view knows it."""

    name: str
    parents: tuple[str, ...] = ()
    state: str = _TO_COME
    reason: str = ""
    """For what it waits."""

    numbers: StageNumbers = field(default_factory=StageNumbers)
    ended: int | None = None
    """How many had ended before it."""

    def begin(self) -> None:
        self.state, self.numbers, self.ended = states.RUNNING, StageNumbers(), None

    def wait(self, for_what: str) -> None:
        self.state, self.reason = states.WAITING, for_what


def mark(state: str) -> tuple[str, str]:
    """A character for a state, and its style."""
    return _MARKS.get(state, ("·", "dim"))


def rows_of(stages: Sequence[StageRow], width: int, height: int, seconds: float) -> list[Text]:
    """At most `height` lines, of any length; `seconds` since the run began."""
    shown = _chosen(stages, height)
    at_work = sum(stage.state == states.RUNNING for stage in shown)
    room = height - len(shown) - 2
    details = room // at_work if at_work else 0
    rows: list[Text] = [_whole(stages, seconds)]
    for stage in shown:
        rows.append(_line(stage))
        if stage.state == states.RUNNING:
            rows += list(_details(stage.numbers, width))[: max(details, 0)]
    if hidden := _hidden(stages, shown):
        rows.append(_text((f"  … {hidden}", "dim")))
    return rows[: max(height, 1)]


def added_rows(lengths: Sequence[int], width: int) -> int:
    """How many rows more lines of these lengths take once a terminal is `width` columns wide."""
    return sum(max(length - 1, 0) // width for length in lengths)


def bar(indent: str, done: int, total: int, text: str) -> Text:
    """A line with how much is done, and words for it."""
    full = _BAR_COLUMNS * min(done, total) // max(total, 1)
    rest = _BAR_COLUMNS - full
    return _text(
        (indent, ""), ("━" * full, "bar.complete"), ("─" * rest, "bar.back"), (f" {one_line(text)}", "")
    )


def _chosen(stages: Sequence[StageRow], height: int) -> list[StageRow]:
    """In the order of the plan: all of a few; of many what is at work, what ended last, and what comes next."""
    if len(stages) <= _FEW_STAGES and len(stages) + 8 <= height:
        return list(stages)
    active = [stage for stage in stages if stage.state in (states.RUNNING, states.WAITING)]
    active.sort(key=lambda stage: stage.state != states.RUNNING)
    ended = sorted((stage for stage in stages if stage.ended is not None), key=lambda stage: stage.ended or 0)
    to_come = [stage for stage in stages if stage.state == _TO_COME]
    wanted = [*active, *to_come[:_NUM_NEXT], *ended[-_NUM_RECENT:]][: max(height // 2, 1)]
    names = {stage.name for stage in wanted}
    return [stage for stage in stages if stage.name in names]


def _whole(stages: Sequence[StageRow], seconds: float) -> Text:
    ended = sum(stage.ended is not None for stage in stages)
    return bar("", ended, len(stages), f"{ended}/{len(stages)} stages · {time_left(seconds)}")


def _line(stage: StageRow) -> Text:
    character, style = mark(stage.state)
    line = _text(
        (f"{character} ", style), (one_line(stage.name), "bold" if stage.state == states.RUNNING else "")
    )
    if stage.state == states.WAITING:
        line.append(one_line(f" waiting, {stage.reason}"), style="dim")
    elif stage.parents:
        line.append(one_line(f" ← {', '.join(stage.parents)}"), style="dim")
    return line


def _details(numbers: StageNumbers, width: int) -> Iterator[Text]:
    """The most telling first."""
    if not numbers.total:
        yield _text(("  starting", "dim"))
        return
    yield bar("  ", numbers.step, numbers.total, numbers.how_far())
    if numbers.alarm is not None:
        yield _text(("  ! ", "bold yellow"), (one_line(alarm_text(numbers.alarm)), "yellow"))
    for label, value in numbers.newest.items():
        drawn = sparkline(numbers.curve(label), max(min(_CURVE_COLUMNS, width - _LABELS), 1))
        yield _text((f"  {label:<9} {value:>8.3g} ", ""), (drawn, "cyan"))
    for told in filter(None, (numbers.how_fast(), numbers.time_split())):
        yield _text((f"  {one_line(told)}", "dim"))


def _text(*parts: tuple[str, str]) -> Text:
    return Text.assemble(*parts, no_wrap=True, overflow="ellipsis")


def _hidden(stages: Sequence[StageRow], shown: Sequence[StageRow]) -> str:
    names = {stage.name for stage in shown}
    counts = Counter(stage.state for stage in stages if stage.name not in names)
    return ", ".join(f"{count} {state}" for state, count in counts.items())
