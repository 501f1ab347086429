"""Reward 1 for a completion that does not repeat itself, falling to 0 with its share of repeated n-grams.

The share is 1 - distinct / all n-grams of words, as in "Demystifying Long Chain-of-Thought Reasoning"
(arXiv 2502.03373). Thinking counts. A completion too short to repeat anything gets 1: a part of a composite.
"""

import re
from typing import Annotated, Required, Unpack

from pydantic import Field, with_config
from typing_extensions import TypedDict

from data_contracts.verdict import PosedProblem, Verdict
from stages.verifiers.ifeval_answer import as_seen
from stages.verifiers.verifier import Verifier

_WORD = re.compile(
    r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]{1,16}|[^\w\s]{1,16}"
)
"""A character of scripts that write no spaces, or up to 16 letters, digits or other signs in a row. Longer runs
are cut, so that one endless word repeats itself too."""


@with_config(extra="forbid")
class RepetitionArguments(TypedDict, total=False):
    n: Required[Annotated[int, Field(ge=1, le=64)]]
    """Words in an n-gram. Below 3, ordinary prose repeats itself."""

    limit: Annotated[float, Field(ge=0, lt=1)]
    """The share of repeated n-grams that costs nothing; 0 by default."""


def repetition(completion: str, problem: PosedProblem, **arguments: Unpack[RepetitionArguments]) -> Verdict:
    """1 up to the limit, then along a line to 0 where all is repeated. Case makes no difference."""
    del problem
    words = _WORD.findall(as_seen(completion).casefold())
    n, limit = arguments["n"], arguments.get("limit", 0.0)
    total = len(words) - n + 1
    if total < 1:
        return Verdict(1.0, f"fewer than {n} words", {"repeated": 0.0})
    distinct = len(set(zip(*(words[start:] for start in range(n)), strict=False)))
    repeated = 1.0 - distinct / total
    reward = 1.0 - max(0.0, repeated - limit) / (1.0 - limit)
    return Verdict(
        reward, f"{total - distinct:,} of {total:,} {n}-grams are repeated", {"repeated": repeated}
    )


REPETITION = Verifier(
    summary="the share of n-grams that are not repeated",
    quick=repetition,
    arguments=RepetitionArguments,
    answers="constraints",
)
