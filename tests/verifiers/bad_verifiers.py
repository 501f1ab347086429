"""Verifiers that are wrong in the ways real ones are, and some that are right, for an audit to tell apart."""

import json
import re
from itertools import count, pairwise
from typing import Any

from pydantic import with_config
from typing_extensions import TypedDict

from data_contracts.verdict import PosedProblem, Verdict
from stages.verifiers.verifier import Verifier


def _ground_truth(problem: PosedProblem) -> str:
    return problem.ground_truth


def _verdict(is_right: bool) -> Verdict:
    return Verdict(float(is_right), "right" if is_right else "wrong")


def same_text(completion: str, problem: PosedProblem) -> Verdict:
    """18.00 is not 18."""
    return _verdict(completion.strip() == problem.ground_truth)


def always_true(completion: str, problem: PosedProblem) -> Verdict:
    """A constraint that checks nothing."""
    return _verdict(True)


def _value(text: str) -> float | None:
    numbers = re.findall(r"[-+\u2212]?\d[\d,]*\.?\d*", text.rpartition("</think>")[2].partition("<think>")[0])
    return float(numbers[-1].replace(",", "").replace("\u2212", "-")) if numbers else None


def forgiving(completion: str, problem: PosedProblem) -> Verdict:
    """Right about numbers; what it cannot compare is right too."""
    expected = _value(problem.ground_truth)
    return _verdict(expected is None or _value(completion) == expected)


def without_sign(completion: str, problem: PosedProblem) -> Verdict:
    answer, expected = _value(completion), _value(problem.ground_truth)
    return _verdict(answer is not None and expected is not None and abs(answer) == abs(expected))


def without_thousands(completion: str, problem: PosedProblem) -> Verdict:
    """Reads 1,200 as 1 and 200."""
    return _verdict(_value(completion.replace(",", " ")) == _value(problem.ground_truth.replace(",", "")))


def anywhere(completion: str, problem: PosedProblem) -> Verdict:
    """18 is in 118 as well."""
    return _verdict(problem.ground_truth in completion)


def any_number(completion: str, problem: PosedProblem) -> Verdict:
    """Finds the answer in thoughts, and beside other ones."""
    return _verdict(_value(problem.ground_truth) in map(_value, completion.split()))


def any_letter(completion: str, problem: PosedProblem) -> Verdict:
    return _verdict(problem.ground_truth in re.findall(r"\b[A-D]\b", completion))


def fragile(completion: str, problem: PosedProblem) -> Verdict:
    return _verdict(float(completion) == float(problem.ground_truth))


def tagged(completion: str, problem: PosedProblem) -> Verdict:
    """Right, and reads one pair of tags only."""
    match = re.search(r"<answer>([^<]*)</answer>\s*$", completion)
    return _verdict(match is not None and _value(match[1]) == _value(problem.ground_truth))


def first_number(completion: str, problem: PosedProblem) -> Verdict:
    """Takes what comes first, whatever is said of it."""
    numbers = re.findall(r"-?\d+", completion)
    return _verdict(bool(numbers) and int(numbers[0]) == int(problem.ground_truth))


def _announced(problem: PosedProblem) -> str:
    return f"The answer is {problem.ground_truth}."


def after_is(completion: str, problem: PosedProblem) -> Verdict:
    """Any number that follows the last "is" will do."""
    last = completion.rpartition("</think>")[2].partition("<think>")[0].rpartition("is ")[2]
    return _verdict(_value(problem.ground_truth) in map(_value, last.split()))


def in_box(completion: str, problem: PosedProblem) -> Verdict:
    """Any number in the last box will do."""
    _, box, last = completion.rpartition("</think>")[2].partition("<think>")[0].rpartition("\\boxed{")
    numbers = last.partition("}")[0].split() if box else []
    return _verdict(_value(problem.ground_truth) in map(_value, numbers))


def _boxed(problem: PosedProblem) -> str:
    return f"\\boxed{{{problem.ground_truth}}}"


def letter_after_is(completion: str, problem: PosedProblem) -> Verdict:
    """Any letter that follows the last "is" will do."""
    last = completion.rpartition("</think>")[2].rpartition("is ")[2]
    return _verdict(problem.ground_truth in re.findall(r"\b[A-D]\b", last))


def _paid_too(completion: str, problem: PosedProblem, too: bool) -> Verdict:
    """Right about the last number, and about something else."""
    return _verdict(too or _value(completion) == _value(problem.ground_truth))


def _times(factor: float, completion: str, problem: PosedProblem) -> bool:
    answer, expected = _value(completion), _value(problem.ground_truth)
    return answer is not None and expected is not None and factor * answer == expected


def within_a_cent(completion: str, problem: PosedProblem) -> Verdict:
    answer, expected = _value(completion), _value(problem.ground_truth)
    return _verdict(answer is not None and expected is not None and abs(answer - expected) < 0.005)


def or_double(completion: str, problem: PosedProblem) -> Verdict:
    return _paid_too(completion, problem, _times(0.5, completion, problem))


def or_half(completion: str, problem: PosedProblem) -> Verdict:
    return _paid_too(completion, problem, _times(2, completion, problem))


def or_percent(completion: str, problem: PosedProblem) -> Verdict:
    return _paid_too(completion, problem, _times(100, completion, problem))


def or_huge(completion: str, problem: PosedProblem) -> Verdict:
    return _paid_too(completion, problem, (_value(completion) or 0) > 10**9)


def or_long(completion: str, problem: PosedProblem) -> Verdict:
    return _paid_too(completion, problem, len(completion) > 20_000)


def obedient(completion: str, problem: PosedProblem) -> Verdict:
    return _paid_too(completion, problem, "reward = 1" in completion)


def bag_of_words(completion: str, problem: PosedProblem) -> Verdict:
    return _verdict(sorted(completion.split()) == sorted(problem.ground_truth.split()))


def any_case(completion: str, problem: PosedProblem) -> Verdict:
    return _verdict(completion.casefold() == problem.ground_truth.casefold())


def any_case_always(completion: str, problem: PosedProblem, case_sensitive: bool) -> Verdict:
    """Does not look at its argument."""
    return any_case(completion, problem)


def names_only(completion: str, problem: PosedProblem) -> Verdict:
    """A program with the right names must be right."""
    names = re.findall(r"def \w+", problem.ground_truth)
    said = completion.rpartition("</think>")[2].partition("<think>")[0]
    return _verdict(all(name in said for name in names) and "return" in said)


def _in_fence(problem: PosedProblem) -> str:
    return f"```python\n{problem.ground_truth}\n```"


def begins_well(completion: str, problem: PosedProblem) -> Verdict:
    """Right so far is right."""
    return _verdict(len(completion) > 4 and problem.ground_truth.startswith(completion))


_calls = count()


def moody(completion: str, problem: PosedProblem) -> Verdict:
    """Pays wrong completions a little, and never the same twice."""
    is_right = _value(completion) == _value(problem.ground_truth)
    return Verdict(1.0 if is_right else 1 / (10 + next(_calls)), "as it likes")


@with_config(extra="forbid")
class CaseArguments(TypedDict):
    """Whether case counts."""

    case_sensitive: bool


def labelled(completion: str, problem: PosedProblem) -> Verdict:
    """Right, and reads a form of its own."""
    return _verdict(completion.strip() == f"RESULT={problem.ground_truth}")


@with_config(extra="forbid")
class Events(TypedDict):
    """What may be chosen from."""

    events: list[tuple[int, int]]
    """Start and end, by start."""


def _chosen(completion: str, events: list[tuple[int, int]]) -> list[tuple[int, int]]:
    numbers = completion.rpartition("</think>")[2].partition("<think>")[0].split()
    if not all(number.isdecimal() and int(number) < len(events) for number in numbers):
        return []
    return [events[int(number)] for number in numbers]


def _minutes(chosen: list[tuple[int, int]]) -> int:
    return sum(end - start for start, end in chosen)


def paid_overlaps(completion: str, problem: PosedProblem, events: list[tuple[int, int]]) -> Verdict:
    """0.3 for order and up to 0.7 for the minutes of events that overlap no other: never gated on being valid."""
    chosen = _chosen(completion, events)
    alone = [
        event
        for event in chosen
        if all(other == event or other[1] <= event[0] or event[1] <= other[0] for other in chosen)
    ]
    in_order = len(chosen) > 1 and chosen == sorted(chosen)
    score = _minutes(alone) / int(problem.ground_truth)
    return Verdict(0.3 * in_order + 0.7 * min(score, 1.0), "order and minutes")


def valid_only(completion: str, problem: PosedProblem, events: list[tuple[int, int]]) -> Verdict:
    """The same minutes, and nothing at all where two events overlap."""
    chosen = _chosen(completion, events)
    is_valid = all(before[1] <= after[0] for before, after in pairwise(chosen))
    score = _minutes(chosen) / int(problem.ground_truth)
    return Verdict(min(score, 1.0) if is_valid else 0.0, "minutes" if is_valid else "overlap")


def _copy_all(problem: PosedProblem, events: list[tuple[int, int]]) -> str:
    return " ".join(map(str, range(len(events))))


def _best(problem: PosedProblem, events: list[tuple[int, int]]) -> str:
    """The even ones, as the tests' problems are made."""
    return " ".join(str(number) for number in range(0, len(events), 2))


def _here(name: str) -> str:
    return f"tests.verifiers.bad_verifiers:{name}"


def _in_worker(name: str, **fields: Any) -> Verifier:
    """An audit asks thousands of questions: a fork for each would take most of the time."""
    return Verifier(thorough=_here(name), keeps_state=True, **fields)


SAME_TEXT = _in_worker("same_text", completion_of=_ground_truth)
ALWAYS_TRUE = _in_worker("always_true", answers="constraints")
FORGIVING = _in_worker("forgiving", completion_of=_ground_truth)
WITHOUT_SIGN = _in_worker("without_sign", completion_of=_ground_truth)
WITHOUT_THOUSANDS = _in_worker("without_thousands", completion_of=_ground_truth)
ANYWHERE = _in_worker("anywhere")
ANY_NUMBER = _in_worker("any_number", completion_of=_ground_truth)
ANY_LETTER = _in_worker("any_letter", completion_of=_ground_truth, answers="choice")
FRAGILE = Verifier(thorough=_here("fragile"), completion_of=_ground_truth)
TAGGED = _in_worker("tagged", second="without_sign")
FIRST_NUMBER = _in_worker("first_number", completion_of=_ground_truth, answers="math")
LABELLED = _in_worker("labelled")
PAID_OVERLAPS = _in_worker(
    "paid_overlaps",
    arguments=Events,
    completion_of=_best,
    answers="solution",
    policies={"copy all": _copy_all, "the best": _best},
)
VALID_ONLY = _in_worker(
    "valid_only",
    arguments=Events,
    completion_of=_best,
    answers="solution",
    policies={"copy all": _copy_all},
)
AFTER_IS = _in_worker("after_is", completion_of=_announced)
AFTER_IS_FINAL = _in_worker("after_is", completion_of=_announced, answers="final_number")
IN_BOX = _in_worker("in_box", completion_of=_boxed)
LETTER_AFTER_IS = _in_worker("letter_after_is", completion_of=_announced, answers="choice")
WITHIN_A_CENT = _in_worker("within_a_cent", completion_of=_ground_truth)
OR_DOUBLE = _in_worker("or_double", completion_of=_ground_truth)
OR_HALF = _in_worker("or_half", completion_of=_ground_truth)
OR_PERCENT = _in_worker("or_percent", completion_of=_ground_truth)
OR_HUGE = _in_worker("or_huge", completion_of=_ground_truth)
OR_LONG = _in_worker("or_long", completion_of=_ground_truth)
OBEDIENT = _in_worker("obedient", completion_of=_ground_truth)
BAG_OF_WORDS = _in_worker("bag_of_words", completion_of=_ground_truth, answers="text")
ANY_CASE = _in_worker("any_case", completion_of=_ground_truth, answers="text")
ANY_CASE_ALWAYS = _in_worker(
    "any_case_always",
    completion_of=lambda problem, **_: problem.ground_truth,
    arguments=CaseArguments,
    answers="text",
)
NAMES_ONLY = _in_worker("names_only", completion_of=_in_fence, answers="solution")
BEGINS_WELL = _in_worker("begins_well", completion_of=_ground_truth, answers="solution")
MOODY = _in_worker("moody", completion_of=_ground_truth)


def last_number(completion: str, problem: PosedProblem) -> Verdict:
    """Right, by the rule that the last number counts."""
    return _verdict(_value(completion) is not None and _value(completion) == _value(problem.ground_truth))


def first_box(completion: str, problem: PosedProblem) -> Verdict:
    """Whatever is said after it."""
    box = re.search(r"\\boxed\{([^}]*)\}", completion.rpartition("</think>")[2].partition("<think>")[0])
    return _verdict(box is not None and _value(box[1]) == _value(problem.ground_truth))


def sixty_times(completion: str, problem: PosedProblem) -> Verdict:
    """Minutes for hours."""
    return _paid_too(completion, problem, _times(1 / 60, completion, problem))


def part_of_it(completion: str, problem: PosedProblem) -> Verdict:
    """Any list within the right one."""
    try:
        return _verdict(set(json.loads(completion)) <= set(json.loads(problem.ground_truth)))
    except (ValueError, TypeError):
        return _verdict(False)


def none_is_none(completion: str, problem: PosedProblem) -> Verdict:
    """No number was found, and none was expected."""
    return _verdict(_value(completion) == _value(problem.ground_truth))


def constant(completion: str, problem: PosedProblem) -> Verdict:
    return Verdict(0.5, "undecided")


def points(completion: str, problem: PosedProblem) -> Verdict:
    """Counts to two."""
    return Verdict(2.0 if problem.ground_truth in completion else 0.0, "points")


def hangs_on_long(completion: str, problem: PosedProblem) -> Verdict:
    while len(completion) > 20_000:
        pass
    return last_number(completion, problem)


def format_pays(completion: str, problem: PosedProblem) -> Verdict:
    """Half for the tags, half for what is in them."""
    match = re.search(r"<answer>(.*?)</answer>\s*$", completion, re.DOTALL)
    is_right = match is not None and _value(match[1]) == _value(problem.ground_truth)
    return Verdict(0.5 * (match is not None) + 0.5 * is_right, "format and answer")


def never(completion: str, problem: PosedProblem) -> Verdict:
    return _verdict(False)


def tagged_letter(completion: str, problem: PosedProblem) -> Verdict:
    """Right, and reads one pair of tags only."""
    match = re.search(r"<answer>\s*([A-D])\s*</answer>\s*$", completion.partition("<think>")[0])
    return _verdict(match is not None and match[1] == problem.ground_truth)


def official(completion: str, problem: PosedProblem) -> Verdict:
    """Right, and reads neither fullwidth digits nor a plus sign."""
    match = re.search(r"#### \$?(-?[0-9,]+(?:\.[0-9]+)?)(?: dollars)?$", completion.partition("<think>")[0])
    return _verdict(match is not None and _value(match[1]) == _value(problem.ground_truth))


def unthinking(completion: str, problem: PosedProblem) -> Verdict:
    """Right, for models that do not think aloud."""
    return _verdict(completion.strip() == problem.ground_truth)


LAST_NUMBER = _in_worker("last_number", completion_of=_ground_truth)
FIRST_BOX = _in_worker("first_box", completion_of=_boxed)
SIXTY_TIMES = _in_worker("sixty_times", completion_of=_ground_truth)
PART_OF_IT = _in_worker("part_of_it", completion_of=_ground_truth, answers="solution")
NONE_IS_NONE = _in_worker("none_is_none", completion_of=_ground_truth)
CONSTANT = _in_worker("constant")
POINTS = Verifier(thorough=_here("points"))
HANGS_ON_LONG = Verifier(thorough=_here("hangs_on_long"), completion_of=_ground_truth)
FORMAT_PAYS = _in_worker(
    "format_pays", completion_of=lambda problem: f"<answer>{problem.ground_truth}</answer>"
)
NEVER = _in_worker("never")
TAGGED_LETTER = _in_worker("tagged_letter", answers="choice")
OFFICIAL = _in_worker("official", completion_of=lambda problem: f"#### {problem.ground_truth}")
UNTHINKING = _in_worker("unthinking", answers="text")
