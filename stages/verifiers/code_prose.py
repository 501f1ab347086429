"""Python among words: a completion without fences, in which somebody explains a program before and after it.

Whatever line the compiler stumbles over is taken for words. It runs inside the sandbox, as all parsing of a
completion does, and needs as many compilations as there are such lines.
"""

import ast
import textwrap
from collections.abc import Sequence

_MOST_WORDS = 1_000
"""Lines. What follows more of them is not searched: each costs a compilation of all that follows."""


def runs_in(text: str) -> list[str]:
    """As many lines each as make a module together, in order; indented ones, as in a list, brought to the margin."""
    lines = text.split("\n")
    runs, start, num_words = list[str](), 0, 0
    while start < len(lines) and num_words <= _MOST_WORDS:
        is_indented = lines[start][:1].isspace()
        end = start + 1
        while end < len(lines) and (not is_indented or not lines[end].strip() or lines[end][0].isspace()):
            end += 1
        part = textwrap.dedent("\n".join(lines[start:end])).split("\n")
        count = num_lines_of_module(part)
        runs.append("\n".join(part[:count]))
        start += count or 1
        num_words += not count
    return [run for run in runs if run.strip()]


def num_lines_of_module(lines: Sequence[str]) -> int:
    """How many of the first lines compile: up to the statement with the first error, if there is one."""
    count = len(lines)
    while count:
        try:
            compile("\n".join(lines[:count]), "<run>", "exec", dont_inherit=True)
        except SyntaxError as error:
            count = min(count - 1, max(0, (error.lineno or 1) - 1))
        except ValueError:
            return 0
        else:
            break
    return count


def without_words(body: Sequence[ast.stmt]) -> list[ast.stmt]:
    """Leave out words that happen to be Python, such as `Done` or `Note: simple`, and would raise a NameError."""
    return [node for node in body if not _is_words(node)]


def _is_words(node: ast.stmt) -> bool:
    if isinstance(node, ast.AnnAssign):
        return node.value is None
    return isinstance(node, ast.Expr) and not any(
        isinstance(inner, ast.Call | ast.Await) for inner in ast.walk(node)
    )
