"""Whether what follows an answer only explains it, or takes it back.

An explanation may speak of the other options: "B lies in England", "C and D are wrong". Where words alone do not
tell, it counts as a second thought, since an answer given twice is no answer.
"""

import re
from collections.abc import Iterable, Iterator

MENTION = re.compile(
    r"(?<!\w)(?<!\w['\u2019])(?<!\bnot\s)(?<!\bthan\s)(?<!\bover\s)(?<!\binstead\sof\s)"
    r"(?:[B-HJ]|[AI](?!['\u2019]\w)(?!\s{1,3}(?!(?:or|and|is|are|because|too)\b)[a-z])"
    r"|[\u0410\u0412\u0415\u041d\u0421\u0406\u0408\u0391\u0392\u0395\u0397\u0399])(?!\w|['\u2019]\w)"
)
"""A letter of an option, or a lookalike of one; neither the article nor the pronoun."""
_OFFERS_MORE = re.compile(
    r"\b(?:or|either|neither|nor|maybe|perhaps|possibly|alternatively|otherwise"
    r"|so\s(?:is|are|do|does)|actually|instead(?!\sof\b)|wait|also|might|could)\b",
    re.IGNORECASE,
)
"""What follows it in a sentence may be another answer."""
_RETRACTED = re.compile(
    r"""\W*(?:(?:but|oh|ah|uh|um|well|so|ok|okay|and|actually)\W{1,3}){0,2}
        (?: no(?:(?=\s{0,3}(?:[^\w\s]|\Z))|\s(?:wait|sorry)) | nope | wait | hm+ | oops | whoops | sorry | apologies
          | correction | scratch\sthat | never\s?mind | then\sagain | on\s(?:second\sthoughts?|reflection)
          | (?:let\sme|let['\u2019]s|I)\s(?:(?:should|must|need\sto)\s)?
            (?:re-?(?:consider|check|think|read|do|examine)|double(?!-?\s?checked)) )\b
    | .*\b(?: chang(?:e|ed|ing)\s(?:(?:my|the)\s(?:mind|answer)|that|it) | take\s(?:that|it)\sback | my\s(?:mistake|bad)
          | I\s(?:was|am)\s(?:wrong|mistaken) | I\smade\san?\s(?:mistake|error) | second\sthoughts?
          | (?:just\sas|equally)\s(?:good|right|correct|plausible|likely|valid) )\b""",
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)
_REFUTED = re.compile(
    r"\W*(?:that|this|it)(?:\s(?:is|was)|['\u2019]s)"
    r"(?:(?:\snot|n['\u2019]t)\s(?:right|correct|it)|\s(?:wrong|incorrect|false|a\smistake))\b",
    re.IGNORECASE,
)
_REJECTED = re.compile(
    r"(?:\bnot|n['\u2019]t\sbe)\s(?:option\s)?[^\w\s]{0,3}(?P<object>[A-J])(?!\w)"
    r"|(?<!\w)(?P<subject>[A-J])[^\w\s]{0,3}\s(?:is|was)(?:\snot|n['\u2019]t|\swrong|\sincorrect|\sfalse)\b"
)
_ALL_REJECTED = re.compile(
    r"\bneither\b[^.]*\bnor\b|(?<!\w)[A-J],?\s(?:or|and|nor)\s[A-J]\W{0,3}\s(?:is|are|was|were|do|does|can|could)"
    r"(?:\sboth)?(?:\snot|n['\u2019]t|\swrong|\sincorrect|\sfalse)\b",
    re.IGNORECASE,
)
_DISMISSED = re.compile(
    r"\b(?:not|never|neither|nor|none|cannot|wrong|incorrect|false|others?|rest|eliminat\w*|exclud\w*|unlike|than"
    r"|rul(?:e|es|ed|ing)\sout|instead\sof)\b|n['\u2019]t\b",
    re.IGNORECASE,
)
_REMARK = re.compile(
    r"\((?![^()\n]*\b(?:or|maybe|perhaps|possibly)\b)(?=[^()\n]*\b(?:not|wrong|incorrect|false)\b)[^()\n]{1,200}\)"
    r"|\b(?:not|than|instead\sof|over|unlike)\s[A-J](?:(?:,|,?\s(?:or|and|nor))\s[A-J]\b)*"
)
_SENTENCE = re.compile(r"[^.!?;\n]+(?:\.(?=\w)[^.!?;\n]*)*[.!?;]?")


def sentences(text: str) -> Iterator[str]:
    """Each with its end. A stop within a word, as in "e.g." or "3.5", ends none."""
    return (match[0] for match in _SENTENCE.finditer(text))


def offered(sentence: str) -> set[str]:
    """The letters it names as further answers: behind "or", "maybe", "could", unless none of them fits."""
    sentence = without_remarks(sentence)
    second = _OFFERS_MORE.search(sentence)
    return (
        set(MENTION.findall(sentence, second.end()))
        if second and not _ALL_REJECTED.search(sentence)
        else set()
    )


def is_retracted(sentence: str, named: frozenset[str], *, is_next: bool) -> bool:
    """Whether it takes back the answer named before it; "that is wrong" does so only where it comes next."""
    if _RETRACTED.match(sentence) or any(named & set(match) for match in _REJECTED.findall(sentence)):
        return True
    return is_next and bool(_REFUTED.match(sentence))


def is_dismissed(sentence: str) -> bool:
    """Whether it says of the options in it that they are not the answer."""
    return bool(_DISMISSED.search(sentence))


def without_dismissed(lines: Iterable[str]) -> Iterator[str]:
    """Lines that dismiss options are empty, and all below a heading that does: `Why the others are wrong:`"""
    is_below = False
    for line in lines:
        dismisses = is_below or is_dismissed(line)
        is_below = is_below or (dismisses and line.rstrip("*_ ").endswith((":", "?")))
        yield "" if dismisses else line


def without_remarks(sentence: str) -> str:
    """Without what says nothing of the answer: an aside that offers no other, and the options it is not."""
    return _REMARK.sub("", sentence)
