"""Which faults of a task may pass by themselves: a server, a connection, a disk or a process failed, no stage.

A stage that refuses its input, a gate that refuses a model, a mistake in a recipe or in the code: trying again
would give the same answer later.
"""

import errno
import sqlite3
from collections.abc import Iterator
from typing import Any

import httpx
import requests
from prefect.client.schemas.objects import State, TaskRun
from sqlalchemy.exc import OperationalError

from data_contracts.errors import BurnishError, LostProcessError, ServerError

_PASSING_ERRNO = frozenset(
    {
        errno.EIO,
        errno.EAGAIN,
        errno.EBUSY,
        errno.ESTALE,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.ENETRESET,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
    }
)
_PASSING_SQLITE = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_IOERR})


def is_passing(_task: Any, _task_run: TaskRun, state: State[Any]) -> bool:
    """Prefect's `retry_condition_fn`: whether a failed task is to be tried again."""
    error = state.data
    return isinstance(error, BaseException) and may_pass(error)


def may_pass(error: BaseException) -> bool:
    """Whether the error, or one that it was raised from, is such a fault."""
    if isinstance(error, BurnishError):
        return isinstance(error, LostProcessError | ServerError)
    return any(map(_is_passing, _chain(error)))


def _is_passing(error: BaseException) -> bool:
    if isinstance(error, sqlite3.OperationalError):
        return (
            error.sqlite_errorcode & 0xFF in _PASSING_SQLITE
        )  # an extended code holds its kind in the low byte
    if isinstance(error, OperationalError):
        return not isinstance(error.orig, sqlite3.Error)  # of other databases: the connection
    if isinstance(error, requests.ConnectionError | requests.Timeout | httpx.TransportError):
        return True
    if isinstance(error, OSError):
        return isinstance(error, ConnectionError | TimeoutError) or error.errno in _PASSING_ERRNO
    return False


def _chain(error: BaseException) -> Iterator[BaseException]:
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__ or link.__context__
