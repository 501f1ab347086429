"""Which part of a completion is the program: the last block marked as Python, after the thinking."""

from data_contracts.verdict import PosedProblem
from stages.verifiers.reading import after_thinking

_MARKS = ("python", "python3", "py")
_FENCES = ("```", "~~~")


def program_in(completion: str) -> str | None:
    """The last ```python block, or the only block of any kind, or all of it where there is none.

    None where there are several blocks and none is marked as Python, or nothing at all. A block that is
    never closed reaches to the end.
    """
    text = after_thinking(completion)
    blocks = _blocks(text)
    marked = [block for mark, block in blocks if mark in _MARKS]
    program = marked[-1] if marked else blocks[0][1] if len(blocks) == 1 else None if blocks else text
    return program if program and program.strip() else None


def in_fence(program: str) -> str:
    """A completion whose program is this."""
    return f"```python\n{program}\n```"


def canonical_program(problem: PosedProblem, prompt: str) -> str:
    """The ground truth as a whole program: HumanEval's continues its prompt."""
    return prompt + problem.ground_truth


def _blocks(text: str) -> list[tuple[str, str]]:
    """The mark and content of every fenced block."""
    blocks: list[tuple[str, str]] = []
    mark: str | None = None
    fence, lines = "", list[str]()
    for line in text.split("\n"):
        stripped = line.strip()
        if mark is None and stripped.startswith(_FENCES):
            fence = stripped[0] * (len(stripped) - len(stripped.lstrip(stripped[0])))
            words = stripped[len(fence) :].lower().split()
            mark, lines = (words[0] if words else ""), []
        elif mark is not None and stripped == fence:
            blocks.append((mark, "\n".join(lines)))
            mark = None
        elif mark is not None:
            lines.append(line)
    return [*blocks, (mark, "\n".join(lines))] if mark is not None else blocks
