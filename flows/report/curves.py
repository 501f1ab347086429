"""Training curves: what each stage logged, step by step, with its alarms where they were raised.

A curve of thousands of points keeps the least and the largest of every stretch, so that no spike is lost; a long one
is drawn pale, with its moving average on top.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from data_contracts.alarms import Alarm
from data_contracts.histories import History, Point
from flows.histories import StageHistory
from flows.report.figures import SERIES, Chart
from flows.report.svg import colour, drawing, inline_svg

_POINTS = 240
"""Drawn of one curve."""

_SHOWN_ROWS = 25
"""Of its table."""

_LONG = 60
"""Points from which on an average is drawn over them."""

_BAND = ("_low", "_high")
_TICKS = (1, 2, 2.5, 5, 10)

_PANELS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Reward", ("reward",)),
    ("Parts of the reward", ("reward/*",)),
    ("Held-out accuracy", ("held_out/accuracy",)),
    ("Loss", ("loss", "loss/*")),
    ("Token accuracy", ("mean_token_accuracy",)),
    ("Rewards of chosen and rejected", ("rewards/chosen", "rewards/rejected")),
    ("Margin", ("rewards/margins",)),
    ("Pairs ranked right", ("rewards/accuracies",)),
    ("Log-probability of chosen and rejected", ("logps/chosen", "logps/rejected")),
    ("Entropy", ("entropy",)),
    ("KL divergence", ("kl", "kl_to_start")),
    ("Diversity within groups", ("distinct_2", "self_similarity")),
    ("Groups without spread", ("frac_reward_zero_std",)),
    ("Completion length, tokens", tuple(f"completions/{each}_length" for each in ("mean", "min", "max"))),
    ("Completions without a verdict", ("reward/without_verdict",)),
    ("Seconds a verdict", ("reward/verdict_seconds",)),
    ("Truncated completions", ("completions/clipped_ratio",)),
    ("Gradient norm", ("grad_norm",)),
    ("Clipped ratios", ("clip_ratio/low_mean", "clip_ratio/high_mean", "clip_ratio/region_mean")),
    ("Learning rate", ("learning_rate",)),
    ("Seconds a step", ("seconds/*",)),
    ("Tokens per second", ("tokens_per_second",)),
    ("Steps behind the newest weights", ("lag",)),
)
"""Title, and metrics without their stage's kind; `*` is all below that are in no other panel."""


@dataclass(frozen=True, slots=True)
class StageCurves:
    """One trained stage."""

    stage: str
    kind: str
    history: StageHistory
    charts: tuple[Chart, ...]
    not_drawn: tuple[str, ...]
    """Metrics that have no panel of their own, or no finite value."""


def stage_curves(stage: str, kind: str, history: StageHistory, most: int = len(_PANELS)) -> StageCurves:
    """A chart for every panel with something to show, the first `most` of them."""
    charts: list[Chart] = []
    drawn: set[str] = set()
    for title, names in _PANELS:
        found = [name for name in _matching(kind, names, history.metrics) if name not in drawn]
        with_points = {name: finite for name in found if (finite := _finite(history.metrics[name]))}
        if with_points and len(charts) < most:
            drawn |= with_points.keys()
            charts.append(_panel(stage, title, with_points, history))
    bands = {f"{name}{end}" for name in drawn for end in _BAND}
    others = [name for name in history.metrics if name not in drawn | bands]
    return StageCurves(stage, kind, history, tuple(charts), tuple(others))


def thinned(points: Sequence[Point], most: int) -> Sequence[Point]:
    """At most about so many points, with the least and the largest of every stretch among them."""
    if len(points) <= most:
        return points
    kept: list[Point] = []
    for stretch in np.array_split(np.arange(len(points)), most // 2):
        values = [points[place][1] for place in stretch]
        ends = {int(stretch[0]) + int(np.argmin(values)), int(stretch[0]) + int(np.argmax(values))}
        kept += [points[place] for place in sorted(ends)]
    return kept


def _matching(kind: str, names: Sequence[str], history: History) -> Iterator[str]:
    named = {f"{kind}/{name}" for _, panel in _PANELS for name in panel}
    for name in names:
        full = f"{kind}/{name}"
        if full in history:
            yield full
        if name.endswith("*"):
            below = [each for each in history if each.startswith(full[:-1]) and each not in named]
            yield from (each for each in below if not each.endswith(_BAND))


def _finite(points: Sequence[Point]) -> list[Point]:
    return [point for point in points if math.isfinite(point[1])]


def _panel(stage: str, title: str, curves: dict[str, list[Point]], history: StageHistory) -> Chart:
    """`curves` are the finite points of what the panel shows."""
    identity = "".join(each if each.isalnum() else "-" for each in f"{stage}-{title}".lower())
    shown = dict(list(curves.items())[: len(SERIES)])
    labels = {name: name.partition("/")[2] for name in shown}
    figure = _draw(shown, history)
    last = ", ".join(f"{labels[name]} {points[-1][1]:.4g}" for name, points in shown.items())
    left_out = sum(len(history.metrics[name]) - len(points) for name, points in shown.items())
    notes = [f"Last: {last}."]
    if left_out:
        notes.append(f"Not finite, and left out: {left_out:,}.")
    if len(curves) > len(shown):
        notes.append(f"{len(curves) - len(shown)} more are not drawn.")
    return Chart(
        identity=identity,
        title=title,
        caption=" ".join(notes),
        svg=inline_svg(figure, identity, f"{title} of {stage}", f"By step; last: {last}"),
        headings=("Step", *labels.values()),
        rows=_table(shown),
        of=stage,
        legend=list(zip(labels.values(), SERIES, strict=False)) if len(shown) > 1 else (),
    )


def _table(curves: dict[str, list[Point]]) -> list[tuple[str, ...]]:
    """Evenly chosen steps, the first and the last among them."""
    by_step = {name: dict(points) for name, points in curves.items()}
    steps = sorted({step for points in by_step.values() for step in points})
    places = _spread(len(steps), _SHOWN_ROWS)
    return [
        (f"{steps[place]:,}", *(_cell(points.get(steps[place])) for points in by_step.values()))
        for place in places
    ]


def _spread(number: int, most: int) -> list[int]:
    """Places among `number`, evenly apart, the first and the last among them."""
    return np.linspace(0, number - 1, min(number, most)).round().astype(int).tolist()


def _cell(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


@drawing()
def _draw(curves: dict[str, list[Point]], history: StageHistory) -> Figure:
    figure = Figure(figsize=(4.4, 2.3), layout="constrained")
    axes = figure.subplots()
    for number, (name, points) in enumerate(curves.items()):
        drawn = colour(SERIES[number])
        low, high = (dict(_finite(history.metrics.get(f"{name}{end}", ()))) for end in _BAND)
        if steps := sorted(low.keys() & high.keys()):
            few = [steps[place] for place in _spread(len(steps), _POINTS)]
            below, above = [low[step] for step in few], [high[step] for step in few]
            axes.fill_between(few, below, above, color=drawn, alpha=0.2, linewidth=0)
        _curve(axes, points, drawn)
    for number, alarm in enumerate(history.alarms, start=1):
        _mark(axes, number, alarm, is_own=alarm.metric in curves)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, steps=_TICKS))
    axes.yaxis.set_major_locator(MaxNLocator(4, steps=_TICKS))
    axes.set_xlabel("step")
    axes.margins(x=0.02)
    return figure


def _curve(axes: Axes, points: Sequence[Point], drawn: str) -> None:
    few = thinned(points, _POINTS)
    steps, values = [step for step, _ in few], [value for _, value in few]
    if len(points) == 1:
        axes.plot(steps, values, marker="o", color=drawn)
        return
    if len(points) < _LONG:
        axes.plot(steps, values, color=drawn, marker="o" if len(points) < 15 else None, markersize=4)
        return
    axes.plot(steps, values, color=drawn, alpha=0.3, linewidth=1)
    window = max(5, len(points) // 30)
    whole = np.convolve([value for _, value in points], np.ones(window) / window, mode="valid")
    middle = [step for step, _ in points[window // 2 : window // 2 + len(whole)]]
    smooth = thinned(list(zip(middle, whole.tolist(), strict=True)), _POINTS)
    axes.plot([step for step, _ in smooth], [value for _, value in smooth], color=drawn)


def _mark(axes: Axes, number: int, alarm: Alarm, *, is_own: bool) -> None:
    axes.axvline(
        alarm.step,
        color=colour("bad"),
        linewidth=1.4 if is_own else 0.8,
        linestyle="--",
        alpha=1 if is_own else 0.5,
    )
    axes.annotate(
        *(f"{number}", (alarm.step, 1)),
        xycoords=("data", "axes fraction"),
        xytext=(3, -10),
        textcoords="offset points",
        color=colour("bad"),
        fontweight="bold" if is_own else "normal",
    )
