"""Markdown in which foreign text can do nothing: it stands in code spans and code blocks alone.

In a code span nothing is a link, an image, HTML or emphasis (CommonMark 0.31, 6.1), and a span cannot leave its
line. No tables: how a cell reads `\\|` differs between renderers.
"""

import re
from collections.abc import Iterable

from flows.card_view import one_line

_MOST_CHARACTERS = 500


def code(text: object) -> str:
    """Foreign text as one code span: on one line, between more backticks than it has in a row."""
    line = one_line(str(text)[:_MOST_CHARACTERS]) or " "
    fence = "`" * (_longest_run(line) + 1)
    is_edgy = line[0] in "` " or line[-1] in "` "  # one space on either side is no part of a span
    return f"{fence} {line} {fence}" if is_edgy else f"{fence}{line}{fence}"


def codes(texts: Iterable[object]) -> str:
    return ", ".join(map(code, texts))


def block(language: str, text: str) -> str:
    """A code block, between more backticks than it has in a row."""
    fence = "`" * max(3, _longest_run(text) + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def section(heading: str, *lines: str) -> str:
    """A heading and its lines, as bullets; empty where there is no line."""
    told = [f"- {line}" for line in lines if line]
    return "\n".join([f"## {heading}", "", *told]) if told else ""


def _longest_run(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)
