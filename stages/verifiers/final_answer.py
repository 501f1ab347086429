"""Where a completion gives its final answer: in a box, after `####`, after "the answer is".

Only what the policy adds counts. A repetition of the prompt that happens to hold a box is no answer, and
neither is one that the completion denies, takes back or calculates with. All of it is linear in the completion.
"""

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from stages.verifiers.around_answer import is_denied, is_operand, is_taken_back, without_remark
from stages.verifiers.reading import after_thinking, shortened

_LAST_CHARACTERS = 50_000
_ANNOUNCED_CHARACTERS = 2_000
_ECHO_CHARACTERS = 24
_ECHO_CONTEXT = 20
_MAX_BOXES = 16
_AROUND = 60
_BOX = re.compile(r"\\(?:boxed|fbox)\b")
_BRACE = re.compile(r"\\{1,2}(?:boxed|fbox)\s*\{|\\.|[{}]", re.DOTALL)
_ANNOUNCEMENT = re.compile(
    r"""
    \#{4} (?! [^\d$\\\n]{0,80}\n\s{0,9}\S )  # one in words, with text below it, is a heading
    | \bfinal\s+answer[*_]{0,2}[ \t]*\n
    | <answer> (?= [\s\S]{1,300}?</answer> )
    | \b(?:answers?|final\s+(?:result|total|value|number))[*_]{0,2}\s{0,3}
      (?: : | (?: is | are | equals | (?:must|should|would)\s+be )\b
              (?![ ](?:correct|right|verified|reasonable|consistent)\b) )
    """,
    re.VERBOSE | re.IGNORECASE,
)
_LEAD_IN = re.compile(r"(?:\b(?:final|answer|the|is|so|thus|therefore|hence)\b|[\W_])*\Z", re.IGNORECASE)
"""Worked examples in a prompt announce their answers in the same words as the policy does."""

_SENTENCE_END = re.compile(r"(?<!\\)(?<!\bRs)(?<!\bi\.e)(?<!\be\.g)[.!?](?=[\s*_]|$)|\n")
_RULES = re.compile(r"(?:[ \t\n:*_}]|-{3,}[ \t]*\n)*")
_FORMULA = re.compile(
    r"[^\n.]{0,80}?\\begin\{([a-z]+)\}.*?\\end\{\1\}|\$[^$\n]{1,200}\$(?=[\s.*_,;]|\Z)", re.DOTALL
)
"""Stops and line breaks in it end no sentence."""

_STATEMENT = re.compile(r"[A-Za-z$)}\]]\s+(?:is|are|equals)[ ]+", re.IGNORECASE)
_FILLER = re.compile(
    r"\s*(?:(?:therefore|thus|hence|then|so|now|exactly|simply|just|clearly|indeed|only|obviously|precisely"
    r"|(?:the|an?)\ (?:integer|number|value|fraction))\b,?\s*"
    r"|(?!.{0,80}\b(?:if|unless|whether|when|not)\b)[A-Za-z][A-Za-z ]{2,80}?\s(?:is|are|equals)\s+(?=[-$\\\d])){1,3}",
    re.IGNORECASE,
)
"""Between "the answer is" and the answer: therefore, exactly, the integer, the sum of the roots is."""


@dataclass(frozen=True, slots=True)
class Found:
    """An answer as written, and where in the text: `start` is the marker's, `end` the answer's."""

    answer: str
    start: int
    end: int


def policy_text(completion: str, prompt: str) -> str:
    """What follows the thinking, without repetitions of the whole prompt or of its last line."""
    text = after_thinking(completion)[-_LAST_CHARACTERS:]
    prompt = prompt.strip()
    echoes = [echo for echo in (prompt, prompt.rpartition("\n")[2].strip()) if " " in echo]
    for echo in echoes:
        if len(echo) >= _ECHO_CHARACTERS or _BOX.search(echo):
            text = text.replace(echo, "\n")
    return "\n".join(line for line in text.split("\n") if line.strip() not in echoes)


def boxed_answers(text: str, prompt: str) -> list[Found]:
    """What each outermost closed `\\boxed{}` holds, those of the prompt left out."""
    first = _BOX.search(text)
    if first is None:
        return []
    found: list[Found] = []
    opened: list[tuple[int, int] | None] = []  # boxes; None for any other brace
    for token in _BRACE.finditer(text, max(0, first.start() - 1)):
        if token[0] == "{":
            opened.append(None)
        elif token[0] != "}":
            if len(token[0]) > 2:  # longer than any escaped character
                opened.append(token.span())
        elif opened and (box := opened.pop()) is not None:
            while found and found[-1].start > box[0]:
                found.pop()
            found.append(Found(text[box[1] : token.start()], box[0], token.end()))
    return [box for box in found if not is_echo(box, text, prompt)]


def announced_answer(text: str, prompt: str) -> Found | None:
    """What the last "answer is", "answer:" or `####` announces, to the end of its sentence."""
    for match in reversed(deque(_ANNOUNCEMENT.finditer(text), maxlen=8)):
        found = _announced_by(match, text)
        if not is_echo(found, text, prompt):
            return found
    return None


def last_line(text: str, prompt: str) -> Found | None:
    """The last line, or what its last sentence says that something is: 18 in "so the total is 18"."""
    stripped = text.rstrip()
    start = stripped.rfind("\n") + 1
    line = stripped[start:][-_ANNOUNCED_CHARACTERS:]
    statement = deque(_STATEMENT.finditer(line), maxlen=1)
    answer = line[statement[0].end() :] if statement else line
    found = Found(answer.strip(), len(stripped) - len(answer), len(stripped))
    return None if not found.answer or is_echo(found, text, prompt) else found


def is_echo(found: Found, text: str, prompt: str) -> bool:
    """The prompt has it too, with enough before it that this is no coincidence."""
    around = text[max(0, found.start - _AROUND) : found.start]
    end = found.start - len(around) + len(_LEAD_IN.sub("", around))
    start = max(0, end - _ECHO_CONTEXT)
    return len(text[start:end].strip()) > _ECHO_CONTEXT // 2 and text[start : found.end] in prompt


def fault_around(found: list[Found], text: str) -> str:
    """What the text around the answers makes of them, where that leaves no answer; else nothing."""
    last = found[-1]
    if is_taken_back(text, last.end):
        return f"takes its answer back: {shortened(last.answer)}"
    boxes = [answer for answer in found[-_MAX_BOXES:] if _BOX.match(text, answer.start)]
    if any(is_operand(text, box.start, box.end) for box in boxes):
        return f"its answer is a part of a formula: {shortened(last.answer)}"
    if any(is_denied(text, answer.start, answer.end) for answer in found):
        return f"denies its answer or gives another beside it: {shortened(last.answer)}"
    return ""


def sentences(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of each stretch between sentence ends."""
    start = 0
    for match in _SENTENCE_END.finditer(text):
        yield start, match.start()
        start = match.end()
    yield start, len(text)


def _announced_by(match: re.Match[str], text: str) -> Found:
    region = text[match.end() : match.end() + _ANNOUNCED_CHARACTERS].partition("</answer>")[0]
    bare = _RULES.sub("", region, count=1)
    bare = bare[filler.end() :] if (filler := _FILLER.match(bare)) else bare
    start = match.end() + len(region) - len(bare)
    for opening, closing in ((r"\[", r"\]"), ("$$", "$$")):
        if bare.startswith(opening) and (size := bare.find(closing, 2)) > 0:
            return Found(bare[2:size], match.start(), start + size + 2)
    formula = _FORMULA.match(bare)
    end = _SENTENCE_END.search(bare, formula.end() if formula else 0)
    answer = bare[: end.start()] if end else bare
    return Found(without_remark(answer), match.start(), start + len(answer))
