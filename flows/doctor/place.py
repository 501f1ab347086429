"""The home itself: its marker and directories, the disk below it, what this process may do there."""

import json
import os
import resource
from collections.abc import Callable
from pathlib import Path

from flows.doctor.findings import Finding, quietly
from infra.home import HOME_FORMAT, Home, free_bytes, write_atomically

_FREE_BYTES = 1_000_000_000
_OPEN_FILES = 256
"""What a run with a few stages, a Prefect server and MLflow needs."""


def examine_place(home: Home) -> list[Finding]:
    """Everything that can be said without opening the ledger."""
    return [*_marker(home), *_directories(home), *_room(home)]


def is_readable(home: Home) -> bool:
    """Whether the ledger may be opened: one of another format means something else."""
    return home.ledger_path.is_file() and _format_of(home) in (None, HOME_FORMAT)


def _marker(home: Home) -> list[Finding]:
    marker = home.path / "home.json"
    if not home.ledger_path.is_file():
        return [
            Finding(
                f"The ledger {home.ledger_path} is missing.",
                "It is the one record of what was made; without it nothing stored can be reused.",
                "Restore it from a backup, or set BURNISH_HOME to another directory.",
            )
        ]
    found = _format_of(home)
    if found == HOME_FORMAT:
        return []
    if found is None:
        text = json.dumps({"format": HOME_FORMAT})
        return [
            Finding(
                f"{marker} is missing.",
                "Commands below this folder would not find the home, and an older Burnish could open it.",
                f"Write it: the ledger is of format {HOME_FORMAT}.",
                quietly(lambda: write_atomically(marker, text)),
            )
        ]
    return [
        Finding(
            f"{marker} says {found!r}, not format {HOME_FORMAT}.",
            "What another Burnish wrote cannot be read by this one.",
            "Use the Burnish that wrote it; restore the file if it was damaged.",
        )
    ]


def _format_of(home: Home) -> int | str | None:
    """The marker's format; None without a marker, and the text itself when it holds none."""
    marker = home.path / "home.json"
    if not marker.is_file():
        return None
    text = marker.read_text(errors="replace")
    try:
        return int(json.loads(text)["format"])
    except (ValueError, KeyError, TypeError):
        return text[:80]


def _directories(home: Home) -> list[Finding]:
    findings: list[Finding] = []
    for path in home.directories:
        if path.is_dir():
            if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
                findings.append(
                    Finding(
                        f"{path} cannot be written by this user.",
                        "Every run writes there.",
                        "Give this user the right to write, or set BURNISH_HOME to another directory.",
                    )
                )
        elif path.exists():
            findings.append(
                Finding(
                    f"{path} is no directory.",
                    "Runs keep files in it.",
                    "Move it away; the next command makes the directory.",
                )
            )
        else:
            findings.append(
                Finding(
                    f"The directory {path} is missing.", "Runs keep files in it.", "Make it.", _maker(path)
                )
            )
    return findings


def _maker(path: Path) -> Callable[[], str]:
    return quietly(lambda: path.mkdir(parents=True, exist_ok=True))


def _room(home: Home) -> list[Finding]:
    findings: list[Finding] = []
    if (free := free_bytes(home)) < _FREE_BYTES:
        findings.append(
            Finding(
                f"{free / 1e6:,.0f} MB are free on the disk of {home.path}.",
                "A model stage keeps several copies of the weights while it runs.",
                "`burnish gc` shows what can go; `burnish data gc` does so for datasets.",
            )
        )
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit != resource.RLIM_INFINITY and limit < _OPEN_FILES:
        findings.append(
            Finding(
                f"This user's processes may open {limit} files.",
                "A run with its servers needs more, and would fail in its middle.",
                f"Raise it: ulimit -n {_OPEN_FILES * 4}",
            )
        )
    return findings
