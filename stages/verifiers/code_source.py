"""From the blocks of a completion to one program. It runs inside the sandbox: hostile source can crash a parser.

The program is the last block that defines what is tested, so that an example of use after it does not count, with
the definitions of other blocks that it needs. A block may also continue the prompt, as HumanEval's programs do.
"""

import ast
import builtins
import symtable
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

_NAME = "<program>"
_DEFINITIONS = (
    *(ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef),
    *(ast.Assign, ast.AnnAssign),
)


@dataclass(frozen=True, slots=True)
class _Block:
    """A block that is a whole module."""

    body: list[ast.stmt]
    defined: frozenset[str]
    free: frozenset[str]
    """Names that it takes from elsewhere."""

    @classmethod
    def read(cls, text: str) -> Self | None:
        """Indented as a whole or not. None for what is no module, such as the body of a function."""
        for source in (text, textwrap.dedent(text)):
            try:
                compile(source, _NAME, "exec", dont_inherit=True)  # ast.parse lets a lone `return` pass
            except (SyntaxError, ValueError):
                continue
            defined, used = names_of(source)
            return cls(ast.parse(source).body, frozenset(defined), frozenset(used - defined - _BUILTINS))
        return None

    def acts(self) -> bool:
        """It is more than values, which are what some program has printed."""
        return any(
            not isinstance(node, ast.Expr) or any(isinstance(inner, ast.Call) for inner in ast.walk(node))
            for node in self.body
        )


_BUILTINS = frozenset(dir(builtins))


def program_of(blocks: Sequence[str], prompt: str = "", names: Sequence[str] = ()) -> ast.Module:
    """The program that defines `names`, or, without any, the last one that does something.

    With a prompt, which ends inside a function, it may be the rest of that function. Raises SyntaxError, ValueError.
    """
    modules = [block for block in map(_Block.read, blocks) if block]
    if prompt:
        if not any(block.defined.intersection(names) for block in modules):
            return _continued(prompt, blocks)
        return ast.Module(
            _future_first([*ast.parse(f"{prompt}\n    pass\n").body, *_joined(modules, names)]), []
        )
    if not modules:
        compile(blocks[-1], _NAME, "exec", dont_inherit=True)
    return ast.Module(_future_first(_joined(modules, names)), [])


def names_of(source: str) -> tuple[set[str], set[str]]:
    """Which names a module itself defines, and which it or its functions take from the module or the built-ins."""
    top = symtable.symtable(source, _NAME, "exec")
    defined = {s.get_name() for s in top.get_symbols() if s.is_assigned() or s.is_imported()}
    tables, used = [top], set[str]()
    while tables:
        table = tables.pop()
        used |= {
            s.get_name() for s in table.get_symbols() if s.is_referenced() and (table is top or s.is_global())
        }
        tables += table.get_children()
    return defined, used


def _joined(modules: Sequence[_Block], names: Sequence[str]) -> list[ast.stmt]:
    """The block chosen, after what it needs of the others: definitions, nearest first, never what they do."""
    positions = range(len(modules))
    chosen = max(
        positions,
        key=lambda n: (bool(modules[n].defined.intersection(names)), modules[n].acts(), n),
    )
    body = modules[chosen].body
    needed = (modules[chosen].free | frozenset(names)) - modules[chosen].defined
    for position in [*reversed(positions[:chosen]), *positions[chosen + 1 :]]:
        block = modules[position]
        if needed & block.defined:
            body = [*(node for node in block.body if isinstance(node, _DEFINITIONS)), *body]
            needed = (needed | block.free) - block.defined
    return body


def _future_first(body: list[ast.stmt]) -> list[ast.stmt]:
    """Python wants `from __future__ import` before all else."""
    return sorted(
        body, key=lambda node: not (isinstance(node, ast.ImportFrom) and node.module == "__future__")
    )


def _continued(prompt: str, blocks: Sequence[str]) -> ast.Module:
    """The last block that fits, those first which say `return` and so can only be the body of a function.

    It may be indented as it should be, otherwise but evenly, or all but its first line, which was stripped.
    """
    failure: SyntaxError | ValueError | None = None
    for _, _, text in sorted((_Block.read(text) is not None, -n, text) for n, text in enumerate(blocks)):
        for body in (text, textwrap.indent(textwrap.dedent(text), "    "), f"    {text.lstrip()}"):
            try:
                compile(prompt + body, _NAME, "exec", dont_inherit=True)
            except (SyntaxError, ValueError) as error:
                failure = failure or error
                continue
            return ast.parse(prompt + body)
    raise failure or SyntaxError("no program")
