"""A stage at work as its progress lines tell of it: its newest numbers, their curves, its speed, its last alarm."""

from data_contracts.alarms import Alarm
from data_contracts.jobs import Progress
from flows.curves import Curve
from flows.pace import Pace, speed, time_left

_SHOWN = ("sft/loss", "dpo/loss", "dpo/rewards/accuracies", "grpo/reward", "grpo/entropy", "eval/reward_mean")
_CURVES = {
    "reward": "reward",
    "reward_mean": "reward",
    "loss": "loss",
    "rewards/accuracies": "accuracy",
    "held_out/accuracy": "held-out",
    "entropy": "entropy",
}
"""What is drawn, by a metric's name without its kind."""

_CLOCK = ("generate", "verify", "train")
_PARTS = frozenset({"memory_gib", "tokens_per_second", *(f"seconds/{what}" for what in _CLOCK)})


class StageNumbers:
    """Fed with every line of one stage; of bounded size, however many there are."""

    def __init__(self) -> None:
        self.step = self.total = 0
        self.unit = "step"
        self.metrics: dict[str, float] = {}
        self.curves: dict[str, Curve] = {}
        """By the word that is shown."""

        self.alarm: Alarm | None = None
        self._parts: dict[str, float] = {}
        self._pace = Pace()

    def take(self, progress: Progress) -> None:
        """A line with what is new in it. One that repeats what an earlier process told says nothing of the speed."""
        self.step, self.total, self.unit = progress.step, progress.total, progress.unit
        if not progress.is_repeated:
            self._pace.note(progress.step, progress.seconds)
        for name, value in progress.metrics.items():
            self.metrics[name] = value
            short = name.partition("/")[2]
            if short in _CURVES:
                self.curves.setdefault(_CURVES[short], Curve()).add(value)
            elif short in _PARTS:
                self._parts[short] = value

    @property
    def seconds_per_step(self) -> float | None:
        return self._pace.seconds_per_step()

    @property
    def memory_gib(self) -> float | None:
        """As the stage's process told last."""
        return self._parts.get("memory_gib")

    def how_far(self) -> str:
        """`18/30 steps · 4 min 10 s left`, as far as it is known."""
        parts = [f"{self.step}/{self.total} {self.unit}s"]
        pace = self.seconds_per_step
        if pace is not None and self.step < self.total:
            parts.append(f"{time_left(pace * (self.total - self.step))} left")
        return " · ".join(parts)

    def how_fast(self) -> str:
        """`8.1k tokens/s · 2.5 steps/s · 1.42 GiB`, as far as it is known."""
        parts: list[str] = []
        if tokens := self._parts.get("tokens_per_second"):
            parts.append(f"{tokens / 1000:.1f}k tokens/s")
        if (pace := self.seconds_per_step) is not None:
            parts.append(speed(pace, self.unit))
        if self.memory_gib is not None:
            parts.append(f"{self.memory_gib:.2f} GiB")
        return " · ".join(parts)

    def time_split(self) -> str:
        """`generate 61 %, verify 5 %, train 34 %` of the newest update, where it has such parts."""
        spent = {what: self._parts.get(f"seconds/{what}", 0.0) for what in _CLOCK}
        whole = sum(spent.values())
        return ", ".join(f"{what} {100 * part / whole:.0f} %" for what, part in spent.items() if whole)

    def describe(self) -> str:
        """All of it in a line."""
        told = [f"{name} {self.metrics[name]:.3g}" for name in _SHOWN if name in self.metrics]
        return " · ".join(filter(None, [self.how_far(), *told, self.how_fast(), self.time_split()]))
