"""One training reward from the verifiers a config names: whom each term asks, and how their verdicts are joined."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from data_contracts.rewards import PROBLEM_VERIFIER, Combination, RewardTerm
from data_contracts.verdict import Verdict
from stages.verifiers.catalog import Catalog
from stages.verifiers.composite import Term, combine
from stages.verifiers.submission import Outcome, Submission, submission

Row = Mapping[str, Any]


def reward_submissions(
    problem: Row, completion: str, rewards: Mapping[str, RewardTerm], catalog: Catalog
) -> list[Submission]:
    """One per term, in order. A term that names another verifier than the problem's own has its own arguments."""
    return [
        submission(
            problem
            if name in (PROBLEM_VERIFIER, problem["verifier"])
            else judged_by(problem, name, catalog, term.arguments),
            completion,
        )
        for name, term in rewards.items()
    ]


def judged_by(problem: Row, verifier: str, catalog: Catalog, arguments: Mapping[str, Any]) -> Row:
    """The problem put to another verifier: with its own arguments where this one takes all of them, and these.

    Raises DataError for arguments that the problem's own verifier does not take.
    """
    catalog.arguments(problem["verifier"], problem["arguments"])
    own = json.loads(problem["arguments"])
    if not own.keys() <= catalog.find(verifier).arguments.__annotations__.keys():
        own = {}
    return {**problem, "verifier": verifier, "arguments": json.dumps({**own, **arguments})}


def joined_verdict(
    outcomes: Sequence[Outcome], rewards: Mapping[str, RewardTerm], how: Combination
) -> Verdict | None:
    """The verdict of all terms; None where one of them has none. With `gate` the first is decisive."""
    terms = [
        Term(name, term.weight, outcome.verdict)
        for (name, term), outcome in zip(rewards.items(), outcomes, strict=True)
        if outcome.verdict is not None
    ]
    if len(terms) < len(rewards):
        return None
    return terms[0].verdict if len(terms) == 1 else combine(how, terms[0].name, terms)
