"""A matplotlib figure as SVG that lives inside a page: it follows the page's colours and font, light or dark.

matplotlib knows fixed colours only. So a figure is drawn in stand-in colours, one for each CSS variable of the page,
which are put in their place here. Ids are made the page's own: with two figures that share one, the second would be
clipped by the first.
"""

import re
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from io import StringIO
from typing import Any, Final
from xml.etree import ElementTree

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.typing import RcKeyType

from flows.card_view import one_line

_SVG = "{http://www.w3.org/2000/svg}"
_LINK = "{http://www.w3.org/1999/xlink}href"
_REFERENCE = re.compile(r"url\(#([^)]+)\)")
_FAMILY = re.compile(r"font-family: [^;]+;? ?")
_FRACTION = re.compile(r"(\d\.\d\d)\d+")
_COLOUR = re.compile(r"#0101([0-9a-f]{2})\b")

COLOURS: Final = ("ink", "muted", "grid", "paper", "good", "bad", "warn", "s1", "s2", "s3", "s4", "s5", "s6")
"""CSS variables of the page, without their dashes."""

_SETTINGS: Final[dict[RcKeyType, Any]] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "burnish",
    "text.parse_math": False,
    "font.size": 10,
    "axes.edgecolor": "#010102",
    "axes.labelcolor": "#010101",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "grid.color": "#010102",
    "grid.linewidth": 0.8,
    "xtick.color": "#010101",
    "ytick.color": "#010101",
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "text.color": "#010100",
    "lines.linewidth": 1.8,
}
"""Of matplotlib. Names of models and sources are text, never mathematics."""


@contextmanager
def drawing() -> Generator[None]:
    """Around, or before, what draws: matplotlib's settings for the page."""
    with mpl.rc_context(_SETTINGS):
        yield


def colour(name: str) -> str:
    """The stand-in for a CSS variable of the page. None is black, which matplotlib leaves out."""
    return f"#0101{COLOURS.index(name):02x}"


def inline_svg(figure: Figure, identity: str, title: str, description: str) -> Markup:
    """Markup for the page; `identity` is no other figure's."""
    written = StringIO()
    with drawing(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph", UserWarning)  # the reader's fonts have it, or nobody's
        figure.savefig(written, format="svg", transparent=True, metadata=dict.fromkeys(("Date", "Creator")))
    root = ElementTree.fromstring(written.getvalue())  # noqa: S314 - what matplotlib just wrote
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag.endswith("}metadata") or child.tag == f"{_SVG}style":
                parent.remove(child)
    used = {match for each in root.iter() for match in _references(each)}
    for each in root.iter():
        each.tag = each.tag.removeprefix(_SVG)
        each.text, each.tail = (each.text or "").strip("\n "), None
        _adopt(each, identity, used)
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    root.attrib |= {"role": "img", "aria-labelledby": f"{identity}-t {identity}-d", "class": "chart"}
    for position, (tag, letter, text) in enumerate((("title", "t", title), ("desc", "d", description))):
        element = ElementTree.Element(tag, {"id": f"{identity}-{letter}"})
        element.text = one_line(text)
        root.insert(position, element)
    return Markup(ElementTree.tostring(root, encoding="unicode"))  # noqa: S704 - text in it is escaped


def _references(element: ElementTree.Element) -> list[str]:
    found = [match for value in element.attrib.values() for match in _REFERENCE.findall(value)]
    return [*found, element.attrib.get(_LINK, "#").removeprefix("#")]


def _adopt(element: ElementTree.Element, identity: str, used: set[str]) -> None:
    """Ids, links, colours and fonts become the page's."""
    own = element.attrib
    if "id" in own:
        name = own.pop("id")
        if name in used:
            own["id"] = f"{identity}-{name}"
    if _LINK in own:
        own["href"] = f"#{identity}-{own.pop(_LINK).removeprefix('#')}"
    for name, value in own.items():
        referring = _REFERENCE.sub(rf"url(#{identity}-\1)", value)
        coloured = _COLOUR.sub(lambda match: f"var(--{COLOURS[int(match[1], 16)]})", referring)
        own[name] = _FAMILY.sub("", coloured) if name == "style" else _FRACTION.sub(r"\1", coloured)
