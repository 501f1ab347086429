"""Figures of a report: how a chart, its words and its numbers belong together, and the charts of accuracy and time.

Intervals are drawn as bars around a dot, not as bars from zero: what is compared is position.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from flows.card_view import one_line
from flows.report.cost import Span
from flows.report.svg import colour, drawing, inline_svg
from flows.summary import StageLine

SERIES = ("s1", "s2", "s3", "s4", "s5", "s6")
_WIDTH, _ROW, _AROUND = 5.2, 0.42, 0.5
"""Inches: of a chart with one row a name, of a row, and of its axis."""

_LONGEST_NAME = 28
_MOST_SOURCES = 24


@dataclass(frozen=True, slots=True)
class Chart:
    """A figure with its numbers, which a reader may want more than the drawing."""

    identity: str
    title: str
    caption: str
    svg: Markup
    headings: tuple[str, ...]
    """The first column names rows, the others hold numbers."""

    rows: Sequence[Sequence[str]]
    of: str = ""
    """The stage it is about, where several have such a chart."""

    legend: Sequence[tuple[str, str]] = ()
    """Label and colour of each series, where there are several."""

    is_wide: bool = False
    """Whether it takes the whole line of a grid of charts."""


@dataclass(frozen=True, slots=True)
class Share:
    """A share with its 95 % interval."""

    value: float
    low: float
    high: float

    def cells(self) -> tuple[str, str]:
        """In percent."""
        return f"{100 * self.value:.1f}", f"[{100 * self.low:.1f}, {100 * self.high:.1f}]"


def short(name: str) -> str:
    """A name as a chart has room for it, with nothing in it that XML or the eye would trip over."""
    line = one_line(name)
    return line if len(line) <= _LONGEST_NAME else f"{line[: _LONGEST_NAME - 1]}…"


def accuracy_chart(lines: Sequence[StageLine]) -> Chart | None:
    """Verified accuracy of every evaluated model, the first on top."""
    evaluated = [line for line in lines if line.accuracy is not None]
    if not evaluated:
        return None
    shares = {
        line.stage: Share(line.accuracy or 0.0, line.low or 0.0, line.high or 0.0) for line in evaluated
    }
    figure = _dots([("accuracy", shares)], list(shares))
    last = evaluated[-1]
    described = ", ".join(f"{name} {100 * share.value:.1f} %" for name, share in shares.items())
    return Chart(
        identity="accuracy",
        title="Verified accuracy by model",
        caption=f"Share of completions with full reward on {last.problems:,} held-out problems, "
        f"{(last.completions or 0) // (last.problems or 1)} samples each. Bars are 95 % Wilson intervals.",
        svg=inline_svg(figure, "accuracy", "Verified accuracy by model", described),
        headings=("Model", "Accuracy, %", "95 % interval"),
        rows=[(name, *share.cells()) for name, share in shares.items()],
        is_wide=True,
    )


def sources_chart(shares: Mapping[str, Mapping[str, Share]]) -> Chart:
    """Accuracy by problem source (rows) and model (colours). `shares` is by model, then by source."""
    sources = sorted({source for of_model in shares.values() for source in of_model})
    shown = list(shares.items())[-len(SERIES) :]
    figure = _dots(shown, sources[:_MOST_SOURCES])
    more = f" The first {_MOST_SOURCES} are drawn; the table has all." if len(sources) > _MOST_SOURCES else ""
    return Chart(
        identity="sources",
        title="Verified accuracy by problem source",
        caption=f"Each source's problems alone; bars are 95 % Wilson intervals.{more}",
        svg=inline_svg(
            figure,
            "sources",
            "Verified accuracy by problem source",
            f"{len(sources)} sources, {len(shares)} models",
        ),
        headings=("Source", *(f"{model}, %" for model in shares)),
        rows=[
            (source, *(_with_interval(each.get(source)) for each in shares.values())) for source in sources
        ],
        legend=[(model, drawn) for (model, _), drawn in zip(shown, SERIES, strict=False)],
        is_wide=True,
    )


def timeline_chart(spans: Sequence[Span]) -> Chart | None:
    """When each stage waited and worked."""
    if not spans:
        return None
    last = max(span.ended for span in spans)
    described = f"{len(spans)} stages over {last:,.0f} seconds"
    return Chart(
        identity="timeline",
        title="When each stage worked",
        caption="A thin line is time that a stage waited for its turn. Reused stages took no time in this run.",
        svg=inline_svg(_draw_timeline(spans, last), "timeline", "When each stage worked", described),
        headings=("Stage", "Waited from, s", "Worked from, s", "Worked for, s"),
        rows=[
            (
                each.stage,
                *(f"{seconds:,.1f}" for seconds in (each.waited_from, each.worked_from)),
                f"{each.ended - each.worked_from:,.1f}",
            )
            for each in spans
        ],
        is_wide=True,
    )


@drawing()
def _draw_timeline(spans: Sequence[Span], last: float) -> Figure:
    figure, axes = _rows_figure(len(spans), row=0.3)
    for place, span in enumerate(spans):
        worked = max(span.ended - span.worked_from, last / 300)
        axes.plot([span.waited_from, span.worked_from], [place, place], color=colour("muted"), linewidth=1)
        axes.barh(place, worked, left=span.worked_from, height=0.62, color=colour("s1"), linewidth=0)
    _name_rows(axes, [span.stage for span in spans])
    axes.set_xlim(left=0)
    axes.set_xlabel("seconds since the run began")
    return figure


def _with_interval(share: Share | None) -> str:
    return " ".join(share.cells()) if share else "–"


@drawing()
def _dots(series: Sequence[tuple[str, Mapping[str, Share]]], names: Sequence[str]) -> Figure:
    figure, axes = _rows_figure(len(names), _ROW if len(series) == 1 else 0.24 + 0.16 * len(series))
    for number, (_, shares) in enumerate(series):
        offset = (number - (len(series) - 1) / 2) * min(0.18, 0.7 / len(series))
        for place, name in enumerate(names):
            if (share := shares.get(name)) is None:
                continue
            drawn = colour(SERIES[number])
            axes.plot(
                *([100 * share.low, 100 * share.high], [place + offset] * 2),
                color=drawn,
                linewidth=5,
                alpha=0.35,
                solid_capstyle="round",
            )
            axes.plot(
                *([100 * share.value], [place + offset]),
                marker="o",
                markersize=7,
                color=drawn,
                linestyle="none",
            )
            if len(series) == 1:
                axes.annotate(
                    *(f"{100 * share.value:.1f}", (100 * share.value, place)),
                    xytext=(0, 9),
                    textcoords="offset points",
                    ha="center",
                )
    _name_rows(axes, names)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} %"))
    axes.margins(x=0.06)
    return figure


@drawing()
def _rows_figure(num_rows: int, row: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(_WIDTH, row * num_rows + _AROUND), layout="constrained")
    return figure, figure.subplots()


def _name_rows(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), [short(name) for name in names], color=colour("ink"))
    axes.set_ylim(len(names) - 0.45, -0.6)
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
