"""Where a completion may commit to an option: boxes, announcements, choices and verdicts, in the words people use.

A firm mark states an answer: a box, "the answer is", "I choose", "B is the correct answer". A soft one may be only
a step of the reasoning: "so B", "it is B", "B is correct". What a mark's words name is option_letters.py's part.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

_BOX = re.compile(r"\\f?box(?:ed)?\s{0,2}\{")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_LETTER_NEXT = r"""(?= (?:(?:option|choice|letter)\s{1,3})? [\s*$({\["'`\u2018\u201c]{0,8}
    (?-i:[A-J]) (?! \w | -\w | ['\u2019]\w )"""
_FITTING = r"""(?: (?:correct|right|best|better|only|single|one|most|appropriate|accurate|likely|suitable|final|true
    |logical|reasonable|obvious|closest|valid|proper|plausible|fitting|sensible|my) \s{1,3} )"""
_SURELY = r"""(?: ,?\s?(?:therefore|thus|hence|then|indeed|simply|clearly|obviously|definitely|certainly|exactly|surely
    |actually|also|probably|(?:most\s)?likely|in\sfact|of\scourse|given\sby|labell?ed)\b ,?\s{1,3} )?"""
_ANNOUNCED = re.compile(
    rf"""(?: \banswers?\b | \b{_FITTING}(?:option|choice|letter|one|statement|guess|pick|selection|response)\b
          | (?<=["'])(?:choice|option|letter)(?=["']\s?:)
          | \b(?:antwort|respuesta|r\u00e9ponse|risposta|resposta)(?:\s(?:correct[ae]|corrett?a))? | \u7b54\u6848 )
        (?: \s(?:letter|choice|option|here|I\s\w{{1,12}}|(?:to|for|of|among|that|which|you)\s[^.:;\n]{{1,80}}?)
          | ,\s[^,.:;\n]{{1,60}}, | \.{{3}} )? [\s*"'`]{{0,8}}
        (?: \b(?:is|are|must\sbe|should\sbe|would\sbe|will\sbe|has\sto\sbe|can\sonly\sbe|ist|est?)\b
          | : | = | [\u662f\u4e3a\u00e8\u00e9](?!\w{{2}}) | (?: [-\u2013\u2014\u2192]{{1,2}}>? | \() {_LETTER_NEXT}) )
        [\s*:]{{0,8}} {_SURELY}
    | \#{{4}} | [<\[](?:final_)?answer[>\]]\s{{0,3}}""",
    re.IGNORECASE | re.VERBOSE,
)
_LABELLED = re.compile(
    rf"""(?:^|(?<=[.!?]\s)) [\s*\#>]{{0,8}} (?: (?: ans\b\.? | final | solution | result | conclusion | ergo
          | (?:selected|chosen|picked)\s(?:option|choice|letter) | in\sshort | yes | tl;?dr | easy
          | (?:most\s)?(?:likely|probably) | to\sanswer\sthe\squestion
          | (?:choose|select|pick|going\swith) ) [\s*"]{{0,8}} [:=,]? | answer )
        [\s*]{{1,8}} {_LETTER_NEXT} [)\]}}*"'`.\s]{{0,8}} (?: $ | (?-i:[A-Z]) ) )""",
    re.IGNORECASE | re.VERBOSE | re.MULTILINE,
)
_HEADED = re.compile(
    rf"""^[\s*\#>-]{{0,8}} (?:[a-z]{{2,14}}\s?){{1,3}} [*"]{{0,3}}: [\s*]{{1,8}}
        {_LETTER_NEXT} [)\]}}*"'`.\s]{{0,8}} \Z )""",
    re.IGNORECASE | re.VERBOSE | re.MULTILINE,
)
"""The last line, a few words and a letter: `Verdict: B`."""
_CHOSEN = re.compile(
    r"""\b(?: (?:I|we|let['\u2019]s)
          (?: (?:\s(?:would|will|shall|have|am|are)|['\u2019](?:d|ll|m|re|ve))?(?:\s(?:therefore|thus|hence))?
            \s(?:choos(?:e|ing)|chose|chosen|pick|picked|select|selected|meant?(?:\sto\ssay)?|go(?:ing)?\s(?:with|for)
              |answer|opt\sfor|vote\sfor) | \s(?P<mild>guess|conclude|think|believe)(?:\sthat)?
            | (?:\swould|['\u2019]d)\ssay )
        | the\sletter\sis )\s""",
    re.IGNORECASE | re.VERBOSE,
)
_HENCE = re.compile(
    rf"""\b(?:hence|thus|therefore|so|definitely|clearly|obviously|elimination)\b[,:]?\s{_LETTER_NEXT}
        [*$)}}\]"'`\u2019\u201d]{{0,8}} (?:[.!;\n]|\Z) )""",
    re.IGNORECASE | re.VERBOSE,
)
_LETTER = re.compile(f"{_LETTER_NEXT})", re.VERBOSE | re.IGNORECASE)
_LETTER_SUBJECT = re.compile(
    r"""(?<!\w)(?<!\w['\u2019])
    (?P<subject> (?:(?<!nlike\s)[A-J][\s,/&*()]{1,4}(?:(?:and|or|nor)[\s*(]{1,4})?)? [A-J] )
    (?!\w) [\s)\]*"'`$}]{0,8} (?:\([^()\n]{1,60}\)\s)? (?<=[\s*]) \Z""",
    re.VERBOSE,
)
_VERDICT = re.compile(
    rf"""\b(?: (?:is|are|(?:must|would|should)\sbe|has\sto\sbe|(?:seem|appear)s(?:\sto\sbe)?)\s {_SURELY}
      (?: (?P<firm> (?:the|my)\s{_FITTING}{{0,3}}answers? | (?:the|my)\s{_FITTING}{{1,3}}(?:option|choice|one|fit)s? )
        | (?:the\s)?(?:correct|right) | the\sone(?=[.!]) )
      | it\sis(?=[.!]|\Z) | fits(?:\sbest|\stoo)?(?=[.!]|\Z) | (?:works|holds)(?=[.!]|\Z)
      | makes\sthe\smost\ssense )\b""",
    re.VERBOSE,
)
_POINTED = re.compile(
    rf"""\b(?: (?:it|this|that|which)(?: \s(?:is|(?:must|should|would)\sbe|has\sto\sbe|can\sonly\sbe)|['\u2019]s )
        | (?:gives|leaves|leaving|makes|making|means|matches|get)(?:\sus|\sonly)?(?:\swith)?
        | (?:correspond|point|lead)s?\sto
        | (?<!\b[A-J]\s)is | left\swith | settled\son | consistent\swith | describes
        | lean\stowards? | comes\sout\sas | answering ) :?\s {_SURELY}""",
    re.IGNORECASE | re.VERBOSE,
)
_SUBJECT_START = re.compile(r"[.,;:!?]\s|\n|\b(?:so|hence|thus|therefore|that|and|but|only)\s", re.IGNORECASE)
_CLAUSE_OVER = re.compile(
    r"[.,;!?\n]|\s(?:because|since|as|while|given|(?:the\s)?(?:correct|right|best|only))\b|\s[-\u2013\u2014]\s"
)
_CLAUSE = 200


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a commitment is made. `names` is the option it holds; None where that follows."""

    start: int
    end: int
    names: str | None
    is_firm: bool = True
    may_be_empty: bool = True
    """Whether the completion takes everything back by naming no option here."""

    def lead_in(self, text: str) -> str:
        """Its own words, where they lead to an option: "the answer to avoid is"."""
        return text[self.start : self.end] if self.names is None else ""


def marks(text: str, is_option: Callable[[str], bool]) -> list[Mark]:
    """In order, those written within another one left out."""
    found = [
        *_boxes(text),
        *(Mark(*match.span(), None) for match in _ANNOUNCED.finditer(text)),
        *(Mark(*match.span(), None, may_be_empty=False) for match in _LABELLED.finditer(text)),
        *(Mark(*match.span(), None, is_firm=False, may_be_empty=False) for match in _HEADED.finditer(text)),
        *(Mark(*match.span(), None, is_firm=False, may_be_empty=False) for match in _HENCE.finditer(text)),
        *_choices(text, is_option),
        *_verdicts(text, is_option),
        *_pointed(text, is_option),
    ]
    apart: list[Mark] = []
    for mark in sorted(found, key=lambda mark: (mark.start, -mark.end)):
        if not apart or mark.start >= apart[-1].end:
            apart.append(mark)
    return apart


def _boxes(text: str) -> Iterator[Mark]:
    """Each outermost box; one that never closes goes on to the end and names nothing."""
    position = 0
    while match := _BOX.search(text, position):
        depth, position = 1, len(text)
        for brace in _BRACE.finditer(text, match.end()):
            depth += {"{": 1, "}": -1}.get(brace[0], 0)
            if depth == 0:
                position = brace.end()
                break
        yield Mark(match.start(), position, text[match.end() : position - 1] if depth == 0 else "")


def _verdicts(text: str, is_option: Callable[[str], bool]) -> Iterator[Mark]:
    """`B is correct`, of letters anywhere, of an option's text where it is all of the subject."""
    for match in _VERDICT.finditer(text):
        before = text[max(0, match.start() - _CLAUSE) : match.start()]
        if letters := _LETTER_SUBJECT.search(before):
            start, names = match.start() - len(before) + letters.start(), letters["subject"]
        else:
            names = _SUBJECT_START.split(before)[-1]
            start = match.start() - len(names)
        if letters or is_option(names):
            yield Mark(start, match.end(), names, bool(match["firm"]), may_be_empty=False)


def _choices(text: str, is_option: Callable[[str], bool]) -> Iterator[Mark]:
    for match in _CHOSEN.finditer(text):
        names = _clause(text, match.end())
        if _LETTER.match(text, match.end()):
            yield Mark(*match.span(), None, not match["mild"], may_be_empty=False)
        elif is_option(names):
            yield Mark(match.start(), match.end() + len(names), names, not match["mild"], may_be_empty=False)


def _pointed(text: str, is_option: Callable[[str], bool]) -> Iterator[Mark]:
    for match in _POINTED.finditer(text):
        names = _clause(text, match.end())
        if is_option(names):
            yield Mark(match.start(), match.end() + len(names), names, is_firm=False, may_be_empty=False)


def _clause(text: str, start: int) -> str:
    return _CLAUSE_OVER.split(text[start : start + _CLAUSE], maxsplit=1)[0]
