"""Reward an answer for meeting verifiable constraints: IFEval's 25, by their published names and arguments.

Zhou et al. 2023, "Instruction-Following Evaluation for Large Language Models" (arXiv 2311.07911). Agrees with the
reference implementation except where that rewards an answer that does not do what the constraint says, or fails
one that does. Everywhere: the answer is what follows the thinking, as a reader sees it (ifeval_answer.py); an
answer without a letter or digit meets nothing, not even a prohibition; a constraint that cannot be checked is a
fault of the row, never met and never drawn at random. ifeval_words.py, ifeval_format.py and ifeval_language.py
name the differences of single constraints. How good, varied or long an answer is beyond that is not asked here.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NotRequired, TypeAlias, Unpack

from pydantic import Field, ValidationError, with_config
from typing_extensions import TypedDict

from data_contracts.errors import DataError
from data_contracts.verdict import PosedProblem, Verdict
from stages.verifiers import ifeval_arguments as accepted
from stages.verifiers import ifeval_format as shape
from stages.verifiers import ifeval_words as words
from stages.verifiers.ifeval_answer import Answer, answers
from stages.verifiers.reading import after_thinking, shortened
from stages.verifiers.verifier import NoArguments, Verifier

IsInLanguage: TypeAlias = Callable[[str, str, str], bool]
"""(text, code of a language, what the text must quote) -> whether all of the text is in it, but for the quotation."""


@with_config(extra="forbid")
class IfevalArguments(TypedDict):
    """One entry of `kwargs` belongs to each of `instruction_id_list`, as in the published rows."""

    instruction_id_list: Annotated[list[str], Field(min_length=1)]
    kwargs: list[dict[str, Any] | None]
    """Keys whose value is null do not count: tables have a column for every key of any constraint."""

    loose: NotRequired[bool]
    """Accept an answer also without its first line, its last line or its asterisks. Strict when left out."""

    reward: NotRequired[Literal["all", "fraction"]]
    """1 only when all constraints are met, or the share of those that are. All when left out."""


@dataclass(frozen=True, slots=True)
class _Kind:
    holds: Callable[..., bool]
    """(answer, **arguments). Where a language counts, what can be said before it is known."""

    arguments: type = NoArguments
    language: Callable[[Mapping[str, Any]], str] | None = None


@dataclass(frozen=True, slots=True)
class _Constraint:
    part: str
    kind: _Kind
    arguments: Mapping[str, Any]


_KINDS = {
    "keywords:existence": _Kind(words.has_keywords, accepted.Keywords),
    "keywords:frequency": _Kind(words.has_keyword_as_often, accepted.KeywordFrequency),
    "keywords:forbidden_words": _Kind(words.has_no_forbidden_word, accepted.ForbiddenWords),
    "keywords:letter_frequency": _Kind(words.has_letter_as_often, accepted.LetterFrequency),
    "language:response_language": _Kind(
        words.has_letters, accepted.ResponseLanguage, lambda arguments: arguments["language"]
    ),
    "length_constraints:number_sentences": _Kind(words.has_num_sentences, accepted.NumSentences),
    "length_constraints:number_paragraphs": _Kind(shape.has_num_paragraphs, accepted.NumParagraphs),
    "length_constraints:number_words": _Kind(words.has_num_words, accepted.NumWords),
    "length_constraints:nth_paragraph_first_word": _Kind(shape.has_first_word, accepted.NthParagraph),
    "detectable_content:number_placeholders": _Kind(shape.has_num_placeholders, accepted.NumPlaceholders),
    "detectable_content:postscript": _Kind(shape.has_postscript, accepted.PostscriptMarker),
    "detectable_format:number_bullet_lists": _Kind(shape.has_num_bullets, accepted.NumBullets),
    "detectable_format:constrained_response": _Kind(shape.is_constrained_response),
    "detectable_format:number_highlighted_sections": _Kind(shape.has_num_highlights, accepted.NumHighlights),
    "detectable_format:multiple_sections": _Kind(shape.has_num_sections, accepted.Sections),
    "detectable_format:json_format": _Kind(shape.is_json),
    "detectable_format:title": _Kind(shape.has_title),
    "combination:two_responses": _Kind(shape.has_two_responses),
    "combination:repeat_prompt": _Kind(shape.repeats_prompt, accepted.PromptToRepeat),
    "startend:end_checker": _Kind(shape.ends_with_phrase, accepted.EndPhrase),
    "startend:quotation": _Kind(shape.is_quoted),
    "change_case:capital_word_frequency": _Kind(words.has_num_capital_words, accepted.CapitalWordFrequency),
    "change_case:english_capital": _Kind(words.is_in_capitals, language=lambda _: "en"),
    "change_case:english_lowercase": _Kind(words.is_in_lowercase, language=lambda _: "en"),
    "punctuation:no_comma": _Kind(words.has_no_comma),
}


def ifeval(completion: str, problem: PosedProblem, **arguments: Unpack[IfevalArguments]) -> Verdict | None:
    """Everything but languages: None where the verdict hangs on one. Raises DataError for a faulty constraint."""
    del problem
    return judged(completion, arguments, is_in_language=None)


def judged(
    completion: str, arguments: IfevalArguments, is_in_language: IsInLanguage | None
) -> Verdict | None:
    """One part for each constraint whose outcome is known, by its name, with #2 and so on where it returns."""
    constraints = _constraints(arguments["instruction_id_list"], arguments["kwargs"])
    readings = list(answers(after_thinking(completion), loose=arguments.get("loose", False)))
    wants_all = arguments.get("reward", "all") == "all"
    quoted = next((text for each in constraints if (text := each.arguments.get("prompt_to_repeat"))), "")
    outcomes: dict[str, bool | None] = dict.fromkeys(each.part for each in constraints)
    for each in sorted(constraints, key=lambda each: each.kind.language is None):
        outcomes[each.part] = _is_met(each, readings, is_in_language, quoted)
        if outcomes[each.part] is None and not wants_all:
            return None
    parts = {part: float(met) for part, met in outcomes.items() if met is not None}
    broken = [part for part, met in parts.items() if not met]
    if len(parts) < len(outcomes) and not broken:
        return None
    if not readings:
        return Verdict(0.0, "no answer with a letter or digit in it", parts)
    if not broken:
        return Verdict(1.0, f"meets all {len(parts)} constraints", parts)
    reward = 0.0 if wants_all else sum(parts.values()) / len(parts)
    return Verdict(reward, f"breaks {', '.join(broken)}", parts)


def _is_met(
    constraint: _Constraint, readings: Sequence[Answer], is_in_language: IsInLanguage | None, quoted: str
) -> bool | None:
    kind = constraint.kind
    fitting = (each for each in readings if kind.holds(each, **constraint.arguments))
    if kind.language is None:
        return any(True for _ in fitting)
    if is_in_language is None:
        return None if any(True for _ in fitting) else False
    language = kind.language(constraint.arguments)
    return any(is_in_language(each.text, language, quoted) for each in fitting)


def _constraints(names: Sequence[str], kwargs: Sequence[Mapping[str, Any] | None]) -> list[_Constraint]:
    if len(names) != len(kwargs):
        raise DataError(
            f"There are {len(names)} entries in instruction_id_list and {len(kwargs)} in kwargs.",
            "one entry of kwargs for each constraint",
            "Give {} to a constraint that takes no arguments.",
        )
    constraints: list[_Constraint] = []
    for position, (name, given) in enumerate(zip(names, kwargs, strict=True)):
        kind = _kind(name)
        seen = names[:position].count(name)
        part = f"{name}#{seen + 1}" if seen else name
        constraints.append(_Constraint(part, kind, _arguments(part, kind, given or {})))
    return constraints


def _kind(name: str) -> _Kind:
    if name not in _KINDS:
        raise DataError(
            f"There is no IFEval constraint {shortened(name)!r}.",
            f"one of {', '.join(_KINDS)}",
            "Fix or drop it in this row's instruction_id_list.",
        )
    return _KINDS[name]


def _arguments(part: str, kind: _Kind, given: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        present = {key: value for key, value in given.items() if value is not None}
        return accepted.validated(kind.arguments, present)
    except ValueError as error:
        raise DataError(
            f"The constraint {part} cannot be checked: {_first_fault(error)}.",
            f"its arguments {', '.join(kind.arguments.__annotations__) or '(none)'}, such that some answers meet it "
            "and others do not",
            "Fix or drop the constraint in this row.",
        ) from error


def _first_fault(error: ValueError) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    fault = error.errors(include_url=False)[0]
    return f"{'.'.join(str(key) for key in fault['loc'])}: {fault['msg']} (found {shortened(repr(fault['input']))})"


IFEVAL = Verifier(
    summary="instructions that can be checked, all 25 kinds of IFEval",
    answers="constraints",
    quick=ifeval,
    thorough="stages.verifiers.ifeval_language:ifeval_with_languages",
    arguments=IfevalArguments,
)
