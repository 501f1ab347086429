"""Reward 1 when the answer matches the dataset's pattern.

Patterns run in Rust's regex engine, which pydantic brings: its time is bounded by pattern length times text
length, whatever the two are (https://docs.rs/regex, "Untrusted input"). So it has no look-around and no
back-references, and a pattern that needs them is refused.
"""

from functools import lru_cache
from typing import Annotated, Literal, NotRequired, Unpack

from pydantic import Field, with_config
from pydantic_core import SchemaError, SchemaValidator, core_schema
from typing_extensions import TypedDict

from data_contracts.errors import DataError, GroundTruthError
from data_contracts.verdict import PosedProblem, Verdict
from stages.verifiers.reading import after_thinking, shortened
from stages.verifiers.verifier import Verifier

_QUICK_STEPS = 1_000_000
_MAX_CHARACTERS = 200_000


@with_config(extra="forbid")
class RegexMatchArguments(TypedDict):
    """A pattern in the syntax of Rust's regex crate, which is most of Python's."""

    pattern: Annotated[str, Field(min_length=1, max_length=2_000)]
    how: NotRequired[Literal["full", "search"]]
    """Default full: the whole answer, without white space around it. search: any part, so that a policy may
    list many candidates; take it for patterns that no list satisfies."""


def regex_match(completion: str, problem: PosedProblem, **arguments: Unpack[RegexMatchArguments]) -> Verdict:
    """The verdict, in a worker process: a counted repetition such as \\w{1000} makes a short pattern long.

    An empty ground truth says nothing; any other is an example that must match. Raises DataError for a pattern
    that is none, or that the empty text matches.
    """
    matches = _matcher(arguments)
    if problem.ground_truth and not matches.isinstance_python(problem.ground_truth.strip()):
        raise GroundTruthError(
            f"The ground truth {shortened(problem.ground_truth)!r} does not match {_shown(arguments)}.",
            "an example of a right answer, or nothing",
            "Fix the row's ground truth or its pattern.",
        )
    answer = after_thinking(completion).strip()
    if len(answer) > _MAX_CHARACTERS:
        return Verdict(0.0, f"the answer has {len(answer):,} characters, more than {_MAX_CHARACTERS:,}")
    if not matches.isinstance_python(answer):
        return Verdict(0.0, f"{shortened(answer)!r} does not match {_shown(arguments)}")
    return Verdict(1.0, "matches the pattern")


def simple_regex_match(
    completion: str, problem: PosedProblem, **arguments: Unpack[RegexMatchArguments]
) -> Verdict | None:
    """The same at once, where pattern and texts are short and nothing is counted."""
    pattern = arguments["pattern"]
    num_characters = len(completion) + len(problem.ground_truth)
    if "{" in pattern or len(pattern) * num_characters > _QUICK_STEPS:
        return None
    return regex_match(completion, problem, **arguments)


REGEX_MATCH = Verifier(
    summary="an answer that fits a pattern",
    quick=simple_regex_match,
    thorough="stages.verifiers.regex_match:regex_match",
    arguments=RegexMatchArguments,
    answers="constraints",
)


def _shown(arguments: RegexMatchArguments) -> str:
    return f"the pattern {shortened(arguments['pattern'])!r}"


def _matcher(arguments: RegexMatchArguments) -> SchemaValidator:
    pattern = arguments["pattern"]
    try:
        alone = _compiled(pattern)
        matches = alone if arguments.get("how") == "search" else _compiled(f"\\A(?:{pattern})\\z")
    except SchemaError as error:
        raise DataError(
            f"T{_shown(arguments)[1:]} cannot be used: {str(error).splitlines()[-1].strip()}.",
            "a pattern without look-around and back-references (https://docs.rs/regex has the syntax)",
            "Rewrite the pattern in the row's arguments.",
        ) from None
    if matches.isinstance_python(""):
        raise DataError(
            f"T{_shown(arguments)[1:]} matches the empty text, so that to say nothing would be right.",
            "a pattern that needs at least one character",
            "Use + in the place of *, or name what must be there.",
        )
    return matches


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> SchemaValidator:
    return SchemaValidator(core_schema.str_schema(pattern=pattern, regex_engine="rust-regex", strict=True))
