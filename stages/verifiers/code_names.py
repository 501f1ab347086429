"""Which names of the tests are the program's to define. All others are trusted: a program that could supply them would
see what the tests expect, and decide what equals it.

Trusted are the standard library, the built-ins, what the ground truth imports, and its constants. A program may
redefine `isclose`, and the tests do not care. Only the name that is itself under test is the program's, whatever
else is called so.
"""

import ast
import builtins
import symtable
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from stages.verifiers.code_source import names_of

_BUILTINS = frozenset(dir(builtins))


@dataclass(frozen=True, slots=True)
class Supply:
    """Where the names that tests take from elsewhere come from."""

    prelude: str
    """Trusted code that defines some of them."""

    names: tuple[str, ...]
    """The program's."""


def supply_of(tests: str, solution: ast.Module) -> Supply:
    """`solution` is the ground truth, or empty: then the program's are those that nothing trusted defines."""
    defined, used = names_of(tests)
    wanted = used - defined
    constants = [node for node in solution.body if _is_constant(node)]
    own = _own_names([node for node in solution.body if node not in constants])
    constants = [node for node in constants if not own & _own_names([node])]
    names = _of_program(wanted, own if solution.body else wanted, _called_only(tests), solution)
    imports = [node for node in solution.body if isinstance(node, ast.Import | ast.ImportFrom)]
    imports += _nested_imports(solution, imports, wanted - names)
    imported, _ = names_of(_source(imports))
    modules = sorted((wanted - names - imported - own - _BUILTINS) & sys.stdlib_module_names)
    added = [ast.Import([ast.alias(name)]) for name in modules]
    return Supply(_source([*imports, *added, *constants]), tuple(sorted(names)))


def attributes_of(solution: ast.Module) -> tuple[str, ...]:
    """What objects of the ground truth's classes have."""
    names = set[str]()
    for node in ast.walk(solution):
        if isinstance(node, ast.ClassDef):
            names |= _own_names(node.body)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            names.add(node.attr)
    return tuple(sorted(names))


def _of_program(wanted: set[str], own: set[str], called: set[str], solution: ast.Module) -> set[str]:
    """Of names that are also modules', those which tests call as no module can be.

    Of the built-ins' names the last that the ground truth defines, and that only where nothing else is tested.
    """
    names = {
        name for name in wanted & own - _BUILTINS if name not in sys.stdlib_module_names or name in called
    }
    in_order = [name for node in solution.body for name in sorted(_own_names([node])) if name in wanted]
    return names or set(in_order[-1:]) & _BUILTINS


def _own_names(body: Sequence[ast.stmt]) -> set[str]:
    """What it defines other than by an import."""
    table = symtable.symtable(_source(body), "solution", "exec")
    return {symbol.get_name() for symbol in table.get_symbols() if symbol.is_assigned()}


def _source(body: Sequence[ast.stmt]) -> str:
    return ast.unparse(ast.Module(list(body), []))


def _is_constant(node: ast.stmt) -> bool:
    if not isinstance(node, ast.Assign):
        return False
    try:
        ast.literal_eval(node.value)
    except (ValueError, TypeError, SyntaxError, MemoryError):
        return False
    return all(isinstance(target, ast.Name) for target in node.targets)


def _called_only(tests: str) -> set[str]:
    """Names that are called, and never asked for an attribute."""
    nodes = list(ast.walk(ast.parse(tests)))
    called = {
        node.func.id for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    asked = {
        node.value.id
        for node in nodes
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    }
    return called - asked


def _nested_imports(
    solution: ast.Module, top: Sequence[ast.stmt], wanted: set[str]
) -> list[ast.Import | ast.ImportFrom]:
    """Of the standard library, inside functions and other statements, as far as tests want their names."""
    found: list[ast.Import | ast.ImportFrom] = []
    for node in ast.walk(solution):
        if node in top or not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        module = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
        names = [
            alias
            for alias in node.names
            if (module or f"{alias.name}.").partition(".")[0] in sys.stdlib_module_names
            and (alias.asname or alias.name.partition(".")[0]) in wanted | {"*"}
        ]
        if names and isinstance(node, ast.ImportFrom):
            found.append(ast.ImportFrom(node.module, names, node.level))
        elif names:
            found.append(ast.Import(names))
    return found
