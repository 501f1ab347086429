"""What a scheduling problem asks, read once: when its events happen, what they weigh, and the best that can be had.

The task is weighted interval scheduling: choose events that do not overlap, so that their minutes, doubled for
priority events, add up to the most. Dynamic programming over the events by their end solves it exactly
(Kleinberg & Tardos, Algorithm Design, 6.1). Events may touch: one may start the minute another ends.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated

from pydantic import Field, with_config
from typing_extensions import TypedDict

from data_contracts.errors import DataError, GroundTruthError
from stages.verifiers.reading import exact_value, shortened

Event = tuple[str, str, str]
"""Name, start and end, as the prompt writes them."""

_MINUTES_A_DAY = 24 * 60
_MINUTES_TO_99 = 100 * 60
_TIME = re.compile(r"([0-9]{2}):([0-5][0-9])")


@with_config(extra="forbid")
class ScheduleArguments(TypedDict):
    """What may be chosen from. The ground truth is the score of the best schedule, in weighted minutes."""

    events: Annotated[list[Event], Field(min_length=1, max_length=1000)]
    """[name, start, end] with times HH:MM; 24:00 is the end of the day. Two events may have one name."""

    priority_events: list[str]
    """Names. Every event called so counts twice."""


@dataclass(frozen=True, slots=True)
class Slot:
    """When one event happens, in minutes since midnight."""

    start: int
    end: int
    weight: int
    """Its minutes, doubled for a priority event."""


@dataclass(frozen=True, slots=True)
class SchedulingProblem:
    slots: Mapping[Event, Slot]
    best: tuple[Event, ...]
    """A schedule of the highest score, in order of time; among equals, one of the most events."""

    optimum: int


def read_problem(
    events: Iterable[Event], priority_events: Iterable[str], ground_truth: str, *, past_midnight: bool = False
) -> SchedulingProblem:
    """The problem, remembered by content: a policy is asked the same one many times in a row.

    Raises DataError for events that cannot happen (`past_midnight` allows times to 99:59), GroundTruthError
    where the best score is another than the ground truth says.
    """
    last_minute = _MINUTES_TO_99 if past_midnight else _MINUTES_A_DAY
    listed = tuple((name, start, end) for name, start, end in events)
    return _read(listed, tuple(priority_events), ground_truth, last_minute)


@lru_cache(maxsize=4096)
def _read(
    events: tuple[Event, ...], priority_events: tuple[str, ...], ground_truth: str, last_minute: int
) -> SchedulingProblem:
    names = {name for name, _, _ in events}
    unlisted = [name for name in priority_events if name not in names]
    if unlisted:
        raise DataError(
            f"The priority event {shortened(unlisted[0])!r} is not listed.",
            "priority_events that are names of events",
            "Fix the column arguments of this row.",
        )
    slots = {event: _slot(event, event[0] in priority_events, last_minute) for event in events}
    best = _best(slots)
    optimum = sum(slots[event].weight for event in best)
    if exact_value(ground_truth) != optimum:
        raise GroundTruthError(
            f"The ground truth {shortened(ground_truth)!r} is not the best score of these events.",
            f"{optimum}, which the schedule {shortened(', '.join(name for name, _, _ in best))!r} has",
            "Fix the row or drop it.",
        )
    return SchedulingProblem(slots, best, optimum)


def _slot(event: Event, is_priority: bool, last_minute: int) -> Slot:
    start, end = _minutes(event, event[1], last_minute), _minutes(event, event[2], last_minute)
    if start >= end:
        raise DataError(
            f"The event {shortened(event[0])!r} goes from {event[1]} to {event[2]}.",
            "events that end after they start",
            "Fix the column arguments of this row.",
        )
    return Slot(start, end, (end - start) * (2 if is_priority else 1))


def _minutes(event: Event, time: str, last_minute: int) -> int:
    match = _TIME.fullmatch(time)
    minutes = int(match[1]) * 60 + int(match[2]) if match else None
    if minutes is None or minutes > last_minute:
        raise DataError(
            f"The event {shortened(event[0])!r} has the time {shortened(time)!r}.",
            "times HH:MM from 00:00 to 24:00",
            "Fix the column arguments of this row, or drop it.",
        )
    return minutes


def _best(slots: Mapping[Event, Slot]) -> tuple[Event, ...]:
    """The schedule of the highest (score, number of events); both add up, so the pair can be maximized as one."""
    by_end = sorted(slots, key=lambda event: (slots[event].end, slots[event].start, event))
    ends = [slots[event].end for event in by_end]
    compatible = [bisect_right(ends, slots[event].start) for event in by_end]
    best = [(0, 0)]
    for event, before in zip(by_end, compatible, strict=True):
        score, count = best[before]
        best.append(max(best[-1], (score + slots[event].weight, count + 1)))
    return _chosen(by_end, compatible, best)


def _chosen(
    by_end: Sequence[Event], compatible: Sequence[int], best: Sequence[tuple[int, int]]
) -> tuple[Event, ...]:
    """Walk back through the table: an event was taken where the best rose."""
    chosen: list[Event] = []
    position = len(by_end)
    while position:
        taken = best[position] != best[position - 1]
        if taken:
            chosen.append(by_end[position - 1])
        position = compatible[position - 1] if taken else position - 1
    return tuple(reversed(chosen))
