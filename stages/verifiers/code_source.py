"""From the blocks of a completion to one program. It runs inside the sandbox: hostile source can crash a parser.

The program is the last block that defines what is tested, so that an example of use after it does not count, with
the definitions of other blocks that it needs. A block may also continue the prompt, as HumanEval's programs do.
Names of `typing` in annotations need no import: a hint does nothing, and problems are posed with them.
"""

import ast
import builtins
import symtable
import textwrap
import typing
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from stages.verifiers.code_prose import num_lines_of_module, runs_in, without_words

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

    def makes(self, names: Sequence[str]) -> bool:
        """It defines one of them itself. To import it is what an example of use does."""
        imports = [node for node in self.body if isinstance(node, ast.Import | ast.ImportFrom)]
        imported = {alias.asname or alias.name for node in imports for alias in node.names}
        return not (self.defined - imported).isdisjoint(names)

    def acts(self) -> bool:
        """It is more than values, which are what some program has printed."""
        return any(
            not isinstance(node, ast.Expr) or any(isinstance(inner, ast.Call) for inner in ast.walk(node))
            for node in self.body
        )


_BUILTINS = frozenset(dir(builtins))


def program_of(
    blocks: Sequence[str], prompt: str = "", names: Sequence[str] = (), is_among_words: bool = False
) -> ast.Module:
    """The program that defines `names`, or, without any, the last one that does something.

    With a prompt, which ends inside a function, it may be the rest of that function. A completion without
    fences is one block, with the program among its words. Raises SyntaxError, ValueError.
    """
    modules = [block for block in map(_Block.read, blocks) if block]
    if prompt and not _define(modules, names):
        try:
            body = _continued(prompt, blocks)
        except (SyntaxError, ValueError):
            if not is_among_words:
                raise
            body = _among_words(prompt, blocks[0], names)
    else:
        modules = _runs(blocks[0]) if is_among_words else modules
        if not modules:
            compile(blocks[-1], _NAME, "exec", dont_inherit=True)
            raise SyntaxError("no program")
        body = [*_stub(prompt), *_joined(modules, names)]
    return ast.Module(_future_first([*_hints(body), *body]), [])


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
        key=lambda n: (modules[n].makes(names), _define([modules[n]], names), modules[n].acts(), n),
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


def _hints(body: Sequence[ast.stmt]) -> list[ast.stmt]:
    """An import of the names of `typing` that annotations use. What the program says of them comes later."""
    annotations: list[ast.expr | None] = []
    for node in (inner for outer in body for inner in ast.walk(outer)):
        match node:
            case ast.arg(annotation=hint) | ast.AnnAssign(annotation=hint):
                annotations.append(hint)
            case ast.FunctionDef(returns=hint) | ast.AsyncFunctionDef(returns=hint):
                annotations.append(hint)
            case _:
                pass
    used = {
        inner.id for hint in annotations if hint for inner in ast.walk(hint) if isinstance(inner, ast.Name)
    }
    known = sorted(used.intersection(typing.__all__))
    return list(ast.parse(f"from typing import {', '.join(known)}").body) if known else []


def _stub(prompt: str) -> list[ast.stmt]:
    """What the prompt defines before the function it ends in, and that one empty."""
    return ast.parse(f"{prompt}\n    pass\n").body if prompt else []


def _define(modules: Sequence[_Block], names: Sequence[str]) -> bool:
    return any(block.defined.intersection(names) for block in modules)


def _runs(text: str) -> list[_Block]:
    blocks = [block for block in map(_Block.read, runs_in(text)) if block]
    return [replace(block, body=without_words(block.body)) for block in blocks]


def _among_words(prompt: str, text: str, names: Sequence[str]) -> list[ast.stmt]:
    """A program of its own, or else as much of the text as continues the prompt."""
    modules = _runs(text)
    if _define(modules, names):
        return [*_stub(prompt), *_joined(modules, names)]
    parts = [(prompt + body).split("\n") for body in _bodies(text)]
    parts = [part[: num_lines_of_module(part)] for part in parts]
    longest = max(parts, key=len)
    if not "".join(longest[prompt.count("\n") :]).strip():
        raise SyntaxError("no program")
    return without_words(ast.parse("\n".join(longest)).body)


def _bodies(text: str) -> tuple[str, str, str]:
    """Indented as it should be, otherwise but evenly, or all but its first line, which was stripped."""
    return text, textwrap.indent(textwrap.dedent(text), "    "), f"    {text.lstrip()}"


def _continued(prompt: str, blocks: Sequence[str]) -> list[ast.stmt]:
    """The last block that fits, those first which say `return` and so can only be the body of a function."""
    failure: SyntaxError | ValueError | None = None
    for _, _, text in sorted((_Block.read(text) is not None, -n, text) for n, text in enumerate(blocks)):
        for body in _bodies(text):
            try:
                compile(prompt + body, _NAME, "exec", dont_inherit=True)
            except (SyntaxError, ValueError) as error:
                failure = failure or error
                continue
            return ast.parse(prompt + body).body
    raise failure or SyntaxError("no program")
