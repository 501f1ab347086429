"""A run on a terminal: the DAG with its states, and of each stage at work its progress, curves, speed and last alarm.

What a stage tells only changes what is known. One thread writes to the terminal, four times a second at most and
only where something is new, so that whoever tells waits for no terminal. Finished stages scroll away above.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.control import Control
from rich.live import Live
from rich.segment import ControlType, Segment, SegmentLines
from rich.text import Text

from data_contracts.alarms import Alarm
from data_contracts.jobs import Progress
from flows.live_rows import StageRow, added_rows, mark, rows_of
from flows.view import alarm_text, one_line

_REFRESH_SECONDS = 0.25
_IDLE_SECONDS = 1.0
"""Between two refreshes where nothing is new but the clock."""


class LiveView:
    """One display for the whole pipeline while the context lasts."""

    def __init__(
        self,
        console: Console,
        parents: Mapping[str, Sequence[str]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`parents` of every stage of this run, in an order in which parents come first."""
        self._console, self._clock, self._began = console, clock, clock()
        self._stages = {name: StageRow(name, tuple(above)) for name, above in parents.items()}
        self._lock = threading.RLock()
        self._lines: deque[Text] = deque()
        """To be printed above."""

        self._closed = threading.Event()
        self._is_new = True
        self._width = console.width
        self._lengths: list[int] = []
        """Of the lines that stand on the terminal."""

        self._live = Live(console=console, get_renderable=self._render, auto_refresh=False, transient=True)
        self._thread = threading.Thread(target=self._keep_fresh, name="live view", daemon=True)

    def __enter__(self) -> "LiveView":
        self._live.start()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def begin(self, stage: str) -> None:
        with self._changing(stage) as row:
            row.begin()

    def progress(self, stage: str, progress: Progress) -> None:
        with self._changing(stage) as row:
            row.numbers.take(progress)

    def alarm(self, stage: str, alarm: Alarm) -> None:
        with self._changing(stage) as row:
            row.numbers.alarm = alarm
        self._print(("! ", "bold yellow"), f"{stage}: {alarm_text(alarm)}")

    def wait(self, stage: str, for_what: str) -> None:
        with self._changing(stage) as row:
            row.wait(for_what)

    def end(self, stage: str, state: str, text: str) -> None:
        with self._changing(stage) as row:
            row.state = state
            row.ended = sum(other.ended is not None for other in self._stages.values())
        self._print(mark(state), f" {stage:<18} {text}")

    def say(self, text: str) -> None:
        self._print(("", ""), text)

    def close(self) -> None:
        """Take the display away; what was still to be printed above it stays."""
        self._closed.set()
        if self._thread.is_alive():
            self._thread.join(_IDLE_SECONDS)
        self._live.stop()

    @contextmanager
    def _changing(self, stage: str) -> Generator[StageRow]:
        with self._lock:
            yield self._stages.setdefault(stage, StageRow(stage))
            self._is_new = True

    def _print(self, head: tuple[str, str], text: str) -> None:
        self._lines.append(Text.assemble(head, one_line(text)))
        self._is_new = True

    def _keep_fresh(self) -> None:
        refreshed = 0.0
        while not self._closed.wait(_REFRESH_SECONDS):
            if self._is_new or time.monotonic() - refreshed >= _IDLE_SECONDS:
                refreshed = time.monotonic()
                self._refresh()
        self._refresh()

    def _refresh(self) -> None:
        self._is_new = False
        self._follow_width()
        if self._lines:
            lines = [self._lines.popleft() for _ in range(len(self._lines))]
            self._console.print(Text("\n").join(lines), highlight=False, soft_wrap=True)
        self._live.refresh()

    def _follow_width(self) -> None:
        """A narrower terminal has broken our lines into more rows than Live counts: take the others away."""
        width = self._console.width
        if width < self._width:
            above = [(ControlType.ERASE_IN_LINE, 2), (ControlType.CURSOR_UP, 1)]
            codes = above * added_rows(self._lengths, width)
            self._console.control(Control(ControlType.CARRIAGE_RETURN, *codes))
            self._lengths = [min(length, width) for length in self._lengths]
        self._width = width

    def _render(self) -> RenderableType:
        with self._lock:
            size, seconds = self._console.size, self._clock() - self._began
            rows = rows_of(list(self._stages.values()), size.width, size.height - 1, seconds)
            lines = self._console.render_lines(Group(*rows), pad=False, new_lines=True)
        self._lengths = [Segment.get_line_length(line) for line in lines]
        return SegmentLines(lines)
