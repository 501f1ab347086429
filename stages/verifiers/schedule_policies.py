"""Scripted answers to a scheduling problem: the best one, and what a policy without skill could write."""

from typing import Unpack
from xml.sax.saxutils import escape

from data_contracts.verdict import PosedProblem
from stages.verifiers.schedule_problem import (
    Event,
    ScheduleArguments,
    SchedulingProblem,
    read_problem,
)


def as_completion(events: tuple[Event, ...]) -> str:
    """These events in the form that the prompt asks for."""
    written = "\n".join(
        f"<event>\n<name>{escape(name)}</name>\n<start>{start}</start>\n<end>{end}</end>\n</event>"
        for name, start, end in events
    )
    return f"<think>\nBy a fixed rule.\n</think>\n<schedule>\n{written}\n</schedule>"


def best_schedule(problem: PosedProblem, **arguments: Unpack[ScheduleArguments]) -> str:
    """The highest score, by dynamic programming."""
    return as_completion(_asked(problem, arguments).best)


def every_event(problem: PosedProblem, **arguments: Unpack[ScheduleArguments]) -> str:
    """All that is listed, copied in its order."""
    del problem
    return as_completion(tuple(arguments["events"]))


def heaviest_first(problem: PosedProblem, **arguments: Unpack[ScheduleArguments]) -> str:
    """Greedy: the heaviest event that still fits, again and again."""
    slots = _asked(problem, arguments).slots
    chosen: list[Event] = []
    for event in sorted(slots, key=lambda event: -slots[event].weight):
        if all(
            slots[event].end <= slots[other].start or slots[other].end <= slots[event].start
            for other in chosen
        ):
            chosen.append(event)
    return as_completion(tuple(sorted(chosen, key=lambda event: slots[event].start)))


def _asked(problem: PosedProblem, arguments: ScheduleArguments) -> SchedulingProblem:
    return read_problem(
        arguments["events"], arguments["priority_events"], problem.ground_truth, past_midnight=True
    )


SCRIPTED = {"every event, in order": every_event, "heaviest first": heaviest_first}
