"""Who a decision is told to be by."""

import getpass
import os

import pytest

from infra.actor import actor


def test_an_actor_is_named_as_the_system_names_them() -> None:
    assert actor() == getpass.getuser()


def test_a_user_without_a_name_is_told_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that runs as a number of its cluster's choice: the password database has no such entry."""
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 987_654_321)
    assert actor() == "uid 987654321"
