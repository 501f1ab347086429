"""Compares the states of two homes, and knows of which code a reference is."""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.chaos.boundaries import PROJECT
from tests.pipeline import coin

_ROOMS = ("data_contracts", "flows", "infra", "stages")


def compare(expected: Mapping[str, list[str]], found: Mapping[str, list[str]]) -> Iterator[str]:
    """A sentence for each entry that one of two states has and the other lacks."""
    for what in expected:
        yield from (f"{what}: {entry} is missing" for entry in _without(expected[what], found[what]))
        yield from (f"{what}: {entry} is too much" for entry in _without(found[what], expected[what]))


def digest_of_project() -> str:
    """Of all code that a reference depends on."""
    files = [path for room in _ROOMS for path in sorted((PROJECT / room).rglob("*.py"))]
    files += [*sorted(Path(__file__).parent.glob("*.py")), Path(coin.__file__)]
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in files)).hexdigest()


def _without(entries: list[str], others: list[str]) -> list[str]:
    """Entries that are no entry of the others; a doubled one counts twice."""
    left = list(others)
    found: list[str] = []
    for entry in entries:
        if entry in left:
            left.remove(entry)
        else:
            found.append(entry)
    return found
