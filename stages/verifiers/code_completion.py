"""Which parts of a completion may be the program: its blocks of Python, after the thinking.

Fences are read as CommonMark has them (section 4.5), with what models write besides: a fence that opens after
words or closes after code on the same line, and `[BEGIN]` and `[DONE]` as in MBPP's own prompts (Austin et al.,
arXiv 2108.07732). Nothing is parsed here: `code_source` does that, inside the sandbox.
"""

import re

from stages.verifiers.reading import after_thinking

_FENCE = re.compile(r"`{3,}|~{3,}")
_QUOTE = re.compile(r"[ ]{0,3}>[ ]?")
_PYTHON = re.compile(r"[{.\s]*(?:python|py)[\d.]*(?![\w-])")


def programs_in(completion: str) -> tuple[str, ...]:
    """All blocks marked as Python; or all without a mark; or the only one; or, without blocks, the whole text."""
    text = after_thinking(completion)
    blocks = _blocks(text)
    marked = [block for mark, block in blocks if _PYTHON.match(mark)]
    plain = [block for mark, block in blocks if not mark]
    only = [block for _, block in blocks] if len(blocks) == 1 else []
    found = marked or plain or only or ([] if blocks else [_without_brackets(text)])
    return tuple(block.lstrip("\ufeff") for block in found if block.strip())


def has_fences(completion: str) -> bool:
    return bool(_blocks(after_thinking(completion)))


def in_fence(program: str) -> str:
    """A completion whose program is this."""
    return f"```python\n{program}\n```"


def _blocks(text: str) -> list[tuple[str, str]]:
    """The mark and content of every fenced block; one that is never closed reaches to the end.

    A block that opens in a quotation (section 5.1) is quoted as a whole.
    """
    blocks: list[tuple[str, str]] = []
    opened: tuple[int, str, str] | None = None
    lines = list[str]()
    is_quoted = False
    for written in text.split("\n"):
        is_quoted = is_quoted if opened else _QUOTE.match(written) is not None
        line = _QUOTE.sub("", written, count=1) if is_quoted else written
        if opened is None:
            opened, lines = _opening(line), []
            continue
        column, fence, mark = opened
        if (last := _before_closing(line, column, fence)) is None:
            lines.append(line)
            continue
        blocks.append((mark, "\n".join([*lines, last])))
        opened = None
    return [*blocks, (opened[2], "\n".join(lines))] if opened else blocks


def _opening(line: str) -> tuple[int, str, str] | None:
    """Column, fence and mark. After words only with the mark of Python, since those may quote a fence."""
    found = _FENCE.search(line)
    if found is None:
        return None
    mark = line[found.end() :].strip().lower()
    if found[0][0] in mark or (line[: found.start()].strip() and not _PYTHON.match(mark)):
        return None
    return found.start(), found[0], mark


def _before_closing(line: str, column: int, fence: str) -> str | None:
    """What the line holds before the closing fence, or None for a line without one.

    A fence alone on its line closes up to the column where the block was opened: deeper, it is a docstring's.
    """
    stripped = line.rstrip()
    code = stripped.rstrip(fence[0])
    if len(stripped) - len(code) < len(fence) or fence in code:
        return None
    return None if not code.strip() and len(code) > column else code


def _without_brackets(text: str) -> str:
    """Between the last line `[BEGIN]` and the `[DONE]` that follows it."""
    lines = list[str]()
    for line in text.split("\n"):
        if line.strip() == "[BEGIN]":
            lines.clear()
        elif line.strip() == "[DONE]":
            break
        else:
            lines.append(line)
    return "\n".join(lines)
