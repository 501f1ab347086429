"""What is wrong with an event-scheduling problem beyond its contract, and what is only unusual about it.

A time past 24:00 makes a row impossible: an error. Events that touch (one ends when another begins) or begin
together are legitimate, but a grader that asks for strict order punishes right answers to them: warnings.
"""

import re
from dataclasses import dataclass
from typing import NamedTuple

import pyarrow as pa
from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

_TIME = re.compile(r"([0-9]{2}):([0-5][0-9])", re.ASCII)
_MINUTES_A_DAY = 24 * 60


class Event(NamedTuple):
    """One event as the file has it, with its times as text."""

    name: str
    start: str
    end: str


class Schedule(TypedDict):
    """The arguments of the verifier `schedule`."""

    events: list[Event]
    priority_events: list[str]


@dataclass(frozen=True, slots=True)
class ScheduleFindings:
    """For each row of a table, null or a sentence."""

    errors: pa.Array
    warnings: pa.Array


_SCHEDULE = TypeAdapter(Schedule)


def schedule_findings(table: pa.Table) -> ScheduleFindings:
    """The first error and the first warning of every problem whose verifier is `schedule`; null for the others."""
    errors: list[str | None] = []
    warnings: list[str | None] = []
    for verifier, arguments in zip(
        table["verifier"].to_pylist(), table["arguments"].to_pylist(), strict=True
    ):
        wrong, unusual = check_schedule(arguments) if verifier == "schedule" else ((), ())
        errors.append(next(iter(wrong), None))
        warnings.append(next(iter(unusual), None))
    return ScheduleFindings(pa.array(errors, pa.string()), pa.array(warnings, pa.string()))


def check_schedule(arguments: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(errors, warnings) of one schedule, given as JSON: `{"events": [[name, start, end]], "priority_events": […]}`.

    Times are HH:MM, and 24:00 is the end of the day. Warnings are sought only where there is no error.
    """
    try:
        schedule = _SCHEDULE.validate_json(arguments, strict=True)
    except ValidationError:
        return ("events are not [name, start, end] texts beside a list of priority_events",), ()
    events = schedule["events"]
    errors = tuple(error for event in events if (error := _event_error(event)))
    names = {event.name for event in events}
    missing = [name for name in schedule["priority_events"] if name not in names]
    errors += tuple(f"priority event {_shown(name)} is not listed" for name in missing)
    if not events:
        errors = ("there are no events", *errors)
    return (errors, ()) if errors else ((), _warnings(events))


def _event_error(event: Event) -> str | None:
    start, end = _minutes(event.start), _minutes(event.end)
    for text, minutes in ((event.start, start), (event.end, end)):
        if minutes is None:
            return f"event {_shown(event.name)}: time {_shown(text)} is not HH:MM"
        if minutes > _MINUTES_A_DAY:
            return f"event {_shown(event.name)}: time {text} is past 24:00"
    assert start is not None and end is not None
    if end <= start:
        return f"event {_shown(event.name)} ends at {event.end}, not after its start at {event.start}"
    return None


def _warnings(events: list[Event]) -> tuple[str, ...]:
    starts = [event.start for event in events]
    equal = sorted({start for start in starts if starts.count(start) > 1})
    touching = sorted({event.end for event in events}.intersection(starts))
    return (
        *(f"an event ends at {time}, when another starts" for time in touching),
        *(f"several events start at {time}" for time in equal),
    )


def _minutes(text: str) -> int | None:
    found = _TIME.fullmatch(text)
    return int(found[1]) * 60 + int(found[2]) if found else None


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:39] + "…")
