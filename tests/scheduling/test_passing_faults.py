"""Only faults that may pass by themselves are tried again."""

import errno
import sqlite3
from pathlib import Path

import httpx
import pytest
import requests
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from data_contracts import errors
from data_contracts.errors import BurnishError, LostProcessError, ServerError
from flows.passing_faults import may_pass

_OURS = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, BurnishError)]


@pytest.mark.parametrize("kind", _OURS, ids=lambda kind: kind.__name__)
def test_of_our_own_errors_only_a_lost_process_and_a_lost_server_pass(kind: type[BurnishError]) -> None:
    error = kind("found")
    error.__cause__ = ConnectionError()  # whatever it was raised from
    assert may_pass(error) == (kind in (LostProcessError, ServerError))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ConnectionResetError(errno.ECONNRESET, "reset"), True),
        (TimeoutError(), True),
        (OSError(errno.EIO, "Input/output error"), True),
        (OSError(errno.ESTALE, "Stale file handle"), True),
        (httpx.ConnectError("refused"), True),
        (requests.ConnectionError("refused"), True),
        (OSError(errno.ENOSPC, "No space left on device"), False),
        (PermissionError(errno.EACCES, "denied"), False),
        (FileNotFoundError(errno.ENOENT, "gone"), False),
        (requests.HTTPError("403"), False),
        (KeyError("name"), False),
        (ZeroDivisionError(), False),
    ],
    ids=repr,
)
def test_connections_and_disks_pass_and_mistakes_do_not(error: Exception, expected: bool) -> None:
    assert may_pass(error) is expected


def test_a_fault_that_a_library_wrapped_is_still_that_fault() -> None:
    """As MLflow does with what its requests raised."""
    with pytest.raises(RuntimeError) as wrapped:  # noqa: PT012
        try:
            raise requests.ConnectionError("refused")
        except requests.ConnectionError:
            raise RuntimeError("API request failed")  # noqa: B904
    assert may_pass(wrapped.value)


def test_a_database_that_is_busy_passes_and_one_without_the_table_does_not(tmp_path: Path) -> None:
    path = tmp_path / "some.db"
    with sqlite3.connect(path, isolation_level=None) as holder:
        holder.execute("create table things (name)")
        holder.execute("begin exclusive")
        engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": 0})
        with pytest.raises(OperationalError) as busy, engine.begin() as connection:
            connection.execute(text("insert into things values ('a')"))
        holder.execute("commit")
        with pytest.raises(OperationalError) as mistaken, engine.begin() as connection:
            connection.execute(text("insert into nothing values ('a')"))
    assert (may_pass(busy.value), may_pass(mistaken.value)) == (True, False)
