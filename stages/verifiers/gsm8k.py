r"""Reward 1 when the number a completion ends with is the ground truth: for GSM8K and word problems like it.

The number is what follows the last `####`; without one what the boxes hold; without those what follows "answer
is"; and else what the last sentence with a number ends in or, where that is an equation, what it comes to. What
comes later and gives a number too must give the same. Lists, hedges, denials and second thoughts are wrong, and
so is an equation whose sides differ; one that words cut, as in 9 eggs * 2 = 18, says nothing either way.
"""

import re
from collections import deque
from functools import lru_cache

from data_contracts.errors import GroundTruthError
from data_contracts.verdict import PosedProblem, Verdict
from stages.verifiers.arithmetic_value import is_false_equation
from stages.verifiers.around_answer import (
    is_denied,
    is_hedged,
    is_left_open,
    is_negated,
    without_contrast,
    without_explanation,
    without_remark,
)
from stages.verifiers.final_answer import (
    Found,
    announced_answer,
    boxed_answers,
    fault_around,
    is_echo,
    policy_text,
    sentences,
)
from stages.verifiers.math_number import Quantity, read_quantity, same_quantity
from stages.verifiers.math_text import one_spelling
from stages.verifiers.reading import first_number, last_number, shortened
from stages.verifiers.verifier import Verifier

_MAX_CHARACTERS = 300
_MARK = re.compile(r"####[ \t*_:]*([^\n]*)")
_NUMERIC = re.compile(
    r"(?!\d+[.)]\s+[A-Za-z])[-+\u2212(]?\s*(?:\\?[$\u20ac\u00a3])?\s*[-+\u2212]?\s*(?:\d|\.\d|\\frac)"
)
_LISTED = re.compile(r"\d[^A-Za-z\d=]{0,6}(?:[,;&]|\band)\s*(?:\\?\$)?\s*\Z")
_DOUBT = re.compile(r"\b(?:maybe|perhaps|possibly|probably|wrong|incorrect|doubt)\b", re.IGNORECASE)
_EITHER = re.compile(r"\b(?:either|neither|cannot)\b", re.IGNORECASE)
_OR_NUMBER = re.compile(
    r"\d[^\d.]{0,30}\bor\s+(?:\w+\s+){0,3}\\?\$?-?\d|\bor\s+-?[$\\]?\d[\d.,]*\W*\Z", re.IGNORECASE
)
_BOLD = re.compile(r"\*\*(?!\d+[.)]\*)((?:\\?[$\u20ac\u00a3])?-?\d[^*\n:]{0,40})\*\*(?!\s*:)")
_FULL_HOUR = re.compile(r"(?<![\d:])(\d{1,2}):00(?![:\d])")
_SQUARED_UNIT = re.compile(r"(?<=[A-Za-z])\^(?:\{[23]\}|[23])(?!\.?\d)")
_GROUPING_SPACE = re.compile(r"(?<=\d)[\u00a0\u202f\u2009](?=\d{3}(?!\d))")
_SQUARE_METERS = re.compile(r"(?<=\d) ?(m\^[23])\Z")
_THOUSANDS = re.compile(r"(?<=\d) ?[kK]\Z")
_RESULT = re.compile(r"=[\s*]*(?:\\?[$\u20ac\u00a3])?\s*(?=-?\s*\$?[\d.])")
_GOES_ON = re.compile(
    r"\s*(?:[-+*/^!]|\\[a-z])\s*\S|.*\b(?:or|but|no|wait|actually|minus|plus|leav\w+|so|then)\b|.*\bnot\s+\S?\d",
    re.IGNORECASE | re.DOTALL,
)
_UPRIGHT = re.compile(r"\\text\s*\{([^{}]*)\}")
_SCALE = re.compile(
    r"[\s$}\\]*(?:text\{\s*)?((?:hundred|thousand|million|billion|trillion|dozen|k)\b)", re.IGNORECASE
)
_NUMBER_START = re.compile(r"\d|\.\d|[\u00bc-\u00be\u2150-\u215e]")
_NUMBERS = re.compile(r"\d[\d.,]*")
_BULLET = re.compile(r"\A[-+*>]\s+")


def gsm8k(completion: str, problem: PosedProblem) -> Verdict:
    """Numbers only. Raises GroundTruthError for a ground truth that is none."""
    expected = _expected(problem.ground_truth)
    text, prompt = _plain(policy_text(completion, problem.prompt)), _plain(problem.prompt)
    found = _commitments(text, prompt)
    if not found:
        return _judge_last_number(text, PosedProblem(prompt, problem.ground_truth), expected)
    if fault := fault_around(found, text):
        return Verdict(0.0, fault)
    for answer in found:
        quantity = _only_number(answer.answer)
        if quantity is None:
            return Verdict(0.0, f"no single number in the final answer {shortened(answer.answer)!r}")
        if not same_quantity(quantity, expected):
            return _wrong(answer.answer, problem)
    return Verdict(1.0, "equal to the ground truth")


def _ground_truth(problem: PosedProblem) -> str:
    return f"#### {problem.ground_truth.rpartition('####')[2].strip()}"


GSM8K = Verifier(
    second="math",
    summary="the number a word problem's completion ends with",
    quick=gsm8k,
    completion_of=_ground_truth,
    answers="final_number",
)


@lru_cache(maxsize=4096)
def _expected(ground_truth: str) -> Quantity:
    """Of a number, or of a whole solution that ends in `#### number`."""
    number = ground_truth.rpartition("####")[2]
    quantity = read_quantity(one_spelling(number)) if len(number) <= _MAX_CHARACTERS else None
    if quantity is None:
        raise GroundTruthError(
            f"The ground truth {shortened(ground_truth)!r} is no number.",
            "a number such as 18, -1,200 or 0.25, or a solution that ends in #### 18",
            "Fix the row, or name the verifier math for it.",
        )
    return quantity


def _plain(text: str) -> str:
    """Full hours are numbers, a square is part of its unit, and a thin space is part of its number."""
    if "^" in text:
        text = _SQUARED_UNIT.sub(lambda match: "\u00b2" if "2" in match[0] else "\u00b3", text)
    if ":00" in text:
        text = _FULL_HOUR.sub(r"\1", text)
    return text if text.isascii() else _GROUPING_SPACE.sub("", text)


def _commitments(text: str, prompt: str) -> list[Found]:
    """The answers, each of which must be right, in the order of the text."""
    boxes = [_with_scale(box, text, prompt) for box in boxed_answers(text, prompt)]
    announced = announced_answer(text, prompt)
    found = _marked(text, prompt) or boxes or ([announced] if announced else [])
    if not found:
        return []
    found += [box for box in boxes if box.start >= found[-1].end]
    if announced and announced.start >= found[-1].end and _NUMBER_START.search(announced.answer):
        found.append(announced)
    return found


def _with_scale(number: Found, text: str, prompt: str) -> Found:
    """18 million, where that is outside the box. What the prompt counts in dozens stays in dozens."""
    scale = _SCALE.match(text, number.end)
    if scale is None or (len(scale[1]) > 1 and scale[1].lower() in prompt):
        return number
    word = "thousand" if scale[1] in "kK" else scale[1]
    return Found(f"{number.answer} {word}", number.start, scale.end())


def _marked(text: str, prompt: str) -> list[Found]:
    """The last `####` that a number follows: in Markdown, others are headings."""
    for match in reversed(deque(_MARK.finditer(text), maxlen=8)):
        found = Found(match[1], match.start(), match.end())
        if _NUMERIC.match(match[1]) and not is_echo(found, text, prompt):
            return [found]
    return []


def _only_number(answer: str) -> Quantity | None:
    """The one number that an answer gives, as it is or at the end of an equation that is not false."""
    if len(answer) > _MAX_CHARACTERS:
        return None
    answer = without_explanation(without_remark(answer))
    if is_hedged(answer) or is_false_equation(answer):
        return None
    spelled = one_spelling(answer)
    upright = _UPRIGHT.fullmatch(spelled)
    *sides, last = (upright[1] if upright else spelled).split("=")
    quantity = _quantity(last.strip())
    if quantity is None and not sides:
        prose = _UPRIGHT.sub(r" \1 ", last)
        written = (number.rstrip(".") for number in re.findall(r"-?[$]?\.?\d[\d.]*", prose))
        numbers = [number for number in map(read_quantity, written) if number]
        one_value = {number.value for number in numbers}
        return numbers[0] if len(one_value) == 1 and _is_prose(prose) else None
    return quantity


def _quantity(spelled: str) -> Quantity | None:
    """In word problems m is a unit and k a thousand."""
    return read_quantity(_THOUSANDS.sub(r"\\text{ thousand}", _SQUARE_METERS.sub(r"\\text{ \1}", spelled)))


def _is_prose(answer: str) -> bool:
    """No operators: the sentence just names a number."""
    calculates = re.search(
        r"[\d)]\s*(?:[-+*^!]|/(?!\s*[A-Za-z])|\\[a-z])|\\|[-+*/^]\s*[\d(]",
        answer.replace(" - ", " ").replace("**", ""),
    )
    return calculates is None


def _judge_last_number(text: str, problem: PosedProblem, expected: Quantity) -> Verdict:
    spans = deque((span for span in sentences(text) if _NUMBER_START.search(text, *span)), maxlen=1)
    if not spans:
        return Verdict(0.0, "no number in completion")
    start, end = spans[0]
    first = max(start, end - _MAX_CHARACTERS)
    sentence = without_explanation(without_contrast(text[first:end]))
    written, position, is_result = _result(sentence) or _in_bold(sentence) or _last(sentence)
    found = Found(written, first + position, first + position + len(written))
    if is_echo(found, text, problem.prompt):
        return Verdict(0.0, f"repeats {shortened(written)} from the prompt")
    quantity = None if _SCALE.search(sentence) else _quantity(_BULLET.sub("", one_spelling(sentence)))
    if quantity is not None and quantity.value.denominator == 1 and "/" in sentence:
        quantity = None  # 36/2 is still to be worked out
    elif quantity is None and "/" not in written:
        quantity = read_quantity(one_spelling(_with_scale(found, text, problem.prompt).answer))
    if quantity is None or is_denied(text, found.start, found.end) or _is_open(sentence, position, is_result):
        return Verdict(0.0, f"no single number in the final sentence {shortened(sentence)!r}")
    if is_false_equation(sentence if first == start else f"of {sentence}"):
        return Verdict(0.0, f"an equation whose sides differ: {shortened(sentence)!r}")
    is_right = same_quantity(quantity, expected)
    return Verdict(1.0, "equal to the ground truth") if is_right else _wrong(written, problem)


def _result(sentence: str) -> tuple[str, int, bool] | None:
    """What an equation comes to, with where it stands: 6 in `I save $4 + $2 = $6 for 2 tubs`."""
    results = deque(_RESULT.finditer(sentence), maxlen=1)
    number = first_number(sentence, results[0].end()) if results else None
    if number is None or _GOES_ON.match(sentence, number[1] + len(number[0])):
        return None
    return *number, True


def _in_bold(sentence: str) -> tuple[str, int, bool] | None:
    """The one number set off from the others: `He walks **18 miles** in 3 hours`."""
    bold = _BOLD.findall(sentence)
    if len(bold) != 1 or len(_NUMBERS.findall(bold[0])) != 1 or "=" in sentence:
        return None
    written, position, _ = _last(bold[0])
    return written, sentence.index(f"**{bold[0]}") + 2 + position, False


def _last(sentence: str) -> tuple[str, int, bool]:
    written = last_number(sentence) or ""
    return written, sentence.rindex(written), False


def _is_open(sentence: str, position: int, is_result: bool) -> bool:
    """Whether words leave open which number it is. Beside the result of an equation they are about other things."""
    if _DOUBT.search(sentence) or _OR_NUMBER.search(sentence):
        return True
    before = sentence[:position]
    return not is_result and bool(
        _EITHER.search(sentence)
        or _LISTED.search(before)
        or is_left_open(sentence, position)
        or is_negated(sentence, position)
    )


def _wrong(answer: str, problem: PosedProblem) -> Verdict:
    return Verdict(0.0, f"answered {shortened(answer)}, expected {shortened(problem.ground_truth)}")
