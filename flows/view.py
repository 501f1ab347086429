"""What a person sees of a run while it goes: here in plain lines, or nothing; `live_view` is for a terminal."""

from collections import defaultdict
from contextvars import ContextVar
from typing import Protocol

from rich.console import Console

from data_contracts.alarms import Alarm
from data_contracts.jobs import Progress
from flows.stage_numbers import StageNumbers

_PLAIN_SECONDS = 10.0


class RunView(Protocol):
    """Told of a run's events, from any thread. Its text comes from stages and their rows: it is no markup."""

    def begin(self, stage: str) -> None: ...
    def progress(self, stage: str, progress: Progress) -> None:
        """A line of the stage, with the numbers that are new in it."""

    def alarm(self, stage: str, alarm: Alarm) -> None: ...
    def wait(self, stage: str, for_what: str) -> None: ...
    def end(self, stage: str, state: str, text: str) -> None: ...
    def say(self, text: str) -> None: ...
    def close(self) -> None:
        """Leave the terminal as it was: the process is about to end. May be called twice."""


class SilentView:
    """For runs nobody watches: what happens is in Prefect, MLflow and the ledger."""

    def begin(self, stage: str) -> None: ...
    def progress(self, stage: str, progress: Progress) -> None: ...
    def alarm(self, stage: str, alarm: Alarm) -> None: ...
    def wait(self, stage: str, for_what: str) -> None: ...
    def end(self, stage: str, state: str, text: str) -> None: ...
    def say(self, text: str) -> None: ...
    def close(self) -> None: ...


current_view: ContextVar[RunView] = ContextVar("current_view", default=SilentView())  # noqa: B039


class PlainView:
    """A line when a stage begins, every ten seconds, and when it ends; one a minute while it waits."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._numbers: defaultdict[str, StageNumbers] = defaultdict(StageNumbers)
        self._said: dict[str, float] = {}

    def begin(self, stage: str) -> None:
        self._numbers.pop(stage, None)
        self._said.pop(stage, None)
        self.say(f"{stage}: running")

    def progress(self, stage: str, progress: Progress) -> None:
        self._numbers[stage].take(progress)
        if progress.seconds - self._said.get(stage, 0.0) >= _PLAIN_SECONDS:
            self._said[stage] = progress.seconds
            self.say(f"{stage}: {self._numbers[stage].describe()}")

    def alarm(self, stage: str, alarm: Alarm) -> None:
        self.say(f"{stage}: {alarm_text(alarm)}")

    def wait(self, stage: str, for_what: str) -> None:
        self.say(f"{stage}: waiting, {for_what}")

    def end(self, stage: str, state: str, text: str) -> None:
        self.say(f"{stage}: {state} {text}".rstrip())

    def say(self, text: str) -> None:
        self._console.print(one_line(text), markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None: ...


def alarm_text(alarm: Alarm) -> str:
    """`alarm stall at step 12: reason (note)`."""
    return f"alarm {alarm.name} at step {alarm.step}: {alarm.reason} ({alarm.response})"


def one_line(text: str) -> str:
    """Without anything that could move a cursor, turn the direction of writing or pass for a line of its own."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else " " if c.isspace() else "" for c in text)
