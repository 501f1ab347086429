"""Which letters a completion commits to as its answer, found without knowing the right one.

So no list, hedge or echo can collect more than one option's chance.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

LETTERS = "ABCDEFGHIJ"
_CLAUSE = 100
_DRESSING = " \t\r\n*_$\"'`{}()[]\u2018\u2019\u201c\u201d\\"

_WIDE = {
    **{start + i: letter for start in (0xFF21, 0x24B6) for i, letter in enumerate(LETTERS)},
    **str.maketrans("\uff08\uff09\uff0e\uff1a\uff0c", "().:,"),
}
"""Fullwidth and circled letters are those letters. Cyrillic and Greek lookalikes are other letters: \u0412 is third."""
_MACRO = re.compile(r"\\(?:text|mathrm|mathbf|textbf|mathit|textit|mathsf|bf|rm)\b\s{0,2}")
_BOX = re.compile(r"\\f?box(?:ed)?\s{0,2}\{")
_ANNOUNCED = re.compile(
    r"""(?: \banswers? | \b(?:correct|right|best)\s{1,3}(?:option|choice) )
    [\s*_]{0,8} (?: (?:is|are|must\sbe|should\sbe|would\sbe) \b | : | = ) [\s*_:]{0,8} | \#{4}""",
    re.IGNORECASE | re.VERBOSE,
)
_FIRST_LETTER = re.compile(
    r"""[\s*_$"'`{(\[\u2018\u201c>\#\u2022-]{0,16}
    (?: (?:option|choice|letter) \s{1,3} [*_$({\[]{0,8} )?
    (?P<letter>[A-Ja-j]) (?! [\w'\u2019] )
    (?P<close> (?: [\s*_$"'`)}\]\u2019\u201d.:,=\u2013\u2014-] | \\[)\]] ){0,16} )""",
    re.IGNORECASE | re.VERBOSE,
)
_REASON_WORD = re.compile(r"(?:because|since|as|for|which|with|by|due|based)\b")
_MENTION = re.compile(
    r"(?<![\w'\u2019])(?<!\bnot\s)(?:[B-HJ]|[AI](?!['\u2019])(?!\s{1,3}(?!(?:or|and|is|are|because|too)\b)[a-z])"
    r"|[\u0410\u0412\u0415\u041d\u0421\u0406\u0408\u0391\u0392\u0395\u0397\u0399])(?![\w'\u2019])"
)
_HEDGE = re.compile(r"\b(?:or|either|neither|nor|maybe|perhaps|possibly|alternatively)\b", re.IGNORECASE)
_SECOND_THOUGHT = re.compile(
    rf"{_HEDGE.pattern}|\b(?:actually|instead|wait|also|might|could)\b", re.IGNORECASE
)
_DENIED = re.compile(
    r"\b(?:not|never|neither|nor|cannot|no\sway|wrong|incorrect|false|(?<!no\s)doubt|unless|whether|if)\b"
    r"|n['\u2019]t\b", re.IGNORECASE
)  # fmt: skip
_PREDICATE = re.compile(
    r"(?:(?:is|was|are|can|cannot|could|would|may|might|seems?|looks?)\b(?!\s{1,3}(?:the\s)?(?:correct|right)\b)"
    r"|(?:is|was|ca|could|would)n['\u2019]t\b)",
    re.IGNORECASE,
)
_CLAUSE_END = re.compile(r"[.,;:!?\n]")
_SENTENCE = re.compile(r"[^.!?;\n]+[.!?;]?")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_LIST_ITEM = re.compile(r"(?<![\w(])([A-J])[.):]\s{0,3}(?=\w)")


def plain_option(text: str) -> str:
    """What two writings of one option share."""
    return " ".join(_MACRO.sub("", text).strip(_DRESSING).rstrip(".").strip(_DRESSING).casefold().split())


@dataclass(frozen=True, slots=True)
class _Commitment:
    """`end` is where what could take it back begins; no `letters` where it names nothing or is denied."""

    end: int
    letters: frozenset[str]


def named_letters(text: str, letter_of: Mapping[str, str]) -> frozenset[str]:
    """Empty where the last commitment names nothing; several where commitments disagree."""
    text = text.translate(_WIDE)
    commitments = list(_commitments(text, letter_of))
    if not commitments:
        return _last_line(text, letter_of)
    if not commitments[-1].letters:
        return frozenset()
    named = frozenset[str]().union(*(commitment.letters for commitment in commitments))
    return named | _taken_back(text[commitments[-1].end :], named, letter_of)


def _commitments(text: str, letter_of: Mapping[str, str]) -> Iterator[_Commitment]:
    """In order. What an announcement says ends with its line or where the next commitment starts."""
    spans = sorted(
        [*_boxes(text), *((match.start(), match.end(), "") for match in _ANNOUNCED.finditer(text))]
    )
    starts = [start for start, _, _ in spans] + [len(text)]
    box_end = 0
    for position, (start, end, box) in enumerate(spans):
        if start < box_end:
            continue  # written within a box
        line = text[end : max(end, starts[position + 1])].partition("\n")[0]
        if box:
            letters, box_end = _read(_BOX.sub("", box, 1).removesuffix("}"), letter_of), end
            letters = letters and _to_sentence_end(letters, line)
        elif not line.strip(_DRESSING) and position + 1 < len(spans):
            continue  # the box that follows speaks
        else:
            letters = _read(line, letter_of)
        clause = _CLAUSE_END.split(text[max(0, start - _CLAUSE) : start])[-1]
        is_full = not box and _option(line, letter_of)
        yield _Commitment(end + len(line) * bool(is_full), frozenset() if _DENIED.search(clause) else letters)


def _boxes(text: str) -> Iterator[tuple[int, int, str]]:
    """Start, end and text of each outermost box; one that never closes goes on to the end."""
    position = 0
    while match := _BOX.search(text, position):
        depth, position = 1, len(text)
        for brace in _BRACE.finditer(text, match.end()):
            depth += {"{": 1, "}": -1}.get(brace[0], 0)
            if depth == 0:
                position = brace.end()
                break
        yield match.start(), position, text[match.start() : position] if depth == 0 else r"\boxed{"


def _read(content: str, letter_of: Mapping[str, str]) -> frozenset[str]:
    """The letters that an answer names: none where it is no option, `?` beside one that is hedged."""
    content = _MACRO.sub("", content).strip()
    match = _FIRST_LETTER.match(content)
    if (full := _option(content, letter_of)) or match is None:
        return full
    letter, rest, closed = match["letter"].upper(), content[match.end() :], match["close"].strip()
    is_article = match["letter"] in "AI" and rest[0].islower() and not _REASON_WORD.match(rest)
    if not closed and (match["letter"].islower() or is_article):
        return frozenset()
    return frozenset(letter) if "." in closed else _to_sentence_end(frozenset(letter), rest)


def _option(content: str, letter_of: Mapping[str, str]) -> frozenset[str]:
    """The letters of what is an option and nothing else: its text, its letter, or both."""
    content = _MACRO.sub("", content).strip()
    if whole := letter_of.get(plain_option(content)):
        return frozenset(whole)
    match = _FIRST_LETTER.match(content)
    text = plain_option(content[match.end() :]) if match else ""
    if match is None or (match.end() < len(content) and text not in letter_of):
        return frozenset()
    return frozenset(match["letter"].upper() + letter_of.get(text, ""))


def _to_sentence_end(letters: frozenset[str], rest: str) -> frozenset[str]:
    """With what the rest of the sentence adds; nothing when it makes the answer a question or denies it."""
    rest = rest.lstrip(_DRESSING)
    sentence = match[0] if (match := _SENTENCE.match(rest)) else rest[:1]
    if sentence.endswith("?") or _PREDICATE.match(sentence):
        return frozenset()
    hedge = {"?"} if _HEDGE.search(sentence) else set[str]()
    return letters | hedge | set(_MENTION.findall(sentence))


def _taken_back(rest: str, named: frozenset[str], letter_of: Mapping[str, str]) -> frozenset[str]:
    """Other letters that what follows the last commitment offers as answers too."""
    others: set[str] = set()
    for sentence in _SENTENCE.finditer(rest):
        if second := _SECOND_THOUGHT.search(sentence[0]):
            others.update(_MENTION.findall(sentence[0], second.end()))
    for line in rest.split("\n")[1:]:
        others |= _alone(line, letter_of)
    listed = set(_LIST_ITEM.findall(rest)) - named
    return frozenset(others - named) | (listed if len(listed) > 1 else frozenset())


def _last_line(text: str, letter_of: Mapping[str, str]) -> frozenset[str]:
    """For completions without a commitment. Options on other lines make it an echo of the list."""
    lines = [line for line in text.split("\n") if line.strip()]
    if whole := letter_of.get(plain_option(text)):
        return frozenset(whole)
    if not lines or not (named := _alone(lines[-1], letter_of)):
        return frozenset()
    echo = frozenset() if _option(lines[-1], letter_of) else _taken_back(lines[-1], named, letter_of)
    return named.union(echo, *(_alone(line, letter_of) for line in lines[:-1]))


def _alone(line: str, letter_of: Mapping[str, str]) -> frozenset[str]:
    """The letters of a line that is an option; its text may be unknown where a bracket or stop precedes it."""
    match = _FIRST_LETTER.match(_MACRO.sub("", line).strip())
    has_text = match is not None and not set(").:").isdisjoint(match["close"])
    return _read(line, letter_of) if has_text else _option(line, letter_of)
