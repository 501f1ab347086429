"""Every test run tries the same examples, wastes no core, and ends without the noise of what Python tears down."""

import atexit
import os

from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
"""PyTorch's idle threads sleep: with others at work on the same cores, those that spin took most of the time."""


def _end_quietly() -> None:
    """DuckDB's bindings report every object that is left at exit as leaked, a hundred lines after the result."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


atexit.register(_end_quietly)  # registered first, so called last: pytest has said all it has to say
