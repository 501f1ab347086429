"""From a row's tests to the two halves that run apart: what the tests do, and which names the program must give them.

The problem's text is parsed here, the completion's never. A unit is a statement that can fail as a test does: by
an assert, by a `raise`, or by a function of the tests' own that has one. What else they do prepares them; it is no
test that passes, but if it fails, they have not run to their end.
"""

import ast
import builtins
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NotRequired

from pydantic import with_config
from typing_extensions import TypedDict

from data_contracts.errors import DataError, GroundTruthError
from stages.verifiers.code_names import attributes_of, supply_of
from stages.verifiers.code_tests import UNIT
from stages.verifiers.reading import shortened

_CHECK, _CANDIDATE = "check", "candidate"
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


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

    attributes: tuple[str, ...]
    """What tests may ask objects of the program for although built-in values have it too."""

    units: tuple[str, ...]
    """Each test as people read it."""

    num_visible: int
    """The rest of the units are hidden."""


@lru_cache(maxsize=256)
def plan_check(prompt: str, entry_point: str, test: str, ground_truth: str) -> TestPlan:
    """HumanEval's shape: `check(candidate)`, called once, each of whose statements that can fail is a test."""
    stub = f"{prompt}\n    pass\n"
    _parsed(stub, "prompt")
    solution = _parsed(prompt + ground_truth, "prompt and ground truth", GroundTruthError)
    tree = _parsed(test, "test")
    check = next((n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == _CHECK), None)
    if check is None:
        raise DataError(
            "The test defines no function check(candidate).",
            "a test as HumanEval's",
            "Fix the row, or give its tests as asserts.",
        )
    failing = _failing_names(node for node in ast.walk(tree) if node is not check)
    units: list[str] = []
    check.body = _in_units(check.body, failing, units)
    tree.body = _in_units([node for node in tree.body if not _is_call_of_check(node)], failing, units)
    tree.body.append(_parsed(f"{_CHECK}({_CANDIDATE})", "call").body[0])
    _require_tests(units, test)
    names = {_CANDIDATE: entry_point}
    if entry_point in vars(builtins):
        stub += f"\ndel {entry_point}\n"  # the tests mean Python's own
    else:
        names[entry_point] = entry_point
    source = ast.unparse(ast.fix_missing_locations(tree))
    return TestPlan(stub, source, names, attributes_of(solution), tuple(units), len(units))


@lru_cache(maxsize=256)
def plan_asserts(
    visible: tuple[str, ...], hidden: tuple[str, ...], set_up: str, ground_truth: str
) -> TestPlan:
    """Every text is one test; `set_up` runs before the first."""
    solution = _parsed(ground_truth, "ground truth", GroundTruthError)
    body = _parsed(set_up, "test_setup_code").body
    texts = {text: _parsed(text, "test").body for text in (*visible, *hidden)}
    failing = _failing_names(
        inner for nodes in (body, *texts.values()) for node in nodes for inner in ast.walk(node)
    )
    units: list[str] = []
    for text in (*visible, *hidden):
        _require_tests([text] if any(_can_fail(node, failing) for node in texts[text]) else [], text)
        body.append(_guarded(texts[text], units))
    supply = supply_of("\n".join((set_up, *visible, *hidden)), solution)
    if not supply.names:
        raise DataError(
            f"The test {shortened(visible[0])!r} takes nothing from the program: every program would pass or fail.",
            "tests of what the ground truth defines",
            "Fix the row or drop it.",
        )
    names = {name: name for name in supply.names}
    tests = ast.unparse(ast.fix_missing_locations(ast.Module(body, [])))
    return TestPlan(supply.prelude, tests, names, attributes_of(solution), tuple(units), len(visible))


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


def _failing_names(nodes: Iterable[ast.AST]) -> frozenset[str]:
    """Of the functions and classes among them: those that can fail as a test does."""
    definitions = [node for node in nodes if isinstance(node, _DEFINITIONS)]
    failing = frozenset[str]()
    while found := {node.name for node in definitions if _can_fail(node, failing)} - failing:
        failing |= found
    return failing


def _can_fail(node: ast.stmt, failing: frozenset[str]) -> bool:
    """By a statement that says something (HumanEval's files are full of `assert True`), or by a name that can."""
    return any(
        isinstance(inner, ast.Raise)
        or (isinstance(inner, ast.Assert) and not _is_always_true(inner.test))
        or (isinstance(inner, ast.Name) and inner.id in failing)
        or (isinstance(inner, ast.Attribute) and inner.attr.startswith("assert"))
        for inner in ast.walk(node)
    )


def _is_always_true(test: ast.expr) -> bool:
    """A constant, or a pair, as in `assert (x == 1, "message")`."""
    if isinstance(test, ast.Tuple):
        return bool(test.elts)
    return isinstance(test, ast.Constant) and bool(test.value)


def _is_call_of_check(node: ast.stmt) -> bool:
    match node:
        case ast.Expr(ast.Call(ast.Name(name))):
            return name == _CHECK
        case _:
            return False


def _in_units(body: Sequence[ast.stmt], failing: frozenset[str], units: list[str]) -> list[ast.stmt]:
    return [
        _guarded([node], units) if not isinstance(node, _DEFINITIONS) and _can_fail(node, failing) else node
        for node in body
    ]


def _guarded(statements: list[ast.stmt], units: list[str]) -> ast.With:
    """`with unit(number): statements`, which opens no scope and lets nothing fail unseen."""
    units.append(shortened(" ".join(map(ast.unparse, statements))))
    call = ast.Call(ast.Name(UNIT, ast.Load()), [ast.Constant(len(units) - 1)], [])
    return ast.With([ast.withitem(call)], statements)
