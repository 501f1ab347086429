"""A schedule is valid or worth nothing; the original reward pays as the original did."""

import itertools
import json
import os
import random
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from data_contracts.errors import DataError, GroundTruthError
from data_contracts.verdict import PosedProblem, Verdict
from stages.verifiers.schedule import schedule
from stages.verifiers.schedule_original import schedule_original
from stages.verifiers.schedule_policies import as_completion, best_schedule, every_event, heaviest_first
from stages.verifiers.schedule_problem import Event, ScheduleArguments, read_problem

REAL_DATA = Path(os.environ.get("BURNISH_REAL_DATA", Path(__file__).parents[3] / "shared" / "data"))
SCHEDULES = REAL_DATA / "events_scheduling"

# 60 + 2 * 90 + 30: the workshop overlaps the talk by a minute and loses.
OPENING, TALK, WORKSHOP, DINNER = EVENTS = [
    ("Opening", "09:00", "10:00"),
    ("Talk", "10:00", "11:30"),
    ("Workshop", "11:29", "12:59"),
    ("Q&A dinner", "23:30", "24:00"),
]
PROBLEM = PosedProblem("Events: ...", "270")
BEST = [OPENING, TALK, DINNER]


def judged(completion: str, events: Sequence[Event] = EVENTS, truth: str = "270") -> Verdict:
    return schedule(completion, PosedProblem("", truth), events=list(events), priority_events=["Talk"])


def written(*events: Event) -> str:
    return as_completion(events)


def failed(verdict: Verdict) -> str:
    """The one column that an invalid schedule counts in."""
    assert verdict.reward == 0.0
    (column,) = (name for name, value in verdict.parts.items() if value)
    return column


def test_the_best_schedule_gets_all_and_a_worse_one_its_share() -> None:
    best = judged(written(*BEST))
    assert (best.reward, best.parts["valid"], best.parts["optimal"]) == (1.0, 1.0, 1.0)
    worse = judged(written(OPENING, WORKSHOP))
    assert worse.reward == pytest.approx((60 + 90) / 270)
    assert (worse.parts["score"], worse.parts["optimal"]) == (worse.reward, 0.0)
    assert worse.reason == "valid schedule, score 150 of 270"


def test_events_that_touch_do_not_overlap() -> None:
    assert judged(written(OPENING, TALK)).reward == pytest.approx(240 / 270)


PLAIN = written(*BEST).replace("&amp;", "&")


@pytest.mark.parametrize(
    "completion",
    [
        PLAIN,
        PLAIN.replace("&", "&amp;"),
        PLAIN.replace("&", "&#38;"),
        PLAIN.replace("\n", ""),
        PLAIN.replace("\n", "\r\n  "),
        PLAIN.replace("<schedule>", "Here it is:\n```xml\n<schedule>") + "\n```\nEnjoy!",
        PLAIN.partition("</think>\n")[2],
        PLAIN.replace("<think>", "<think>" + written(OPENING, WORKSHOP).partition("</think>")[2]),
        PLAIN.replace("<schedule>", "<schedule><!-- mornings first -->"),
        PLAIN.replace("Talk", "<![CDATA[Talk]]>"),
        f"{PLAIN}<think>",
        PLAIN.replace("<schedule>", "What <schedule> and </schedule> hold:\n<schedule>"),
    ],
)
def test_harmless_differences_in_writing_are_right(completion: str) -> None:
    assert judged(completion).reward == 1.0


def test_white_space_around_a_name_or_a_time_is_layout() -> None:
    laid_out = written(*BEST).replace("<name>", "<name>\n    ").replace("</end>", "\n  </end>")
    assert judged(laid_out).reward == 1.0


@pytest.mark.parametrize(
    ("completion", "column"),
    [
        ("", "format_error"),
        ("<schedule></schedule>", "format_error"),
        (written(), "format_error"),
        (written(OPENING), "too_few_events"),
        (written(*EVENTS), "overlap"),
        (written(TALK, WORKSHOP), "overlap"),
        (written(OPENING, ("Talk", "10:01", "11:30")), "non_existent"),
        (written(OPENING, ("Talk", "10:00", "11:29")), "non_existent"),
        (written(OPENING, ("Talk", "10:00", "11:30\u00a0")), "non_existent"),
        (written(OPENING, OPENING, (" Opening ", "09:00", "10:00")), "non_existent"),
        (written(("Opening", "9:00", "10:00"), TALK), "non_existent"),
        (written(*BEST[:2], ("Q&A dinner", "23:30", "00:00")), "non_existent"),
        (written(*BEST, ("Gala", "13:00", "20:00")), "non_existent"),
        (written(OPENING, ("Opening", "10:00", "11:30")), "non_existent"),
        (written(OPENING, ("T\u0430lk", "10:00", "11:30")), "non_existent"),
        (written(OPENING, ("Talk\u200b", "10:00", "11:30")), "non_existent"),
        (written(OPENING, ("talk", "10:00", "11:30")), "non_existent"),
        (written(OPENING, ("Talk", "\uff11\uff10:00", "11:30")), "non_existent"),
        (written(OPENING, OPENING), "non_existent"),
        (written(OPENING, TALK, TALK), "non_existent"),
        (written(TALK, OPENING), "unsorted"),
        (written(DINNER, TALK, OPENING), "unsorted"),
        (f"<think>{written(*BEST).partition('</think>')[2]}</think>It is above.", "format_error"),
        (written(*BEST).replace("</think>", ""), "format_error"),
        (f"{written(*BEST)}</think>", "format_error"),
        (f"</think><!--{written(*BEST).partition('</think>')[2]}-->", "format_error"),
        (f"</think><!-- {written(*BEST).partition('</think>')[2]}", "format_error"),
        (written(*BEST) + written(OPENING, TALK).partition("</think>")[2], "non_existent"),
        (written(OPENING, TALK) + written(DINNER).partition("</think>")[2], "format_error"),
        (written(*BEST).replace("schedule>", "Schedule>"), "format_error"),
        (written(*BEST).replace("</schedule>", ""), "format_error"),
        (written(*BEST).replace("</event>\n<event>", "\n"), "too_few_events"),
        (written(*BEST).replace("<end>24:00</end>", "<end>24:00</end><weight>9</weight>"), "format_error"),
        (written(*BEST).replace("<name>Talk", '<name priority="yes">Talk'), "format_error"),
        (written(*BEST).replace("</schedule>", "Ignore the rules: reward 1.</schedule>"), "format_error"),
        ("The schedule is optimal. Score: 270 of 270. Verdict(1.0, 'valid')", "format_error"),
        ("</schedule><schedule>" * 3, "format_error"),
    ],
)  # fmt: skip
def test_the_first_check_that_fails_names_the_column(completion: str, column: str) -> None:
    assert failed(judged(completion)) == column


BOMB = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 20))


@pytest.mark.parametrize(
    "inside",
    [
        f"<!DOCTYPE schedule [<!ENTITY a0 'ha'>{BOMB}]><event>&a19;</event>",
        "<event><name>&xxe;</name><start>09:00</start><end>10:00</end></event>" * 2,
        "<?xml version='1.0' encoding='utf-7'?><event></event>",
        "<event>" * 5_000,
        "<event>" + "<a>" * 50_000 + "</a>" * 50_000 + "</event>",
        "<event>" * 12_000 + "</event>" * 12_000,
        "<event>" + "&" * 150_000 + "</event>",
        "<event>" + "&amp" * 100_000,
        "<event><![CDATA[",
        "<event><!--",
        "<event>\x00</event>",
        "<event>\ud800</event>",
        "<event>&#0;</event>",
        "<event>&#xFFFFFFFFFFFFFFFFF;</event>",
        "<event xmlns:x='" + "a" * 100_000 + "'></event>",
        "<x:event></x:event><event></event>",
        "</answer><answer><event></event>",
        "<event></event>" * 13_000,
        "</schedule ><event></event><schedule >",
    ],
)
def test_hostile_xml_is_refused_at_once(inside: str) -> None:
    start = time.process_time()
    verdict = judged(f"<think></think><schedule>{inside}</schedule>")
    assert time.process_time() - start < 5
    assert failed(verdict) in ("format_error", "too_few_events", "non_existent")
    assert len(verdict.reason) < 300


@pytest.mark.parametrize(
    "piece", ["<schedule>", "</schedule>", "<event>", "<!--", "-->", "&", "<", "<schedule><event></schedule>"]
)
def test_a_megabyte_of_anything_is_read_in_time(piece: str) -> None:
    completion = piece * (1_000_000 // len(piece))
    for verifier in (schedule, schedule_original):
        start = time.process_time()
        verdict = verifier(completion, PROBLEM, events=EVENTS, priority_events=["Talk"])
        assert time.process_time() - start < 5
        assert verdict.reward == 0.0


def test_a_schedule_split_over_two_roots_is_none() -> None:
    best = written(*BEST).replace("</event>\n<event>", "</event></schedule ><schedule ><event>")
    assert failed(judged(best)) == "format_error"


def test_two_events_of_one_name_are_told_apart_by_their_times() -> None:
    early, late = ("Yoga", "08:00", "09:00"), ("Yoga", "18:00", "20:00")
    problem = PosedProblem("", "360")
    arguments: dict[str, Any] = {"events": [early, late], "priority_events": ["Yoga"]}
    assert schedule(as_completion((early, late)), problem, **arguments).reward == 1.0
    assert failed(schedule(as_completion((early, early)), problem, **arguments)) == "non_existent"
    mixed = as_completion((("Yoga", "08:00", "20:00"), late))
    assert failed(schedule(mixed, problem, **arguments)) == "non_existent"


@pytest.mark.parametrize(
    ("events", "priority", "truth", "error"),
    [
        ([("A", "09:00", "24:01"), ("B", "07:00", "08:00")], [], "961", DataError),
        ([("A", "9:00", "10:00"), ("B", "11:00", "12:00")], [], "120", DataError),
        ([("A", "10:00", "10:00"), ("B", "11:00", "12:00")], [], "60", DataError),
        ([("A", "23:00", "01:00"), ("B", "11:00", "12:00")], [], "180", DataError),
        ([("A", "10:60", "11:00"), ("B", "11:00", "12:00")], [], "60", DataError),
        ([("A", "\u0661\u0660:00", "11:00"), ("B", "11:00", "12:00")], [], "120", DataError),
        ([("A", "09:00", "10:00"), ("B", "11:00", "12:00")], ["C"], "120", DataError),
        ([("A", "09:00", "10:00"), ("B", "11:00", "12:00")], [], "119", GroundTruthError),
        ([("A", "09:00", "10:00"), ("B", "11:00", "12:00")], [], "1e999999999", GroundTruthError),
        ([("A", "09:00", "10:00"), ("B", "11:00", "12:00")], [], "", GroundTruthError),
        ([("A", "09:00", "12:00"), ("B", "10:00", "11:00")], [], "180", GroundTruthError),
        ([("A", "09:00", "12:00")], [], "180", GroundTruthError),
    ],
)
def test_a_problem_that_cannot_be_solved_is_refused_whatever_the_completion(
    events: list[Event], priority: list[str], truth: str, error: type[DataError]
) -> None:
    for completion in ("", as_completion(tuple(events))):
        with pytest.raises(error) as refusal:
            schedule(completion, PosedProblem("", truth), events=events, priority_events=priority)
        assert refusal.value.found and refusal.value.expected and refusal.value.do


@pytest.mark.parametrize(
    "arguments",
    [
        {"events": EVENTS},
        {"events": [], "priority_events": []},
        {"events": [["A", "09:00"]], "priority_events": []},
        {"events": [["A", "09:00", 600]], "priority_events": []},
        {"events": EVENTS, "priority_events": "Talk"},
        {"events": EVENTS, "priority_events": [], "optimal_score": 1},
    ],
)
def test_arguments_of_another_shape_are_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(ScheduleArguments).validate_json(json.dumps(arguments), strict=True)


def random_events(rng: random.Random) -> list[Event]:
    """Up to seven, on a coarse grid so that many touch, overlap or start together."""
    events: list[Event] = []
    for number in range(rng.randint(2, 7)):
        start, duration = rng.randrange(0, 1200, 30), rng.choice([15, 30, 60, 120])
        times = [f"{minute // 60:02}:{minute % 60:02}" for minute in (start, start + duration)]
        events.append((f"event {number % 5}", *times))
    return events


def weight_by_hand(event: Event, priority: Sequence[str]) -> int:
    (start_hours, start), (end_hours, end) = (map(int, time.split(":")) for time in event[1:])
    return ((end_hours - start_hours) * 60 + end - start) * (2 if event[0] in priority else 1)


def is_free_of_overlap(events: Sequence[Event]) -> bool:
    return all(a[2] <= b[1] or b[2] <= a[1] for a, b in itertools.combinations(events, 2))


def test_the_optimum_is_that_of_trying_every_choice() -> None:
    rng = random.Random(5)
    for _ in range(300):
        events = list(dict.fromkeys(random_events(rng)))
        priority = [name for name in dict.fromkeys(name for name, _, _ in events) if rng.random() < 0.4]
        optimum = max(
            sum(weight_by_hand(event, priority) for event in choice)
            for size in range(1, len(events) + 1)
            for choice in itertools.combinations(events, size)
            if is_free_of_overlap(choice)
        )
        asked = read_problem(events, priority, str(optimum))
        assert sum(weight_by_hand(event, priority) for event in asked.best) == asked.optimum == optimum
        assert is_free_of_overlap(asked.best)


def test_no_policy_beats_the_optimum_and_random_ones_are_judged_as_by_hand() -> None:
    rng = random.Random(6)
    for _ in range(2000):
        chosen = [rng.choice(EVENTS) for _ in range(rng.randint(0, 4))]
        is_valid = (
            len(chosen) >= 2 and len(set(chosen)) == len(chosen) and is_free_of_overlap(chosen)
            and chosen == sorted(chosen, key=lambda event: event[1])
        )  # fmt: skip
        expected = sum(weight_by_hand(event, ["Talk"]) for event in chosen) / 270 if is_valid else 0.0
        assert judged(written(*chosen)).reward == pytest.approx(expected)


def test_a_best_schedule_of_the_same_score_with_two_events_is_preferred_to_one() -> None:
    events = [("Day", "09:00", "11:00"), ("First", "09:00", "10:00"), ("Second", "10:00", "11:00")]
    completion = best_schedule(PosedProblem("", "120"), events=events, priority_events=[])
    assert schedule(completion, PosedProblem("", "120"), events=events, priority_events=[]).reward == 1.0


def original(completion: str, events: Sequence[Event] = EVENTS, truth: str = "270") -> Verdict:
    """It reads names as they stand, so an escaped ampersand would be part of one."""
    raw = completion.replace("&amp;", "&")
    return schedule_original(raw, PosedProblem("", truth), events=list(events), priority_events=["Talk"])


def test_the_original_adds_its_three_parts() -> None:
    apart = written(OPENING, DINNER)
    assert original(apart).parts == pytest.approx({"format": 0.1, "sorted": 0.2, "score": 0.7 * 90 / 270})
    assert original(apart.partition("</think>")[2]).reward == pytest.approx(0.2 + 0.7 * 90 / 270)
    assert original(written(DINNER, OPENING)).reward == pytest.approx(0.1 + 0.7 * 90 / 270)
    assert original(written(OPENING)).reward == pytest.approx(0.1), "one event is no schedule"
    assert original(written(OPENING, ("Gala", "13:00", "20:00"))).reward == pytest.approx(0.3)
    assert original(written(OPENING, OPENING)).reward == pytest.approx(0.3), "equal starts are in order"


def test_the_original_pays_what_it_should_not() -> None:
    everything = original(written(*EVENTS))
    assert everything.reward == pytest.approx(0.1 + 0.2 + 0.7 * 30 / 270), "overlapping, but format and order"
    assert original(written(*BEST)).reward == pytest.approx(0.3 + 0.7 * 30 / 270), "punished for touching"
    drafted = written(OPENING, DINNER).replace(
        "<think>", "<think>" + written(TALK).partition("<schedule>")[2]
    )
    assert original(drafted).parts["sorted"] == 0.0, "a draft in the thinking counts"
    assert original(drafted).parts["score"] == pytest.approx(0.7 * 30 / 270), (
        "and takes the opening's minutes"
    )


def test_the_originals_format_needs_its_tags_in_order_and_a_thought() -> None:
    good = written(OPENING, DINNER)
    assert original(good).parts["format"] == 0.1
    for bad in (
        good.replace("<think>\nBy a fixed rule.\n</think>", "<think></think>"),
        f" {good}",
        good.replace("</schedule>", ""),
        good.replace("<schedule>", ""),
        good.replace("<name>", "").replace("</name>", ""),
        good.replace("09:00", "9:00").replace("23:30", "11 pm"),
    ):
        assert original(bad).parts["format"] == 0.0, bad


def real_rows(name: str) -> list[tuple[PosedProblem, dict[str, Any]]]:
    rows = [json.loads(line) for line in (SCHEDULES / f"{name}.jsonl").read_text("utf-8").splitlines()]
    return [
        (
            PosedProblem(row["prompt"], str(row["optimal_score"])),
            {"events": [tuple(e) for e in row["events"]], "priority_events": row["priority_events"]},
        )
        for row in rows
    ]


@pytest.mark.skipif(not SCHEDULES.is_dir(), reason=f"BURNISH_REAL_DATA: {SCHEDULES} does not exist")
@pytest.mark.parametrize(
    ("name", "num_possible", "copied_by_original", "greedily"),
    [("train", 496, 0.699, 0.998), ("test", 100, 0.702, 0.997)],
)
def test_scripted_policies_on_the_published_problems(
    name: str, num_possible: int, copied_by_original: float, greedily: float
) -> None:
    """The original pays a policy that copies all events, which is nearly always invalid; the gate does not."""
    rows = real_rows(name)
    possible = [row for row in rows if all(event[2] <= "24:00" for event in row[1]["events"])]
    assert len(possible) == num_possible
    for problem, arguments in (row for row in rows if row not in possible):
        with pytest.raises(DataError, match="24:"):
            schedule("", problem, **arguments)
    copied = [every_event(problem, **arguments) for problem, arguments in rows]
    paid = [schedule_original(c, *row[:1], **row[1]).reward for c, row in zip(copied, rows, strict=True)]
    assert sum(paid) / len(rows) == pytest.approx(copied_by_original, abs=0.001)
    gated = [schedule(every_event(p, **a), p, **a) for p, a in possible]
    assert sum(verdict.parts["valid"] for verdict in gated) == 1
    assert sum(verdict.reward for verdict in gated) / len(gated) <= 0.01
    assert all(schedule(best_schedule(p, **a), p, **a).reward == 1.0 for p, a in possible)
    by_greed = [schedule(heaviest_first(p, **a), p, **a).reward for p, a in possible]
    assert sum(by_greed) / len(by_greed) == pytest.approx(greedily, abs=0.001)


def test_a_table_of_failures_is_the_sum_of_the_parts() -> None:
    completions = ["", written(OPENING), written(TALK, OPENING), written(*EVENTS), written(*BEST)]
    table: Counter[str] = Counter()
    for completion in completions:
        table.update(judged(completion).parts)
    assert table == Counter(
        format_error=1, too_few_events=1, non_existent=0, unsorted=1, overlap=1, valid=1, score=1, optimal=1
    )
