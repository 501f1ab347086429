"""Which letters a completion commits to as its answer, found without knowing the right one.

So no list, hedge or echo can collect more than one option's chance. A firm commitment is a box or an announcement;
a soft one, such as "B is correct", is only reasoning where a firm one follows. What comes after the last commitment
may explain it; another answer or a second thought there leaves no single answer.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from stages.verifiers.option_marks import Mark, marks
from stages.verifiers.second_thoughts import (
    MENTION,
    is_dismissed,
    is_retracted,
    offered,
    sentences,
    without_dismissed,
    without_remarks,
)

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
_TAG = re.compile(r"</?(?:b|i|em|strong|u|p|span|code|br)\s?/?>")
_END = re.compile(r"</(?:(?:final_)?answer|s)>|\[/answer\]|<\|[a-z_]{1,20}\|>", re.IGNORECASE)
_EMPHASIS = re.compile(r"(?<![^\W_])_{1,3}(?=\S)|(?<=\S)_{1,3}(?![^\W_])")
_FIRST_LETTER = re.compile(
    r"""[\s*$"'`{(\[\u2018\u201c=>\#\u2022\u2192\u21d2\u27a1\u2234\u2705\u2713\u2714\ufe0f\U0001f449<-]{0,16}
    (?:\\[(\[])?
    (?: \(?(?:option|choice|letter)(?:\snumber)?\)? \s{1,3} [*$"'`({\[]{0,8} )?
    (?P<letter>[A-Ja-j]) (?! \w | -\w | ['\u2019]\w )
    (?P<close> (?: [\s*_$"'`)}>\]\u2019\u201d.:,=\u2013\u2014-] | \\[)\]] ){0,16} )""",
    re.IGNORECASE | re.VERBOSE,
)
_LETTER_BEHIND = re.compile(
    r",?\s(?:i\.e\.,?\s)?[\s*(\[]{0,6}(?:option\s|choice\s)?[*(]{0,4}([A-J])[\s*)\].]{0,6}\Z", re.IGNORECASE
)
_REASON_WORD = re.compile(
    r"(?:because|since|as|for|which|with|by|due|based|instead|over|here|and\s{1,3}not|rather\s{1,3}than)\b"
)
_HEDGE = re.compile(
    r"\b(?:or|either|neither|nor|maybe|perhaps|possibly|alternatively|otherwise)\b", re.IGNORECASE
)
_DENIED = re.compile(
    r"\b(?:not|never|neither|nor|cannot|no\sway|wrong|incorrect|false|(?<!no\s)doubt|unless|whether|if|thought"
    r"|mistake\w*|trap|avoid|reject\w*|worst|least|suppose|assum\w+|hardly"
    r"|(?:people|students|others|they|s?he|some|many|who|often)\s(?:\w+\s)?(?:say|says|said|thinks?|believe|claim|answer|give|pick|choose)"
    r"|(?:no|eliminated|excluded|distractor|ruled\sout)(?=\W{0,3}:)"
    r"|(?:first|second|third|last|next|previous)\s(?:option|answer|choice|one|guess|thought))\b"
    r"|n['\u2019]t\b", re.IGNORECASE
)  # fmt: skip
_PREDICATE = re.compile(
    r"(?:(?:is|was|are|can|cannot|could|would|may|might|seems?|looks?)\b(?!\s{1,3}(?:the\s)?(?:correct|right)\b)"
    r"|(?:is|was|ca|could|would)n['\u2019]t\b|(?:(?:only\s)?if|unless|assuming|provided)\b)",
    re.IGNORECASE,
)
_REASON = re.compile(
    r"\b(?:because|since|given|due\sto|while|whereas|so(?!\s(?:is|are|do|does)\b)|(?<!well\s)as(?!\s(?:well|is|are|would|could|can)\b))\b",
    re.IGNORECASE,
)
_SAID_FIRST = re.compile(r"(?:the\s)?(?:final\s|correct\s)?answer\s?(?:is\b|:)\s?", re.IGNORECASE)
_OPENING_ENDS = re.compile(r",?\s(?:because|since)\b|(?<=\w\w)[.!]\s|\s[-\u2013\u2014]\s")
_NOT_BUT = re.compile(r"\A\W*not\b[^.;\n]{1,60}?\bbut\s(?:rather\s)?", re.IGNORECASE)
_CLAUSE_END = re.compile(r"[.,;:!?\n]|\s(?:but|while|whereas)\s")
_TEXT_ENDS = re.compile(r"[.,;]\s|\s(?:because|since|as|while)\b")
_TOO = re.compile(r"\s(?:too|as\swell|then)\Z")
_LABEL = re.compile(r"\W*[A-Ja-j]\.")
_LIST_ITEM = re.compile(r"(?<![\w(])([A-J])[.):]\s{0,3}(?=\w)")


def plain_option(text: str) -> str:
    """What two writings of one option share."""
    return " ".join(_MACRO.sub("", text).strip(_DRESSING).rstrip(".").strip(_DRESSING).casefold().split())


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
    text = _EMPHASIS.sub("*", _END.sub("\n", _TAG.sub("", text.translate(_WIDE))))
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
    made = marks(text, lambda words: bool(_option(words, letter_of)))
    if (opening := _opening(text, letter_of)) and (not made or opening.end <= made[0].start):
        made.insert(0, opening)
    starts = [mark.start for mark in made] + [len(text)]
    for mark, next_start in zip(made, starts[1:], strict=True):
        line = text[mark.end : max(mark.end, next_start)].partition("\n")[0]
        if mark.names is not None:
            letters = _read(mark.names, letter_of)
            letters = letters and _to_sentence_end(letters, line)
        elif not line.strip(_DRESSING) and next_start < len(text):
            continue  # the commitment that follows speaks
        else:
            letters = _read(line, letter_of)
        clause = _CLAUSE_END.split(text[max(0, mark.start - _CLAUSE) : mark.start])[-1]
        letters = frozenset[str]() if _DENIED.search(clause + mark.lead_in(text)) else letters
        is_full = mark.names is None and _option(line, letter_of)
        if letters or mark.may_be_empty:
            yield _Commitment(mark.end + len(line) * bool(is_full), letters, mark.is_firm)


def _opening(text: str, letter_of: Mapping[str, str]) -> Mark | None:
    """An option at the very beginning, with its explanation behind it; a list of options is none."""
    first, *others = [line for line in text.split("\n") if line.strip()] or [""]
    names = first if _alone(first, letter_of) else _OPENING_ENDS.split(first, maxsplit=1)[0]
    if not _option(names, letter_of) or any(_alone(line, letter_of) for line in others[:1]):
        return None
    start = text.index(first)
    return Mark(start, start + len(names), names, is_firm=False, may_be_empty=False)


def _read(content: str, letter_of: Mapping[str, str]) -> frozenset[str]:
    """The letters that an answer names: none where it is no option, `?` beside one that is hedged."""
    content = _SAID_FIRST.sub("", _NOT_BUT.sub("", _MACRO.sub("", content).strip()), count=1)
    match = _FIRST_LETTER.match(content)
    if full := _option(content, letter_of):
        return full
    if match is None:
        return _first_clause(content, letter_of)
    letter, rest, closed = match["letter"].upper(), content[match.end() :], match["close"].strip()
    is_article = match["letter"] in "AI" and rest[:1].islower() and not _REASON_WORD.match(rest)
    if not closed and (match["letter"].islower() or is_article):
        return frozenset()
    return frozenset(letter) if "." in closed else _to_sentence_end(frozenset(letter), rest)


def _first_clause(content: str, letter_of: Mapping[str, str]) -> frozenset[str]:
    """`Paris, since ...`: an option's text with a remark behind it that speaks of no other one."""
    clause, *rest = _TEXT_ENDS.split(content, maxsplit=1)
    letters = _option(clause, letter_of)
    others = [text for text, letter in letter_of.items() if letter not in letters]
    if not letters or any(text in plain_option(" ".join(rest)) for text in others):
        return frozenset()
    return letters


def _option(content: str, letter_of: Mapping[str, str]) -> frozenset[str]:
    """The letters of what is an option and nothing else: its text, its letter, or both."""
    content = _NOT_BUT.sub("", _MACRO.sub("", content).strip())
    if whole := letter_of.get(plain_option(content)):
        return frozenset(whole)
    behind = _LETTER_BEHIND.search(content)
    if behind and (before := letter_of.get(plain_option(content[: behind.start()]))):
        return frozenset([before, behind[1].upper()])
    match = _FIRST_LETTER.match(content)
    text = plain_option(content[match.end() :]) if match else ""
    if match is None or (match.end() < len(content) and text not in letter_of):
        return frozenset()
    return frozenset(match["letter"].upper() + letter_of.get(text, ""))


def _to_sentence_end(letters: frozenset[str], rest: str) -> frozenset[str]:
    """With what the rest of the sentence adds; nothing when it makes the answer a question or denies it.

    A reason may speak of the other options: "because A is elsewhere".
    """
    rest = without_remarks(rest).lstrip(_DRESSING)
    sentence = next(sentences(rest), "") if rest[:1] not in ".!?;" else rest[:1]
    if sentence.endswith("?") or _PREDICATE.match(sentence):
        return frozenset()
    claim, *reasons = _REASON.split(sentence)
    hedge = {"?"} if _HEDGE.search(claim) else set[str]()
    return letters | hedge | set(MENTION.findall(claim)) | offered(" ".join(reasons))


def _taken_back(rest: str, named: frozenset[str], letter_of: Mapping[str, str]) -> frozenset[str]:
    """Other letters that what follows the last commitment offers as answers too, `?` where it retracts."""
    others: set[str] = set()
    for position, sentence in enumerate(sentences(rest)):
        if is_retracted(sentence, named, is_next=position < 2):
            others.add("?")
        others |= offered(sentence)
        if not is_dismissed(sentence):
            *_, last = re.split(r"[,:]|\s[-\u2013\u2014]\s|\b(?:[Oo]r|[Aa]nd|[Bb]ut)\s", sentence)
            others |= _option(_TOO.sub("", last.rstrip(".?!; ")), letter_of)
    first_line, *lines = without_dismissed(rest.split("\n"))
    others.update(*(_alone(line, letter_of) for line in lines if line))
    listed = set(_LIST_ITEM.findall("\n".join([first_line, *lines]))) - named
    return frozenset(others - named) | (listed if len(listed) > 1 else frozenset())


def _last_line(text: str, letter_of: Mapping[str, str]) -> frozenset[str]:
    """For completions without a firm commitment. Options on other lines make it an echo of the list."""
    lines = [line for line in text.split("\n") if line.strip()]
    if whole := letter_of.get(plain_option(text)):
        return frozenset(whole)
    if not lines or not (named := _alone(lines[-1], letter_of) or _last_sentence(lines[-1], letter_of)):
        return frozenset()
    if len(lines) > 1 and lines[-2].rstrip("*_ ").endswith(":") and is_dismissed(lines[-2]):
        return frozenset()
    echo = frozenset() if _option(lines[-1], letter_of) else _taken_back(lines[-1], named, letter_of)
    return named.union(echo, *(_alone(line, letter_of) for line in lines[:-1]))


def _last_sentence(line: str, letter_of: Mapping[str, str]) -> frozenset[str]:
    """`Not A. Not C. B.`"""
    *before, last = ["", *sentences(line)]
    if last.rstrip().endswith("?") or any(map(_LABEL.fullmatch, before)):
        return frozenset()
    return _option(last.rstrip("!; "), letter_of)


def _alone(line: str, letter_of: Mapping[str, str]) -> frozenset[str]:
    """The letters of a line that is an option; its text may be unknown where a bracket or stop precedes it."""
    match = _FIRST_LETTER.match(_MACRO.sub("", line).strip())
    has_text = match is not None and not set(").").isdisjoint(match["close"])
    return _read(line, letter_of) if has_text else _option(line, letter_of)
