"""Reward for a schedule of events: nothing unless it is valid, then its score over the best possible score.

The gate comes first because a sum of parts pays a policy for doing them singly: under the reward in
`schedule_original`, copying every event in order earns 70 % and is almost never a schedule.

The schedule stands after the thinking, once, as the prompt asks for it:

    <schedule>
    <event><name>...</name><start>HH:MM</start><end>HH:MM</end></event>
    ...
    </schedule>

Names and times count character by character, but for white space around them. Text around the schedule, such as a
code fence, plays no part.
"""

import re
from typing import Unpack
from xml.etree import ElementTree

from data_contracts.errors import GroundTruthError
from data_contracts.verdict import PosedProblem, Verdict
from stages.verifiers.reading import after_thinking, shortened
from stages.verifiers.schedule_policies import SCRIPTED, best_schedule
from stages.verifiers.schedule_problem import (
    Event,
    ScheduleArguments,
    SchedulingProblem,
    read_problem,
)
from stages.verifiers.verifier import Verifier

_MAX_CHARACTERS = 200_000
_FEWEST_EVENTS = 2
_XML_SPACE = " \t\r\n"
_BARE_AMPERSAND = re.compile(r"&(?!(?:amp|lt|gt|quot|apos|#[0-9]{1,7}|#x[0-9a-fA-F]{1,6});)")
_OPENING, _CLOSING = "<schedule>", "</schedule>"
_COLUMNS = (
    "format_error",
    "too_few_events",
    "non_existent",
    "unsorted",
    "overlap",
    "valid",
    "score",
    "optimal",
)
"""The parts of every verdict, a table's columns: their sums count failures by the first check that failed."""


def schedule(completion: str, problem: PosedProblem, **arguments: Unpack[ScheduleArguments]) -> Verdict:
    """In the order of the original project's evaluation: format, two events, existing ones, sorted, no overlap."""
    asked = _solvable(problem, arguments)
    blocks = _blocks(_without_comments(after_thinking(completion)))
    if not blocks:
        return _refused("format_error", "no <schedule> with an <event> after the thinking")
    answer = _parsed(blocks)
    if answer is None:
        return _refused("format_error", "the schedule is not well-formed XML")
    chosen, is_strange = _events(answer)
    chosen = [event if event in asked.slots else _trimmed(event) for event in chosen]
    failure = _failure(chosen, asked)
    if failure:
        return _refused(*failure)
    if is_strange or len(answer) > 1:
        return _refused("format_error", "more than one schedule, or something else than events inside it")
    score = sum(asked.slots[event].weight for event in chosen)
    reward = score / asked.optimum
    reason = f"valid schedule, score {score} of {asked.optimum}"
    return Verdict(reward, reason, _parts(valid=1.0, score=reward, optimal=float(score == asked.optimum)))


def _solvable(problem: PosedProblem, arguments: ScheduleArguments) -> SchedulingProblem:
    asked = read_problem(arguments["events"], arguments["priority_events"], problem.ground_truth)
    if len(asked.best) < _FEWEST_EVENTS:
        raise GroundTruthError(
            f"The best score {asked.optimum} belongs to a single event.",
            f"a best schedule of {_FEWEST_EVENTS} events or more, since fewer are no schedule",
            "Drop the row.",
        )
    return asked


def _without_comments(answer: str) -> str:
    """Commented out is not written. A comment that never ends hides the rest."""
    kept: list[str] = []
    position = 0
    while (start := answer.find("<!--", position)) >= 0:
        kept.append(answer[position:start])
        end = answer.find("-->", start + 4)
        position = end + 3 if end >= 0 else len(answer)
    return "".join([*kept, answer[position:]])


def _blocks(answer: str) -> str:
    """All that could be a schedule: from the last opening tag before each closing one. One without events is prose."""
    found: list[str] = []
    position = 0
    while (closing := answer.find(_CLOSING, position)) >= 0:
        end = closing + len(_CLOSING)
        opening = answer.rfind(_OPENING, position, closing)
        if opening >= 0 and answer.find("<event>", opening, closing) >= 0:
            found.append(answer[opening:end])
        position = end
    return "".join(found)


def _parsed(blocks: str) -> ElementTree.Element | None:
    """All blocks under one root, which leaves no place for a document type and so for entities of one's own.

    An ampersand that begins none of XML's five entities stands for itself: prompts list names unescaped.
    """
    if len(blocks) > _MAX_CHARACTERS:
        return None
    if "&" in blocks:
        blocks = _BARE_AMPERSAND.sub("&amp;", blocks)
    try:
        return ElementTree.fromstring(f"<answer>{blocks}</answer>")  # noqa: S314 (no entity can be declared)
    except (ElementTree.ParseError, UnicodeEncodeError):  # the latter for half a surrogate pair
        return None


def _events(answer: ElementTree.Element) -> tuple[list[Event], bool]:
    """The readable events, and whether there is anything else."""
    events: list[Event] = []
    is_strange = False
    for block in answer:
        is_strange |= block.tag != "schedule" or _has_text(block.text) or _has_text(block.tail)
        for element in block:
            event = _event(element)
            if event is None:
                is_strange = True
            else:
                events.append(event)
            is_strange |= _has_text(element.tail)
    return events, is_strange


def _event(element: ElementTree.Element) -> Event | None:
    if element.tag != "event" or len(element) != 3 or element.attrib or _has_text(element.text):
        return None
    name, start, end = element
    if (name.tag, start.tag, end.tag) != ("name", "start", "end"):
        return None
    if any(len(field) or field.attrib or _has_text(field.tail) for field in (name, start, end)):
        return None
    return name.text or "", start.text or "", end.text or ""


def _trimmed(event: Event) -> Event:
    name, start, end = (field.strip(_XML_SPACE) for field in event)
    return name, start, end


def _has_text(text: str | None) -> bool:
    return bool(text) and not text.isspace()


def _failure(chosen: list[Event], asked: SchedulingProblem) -> tuple[str, str] | None:
    """The first check that fails, as (column, reason). Sorted means that every start is later than the last."""
    if len(chosen) < _FEWEST_EVENTS:
        return "too_few_events", f"fewer than {_FEWEST_EVENTS} readable events"
    for event in chosen:
        if event not in asked.slots:
            return "non_existent", f"the event {_named(event)} is not listed"
    if len(set(chosen)) < len(chosen):
        return "non_existent", "an event is scheduled more than once"
    slots = [asked.slots[event] for event in chosen]
    for position in range(1, len(slots)):
        if slots[position].start <= slots[position - 1].start:
            return "unsorted", f"{_named(chosen[position])} starts no later than the event before it"
    for position in range(1, len(slots)):
        if slots[position].start < slots[position - 1].end:
            return "overlap", f"{_named(chosen[position - 1])} and {_named(chosen[position])} overlap"
    return None


def _named(event: Event) -> str:
    return f"{shortened(event[0])!r} ({shortened(event[1])} - {shortened(event[2])})"


def _refused(column: str, reason: str) -> Verdict:
    return Verdict(0.0, reason, _parts(**{column: 1.0}))


_NONE = dict.fromkeys(_COLUMNS, 0.0)


def _parts(**values: float) -> dict[str, float]:
    return {**_NONE, **values}


SCHEDULE = Verifier(
    summary="a valid schedule, by its score over the best one",
    quick=schedule,
    arguments=ScheduleArguments,
    completion_of=best_schedule,
    answers="solution",
    second="schedule_original",
    policies=SCRIPTED,
)
