"""The identity of code: what it does, whatever its comments, docstrings and layout.

A stage's code is its module and everything it imports from this project. Text comes from `ast.unparse`,
which is the same on every supported Python (`ast.dump` is not).
"""

import ast
import functools
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from data_contracts.canonical import fingerprint
from data_contracts.errors import DataError, RecipeError
from data_contracts.model_verifiers import COSTS, ModelVerifier

PROJECT = Path(__file__).resolve().parent.parent
_PACKAGES = ("stages", "infra")
"""Rooms whose code decides results. data_contracts only names things; flows only orders them."""


@functools.cache
def code_fingerprint(module: str) -> str:
    """Fingerprint of `module` and of the project modules it imports, directly or not."""
    return fingerprint({name: _canonical_source(name) for name in sorted(closure(module))})


def verifier_code(verifiers: Mapping[str, str | ModelVerifier]) -> dict[str, Any]:
    """What verifiers that a recipe adds do: their record's name and file, or the model they ask and how."""
    code: dict[str, Any] = {}
    for name, place in verifiers.items():
        if isinstance(place, str):
            module, _, record = place.rpartition(":")
            origin = module if module.endswith(".py") else _origin(name, module)
            code[name] = f"{record} {_file_fingerprint(Path(origin))}"
        else:
            code[name] = place.model_dump(mode="json", exclude=set(COSTS))
    return code


def _origin(name: str, module: str) -> str:
    try:
        spec = find_spec(module)
    except (ImportError, ValueError):
        spec = None
    if spec is None or spec.origin is None:
        raise RecipeError(
            f"verifiers.{name}: Python finds no module {module!r}.",
            "package.module:RECORD of an installed package, or file.py:RECORD",
            "Install the package, or name the file relative to the recipe's folder.",
        )
    return spec.origin


def _file_fingerprint(path: Path) -> str:
    """Fingerprint of one file that is not of this project. Raises DataError when it cannot be read as Python."""
    try:
        return fingerprint(ast.unparse(_WithoutDocstrings().visit(ast.parse(path.read_text()))))
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}.", "a Python file", "Correct its path.") from error


def closure(module: str) -> set[str]:
    """`module` and all project modules it reaches by import."""
    reached: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting.extend(_imports(name))
    return reached


@functools.cache
def _tree(module: str) -> ast.Module:
    return ast.parse(_source_path(module).read_text())


def _source_path(module: str) -> Path:
    path = PROJECT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@functools.cache
def _imports(module: str) -> tuple[str, ...]:
    names: set[str] = set()
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names.add(node.value.partition(":")[0])  # a module that is loaded by its name, in another process
    ours = {name for name in names if name.split(".")[0] in _PACKAGES}
    return tuple(sorted(name for name in ours if _is_module(name)))


def _is_module(name: str) -> bool:
    return all(part.isidentifier() for part in name.split(".")) and _source_path(name).is_file()


@functools.cache
def _canonical_source(module: str) -> str:
    tree = _WithoutDocstrings().visit(ast.parse(_source_path(module).read_text()))
    return ast.unparse(tree)


class _WithoutDocstrings(ast.NodeTransformer):
    """Drops every bare string statement: docstrings of modules, classes, functions and fields."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        is_text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if is_text else node

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and not node.body:
            node.body = [ast.Pass()]
        return node
