"""Which letters a completion commits to as its answer, found without knowing the right one.

So no list, hedge or echo can collect more than one option's chance. A firm commitment is a box or an announcement;
a soft one, such as "B is correct", is only reasoning where a firm one follows. What comes after the last commitment
may explain it; another answer or a second thought there leaves no single answer.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from stages.verifiers.second_thoughts import MENTION, OFFERS_MORE, is_dismissed, is_retracted, sentences

LETTERS = "ABCDEFGHIJ"
_LAST_CHARACTERS = 12_000
_CLAUSE = 100
_DRESSING = " \t\r\n*_$\"'`{}()[]\u2018\u2019\u201c\u201d\\"

_WIDE = {
    **{start + i: letter for start in (0xFF21, 0x24B6) for i, letter in enumerate(LETTERS)},
    **str.maketrans("\uff08\uff09\uff0e\uff1a\uff0c", "().:,"),
}
"""Fullwidth and circled letters are those letters. Cyrillic and Greek lookalikes are other letters: \u0412 is third."""
_MACRO = re.compile(r"\\(?:text|mathrm|mathbf|textbf|mathit|textit|mathsf|bf|rm)\b\s{0,2}")
_BOX = re.compile(r"\\f?box(?:ed)?\s{0,2}\{")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_LETTER_NEXT = r"""(?= (?:(?:option|choice|letter)\s{1,3})? [\s*_$({\["'`\u2018\u201c]{0,8}
    (?-i:[A-J]) (?! \w | ['\u2019]\w )"""
_ANNOUNCED = re.compile(
    rf"""(?: \banswers? | \b(?:correct|right|best)\s{{1,3}}(?:option|choice|letter) ) [\s*_"'`]{{0,8}}
    (?: (?:is|are|must\sbe|should\sbe|would\sbe)\b | : | = | [-\u2013\u2014]{_LETTER_NEXT}) ) [\s*_:]{{0,8}}
    (?: (?:therefore|thus|hence|then|indeed|simply|clearly|obviously|definitely|certainly|exactly)\b ,?\s{{1,3}} )?
    | \#{{4}} | <answer>\s{{0,3}}""",
    re.IGNORECASE | re.VERBOSE,
)
_CHOSEN = re.compile(
    rf"""\b(?: (?: (?:I|we)(?:\s(?:would|will|shall)|['\u2019](?:d|ll))?\s
        (?:choose|chose|pick|select|meant?|go\swith) | \bthe\sletter\sis )\s{_LETTER_NEXT})
    | (?P<soft>hence|thus|therefore|so)\b[,:]?\s{_LETTER_NEXT} [*_$)}}\]"'`\u2019\u201d]{{0,8}} (?:[.!;\n]|\Z) ) )""",
    re.IGNORECASE | re.VERBOSE,
)
_AFFIRMED = re.compile(
    r"""(?<!\w)(?<!\w['\u2019]) (?P<subject> (?:[A-J][\s,/&*()]{1,4}(?:(?:and|or|nor)[\s*(]{1,4})?)? [A-J] )
    (?!\w) [\s)\]*_"'`$}]{0,8} (?:\([^()\n]{1,60}\)\s)? (?<=[\s*])
    (?:is|are|must\sbe)\s (?:(?:indeed|clearly|therefore|thus|obviously|definitely|actually)\s)?
    (?: (?P<firm>(?:the|my)\s(?:\w{1,12}\s){0,2}(?:answer|option|choice|one)s?) | (?:the\s)?(?:correct|right) )\b""",
    re.VERBOSE,
)
_FIRST_LETTER = re.compile(
    r"""[\s*_$"'`{(\[\u2018\u201c>\#\u2022-]{0,16}
    (?: (?:option|choice|letter) \s{1,3} [*_$({\[]{0,8} )?
    (?P<letter>[A-Ja-j]) (?! \w | ['\u2019]\w )
    (?P<close> (?: [\s*_$"'`)}\]\u2019\u201d.:,=\u2013\u2014-] | \\[)\]] ){0,16} )""",
    re.IGNORECASE | re.VERBOSE,
)
_REASON_WORD = re.compile(
    r"(?:because|since|as|for|which|with|by|due|based|instead|over|rather\s{1,3}than)\b"
)
_HEDGE = re.compile(
    r"\b(?:or|either|neither|nor|maybe|perhaps|possibly|alternatively|otherwise)\b", re.IGNORECASE
)
_DENIED = re.compile(
    r"\b(?:not|never|neither|nor|cannot|no\sway|wrong|incorrect|false|(?<!no\s)doubt|unless|whether|if|thought)\b"
    r"|n['\u2019]t\b", re.IGNORECASE
)  # fmt: skip
_PREDICATE = re.compile(
    r"(?:(?:is|was|are|can|cannot|could|would|may|might|seems?|looks?)\b(?!\s{1,3}(?:the\s)?(?:correct|right)\b)"
    r"|(?:is|was|ca|could|would)n['\u2019]t\b|(?:if|unless|assuming|provided)\b)",
    re.IGNORECASE,
)
_CLAUSE_END = re.compile(r"[.,;:!?\n]|\s(?:but|while|whereas)\s")
_LIST_ITEM = re.compile(r"(?<![\w(])([A-J])[.):]\s{0,3}(?=\w)")


def plain_option(text: str) -> str:
    """What two writings of one option share."""
    return " ".join(_MACRO.sub("", text).strip(_DRESSING).rstrip(".").strip(_DRESSING).casefold().split())


@dataclass(frozen=True, slots=True)
class _Mark:
    """Where a commitment is made. `names` is the option it holds; None where that follows."""

    start: int
    end: int
    names: str | None
    is_firm: bool = True
    may_be_empty: bool = True
    """Whether the completion takes everything back by naming no option here."""


@dataclass(frozen=True, slots=True)
class _Commitment:
    """`end` is where what could take it back begins; no `letters` where it names nothing or is denied."""

    end: int
    letters: frozenset[str]
    is_firm: bool


def named_letters(text: str, letter_of: Mapping[str, str]) -> frozenset[str]:
    """Empty where the last firm commitment names nothing; several, or `?`, where there is no single answer.

    Only whole lines among the last 12,000 characters are read: what is said long before the end is a thought.
    """
    if len(text) > _LAST_CHARACTERS:
        text = text[-_LAST_CHARACTERS:].partition("\n")[2]
    text = text.translate(_WIDE)
    commitments = list(_commitments(text, letter_of))
    firm = [commitment for commitment in commitments if commitment.is_firm]
    if not firm and (letters := _last_line(text, letter_of)):
        return letters
    if not commitments or (firm and not firm[-1].letters):
        return frozenset()
    if firm:
        commitments = [each for each in commitments if each.is_firm or each.end > firm[-1].end]
    named = frozenset[str]().union(*(commitment.letters for commitment in commitments))
    return named | _taken_back(text[commitments[-1].end :], named, letter_of)


def _commitments(text: str, letter_of: Mapping[str, str]) -> Iterator[_Commitment]:
    """In order. What an announcement says ends with its line or where the next commitment starts."""
    marks = _marks(text)
    starts = [mark.start for mark in marks] + [len(text)]
    for mark, next_start in zip(marks, starts[1:], strict=True):
        line = text[mark.end : max(mark.end, next_start)].partition("\n")[0]
        if mark.names is not None:
            letters = _read(mark.names, letter_of)
            letters = letters and _to_sentence_end(letters, line)
        elif not line.strip(_DRESSING) and next_start < len(text):
            continue  # the commitment that follows speaks
        else:
            letters = _read(line, letter_of)
        clause = _CLAUSE_END.split(text[max(0, mark.start - _CLAUSE) : mark.start])[-1]
        letters = frozenset[str]() if _DENIED.search(clause) else letters
        is_full = mark.names is None and _option(line, letter_of)
        if letters or mark.may_be_empty:
            yield _Commitment(mark.end + len(line) * bool(is_full), letters, mark.is_firm)


def _marks(text: str) -> list[_Mark]:
    """In order, those written within another one left out."""
    found = [
        *_boxes(text),
        *(_Mark(*match.span(), None) for match in _ANNOUNCED.finditer(text)),
        *(_Mark(*match.span(), None, not match["soft"], False) for match in _CHOSEN.finditer(text)),
        *(_Mark(*match.span(), match["subject"], bool(match["firm"]), False) for match in _AFFIRMED.finditer(text)),
    ]  # fmt: skip
    marks: list[_Mark] = []
    for mark in sorted(found, key=lambda mark: (mark.start, -mark.end)):
        if not marks or mark.start >= marks[-1].end:
            marks.append(mark)
    return marks


def _boxes(text: str) -> Iterator[_Mark]:
    """Each outermost box; one that never closes goes on to the end and names nothing."""
    position = 0
    while match := _BOX.search(text, position):
        depth, position = 1, len(text)
        for brace in _BRACE.finditer(text, match.end()):
            depth += {"{": 1, "}": -1}.get(brace[0], 0)
            if depth == 0:
                position = brace.end()
                break
        yield _Mark(match.start(), position, text[match.end() : position - 1] if depth == 0 else "")


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
    sentence = next(sentences(rest), "") if rest[:1] not in ".!?;" else rest[:1]
    if sentence.endswith("?") or _PREDICATE.match(sentence):
        return frozenset()
    hedge = {"?"} if _HEDGE.search(sentence) else set[str]()
    return letters | hedge | set(MENTION.findall(sentence))


def _taken_back(rest: str, named: frozenset[str], letter_of: Mapping[str, str]) -> frozenset[str]:
    """Other letters that what follows the last commitment offers as answers too, `?` where it retracts."""
    others: set[str] = set()
    for position, sentence in enumerate(sentences(rest)):
        if is_retracted(sentence, named, is_next=position < 2):
            others.add("?")
        if second := OFFERS_MORE.search(sentence):
            others.update(MENTION.findall(sentence, second.end()))
        elif not is_dismissed(sentence):
            *_, last = re.split(r"[,:]|\s[-\u2013\u2014]\s", sentence)
            others |= _option(last.rstrip("?!; "), letter_of)
    first_line, *lines = ["" if is_dismissed(line) else line for line in rest.split("\n")]
    others.update(*(_alone(line, letter_of) for line in lines if line))
    listed = set(_LIST_ITEM.findall("\n".join([first_line, *lines]))) - named
    return frozenset(others - named) | (listed if len(listed) > 1 else frozenset())


def _last_line(text: str, letter_of: Mapping[str, str]) -> frozenset[str]:
    """For completions without a firm commitment. Options on other lines make it an echo of the list."""
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
    has_text = match is not None and not set(").").isdisjoint(match["close"])
    return _read(line, letter_of) if has_text else _option(line, letter_of)
