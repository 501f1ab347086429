"""From a row's tests to the two halves that run apart: what the tests do, and which names the program must give them.

The problem's text is parsed here, the completion's never. Names are the program's only where nothing trusted
defines them: what the ground truth imports is imported beside the tests (a program may redefine `isclose`, and
the tests do not care), and helpers of a HumanEval prompt are the prompt's own.
"""

import ast
import builtins
import symtable
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NotRequired

from pydantic import with_config
from typing_extensions import TypedDict

from data_contracts.errors import DataError, GroundTruthError
from stages.verifiers.code_tests import UNIT
from stages.verifiers.reading import shortened

_CHECK, _CANDIDATE = "check", "candidate"


@with_config(extra="forbid")
class Case(TypedDict):
    """What a program reads from standard input, and what it must print."""

    stdin: str
    stdout: str


@with_config(extra="forbid")
class HiddenTests(TypedDict):
    """Tests that the prompt does not show: any failure is reward 0."""

    asserts: NotRequired[list[str]]
    cases: NotRequired[list[Case]]


@dataclass(frozen=True, slots=True)
class TestPlan:
    """Tests of calls, ready to run."""

    prelude: str
    """Trusted code that the tests need and the program has no part in."""

    tests: str
    names: dict[str, str]
    """By name in the tests, the name in the program."""

    units: tuple[str, ...]
    """Each test as people read it."""

    num_visible: int
    """The rest of the units are hidden."""


@lru_cache(maxsize=256)
def plan_check(prompt: str, entry_point: str, test: str, ground_truth: str) -> TestPlan:
    """HumanEval's shape: `check(candidate)`, each of whose statements with an assert is one test."""
    stub = f"{prompt}\n    pass\n"
    _parsed(stub, "prompt")
    _parsed(prompt + ground_truth, "prompt and ground truth", GroundTruthError)
    tree = _parsed(test, "test")
    check = next((n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == _CHECK), None)
    if check is None:
        raise DataError(
            "The test defines no function check(candidate).",
            "a test as HumanEval's",
            "Fix the row, or give its tests as asserts.",
        )
    units: list[str] = []
    check.body = [_guarded([node], units) if _has_assert(node) else node for node in check.body]
    _require_tests(units, test)
    source = f"{ast.unparse(ast.fix_missing_locations(tree))}\n{_CHECK}({_CANDIDATE})\n"
    names = {_CANDIDATE: entry_point, entry_point: entry_point}
    return TestPlan(stub, source, names, tuple(units), len(units))


@lru_cache(maxsize=256)
def plan_asserts(
    visible: tuple[str, ...], hidden: tuple[str, ...], set_up: str, ground_truth: str
) -> TestPlan:
    """Every text is one test; `set_up` runs before the first."""
    solution = _parsed(ground_truth, "ground truth", GroundTruthError)
    imports: list[ast.stmt] = [
        node for node in solution.body if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    prelude = ast.unparse(ast.Module(imports, []))
    units: list[str] = []
    body = _parsed(set_up, "test_setup_code").body
    for text in (*visible, *hidden):
        statements = _parsed(text, "test").body
        _require_tests([text] if any(map(_has_assert, statements)) else [], text)
        body.append(_guarded(statements, units))
    tests = ast.unparse(ast.fix_missing_locations(ast.Module(body, [])))
    own = {name for name in _assigned(ground_truth) if name not in _assigned(prelude)}
    free = _referenced(tests) - _assigned(tests) - _assigned(prelude) - (set(dir(builtins)) - own) - {UNIT}
    return TestPlan(prelude, tests, {name: name for name in sorted(free)}, tuple(units), len(visible))


def _parsed(text: str, what: str, error: type[DataError] = DataError) -> ast.Module:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as cause:
        raise error(
            f"The {what} {shortened(text)!r} is no Python: {cause}.",
            "source code that parses",
            "Fix the row or drop it.",
        ) from cause


def _require_tests(units: Sequence[str], text: str) -> None:
    if not units:
        raise DataError(
            f"The test {shortened(text)!r} asserts nothing: every program would pass.",
            "at least one assert in every test",
            "Fix the row or drop it.",
        )


def _has_assert(node: ast.stmt) -> bool:
    """One that says something: HumanEval's files are full of `assert True`."""
    return any(
        isinstance(inner, ast.Assert) and not isinstance(inner.test, ast.Constant) for inner in ast.walk(node)
    )


def _guarded(statements: list[ast.stmt], units: list[str]) -> ast.With:
    """`with unit(number): statements`, which opens no scope and lets nothing fail unseen."""
    units.append(shortened(" ".join(map(ast.unparse, statements))))
    call = ast.Call(ast.Name(UNIT, ast.Load()), [ast.Constant(len(units) - 1)], [])
    return ast.With([ast.withitem(call)], statements)


def _assigned(source: str) -> set[str]:
    """Names that a module itself defines."""
    table = symtable.symtable(source, "tests", "exec")
    return {s.get_name() for s in table.get_symbols() if s.is_assigned() or s.is_imported()}


def _referenced(source: str) -> set[str]:
    """Names that a module or its functions take from the module or the built-ins."""
    tables, names = [symtable.symtable(source, "tests", "exec")], set[str]()
    while tables:
        table = tables.pop()
        is_module = table.get_type() == "module"
        names |= {
            s.get_name() for s in table.get_symbols() if s.is_referenced() and (is_module or s.is_global())
        }
        tables += table.get_children()
    return names
