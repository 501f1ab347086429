"""Reward 1 for a length between two bounds, falling along a line to 0 outside them: a part of a composite.

With a maximum alone it is DAPO's soft overlong punishment (arXiv 2503.14476, section 3.4), shifted to [0, 1]. With
minimum and maximum equal it pulls towards a target. The whole completion counts, thinking included.
"""

import re
from typing import Annotated, Literal, Required, Unpack

from pydantic import Field, with_config
from typing_extensions import TypedDict

from data_contracts.errors import DataError
from data_contracts.verdict import PosedProblem, Verdict
from stages.verifiers.ifeval_answer import as_seen
from stages.verifiers.verifier import Verifier

Count = Annotated[int, Field(ge=0)]

_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff][^\w\s]*|[^\s\u3040-\u30ff\u3400-\u9fff]+")
"""A character of Chinese or Japanese, which write no spaces, or whatever stands between two spaces."""


@with_config(extra="forbid")
class LengthArguments(TypedDict, total=False):
    """At least one bound."""

    unit: Required[Literal["characters", "words"]]
    """Words can be joined to stay below a maximum, characters cannot."""

    minimum: Count
    """Only what a reader sees counts towards it: single spaces, printable characters, words with a letter or digit."""

    maximum: Count
    """Everything counts against it."""

    fall_off: Count
    """How far outside a bound the reward reaches 0. 0, the default, makes the bounds sharp."""


def length(completion: str, problem: PosedProblem, **arguments: Unpack[LengthArguments]) -> Verdict:
    """In characters or words of text, so that the verdict does not depend on a tokenizer."""
    del problem
    minimum, maximum = arguments.get("minimum"), arguments.get("maximum")
    if minimum is None is maximum or (minimum is not None and maximum is not None and minimum > maximum):
        raise DataError(
            f"The verifier length has minimum {minimum} and maximum {maximum}.",
            "at least one of them, the minimum no larger than the maximum",
            'Fix the arguments, such as {"unit": "characters", "maximum": 4000, "fall_off": 1000}.',
        )
    written, seen = _lengths(completion, arguments["unit"])
    missing = 0 if minimum is None else max(0, minimum - seen)
    excess = 0 if maximum is None else max(0, written - maximum)
    outside = max(missing, excess)
    if not outside:
        return Verdict(1.0, f"{written:,} {arguments['unit']}, within bounds")
    fall_off = arguments.get("fall_off", 0)
    reward = max(0.0, 1.0 - outside / fall_off) if fall_off else 0.0
    side = f"{missing:,} too few" if missing >= excess else f"{excess:,} too many"
    return Verdict(reward, f"{written:,} {arguments['unit']}, {side}")


def _lengths(completion: str, unit: str) -> tuple[int, int]:
    """(all there is, what a reader sees of it)."""
    seen = as_seen(completion)
    if unit == "words":
        return len(_WORD.findall(completion)), sum(
            any(map(str.isalnum, word)) for word in _WORD.findall(seen)
        )
    num_seen = sum(map(str.isprintable, " ".join(seen.split())))
    return len(completion), min(len(completion), num_seen)  # one ligature stands for up to 18 characters


LENGTH = Verifier(
    summary="a length between two bounds", quick=length, arguments=LengthArguments, answers="constraints"
)
