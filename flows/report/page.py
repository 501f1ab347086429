"""The page itself: one HTML file that needs nothing else, and in which no text can act.

Models and rows are written by anybody. All text is escaped by the template engine, control characters are shown
instead of obeyed, and the page's content security policy allows one script, named by its hash, and no network.
"""

import base64
import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from flows.card_view import one_line
from flows.plan_view import duration
from flows.report.findings import change_text
from flows.report.origins import plain_value
from flows.report.reported_run import verdict
from flows.summary import Change, p_text

_HERE = Path(__file__).parent


def render(facts: Mapping[str, Any]) -> str:
    """The page of these facts, as `report.html.j2` names them."""
    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "duration": duration,
        "time": _time,
        "change_text": change_text,
        "verdict": verdict,
        "value": plain_value,
        "number": _number,
        "p_value": _p_value,
    }
    script = (_HERE / "filter.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template("report.html.j2").render(
        **facts,
        style=Markup((_HERE / "report.css").read_text(encoding="utf-8")),  # noqa: S704 - our own file
        script=Markup(script),  # noqa: S704 - our own file
        script_hash=f"sha256-{digest}",
    )


def _visible(value: object) -> object:
    """Text of lines in which nothing moves a cursor or turns the direction of writing; markup of ours as it is."""
    if not isinstance(value, str) or isinstance(value, Markup) or value.isprintable():
        return value
    return "\n".join(one_line(line) for line in value.expandtabs(4).split("\n"))


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _p_value(change: Change) -> str:
    return p_text(change.p_value).removeprefix("=")


def _time(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"
