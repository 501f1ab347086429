"""Who is champion of a model, by the ledger: its decisions, in their order, are the whole truth.

promote   a version becomes champion
rollback  an earlier champion is champion again; the one that is left is never returned to by a rollback
by hand   what somebody changed in MLflow was taken over
refuse    a version was judged and stayed a candidate
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from data_contracts.gates import CHAMPION
from flows.doctor.needed import current_version
from flows.suites import GATE
from infra.ledger import Ledger
from infra.records import MOVES, PROMOTE, ROLLBACK, Decision

REFUSE = "refuse"
PREVIOUS, CANDIDATE = "previous", "candidate"
ALIASES = (CHAMPION, PREVIOUS, CANDIDATE)

OVERRIDE, VERSION, FOUND = "override", "version", "found"
"""Keys of a decision's evidence, beside those of suites: why the gate was overridden, the version that was judged,
and the aliases that were found in MLflow."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a model stands after some decisions."""

    model: str
    num_decisions: int
    num_moves: int
    """Of these, what the champion changed by."""

    line: tuple[int, ...]
    """Champions that a rollback returns to, one after the other; the champion itself is last."""

    candidate: int | None
    """The version that was refused last, until one is promoted."""

    move: Decision | None
    """What made the champion champion."""

    @property
    def champion(self) -> int | None:
        return self.line[-1] if self.line else None

    @property
    def previous(self) -> int | None:
        """What a rollback returns to."""
        return self.line[-2] if len(self.line) > 1 else None

    @property
    def aliases(self) -> dict[str, int]:
        named = {CHAMPION: self.champion, PREVIOUS: self.previous, CANDIDATE: self.candidate}
        return {alias: version for alias, version in named.items() if version is not None}


@dataclass(frozen=True, slots=True)
class Tenure:
    """One version's time as champion."""

    version: int
    began: float
    ended: float | None
    """None for the champion of now."""

    move: Decision


def decisions_about(ledger: Ledger, model: str) -> list[Decision]:
    """Those that its aliases follow from, oldest first."""
    return [each for each in reversed(ledger.decisions(model)) if each.kind in (*MOVES, REFUSE)]


def standing(ledger: Ledger, model: str) -> Standing:
    """As of now."""
    return standing_after(ledger, model, decisions_about(ledger, model))


def standing_after(ledger: Ledger, model: str, decisions: Sequence[Decision]) -> Standing:
    """After these decisions, oldest first. Versions have the numbers under which they are registered now."""
    line: tuple[int, ...] = ()
    candidate: int | None = None
    moves = list(_moves(decisions))
    for decision in decisions:
        if decision.kind == REFUSE:
            candidate = current_version(ledger, model, decision.evidence[VERSION])
        elif decision.to_version is not None:
            version = current_version(ledger, model, decision.to_version)
            line = _returned(line, version) if decision.kind == ROLLBACK else (*line, version)
            candidate = None if decision.kind == PROMOTE else candidate
    return Standing(model, len(decisions), len(moves), line, candidate, moves[-1] if moves else None)


def tenures(ledger: Ledger, model: str) -> list[Tenure]:
    """Oldest first."""
    moves = list(_moves(decisions_about(ledger, model)))
    ends: list[float | None] = [*(move.made for move in moves[1:]), None]
    return [
        Tenure(current_version(ledger, model, move.to_version or 0), move.made, end, move)
        for move, end in zip(moves, ends, strict=False)
    ]


def refused_versions(ledger: Ledger, model: str) -> set[int]:
    """Versions that were judged and stayed candidates, whenever that was."""
    refused = (each for each in ledger.decisions(model) if each.kind == REFUSE)
    return {current_version(ledger, model, each.evidence[VERSION]) for each in refused}


def gate_sentence(evidence: dict[str, Any]) -> str:
    """What the gate said of a decision; empty where none was asked."""
    verdict = evidence.get(GATE)
    return verdict["sentence"] if verdict else ""


def _moves(decisions: Iterable[Decision]) -> Iterable[Decision]:
    return (each for each in decisions if each.kind != REFUSE and each.to_version is not None)


def _returned(line: tuple[int, ...], version: int) -> tuple[int, ...]:
    """The line after a rollback: cut behind the version, or with the version in the place of who is left."""
    below = line[:-1]
    if version not in below:
        return (*below, version)
    last = len(below) - 1 - below[::-1].index(version)
    return below[: last + 1]
