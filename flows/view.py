"""What a person sees of a run while it goes: one progress display on a terminal, plain lines elsewhere."""

from contextvars import ContextVar
from typing import Protocol

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from data_contracts import jobs

_MARKS = {"done": "[green]✔[/]", "reused": "[cyan]=[/]", "failed": "[red]✘[/]", "interrupted": "[yellow]■[/]"}
_SHOWN = ("sft/loss", "dpo/loss", "dpo/rewards/accuracies", "grpo/reward", "grpo/entropy", "eval/reward_mean")
_PLAIN_SECONDS = 10.0


class RunView(Protocol):
    """Told of a run's events, from any thread."""

    def begin(self, stage: str) -> None: ...
    def progress(self, stage: str, progress: jobs.Progress) -> None: ...
    def wait(self, stage: str, for_what: str) -> None: ...
    def end(self, stage: str, state: str, text: str) -> None: ...
    def say(self, text: str) -> None: ...


class SilentView:
    """For runs nobody watches: what happens is in Prefect, MLflow and the ledger."""

    def begin(self, stage: str) -> None: ...
    def progress(self, stage: str, progress: jobs.Progress) -> None: ...
    def wait(self, stage: str, for_what: str) -> None: ...
    def end(self, stage: str, state: str, text: str) -> None: ...
    def say(self, text: str) -> None: ...


current_view: ContextVar[RunView] = ContextVar("current_view", default=SilentView())  # noqa: B039


class PlainView:
    """A line when a stage begins, every ten seconds, and when it ends; one a minute while it waits."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._said: dict[str, float] = {}

    def begin(self, stage: str) -> None:
        self._print(f"{stage}: running")

    def progress(self, stage: str, progress: jobs.Progress) -> None:
        if progress.seconds - self._said.get(stage, 0.0) >= _PLAIN_SECONDS:
            self._said[stage] = progress.seconds
            self._print(f"{stage}: {describe(progress)}")

    def wait(self, stage: str, for_what: str) -> None:
        self._print(f"{stage}: waiting, {for_what}")

    def end(self, stage: str, state: str, text: str) -> None:
        self._print(f"{stage}: {state} {text}".rstrip())

    def say(self, text: str) -> None:
        self._print(text)

    def _print(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


class LiveView:
    """One progress display for the whole pipeline; finished stages scroll away above it."""

    def __init__(self, console: Console, num_stages: int) -> None:
        self._progress = Progress(
            TextColumn("{task.description:<18}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[text]}", markup=False),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self._whole = self._progress.add_task("pipeline", total=num_stages, text=f"0/{num_stages} stages")
        self._num_stages = num_stages
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> "LiveView":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def begin(self, stage: str) -> None:
        self._drop(stage)
        self._tasks[stage] = self._progress.add_task(stage, total=None, text="starting")

    def progress(self, stage: str, progress: jobs.Progress) -> None:
        self._progress.update(
            self._tasks[stage], completed=progress.step, total=progress.total, text=describe(progress)
        )

    def wait(self, stage: str, for_what: str) -> None:
        text = f"waiting, {for_what}"
        if stage in self._tasks:
            self._progress.update(self._tasks[stage], text=text)
        else:
            self._tasks[stage] = self._progress.add_task(stage, total=None, text=text)

    def end(self, stage: str, state: str, text: str) -> None:
        self._drop(stage)
        line = f"{_MARKS.get(state, '·')} {stage:<18} {escape(text)}"
        self._progress.console.print(line, highlight=False)
        self._progress.advance(self._whole)
        finished = int(self._progress.tasks[0].completed)
        self._progress.update(self._whole, text=f"{finished}/{self._num_stages} stages")

    def say(self, text: str) -> None:
        self._progress.console.print(text, highlight=False, markup=False)

    def _drop(self, stage: str) -> None:
        if (task := self._tasks.pop(stage, None)) is not None:
            self._progress.remove_task(task)


def describe(progress: jobs.Progress) -> str:
    """`120/200 step · sft/loss 0.412 · 8.1k tokens/s · 12 s left`, as far as it is known."""
    parts = [f"{progress.step}/{progress.total} {progress.unit}s"]
    parts += [f"{name} {progress.metrics[name]:.3g}" for name in _SHOWN if name in progress.metrics]
    if tokens := next((v for k, v in progress.metrics.items() if k.endswith("/tokens_per_second")), 0.0):
        parts.append(f"{tokens / 1000:.1f}k tokens/s")
    if 0 < progress.step < progress.total and progress.seconds > 1:
        left = progress.seconds / progress.step * (progress.total - progress.step)
        parts.append(f"{left:.0f} s left")
    return " · ".join(parts)
