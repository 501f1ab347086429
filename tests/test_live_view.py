"""What a person, or a program, sees of a run while it goes."""

import io
import json
import math
import random
import sys
import threading
from collections.abc import Iterable, Mapping

import pytest
from rich.console import Console, Group

from data_contracts.alarms import Alarm
from data_contracts.jobs import Progress
from flows.cli.json_lines import JsonLinesView
from flows.curves import Curve, sparkline
from flows.live_rows import StageRow, added_rows, rows_of
from flows.live_view import LiveView
from flows.pace import Pace, speed, time_left
from flows.stage_numbers import StageNumbers
from flows.view import PlainView, one_line

HOSTILE = "\x1b[2J\x1b]0;owned\x07 [red]row[/] \u202egnp\u2066 \r\nsft: done <script>\x00\x9b31m"
GRPO = {
    "grpo/reward": 0.5,
    "grpo/loss": 0.01,
    "grpo/held_out/accuracy": 0.25,
    "grpo/entropy": 1.5,
    "grpo/tokens_per_second": 8123.0,
    "grpo/memory_gib": 1.416,
    "grpo/seconds/generate": 3.0,
    "grpo/seconds/verify": 0.5,
    "grpo/seconds/train": 1.5,
}


def line(step: int, seconds: float, metrics: Mapping[str, float] = {}, **more: object) -> Progress:
    return Progress(seconds=seconds, step=step, total=30, metrics=dict(metrics), **more)  # type: ignore[arg-type]


def alarm(reason: str = "the reward rose and the held-out accuracy fell") -> Alarm:
    return Alarm(
        step=12, since=8, name="reward_hacking", metric="grpo/reward", reason=reason, response="pause"
    )


def numbers(lines: Iterable[Progress]) -> StageNumbers:
    found = StageNumbers()
    for each in lines:
        found.take(each)
    return found


def drawn(stages: list[StageRow], width: int, height: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(Group(*rows_of(stages, width, height, 65.0)), highlight=False)
    return [text.rstrip() for text in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]


# Curves


def test_a_sparkline_goes_from_the_lowest_to_the_highest_value() -> None:
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7], 8) == "▁▂▃▄▅▆▇█"
    assert sparkline([7, 0], 8) == "█▁"
    assert sparkline([3, 3, 3], 8) == "▅▅▅", "a flat line is neither low nor high"
    assert sparkline([0, 0, 1, 1, 2, 2, 3, 3], 4) == "▁▃▆█", "means of two"
    assert sparkline([], 8) == sparkline([1.0], 0) == ""


def test_a_sparkline_shows_where_a_value_was_no_number() -> None:
    assert sparkline([0, math.nan, 1, math.inf, -math.inf], 5) == "▁×█××"
    assert sparkline([math.nan], 5) == "×"


def test_a_curve_of_any_length_keeps_its_shape_in_256_points() -> None:
    draw = random.Random(3)
    for length in (1, 255, 256, 257, 1000, 5000):
        values = [draw.gauss(step, 1) for step in range(length)]
        curve = Curve()
        for value in values:
            curve.add(value)
        points = curve.points()
        width = 1
        while math.ceil(length / width) > 256:
            width *= 2
        parts = [values[start : start + width] for start in range(0, length, width)]
        assert len(points) <= 256
        assert points == pytest.approx([sum(part) / len(part) for part in parts])


# Speed


def test_a_slow_first_step_does_not_move_the_time_that_is_left() -> None:
    pace = Pace()
    pace.note(0, 0.0)
    for step in range(1, 11):
        pace.note(step, 300.0 + step)  # the first took 301 s, each other 1 s
    assert pace.seconds_per_step() == pytest.approx(1.0)


def test_steps_that_are_slow_by_turns_count_in_full() -> None:
    pace, seconds = Pace(), 0.0
    for step in range(21):
        pace.note(step, seconds)
        seconds += 9.0 if step % 2 else 1.0
    assert pace.seconds_per_step() == pytest.approx(5.0)


def test_a_stage_that_became_slower_is_believed_after_forty_lines() -> None:
    pace, seconds = Pace(), 0.0
    for step in range(200):
        pace.note(step, seconds)
        seconds += 1.0 if step < 150 else 4.0
    assert pace.seconds_per_step() == pytest.approx(4.0)


def test_no_time_is_told_before_two_steps_were_seen_nor_from_what_an_earlier_process_did() -> None:
    assert numbers([line(1, 1.0)]).how_far() == "1/30 steps"
    repeated = [line(step, 0.0, is_repeated=True) for step in range(20)]
    assert numbers([*repeated, line(20, 100.0)]).how_far() == "20/30 steps"
    assert numbers([*repeated, line(20, 100.0), line(21, 110.0)]).how_far() == "21/30 steps · 1 min 30 s left"
    assert numbers([line(29, 1.0), line(30, 2.0)]).how_far() == "30/30 steps"


def test_times_are_told_in_hours_minutes_and_seconds() -> None:
    assert [time_left(each) for each in (0.4, 59.4, 59.6, 3599, 3600, 5000.0)] == [
        *("0 s", "59 s", "1 min 0 s", "59 min 59 s", "1 h 0 min", "1 h 23 min"),
    ]


def test_speed_is_told_as_one_says_it() -> None:
    told = [speed(each, "step") for each in (0.0001, 0.4, 1.0, 1.04, 90.0)]
    assert told == ["10,000 steps/s", "2.5 steps/s", "1.0 steps/s", "1.0 s a step", "90.0 s a step"]


def test_the_split_of_the_time_is_that_of_all_updates_also_where_one_samples_for_two() -> None:
    sampled = {"grpo/seconds/generate": 6.0, "grpo/seconds/verify": 2.0, "grpo/seconds/train": 1.0}
    reused = {"grpo/seconds/generate": 0.0, "grpo/seconds/verify": 0.0, "grpo/seconds/train": 1.0}
    found = numbers(line(step, step, reused if step % 2 else sampled) for step in range(1, 21))
    assert found.time_split() == "generate 60 %, verify 20 %, train 20 %"


# Rows


def test_a_stage_at_work_shows_its_progress_curves_speed_memory_and_last_alarm() -> None:
    stage = StageRow("grpo", ("dpo", "band"))
    stage.begin()
    for step in range(1, 19):
        stage.numbers.take(line(step, 2.0 * step, {**GRPO, "grpo/reward": step / 18}))
    stage.numbers.alarm = alarm()
    assert drawn([StageRow("dpo", ended=0, state="done"), stage, StageRow("grpo.evaluate")], 80, 24) == [
        "━━━━━━────────────── 1/3 stages · 1 min 5 s",
        "✔ dpo",
        "▸ grpo ← dpo, band",
        "  ━━━━━━━━━━━━──────── 18/30 steps · 24 s left",
        "  ! alarm reward_hacking at step 12: the reward rose and the held-out accuracy …",
        f"  reward           1 {_ramp(18)}",
        f"  held-out      0.25 {'▅' * 18}",
        f"  loss          0.01 {'▅' * 18}",
        f"  entropy        1.5 {'▅' * 18}",
        "  8.1k tokens/s · 2.0 s a step · 1.42 GiB",
        "  generate 60 %, verify 10 %, train 30 %",
        "· grpo.evaluate",
    ]


def _ramp(count: int) -> str:
    return "".join("▁▂▃▄▅▆▇█"[min(index * 8 // (count - 1), 7)] for index in range(count))


@pytest.mark.parametrize("width", [20, 60, 200])
@pytest.mark.parametrize("height", [1, 3, 10, 23, 60])
def test_no_view_is_larger_than_its_terminal(width: int, height: int) -> None:
    draw = random.Random(width * height)
    for _ in range(30):
        stages = [
            StageRow(f"stage_{index}", ("a_parent", "another_parent")) for index in range(draw.randint(1, 40))
        ]
        for stage in draw.sample(stages, draw.randint(0, len(stages))):
            draw.choice([stage.begin, lambda stage=stage: stage.wait("for run X"), lambda: None])()
            if stage.state == "running" and draw.random() < 0.7:
                stage.numbers.take(line(3, 2.0, GRPO))
        rows = drawn(stages, width, height)
        assert len(rows) <= height
        assert all(len(row) <= width for row in rows)


def test_of_forty_stages_those_at_work_the_last_and_the_next_are_shown_and_the_others_counted() -> None:
    stages = [StageRow(f"s{index}") for index in range(40)]
    for index in range(20):
        stages[index].state, stages[index].ended = "done" if index else "reused", index
    stages[20].begin()
    stages[21].wait("for run X")
    rows = drawn(stages, 60, 24)
    assert rows[1:] == [
        *("✔ s18", "✔ s19", "▸ s20", "  starting", "◌ s21 waiting, for run X", "· s22", "· s23", "· s24"),
        "  … 1 reused, 17 done, 15 to come",
    ]
    assert rows[0].endswith(" 20/40 stages · 1 min 5 s")


def test_a_narrower_terminal_breaks_lines_into_so_many_rows_more() -> None:
    assert added_rows([0, 1, 60, 61, 120, 121], 60) == 0 + 0 + 0 + 1 + 1 + 2


# Hostile text


def test_text_of_a_stage_is_one_line_that_acts_on_no_terminal() -> None:
    assert one_line(HOSTILE) == "[2J]0;owned [red]row[/] gnp   sft: done <script>31m"
    out = io.StringIO()
    view = PlainView(Console(file=out, width=40))
    view.begin("sft")
    view.alarm("sft", alarm(HOSTILE))
    view.wait("sft", HOSTILE)
    view.end("sft", "failed", HOSTILE)
    view.say(HOSTILE)
    assert out.getvalue().count("\n") == 5
    assert all(text.isprintable() for text in out.getvalue().split("\n"))


def test_text_of_a_stage_is_plain_on_a_terminal_and_nothing_is_left_behind() -> None:
    out = io.StringIO()
    console = Console(file=out, width=60, height=24, force_terminal=True, color_system=None, _environ={})
    with LiveView(console, {"sft": (), "grpo": ("sft",)}) as view:
        view.begin("sft")
        view.progress("sft", line(1, 1.0, {"sft/loss": 2.0}))
        view.alarm("sft", alarm(HOSTILE))
        view.wait("grpo", HOSTILE)
        view.end("sft", "failed", HOSTILE)
        view.say(HOSTILE)
    screen = _Screen(out.getvalue())
    assert [row for row in screen.rows if row] == [
        f"! sft: alarm reward_hacking at step 12: {one_line(HOSTILE)} (pause)",
        f"✘ sft                {one_line(HOSTILE)}",
        one_line(HOSTILE),
    ]
    assert screen.shows_cursor


class _Screen:
    """A terminal of endless width that knows what Live asks of one, and refuses everything else."""

    def __init__(self, text: str) -> None:
        self.rows, self.shows_cursor = [""], True
        at = 0
        while text:
            if text.startswith("\x1b["):
                end = next(index for index, c in enumerate(text) if c.isalpha())
                code, text = text[2 : end + 1], text[end + 1 :]
                at = self._obey(code, at)
            elif text[0] == "\n":
                at, text = at + 1, text[1:]
                self.rows += [""] * (at + 1 - len(self.rows))
            elif text[0] == "\r":
                text = text[1:]
            else:
                assert text[0].isprintable(), repr(text[0])
                self.rows[at], text = self.rows[at] + text[0], text[1:]

    def _obey(self, code: str, at: int) -> int:
        if code in ("?25l", "?25h"):
            self.shows_cursor = code == "?25h"
        elif code == "2K":
            self.rows[at] = ""
        else:
            assert code == "1A", code
            return at - 1
        return at


def test_the_live_view_stands_progress_from_many_threads_at_once() -> None:
    console = Console(file=io.StringIO(), width=60, height=24, force_terminal=True, _environ={})
    with LiveView(console, {}) as view:

        def tell(name: str) -> None:
            view.begin(name)
            for step in range(500):
                view.progress(name, line(step, step / 10, GRPO))
            view.end(name, "done", f"{name} v1")

        threads = [threading.Thread(target=tell, args=[f"s{index}"]) for index in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert all(shown.count(f"s{index} v1") == 1 for index in range(8))


# Plain lines and JSON


def test_plain_lines_come_every_ten_seconds_with_all_that_is_known() -> None:
    out = io.StringIO()
    view = PlainView(Console(file=out, width=40))
    view.begin("grpo")
    for step in range(1, 31):
        view.progress("grpo", line(step, 4.0 * step, GRPO if step == 1 else {}))
    first, *others = out.getvalue().splitlines()
    assert first == "grpo: running"
    assert others[0] == (
        "grpo: 3/30 steps · 1 min 48 s left · grpo/reward 0.5 · grpo/entropy 1.5 · 8.1k tokens/s · 4.0 s a step "
        "· 1.42 GiB · generate 60 %, verify 10 %, train 30 %"
    )
    assert len(others) == 10, "at 12, 24, … 120 seconds"


def test_json_lines_are_one_object_an_event(capsys: pytest.CaptureFixture[str]) -> None:
    view = JsonLinesView()
    view.begin("sft")
    view.progress("sft", line(3, 1.5, {"sft/loss": math.nan, "sft/entropy": 0.5}))
    view.alarm("sft", alarm(HOSTILE))
    view.wait("sft", HOSTILE)
    view.end("sft", "failed", HOSTILE)
    view.say(HOSTILE)
    out = capsys.readouterr().out
    assert out.isascii() and "\x1b" not in out
    told = [json.loads(each) for each in out.splitlines()]
    assert [each["event"] for each in told] == ["begin", "progress", "alarm", "wait", "end", "say"]
    assert told[1]["metrics"] == {"sft/loss": None, "sft/entropy": 0.5}
    assert (told[1]["step"], told[1]["total"], told[1]["seconds"]) == (3, 30, 1.5)
    assert (told[2]["name"], told[2]["reason"], told[2]["response"]) == ("reward_hacking", HOSTILE, "pause")
    assert told[3]["text"] == told[4]["text"] == told[5]["text"] == HOSTILE


def test_a_reader_of_json_lines_that_goes_away_stops_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", Closed())
    view = JsonLinesView()
    view.begin("sft")
    view.end("sft", "done", "")
