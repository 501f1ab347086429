"""A stage at work as its progress lines tell of it: its newest numbers, their curves, its speed, its last alarm."""

from data_contracts.alarms import Alarm
from data_contracts.jobs import Progress
from flows.curves import Curve
from flows.pace import Pace, speed, time_left

_SHOWN = ("sft/loss", "dpo/loss", "dpo/rewards/accuracies", "grpo/reward", "grpo/entropy", "eval/reward_mean")
_CURVES = {
    "reward": "reward",
    "reward_mean": "reward",
    "held_out/accuracy": "held-out",
    "loss": "loss",
    "rewards/accuracies": "accuracy",
    "entropy": "entropy",
}
"""What is drawn, by a metric's name without its kind, in the order in which it is shown."""

_LABELS = tuple(dict.fromkeys(_CURVES.values()))
_PARTS = frozenset({"memory_gib", "tokens_per_second"})
_CLOCK = ("generate", "verify", "train")
_SECONDS = {f"seconds/{what}": what for what in _CLOCK}


class StageNumbers:
    """Fed with every line of one stage; of bounded size, however many there are."""

    def __init__(self) -> None:
        self.step = self.total = 0
        self.unit = "step"
        self.metrics: dict[str, float] = {}
        self.alarm: Alarm | None = None
        self._curves: dict[str, Curve] = {}
        self._newest: dict[str, float] = {}
        self._spent: dict[str, float] = dict.fromkeys(_CLOCK, 0.0)
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
                self._curves.setdefault(_CURVES[short], Curve()).add(value)
                self._newest[_CURVES[short]] = value
            elif short in _PARTS:
                self._parts[short] = value
            elif short in _SECONDS:
                self._spent[_SECONDS[short]] += value

    @property
    def newest(self) -> dict[str, float]:
        """The last value of what is drawn, by the word that is shown."""
        return {label: self._newest[label] for label in _LABELS if label in self._newest}

    def curve(self, label: str) -> list[float]:
        """Its history, oldest first."""
        return self._curves[label].points()

    @property
    def seconds_per_step(self) -> float | None:
        return self._pace.seconds_per_step()

    @property
    def seconds_left(self) -> float | None:
        """None for a stage that is done, or whose speed is not known yet."""
        pace = self.seconds_per_step
        return None if pace is None or self.step >= self.total else pace * (self.total - self.step)

    def how_far(self) -> str:
        """`18/30 steps · 4 min 10 s left`, as far as it is known."""
        parts = [f"{self.step}/{self.total} {self.unit}s"]
        if (left := self.seconds_left) is not None:
            parts.append(f"{time_left(left)} left")
        return " · ".join(parts)

    def how_fast(self, memory_gib: float | None = None) -> str:
        """`8.1k tokens/s · 2.5 steps/s · 1.42 GiB`, as far as it is known; memory as measured, else as told last."""
        parts: list[str] = []
        if tokens := self._parts.get("tokens_per_second"):
            parts.append(f"{tokens / 1000:.1f}k tokens/s")
        if (pace := self.seconds_per_step) is not None:
            parts.append(speed(pace, self.unit))
        if (memory := memory_gib or self._parts.get("memory_gib")) is not None:
            parts.append(f"{memory:.2f} GiB")
        return " · ".join(parts)

    def time_split(self) -> str:
        """`generate 61 %, verify 5 %, train 34 %` of all updates so far, where they have such parts."""
        whole = sum(self._spent.values())
        return ", ".join(f"{what} {100 * part / whole:.0f} %" for what, part in self._spent.items() if whole)

    def describe(self) -> str:
        """All of it in a line."""
        told = [f"{name} {self.metrics[name]:.3g}" for name in _SHOWN if name in self.metrics]
        return " · ".join(filter(None, [self.how_far(), *told, self.how_fast(), self.time_split()]))
