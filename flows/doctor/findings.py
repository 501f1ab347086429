"""What an examination of a home finds, and who is examined.

A finding says what is wrong, why it matters and what is to be done. Where it can repair itself, nothing that a
person gave is lost by it, it may be repeated, and a kill in its middle leaves something the next one repairs.
"""

from collections.abc import Callable
from dataclasses import dataclass

from data_contracts.errors import HomeError
from infra.home import Home
from infra.ledger import Ledger
from infra.liveness import live_runs

DONE = ""
"""What a repair returns when it has left nothing undone."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be, or is good to know."""

    found: str
    matters: str
    do: str
    """What the repair does; without one, what a person can do."""

    repair: Callable[[], str] | None = None
    """Returns why something was left as it is, or DONE."""

    is_note: bool = False
    """Good to know, and no fault."""


@dataclass(frozen=True, slots=True)
class Patient:
    """A home whose ledger can be read."""

    home: Home
    ledger: Ledger
    is_deep: bool
    """Whether all content is read and compared with its fingerprint."""


Look = Callable[[Patient], list[Finding]]
"""Finds what is wrong in one part of a home. It changes nothing."""


def unless_a_run_is_live(ledger: Ledger, repair: Callable[[], object]) -> str:
    """Repair what a run that is at work could be about to use, unless there is one."""
    if live := live_runs(ledger):
        return f"left: run {live[0].run_id} is at work"
    repair()
    return DONE


def with_lock(home: Home, name: str, repair: Callable[[], str]) -> str:
    """Repair under the lock that those who use it take, unless somebody has it."""
    try:
        with home.lock(name, holder="burnish doctor", timeout_seconds=0.0):
            return repair()
    except HomeError as error:
        return f"left: {error.found}"


def quietly(repair: Callable[[], object]) -> Callable[[], str]:
    """A repair that leaves nothing undone."""

    def repair_all() -> str:
        repair()
        return DONE

    return repair_all
