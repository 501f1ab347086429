"""The run's DAG as a drawing: parents above what is made of them, every stage with its state and version."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, PathPatch
from matplotlib.path import Path

from flows.past_runs import CRASHED, PastStage
from flows.report.figures import Chart, short
from flows.report.svg import colour, drawing, inline_svg
from infra import records as states

_WIDTH, _HEIGHT, _GAP, _BELOW = 1.5, 0.5, 0.34, 0.42
"""Inches: of a box, and between boxes, sideways and down."""

_MARKS = {
    states.DONE: ("good", "made"),
    states.REUSED: ("s1", "reused"),
    states.FAILED: ("bad", "failed"),
    CRASHED: ("bad", "crashed"),
    states.REFUSED: ("bad", "refused"),
    states.RUNNING: ("warn", "running"),
    states.INTERRUPTED: ("warn", "interrupted"),
}

Places = Mapping[str, tuple[float, float]]
"""Stage to the middle of its box, in inches, y downwards."""


def dag_chart(stages: Sequence[PastStage], parents: Mapping[str, Sequence[str]]) -> Chart | None:
    """`parents` holds every stage of the run."""
    if not stages:
        return None
    places = _places(parents)
    figure = _draw(stages, parents, places)
    described = f"{len(stages)} stages; parents stand above what is made of them. The table below names each."
    rows = [
        (past.stage.stage, past.stage.kind, past.state, ", ".join(parents[past.stage.stage]) or "–")
        for past in stages
    ]
    return Chart(
        identity="dag",
        title="Stages, from data to the last model",
        caption="Green was made in this run, blue was reused; a dashed outline never ran.",
        svg=inline_svg(figure, "dag", "Stages and what they are made from", described),
        headings=("Stage", "Kind", "State", "Made from"),
        rows=rows,
        is_wide=True,
    )


def _places(parents: Mapping[str, Sequence[str]]) -> Places:
    """One row below the lowest parent, and no further left than the leftmost."""
    depth: dict[str, int] = {}
    waiting = list(parents)
    while waiting:
        ready = [name for name in waiting if all(parent in depth for parent in parents[name])]
        for name in ready:
            depth[name] = 1 + max((depth[parent] for parent in parents[name]), default=-1)
        waiting = [name for name in waiting if name not in depth]
    columns: dict[str, int] = {}
    for row in range(max(depth.values()) + 1):
        leftmost = {
            name: min((columns[parent] for parent in parents[name]), default=0)
            for name, place in depth.items()
            if place == row
        }
        column = -1
        for name in sorted(leftmost, key=leftmost.__getitem__):
            column = max(column + 1, leftmost[name])
            columns[name] = column
    return {name: (columns[name] * (_WIDTH + _GAP), depth[name] * (_HEIGHT + _BELOW)) for name in parents}


@drawing()
def _draw(stages: Sequence[PastStage], parents: Mapping[str, Sequence[str]], places: Places) -> Figure:
    right, bottom = max(x for x, _ in places.values()), max(y for _, y in places.values())
    width, height = right + _WIDTH + 2 * _GAP, bottom + _HEIGHT + 0.2
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1))
    left, top = -_WIDTH / 2 - _GAP, -_HEIGHT / 2 - 0.1
    axes.set(xlim=(left, left + width), ylim=(top + height, top))
    axes.set_axis_off()
    for name, above in parents.items():
        for parent in above:
            _join(axes, places[parent], places[name])
    for past in stages:
        _box(axes, past, *places[past.stage.stage])
    return figure


def _join(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    """A curve; one that would run behind the boxes between goes down the lane beside them."""
    (x, y), (to_x, to_y) = start, end
    y, to_y = y + _HEIGHT / 2, to_y - _HEIGHT / 2
    vertices, codes = [(x, y)], [Path.MOVETO]
    if to_y - y > 1.5 * _BELOW:
        lane = to_x + (_WIDTH + _GAP) / 2 * (1 if to_x < x else -1)
        vertices += [*_bend(x, y, lane, y + _BELOW), (lane, to_y - _BELOW)]
        codes += [Path.CURVE4] * 3 + [Path.LINETO]
        x, y = vertices[-1]
    path = Path([*vertices, *_bend(x, y, to_x, to_y)], [*codes, *[Path.CURVE4] * 3])
    axes.add_patch(PathPatch(path, facecolor="none", edgecolor=colour("muted"), linewidth=1, alpha=0.6))


def _bend(x: float, y: float, to_x: float, to_y: float) -> list[tuple[float, float]]:
    """Leaves and arrives upright."""
    middle = (y + to_y) / 2
    return [(x, middle), (to_x, middle), (to_x, to_y)]


def _box(axes: Axes, past: PastStage, x: float, y: float) -> None:
    shade, word = _MARKS.get(past.state, ("muted", past.state))
    corner = (x - _WIDTH / 2, y - _HEIGHT / 2)
    drawn, is_pending = colour(shade), past.state not in _MARKS
    style = "round,pad=0,rounding_size=0.08"
    axes.add_patch(FancyBboxPatch(corner, _WIDTH, _HEIGHT, style, facecolor=colour("paper"), linewidth=0))
    axes.add_patch(
        FancyBboxPatch(
            *(corner, _WIDTH, _HEIGHT, style),
            facecolor="none" if is_pending else (drawn, 0.12),
            edgecolor=drawn,
            linewidth=1.2,
            linestyle="--" if is_pending else "-",
        )
    )
    version = f" · v{past.execution.version}" if past.execution else ""
    name = axes.text(x, y - 0.09, short(past.stage.stage)[:20], fontsize=9.5, fontweight="bold")
    below = axes.text(x, y + 0.11, f"{word}{version}", fontsize=9)
    for text in (name, below):
        text.set(ha="center", va="center")
