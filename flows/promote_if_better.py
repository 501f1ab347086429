"""`--promote if-better`: after a run its last model is judged against the champion, and promoted if it is better.

A version is judged once: asking the same problems again until they say yes is no proof. So one that was champion
until somebody rolled back does not return by itself.
"""

from dataclasses import dataclass
from typing import Literal

from flows.promoting.candidates import Wanted, find_candidate
from flows.promoting.decisions import refused_versions, standing, tenures
from flows.promoting.promote import Request, promote
from flows.recipe import Recipe
from infra.home import Home
from infra.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Judged:
    """What came of it."""

    model: str
    """`name/version`."""

    event: Literal["promotion", "refusal"] | None
    """None where it had been decided before."""

    sentence: str


def promote_if_better(home: Home, ledger: Ledger, recipe: Recipe) -> Judged:
    """Decide about the recipe's last model, unless that was done. Raises what `promote` raises."""
    candidate = find_candidate(ledger, Wanted(recipe.name))
    named = f"{candidate.name}/{candidate.version}"
    before = standing(ledger, candidate.name)
    if before.champion == candidate.version:
        return Judged(named, None, f"{named} is the champion.")
    if any(tenure.version == candidate.version for tenure in tenures(ledger, candidate.name)):
        again = f"{named} was champion before; `burnish promote` makes it champion again."
        return Judged(named, None, again)
    if candidate.version in refused_versions(ledger, candidate.name):
        return Judged(named, None, f"{named} was judged before and stays a candidate.")
    from infra.registry import ModelRegistry  # 2 s of imports

    registry = ModelRegistry(home.mlflow_uri, home.mlflow_artifacts_dir)
    made = promote(home, ledger, registry, Wanted(named), Request(reason="promote: if-better, after a run"))
    if made.outcome == "promoted":
        return Judged(named, "promotion", f"{named} is the champion now: {made.sentence}")
    return Judged(named, "refusal", f"{named} stays a candidate: {made.sentence}")
