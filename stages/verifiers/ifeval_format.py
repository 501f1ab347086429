"""IFEval's constraints on the shape of an answer: lists, sections, paragraphs, titles, JSON, beginning and end.

Deliberate differences from the reference implementation, besides those of ifeval.py. What is counted must have a
letter or digit in it: `[]`, an empty bullet, a rule `---` or a heading with nothing below are none. Sections have
numbers that differ. `***a***` is one highlight, not two. JSON is an object or array, as RFC 8259 has it. Of the
three constrained responses one is given, not several. Two responses differ in more than case, spaces and
punctuation. What must come first or last in an answer is not the answer: something follows a repeated prompt,
comes before an end phrase, and stands on both sides of a postscript's marker. The n-th paragraph is the n-th that
says something. Texts from the row are text, not regular expressions, and all patterns are linear.
"""

import re
from collections.abc import Iterator

from pydantic_core import from_json

from stages.verifiers.ifeval_answer import Answer, as_seen, says_something

CONSTRAINED_RESPONSES = ("My answer is yes.", "My answer is no.", "My answer is maybe.")

_PLACEHOLDER = re.compile(r"\[([^\[\]\n]*)\]")
_HIGHLIGHT = re.compile(r"\*([^\n*]*)\*")
_BOLD_HIGHLIGHT = re.compile(r"\*\*([^\n*]*)\*\*")
_BOTH_HIGHLIGHTS = re.compile(r"\*\*\*([^\n*]+)\*\*\*")
_DIVIDER = re.compile(r"\s?\*\*\*\s?")
_FENCE = re.compile(r"```(?:json|Json|JSON)?")
_NOT_SAID = re.compile(r"[\W_]+")
_POSTSCRIPTS = {"P.P.S": r"p\.\s?p\.\s?s", "P.S.": r"p\.\s?s\."}


def has_num_placeholders(answer: Answer, *, num_placeholders: int) -> bool:
    return _num_saying(_PLACEHOLDER.findall(answer.plain)) >= num_placeholders


def has_num_bullets(answer: Answer, *, num_bullets: int) -> bool:
    """Exactly so many lines that begin with `-`, or with one `*`."""
    lines = (line.lstrip() for line in answer.plain.split("\n"))
    bullets = [line for line in lines if line.startswith(("-", "*")) and not line.startswith("**")]
    return _num_saying(bullets) == num_bullets


def has_num_highlights(answer: Answer, *, num_highlights: int) -> bool:
    """At least so many stretches of a line between asterisks, single or double."""
    found, bold, both = (
        _num_saying(pattern.findall(answer.plain))
        for pattern in (_HIGHLIGHT, _BOLD_HIGHLIGHT, _BOTH_HIGHLIGHTS)
    )
    return found + bold - both >= num_highlights


def has_num_sections(answer: Answer, *, section_spliter: str, num_sections: int) -> bool:
    """At least so many headings such as `Section 1`, each with content before the next."""
    pieces = re.split(rf"{re.escape(as_seen(section_spliter))}\s?(\d+)", answer.plain)
    numbers = {
        number.lstrip("0")
        for number, content in zip(pieces[1::2], pieces[2::2], strict=True)
        if says_something(content)
    }
    return len(numbers) >= num_sections


def has_num_paragraphs(answer: Answer, *, num_paragraphs: int) -> bool:
    """Exactly so many between dividers `***`; one at the very beginning or end parts nothing."""
    paragraphs = [says_something(paragraph) for paragraph in _DIVIDER.split(answer.plain)]
    return all(paragraphs[1:-1]) and sum(paragraphs) == num_paragraphs


def has_first_word(answer: Answer, *, num_paragraphs: int, nth_paragraph: int, first_word: str) -> bool:
    """Exactly so many paragraphs between blank lines, and that word, up to punctuation, first in the n-th."""
    paragraphs = [paragraph for paragraph in answer.plain.split("\n\n") if says_something(paragraph)]
    if len(paragraphs) != num_paragraphs:
        return False
    word = paragraphs[nth_paragraph - 1].split(maxsplit=1)[0].lstrip("'").lstrip('"')
    return re.split(r"[.,?!'\"]", word, maxsplit=1)[0].lower() == as_seen(first_word).lower()


def has_title(answer: Answer) -> bool:
    return any(says_something(title) for line in answer.plain.split("\n") for title in _titles(line))


def has_postscript(answer: Answer, *, postscript_marker: str) -> bool:
    marker = _POSTSCRIPTS.get(postscript_marker) or re.escape(as_seen(postscript_marker).lower())
    text = answer.plain.lower()
    first = next((at for at, character in enumerate(text) if character.isalnum()), len(text))
    last = next((at for at in range(len(text) - 1, -1, -1) if text[at].isalnum()), -1)
    return any(
        first < found.start() and found.end() <= last for found in re.finditer(rf"(?<!\w){marker}", text)
    )


def is_json(answer: Answer) -> bool:
    """All of it, or all within one code fence."""
    text = answer.text.strip().removesuffix("```")
    fence = _FENCE.match(text)
    try:
        value = from_json(text[fence.end() if fence else 0 :].strip(), allow_inf_nan=False)
    except ValueError:
        return False
    return isinstance(value, dict | list)


def is_constrained_response(answer: Answer) -> bool:
    return sum(response in answer.plain for response in CONSTRAINED_RESPONSES) == 1


def is_quoted(answer: Answer) -> bool:
    text = answer.plain.strip()
    return len(text) > 1 and text.startswith('"') and text.endswith('"')


def has_two_responses(answer: Answer) -> bool:
    """Parted by `******`, which may also stand at the very beginning and end."""
    responses = [_NOT_SAID.sub("", response).casefold() for response in answer.plain.split("******")]
    said = [response for response in responses if response]
    return all(responses[1:-1]) and len(said) == 2 and said[0] != said[1]


def repeats_prompt(answer: Answer, *, prompt_to_repeat: str) -> bool:
    prompt = as_seen(prompt_to_repeat).strip().lower()
    text = answer.plain.strip().lower()
    return text.startswith(prompt) and says_something(text[len(prompt) :])


def ends_with_phrase(answer: Answer, *, end_phrase: str) -> bool:
    """Quotation marks may follow it, as where all of the answer is quoted."""
    phrase = as_seen(end_phrase).strip().lower()
    text = answer.plain.strip().lower()
    return any(
        ending.endswith(phrase) and says_something(ending.removesuffix(phrase))
        for ending in (text, text.strip('"'))
    )


def _num_saying(found: list[str]) -> int:
    return sum(says_something(text) for text in found)


def _titles(line: str) -> Iterator[str]:
    for before_end in line.split(">>")[:-1]:
        _, start, title = before_end.rpartition("<<")
        if start:
            yield title
