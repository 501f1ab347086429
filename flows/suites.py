"""Evaluation suites: which verdicts of two models may be compared, and how often a suite was used to choose.

A suite is everything that decides the verdicts beside the model: problems, sampling, seed, verifiers, code.
"""

from collections.abc import Collection, Mapping
from typing import Any

from data_contracts.canonical import fingerprint
from infra.ledger import Ledger
from infra.records import Execution

_OF_THE_MODEL = ("start", "base", "compare_with")
"""Parents that say which model was judged, and what it was compared with."""

GATE = "gate"
"""Under this a gate's result holds its verdict; and the kind of its stage."""

SUITE = "suite"
"""Under this a gate's result, and a promotion's evidence, name the suite."""

_WORN = 0.4
"""Chance of a chance find among all choices made on a suite, from which on people are told."""

CANDIDATE_CONTENT = "candidate_fingerprint"
"""Under this they name the content of the model that was judged."""


def suite_of(identity: Mapping[str, Any], judges: Collection[str]) -> str:
    """The suite of a verify stage with this identity, whose problems name these verifiers."""
    own = {name: value for name, value in identity.items() if name not in _OF_THE_MODEL}
    own["verifiers"] = {name: identity["verifiers"].get(name) for name in sorted(judges)}
    return fingerprint(own)


def suite_of_verdicts(verdicts: Execution) -> str:
    """The suite that stored verdicts belong to."""
    return suite_of(verdicts.identity, verdicts.result["judged_by"])


def stored_verdicts(ledger: Ledger, model: str, suite: str) -> list[Execution]:
    """Verify stages over the suite that judged the model with this content, newest first."""
    found = ledger.find_by_input("verify", model)
    return [
        each
        for each in found
        if suite_of_verdicts(each) == suite
        and any(given.role == "start" and given.fingerprint == model for given in each.inputs)
    ]


def num_choices(ledger: Ledger, suite: str, candidate: str) -> int:
    """How many different models were judged on the suite, by gates and for promotion, the candidate included."""
    of_gates = [each.result for each in ledger.find_by_kind(GATE)]
    of_promotions = [decision.evidence for decision in ledger.decisions()]
    judged = [each for each in [*of_gates, *of_promotions] if each.get(SUITE) == suite]
    return len({candidate, *(each[CANDIDATE_CONTENT] for each in judged)})


def wear_of(num_choices: int, alpha: float) -> str:
    """Said of a suite that was used to choose too often; empty for others.

    The chance that at least one of k choices was luck is 1 - (1 - alpha)^k.
    """
    chance = 1 - (1 - alpha) ** num_choices
    if chance < _WORN:
        return ""
    return (
        f"This suite is worn: {num_choices} models were judged on it, so the chance that at least one choice was "
        f"luck is {chance:.0%} (1 - (1 - {alpha:g})^{num_choices}). Choosing again and again on the same problems "
        "fits the choice to them (Dwork et al., Science 2015): evaluate on problems nobody has chosen by yet."
    )
