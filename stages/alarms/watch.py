"""Watches a training as it is logged: takes points, asks the rules, and says each alarm once.

A run of any length is kept in fewer than 64 points a metric: at 64, neighbours are averaged, and from then on twice as
many logged values make one point. So a rule always sees the whole run, a trend over thousands of steps is as plain as
one over thirty, and step 2,000 costs no more than step 100. The newest 32 values are kept as logged beside them, for
what shows within a few steps.

All it knows is a plain JSON document, which travels in the trainer's checkpoint: a training that continues from one
says what it would have said without the interruption, and does not repeat what was said.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import isfinite, nan
from typing import Any

from data_contracts.alarms import Alarm, AlarmPolicy
from data_contracts.histories import Point
from stages.alarms.evidence import Finding
from stages.alarms.rules import Rule

_MOST_POINTS = 64
_NEWEST = 32
_CLEAR_LOOKS = 10
"""Looks in a row without the condition, after which an alarm may be said again."""


@dataclass(slots=True)
class _Track:
    """One metric over the whole run."""

    points: list[Point] = field(default_factory=list[Point])
    stride: int = 1
    """Logged values in one point."""

    first_step: int = 0
    total: float = 0.0
    count: int = 0
    """Of the point that is not full yet."""

    def add(self, step: int, value: float) -> bool:
        """Whether `points` has grown. `value` is a number."""
        if self.count == 0:
            self.first_step, self.total = step, 0.0
        self.total += value
        self.count += 1
        if self.count < self.stride:
            return False
        self.points.append((self.first_step, self.total / self.count))
        self.count = 0
        if len(self.points) == _MOST_POINTS:
            pairs = zip(self.points[::2], self.points[1::2], strict=True)
            self.points[:] = [(step, (a + b) / 2) for (step, a), (_, b) in pairs]
            self.stride *= 2
        return True


@dataclass(slots=True)
class _Hysteresis:
    """What a rule said lately."""

    held: int = 0
    clear: int = 0
    is_said: bool = False

    def is_news(self, holds: bool, looks: int) -> bool:
        """Whether the alarm goes off now."""
        self.held, self.clear = (self.held + 1, 0) if holds else (0, self.clear + 1)
        if self.is_said:
            self.is_said = self.clear < _CLEAR_LOOKS
            return False
        self.is_said = self.held >= looks
        return self.is_said


class Watch:
    """The alarms of one training."""

    def __init__(self, rules: Sequence[Rule], policy: AlarmPolicy) -> None:
        """Rules whose response is `off` are not asked."""
        self._responses = policy.responses()
        self._rules = [rule for rule in rules if self._responses[rule.name] != "off"]
        self._said = {rule.name: _Hysteresis() for rule in self._rules}
        reads = {
            flag: _reads([rule for rule in self._rules if rule.is_recent == flag]) for flag in (True, False)
        }
        self._tracks = {name: _Track() for name in reads[False]}
        self._run = {name: track.points for name, track in self._tracks.items()}
        self._newest = {name: deque[Point](maxlen=_NEWEST) for name in reads[True]}

    def look(self, step: int, metrics: Mapping[str, float]) -> tuple[Alarm, ...]:
        """Take what was logged at a step, not earlier than any before, and return the alarms that go off."""
        grown = set[str]()
        for name, value in metrics.items():
            if name in self._newest:
                self._newest[name].append((step, value))
            if name in self._tracks and isfinite(value) and self._tracks[name].add(step, value):
                grown.add(name)
        alarms: list[Alarm] = []
        for rule in self._rules:
            if (metrics.keys() if rule.is_recent else grown).isdisjoint(rule.metrics):
                continue
            finding = rule.judge(self._newest if rule.is_recent else self._run)
            if self._said[rule.name].is_news(finding is not None, rule.looks):
                assert finding is not None
                alarms.append(self._alarm(step, rule, finding))
        return tuple(alarms)

    def state(self) -> dict[str, Any]:
        """All that a Watch of the same rules needs to continue, as JSON has it: null for what is no number."""
        return {
            "newest": {name: _as_json(points) for name, points in self._newest.items()},
            "tracks": {name: asdict(track) for name, track in self._tracks.items()},
            "said": {name: asdict(said) for name, said in self._said.items()},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue where `state` was taken. A rule or metric it does not know starts afresh."""
        for name in self._newest.keys() & state["newest"].keys():
            self._newest[name].extend(_from_json(state["newest"][name]))
        for name in self._tracks.keys() & state["tracks"].keys():
            document = state["tracks"][name]
            self._tracks[name] = _Track(**document)
            self._tracks[name].points = self._run[name] = _from_json(document["points"])
        for name in self._said.keys() & state["said"].keys():
            self._said[name] = _Hysteresis(**state["said"][name])

    def _alarm(self, step: int, rule: Rule, finding: Finding) -> Alarm:
        return Alarm(
            step=step,
            since=finding.since,
            name=rule.name,
            metric=finding.metric,
            reason=finding.reason,
            response=self._responses[rule.name],
        )


def _reads(rules: Sequence[Rule]) -> set[str]:
    return {metric for rule in rules for metric in (*rule.metrics, *rule.beside)}


def _as_json(points: Iterable[Point]) -> list[tuple[int, float | None]]:
    return [(step, value if isfinite(value) else None) for step, value in points]


def _from_json(points: Iterable[tuple[int, float | None]]) -> list[Point]:
    return [(step, nan if value is None else value) for step, value in points]
