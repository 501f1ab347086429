"""Programs that do nothing: the reference solution with its functions emptied, for verifiers that look at names."""

import ast
from dataclasses import dataclass

from stages.verifiers.code_completion import programs_in

_RAISES = "raise NotImplementedError\nreturn {}"


@dataclass(frozen=True, slots=True)
class Stubs:
    """Completions by what the functions in them do."""

    wrong: dict[str, str]
    """None passes the tests of any problem of HumanEval or MBPP."""

    weak: dict[str, str]
    """Those pass where tests are weak, or where the solution happens to do no more: 4 of 974 in MBPP."""


class _Emptied(ast.NodeTransformer):
    """Every outermost function and method with another body."""

    def __init__(self, body: str) -> None:
        self._body = body

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        argument = arguments[-1].arg if arguments else "None"
        node.body = ast.parse(self._body.format(argument)).body
        return node


def stubs(completion: str, ground_truth: str) -> Stubs | None:
    """None where neither has a Python program with functions in it."""
    for program in map(str.strip, (*programs_in(completion), ground_truth)):
        if program in completion and _has_functions(program):
            return Stubs(
                wrong={
                    "functions that only raise": _emptied(completion, program, _RAISES),
                    "functions that return nothing": _emptied(completion, program, "return None"),
                },
                weak={"functions that return an argument": _emptied(completion, program, "return {}")},
            )
    return None


def _has_functions(program: str) -> bool:
    try:
        tree = ast.parse(program)
        ast.unparse(tree)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return any(isinstance(node, ast.FunctionDef) for node in ast.walk(tree))


def _emptied(completion: str, program: str, body: str) -> str:
    before, _, after = completion.rpartition(program)
    return before + ast.unparse(_Emptied(body).visit(ast.parse(program))) + after
