"""One home with a finished run, and its report, for all who only look."""

from pathlib import Path

import pytest

from flows.past_runs import find_run
from flows.report.report import make_report
from infra.home import Home
from infra.ledger import Ledger
from tests.report.trained_home import make_home

NOW = 1_800_000_000.0


def report_of(home: Home, run: str | None = None) -> str:
    ledger = Ledger(home.ledger_path)
    return make_report(home, ledger, find_run(ledger, run), NOW)


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """To be read only."""
    return make_home(tmp_path_factory.mktemp("trained") / "home")


@pytest.fixture(scope="session")
def page(home: Home) -> str:
    return report_of(home)


@pytest.fixture(scope="session")
def page_path(page: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(page, encoding="utf-8")
    return path
