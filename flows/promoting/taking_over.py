"""Taking over what somebody changed in MLflow by hand: an entry of its own, before anything else is decided.

Where `champion` was moved, the version it was moved to is adopted: it is what has been served. A rollback undoes it.
What was deleted, or moved of the other aliases, is put back.
"""

import time
from typing import TYPE_CHECKING

from flows.promoting.aliases import Projection, deciding, project
from flows.promoting.decisions import FOUND
from flows.promoting.describing import describe_decided
from infra.actor import actor
from infra.home import Home
from infra.ledger import Ledger
from infra.records import BY_HAND, Decision

if TYPE_CHECKING:
    from infra.registry_aliases import RegistryAliases


def take_over(home: Home, ledger: Ledger, registry: "RegistryAliases", found: Projection, reason: str) -> str:
    """Note what was found, adopt a champion that was moved; returns what was done."""
    model = found.decided.model
    if not found.by_hand:
        return f"Nothing was changed by hand in MLflow's aliases of {model}: there is nothing to take over."
    adopted = found.adopted
    with deciding(home, ledger, found.decided):
        ledger.decide(
            Decision(
                made=time.time(),
                kind=BY_HAND,
                model=model,
                from_version=found.decided.champion,
                to_version=adopted,
                actor=actor(),
                reason=reason,
                evidence={FOUND: dict(found.found.aliases), "decided": found.decided.aliases},
            )
        )
        project(ledger, registry, model)
    untold = " ".join(["", *describe_decided(home, ledger, model)])
    if adopted is not None:
        return f"Taken over: {model}/{adopted}, made champion by hand in MLflow.{untold}"
    return f"Taken over: what was changed by hand in MLflow's aliases of {model} is put back.{untold}"
