"""The reward that qwen-scheduler-grpo was trained on: 10 points for format, 20 for order, 70 for the score.

Kept with its defects, so that its training can be repeated and compared with `schedule`
(github.com/anakin87/qwen-scheduler-grpo, train_grpo.ipynb):

- The parts add up, valid or not: all events in order earn format and order whatever they overlap.
- Overlapping events only lose their own minutes, and touching ones count as overlapping.
- Events are read from the whole completion, so drafts in the thinking are part of the schedule.
- Events that start together are never in order, though the order of their schedule is nobody's fault.

Points are divided by 100. Here every pattern takes linear time; the project's own takes 10 s on 2.8 kB.
"""

import re
from itertools import pairwise
from typing import Unpack

from data_contracts.verdict import PosedProblem, Verdict
from stages.verifiers.schedule_policies import SCRIPTED
from stages.verifiers.schedule_problem import (
    Event,
    ScheduleArguments,
    SchedulingProblem,
    read_problem,
)
from stages.verifiers.verifier import Verifier

_FORMAT_POINTS, _ORDER_POINTS, _SCORE_POINTS = 10, 20, 70
_START = re.compile(r"<start>\d\d:\d\d</start>")
_END = re.compile(r"<end>\d\d:\d\d</end>")
_EVENT = re.compile(
    r"<event>\s*+<name>([^<]++)</name>\s*+<start>(\d\d:\d\d)</start>\s*+<end>(\d\d:\d\d)</end>\s*+</event>"
)


def schedule_original(
    completion: str, problem: PosedProblem, **arguments: Unpack[ScheduleArguments]
) -> Verdict:
    """The sum of three parts. Times past 24:00 are taken as they are, as the original does."""
    asked = read_problem(
        arguments["events"], arguments["priority_events"], problem.ground_truth, past_midnight=True
    )
    events: list[Event] = _EVENT.findall(completion)
    starts = [_minutes(start) for _, start, _ in events]
    is_sorted = len(events) >= 2 and all(earlier <= later for earlier, later in pairwise(starts))
    points = {
        "format": _FORMAT_POINTS if _has_format(completion) else 0,
        "sorted": _ORDER_POINTS if is_sorted else 0,
        "score": _SCORE_POINTS * _score(events, asked) / asked.optimum,
    }
    reason = ", ".join(f"{name} {earned:.4g}" for name, earned in points.items())
    return Verdict(
        sum(points.values()) / 100, f"points: {reason}", {name: p / 100 for name, p in points.items()}
    )


def _minutes(time: str) -> int:
    hours, minutes = time.split(":")
    return int(hours) * 60 + int(minutes)


def _score(events: list[Event], asked: SchedulingProblem) -> int:
    """0 when an event is unknown or repeated; else the weights of those that touch no other."""
    chosen = set(events)
    if len(chosen) < 2 or len(chosen) < len(events) or not chosen <= asked.slots.keys():
        return 0
    slots = sorted((asked.slots[event] for event in chosen), key=lambda slot: slot.start)
    score, latest_end = 0, -1
    for position, slot in enumerate(slots):
        meets_earlier = latest_end >= slot.start
        meets_later = position + 1 < len(slots) and slots[position + 1].start <= slot.end
        score += 0 if meets_earlier or meets_later else slot.weight
        latest_end = max(latest_end, slot.end)
    return score


def _has_format(completion: str) -> bool:
    """The tags of a thought and of one event in this order, thought and name not empty, with anything between."""
    if not completion.startswith("<think>"):
        return False
    position = len("<think>") + 1
    for tag in ("</think>", "<schedule>", "<event>", "<name>"):
        found = completion.find(tag, position)
        if found < 0:
            return False
        position = found + len(tag)
    name_end = completion.find("</name>", position + 1)
    start = _START.search(completion, name_end) if name_end >= 0 else None
    end = _END.search(completion, start.end()) if start else None
    event_end = completion.find("</event>", end.end()) if end else -1
    return event_end >= 0 and completion.find("</schedule>", event_end) >= 0


SCHEDULE_ORIGINAL = Verifier(
    summary="the additive reward of qwen-scheduler-grpo, with its defects",
    quick=schedule_original,
    arguments=ScheduleArguments,
    answers="solution",
    policies=SCRIPTED,
)
