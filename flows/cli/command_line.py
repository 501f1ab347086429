"""How the words of a command line are read, and how a mistake in them is told."""

import re
from collections.abc import Sequence
from typing import Any

from cyclopts import CycloptsError, MissingArgumentError, Token, convert
from rich.text import Text

_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]+")


def whole_number(text: str) -> int:
    """Raises ValueError for anything but digits: 1.5 is no number of rows, and no seed."""
    if not _WHOLE_NUMBER.fullmatch(text):
        raise ValueError(f"{text!r} is no whole number.")
    return int(text)


def real_number(text: str) -> float:
    """Raises ValueError for what is no number, and for `1_0` and digits of other scripts."""
    if not text.isascii() or "_" in text:
        raise ValueError(f"{text!r} is no number.")
    return float(text)


def read_argument(kind: Any, tokens: Sequence[Token]) -> Any:
    """The value of one argument. Cyclopts itself would round 1.5 to 2 where an integer is asked for."""
    if kind is int:
        return whole_number(tokens[0].value)
    if kind is float:
        return real_number(tokens[0].value)
    return convert(kind, tokens)


def told(error: CycloptsError) -> Text:
    """A mistake and where to look it up."""
    command = " ".join(["burnish", *(error.command_chain or ())])
    argument = error.argument
    if isinstance(error, MissingArgumentError) and argument is not None and argument.field_info.is_positional:
        found = f"{argument.name.lstrip('-').replace('-', '_').upper()} is missing."
    else:
        found = str(error)
    return Text(f"{found}\nSee `{command} --help`.", no_wrap=True, overflow="ignore")
