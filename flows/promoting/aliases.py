"""MLflow's aliases as a projection of the ledger's decisions, and what somebody changed in them by hand.

A decision is made when the ledger has its row; the aliases follow, and last a tag that says how many decisions
they show. So whatever instant a kill comes at, an alias names what an earlier decision or the newest one says:
the next command brings it to the newest. An alias that names anything else was changed by hand, and stays.
"""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from data_contracts.errors import PromotionError
from data_contracts.gates import CHAMPION
from flows.doctor.needed import PROMOTION_LOCK
from flows.promoting.decisions import (
    ALIASES,
    CANDIDATE,
    FOUND,
    PREVIOUS,
    REFUSE,
    Standing,
    decisions_about,
    standing,
    standing_after,
)
from flows.promoting.describing import describe_decided
from infra.home import Home
from infra.ledger import Ledger
from infra.records import BY_HAND

if TYPE_CHECKING:
    from infra.registry_aliases import AliasState, RegistryAliases


@dataclass(frozen=True, slots=True)
class HandMade:
    """An alias that nobody decided on."""

    model: str
    alias: str
    found: int | None
    """The version it names in MLflow; None where it is gone."""

    decided: int | None
    is_lost: bool
    """Whether MLflow has lost the version itself."""

    def __str__(self) -> str:
        named = f"{self.model}@{self.alias}"
        by_ledger = "no version" if self.decided is None else f"version {self.decided}"
        if self.is_lost:
            return f"{named} is gone from MLflow with version {self.decided}, which was deleted by hand."
        if self.found is None:
            return f"{named} was deleted by hand in MLflow; by the ledger it is {by_ledger}."
        return f"{named} is version {self.found} in MLflow, changed by hand; by the ledger it is {by_ledger}."


@dataclass(frozen=True, slots=True)
class Projection:
    """One model's aliases in MLflow, held against the ledger."""

    decided: Standing
    found: "AliasState"
    by_hand: tuple[HandMade, ...]
    is_behind: bool
    """Whether aliases show an earlier decision than the newest: somebody was killed between the two."""

    is_noted: bool
    """Whether MLflow says which decisions its aliases show."""

    @property
    def adopted(self) -> int | None:
        """The version that somebody made champion by hand."""
        return next((each.found for each in self.by_hand if each.alias == CHAMPION), None)

    @property
    def told(self) -> list[str]:
        """What people are to know: changes by hand, and a champion that MLflow has lost since."""
        champion, model = self.decided.champion, self.decided.model
        if self.by_hand or champion in {None, *self.found.versions}:
            return [str(each) for each in self.by_hand]
        return [
            f"MLflow has lost {model}/{champion}: {model}@{CHAMPION} names nothing. `burnish doctor --fix` "
            "registers it again from the model that this home keeps."
        ]

    @property
    def others(self) -> dict[str, int]:
        """Aliases of a person's own, which Burnish has no part in."""
        return {alias: version for alias, version in self.found.aliases.items() if alias not in ALIASES}


def look(ledger: Ledger, registry: "RegistryAliases", model: str) -> Projection:
    """Compare MLflow's aliases of a model with the ledger. Changes nothing."""
    found, decided = registry.state(model), standing(ledger, model)
    wanted = _wanted(decided, found)
    differing = [alias for alias in ALIASES if found.aliases.get(alias) != wanted.get(alias)]
    explained = [wanted, *_earlier(ledger, decided, found)]
    by_hand = tuple(
        HandMade(
            model=model,
            alias=alias,
            found=found.aliases.get(alias),
            decided=wanted.get(alias),
            is_lost=alias in wanted and wanted[alias] not in found.versions,
        )
        for alias in differing
        if found.aliases.get(alias) not in [state.get(alias) for state in explained]
    )
    return Projection(
        decided=decided,
        found=found,
        by_hand=by_hand,
        is_behind=bool(differing) and not by_hand and decided.champion in {None, *found.versions},
        is_noted=found.num_shown == decided.num_decisions,
    )


def settle(home: Home, ledger: Ledger, registry: "RegistryAliases", model: str) -> str:
    """Finish what a killed command left; returns what was done, empty where there was nothing to do."""
    found = look(ledger, registry, model)
    if found.by_hand or found.is_noted or not found.found.versions:
        return ""
    with home.lock(PROMOTION_LOCK, holder="another promotion"):
        found = look(ledger, registry, model)
        if found.by_hand:
            return ""
        project(ledger, registry, model)
    describe_decided(home, ledger, model)
    move = found.decided.move
    what = f"the {move.kind} to version {move.to_version} by {move.actor}" if move else "a refusal"
    told = (
        f"MLflow's aliases of {model} were behind the ledger: {what} had been cut short. They follow it now."
    )
    is_one_behind = found.found.num_shown == found.decided.num_decisions - 1
    return told if found.is_behind or is_one_behind else ""  # else a home from before this was noted


def project(ledger: Ledger, registry: "RegistryAliases", model: str) -> None:
    """Bring the aliases to the newest decision. `previous` moves first; `champion` is never taken away."""
    decided, found = standing(ledger, model), registry.state(model)
    wanted = _wanted(decided, found)
    for alias in (PREVIOUS, CHAMPION, CANDIDATE):
        version = wanted.get(alias)
        if version in found.versions and found.aliases.get(alias) != version:
            registry.point(model, alias, version)
    for alias in (PREVIOUS, CANDIDATE):
        if alias in found.aliases and alias not in wanted:
            registry.take_away(model, alias)
    registry.note_shown(model, decided.num_decisions)


@contextmanager
def deciding(home: Home, ledger: Ledger, before: Standing) -> Generator[None]:
    """Hold the lock of decisions. Raises PromotionError when the champion changed since `before` was read."""
    with home.lock(PROMOTION_LOCK, holder="another promotion"):
        now = standing(ledger, before.model)
        if now.num_moves != before.num_moves and now.move is not None:
            move = now.move
            because = f", because {move.reason}" if move.reason else ""
            raise PromotionError(
                f"Meanwhile {move.actor} made {before.model}/{now.champion} the champion "
                f"({move.kind}{because}); this was decided against "
                + (f"version {before.champion}." if before.champion else "none."),
                "the champion that was compared with",
                "Nothing was changed. Run the command again: it compares with the new champion.",
            )
        yield


def require_as_decided(projection: Projection) -> None:
    """Raises PromotionError where somebody changed an alias by hand."""
    if projection.by_hand:
        told = " ".join(map(str, projection.by_hand))
        raise PromotionError(told, "aliases as the ledger decided", way_out(projection))


def way_out(projection: Projection) -> str:
    """What a person can do about aliases that were changed by hand."""
    model, champion = projection.decided.model, projection.decided.champion
    moved = [each for each in projection.by_hand if each.alias == CHAMPION and each.found is not None]
    if moved:
        keep = f'`burnish promote {model}/{moved[0].found} --take-over "why"` keeps it'
        back = f', `burnish rollback {model} --take-over "why"` returns to {champion}' if champion else ""
        return f"{keep}{back}. Either is an entry in the ledger."
    if champion is not None:
        return (
            "`burnish doctor --fix` restores what is gone; "
            f'`burnish promote {model}/{champion} --take-over "why"` also puts back what was moved.'
        )
    return f'`burnish promote {model} --take-over "why"` notes it in the ledger, and goes on.'


def _earlier(ledger: Ledger, decided: Standing, found: "AliasState") -> list[dict[str, int]]:
    """Aliases that are no news: of the decisions MLflow does not show yet, and what was found by hand then.

    A champion that MLflow has lost stays no news once it was taken over.
    """
    decisions = decisions_about(ledger, decided.model)
    shown = min(found.num_shown, len(decisions))
    states = [
        _wanted(standing_after(ledger, decided.model, decisions[:number]), found)
        for number in range(shown, len(decisions))
    ]
    is_lost = decided.champion not in {None, *found.versions}
    done = [each for each in decisions if each.kind != REFUSE]
    pending = done[-1:] if is_lost and shown == len(decisions) else decisions[shown:]
    return states + [dict(each.evidence[FOUND]) for each in pending if each.kind == BY_HAND]


def _wanted(decided: Standing, found: "AliasState") -> dict[str, int]:
    """Aliases as decided; `previous` and `candidate` only while MLflow has the version."""
    return {
        alias: version
        for alias, version in decided.aliases.items()
        if alias == CHAMPION or version in found.versions
    }
