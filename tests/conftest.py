"""Every test run tries the same examples, wastes no core, and ends without the noise of what Python tears down."""

import atexit
import gc
import os
from collections.abc import Iterator

import pytest
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from flows import remembered
from tests.factories import read_source_once

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
"""PyTorch's idle threads sleep: with others at work on the same cores, those that spin took most of the time."""

for name in ("BURNISH_HOME", "MLFLOW_TRACKING_URI", "PREFECT_API_URL"):
    os.environ.pop(name, None)  # of whoever starts the tests: no test writes to their servers


_ONE_RUN = "tests/pipeline/"
"""Where tests look at one real run, which takes as long to make as hundreds of other tests."""

_OTHER_RUNS = ("test_rescoring.py", "test_reward_sources.py", "test_side_by_side.py")
"""Files in there that make runs of their own."""


def _work_of(file: str) -> str:
    """What one process does as a whole: the tests of a file, and all that look at the one run."""
    return _ONE_RUN if file.startswith(_ONE_RUN) and not file.endswith(_OTHER_RUNS) else file


class _Scheduling(LoadFileScheduling):
    def _split_scope(self, nodeid: str) -> str:
        return _work_of(super()._split_scope(nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadFileScheduling:
    return _Scheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest is begun first."""
    items.sort(key=lambda item: _work_of(item.nodeid.partition("::")[0]) != _ONE_RUN)


def pytest_collection_finish() -> None:
    """A Trainer collects garbage before it trains: seconds over all modules there are, of which none is garbage."""
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def read_the_project_once() -> Iterator[None]:
    """A plan in a new home parses half of the project."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(remembered, "read_source", read_source_once)
        yield


def _end_quietly() -> None:
    """DuckDB's bindings report every object that is left at exit as leaked, a hundred lines after the result."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


atexit.register(_end_quietly)  # registered first, so called last: pytest has said all it has to say
