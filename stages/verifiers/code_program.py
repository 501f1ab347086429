"""The side of the sandbox where a model's program runs. It has the program and never a test.

`serve` answers calls: arguments come in, results go out, as plain data. `run_script` is a program that
reads standard input and prints. Nothing said here is believed: a wrong value fails its test on the other side.
"""

import ast
import json
import os
import socket
import sys
import textwrap
from types import CodeType, ModuleType
from typing import Any

from stages.verifiers.code_values import MessageError, decode, encode, receive, send

_NAME = "program"


class _Objects:
    """What the program has handed out as a number."""

    def __init__(self) -> None:
        self._objects: list[object] = []

    def number(self, value: object, _: str) -> int:
        self._objects.append(value)
        return len(self._objects) - 1

    def find(self, _: str, number: int) -> object:
        return self._objects[number]


def serve(payload: int, channel: int) -> None:
    """Run the program once, then answer requests until the tests are done."""
    calls = socket.socket(fileno=channel)
    module = ModuleType(_NAME)
    try:
        _execute(_compile(**_read(payload)), module)
    except BaseException as error:  # noqa: BLE001 (whatever the program raises is its result)
        send(calls, {"raised": _described(error)})
        os._exit(0)
    send(calls, {"value": None})
    objects = _Objects()
    while (request := receive(calls)) is not None:
        _answer(calls, module, objects, request)
    os._exit(0)


def run_script(payload: int, stdin: int, stdout: int) -> None:
    """As `python program.py` would; standard output is a file of limited size."""
    code = _compile(**_read(payload))
    for source, target in ((stdin, 0), (stdout, 1)):
        os.dup2(source, target)
        os.close(source)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 (open until the program ends)
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.__stdin__, sys.__stdout__ = sys.stdin, sys.stdout
    sys.argv = [f"{_NAME}.py"]
    _execute(code, ModuleType("__main__"))


def _read(payload: int) -> dict[str, str]:
    with os.fdopen(payload, "rb") as file:
        return json.load(file)


def _compile(text: str, prompt: str = "", entry_point: str = "") -> CodeType:
    """The program: `text` alone, or after the prompt's own code, or as the body of the prompt's last function."""
    if not prompt:
        return compile(text, f"<{_NAME}>", "exec")
    candidates = (
        f"{prompt}\n    pass\n\n{text}",
        prompt + text,
        prompt + textwrap.indent(textwrap.dedent(text), "    "),
    )
    failure: SyntaxError | None = None
    for source, is_whole in zip(candidates, (True, False, False), strict=True):
        try:
            if not is_whole or _defines(text, entry_point):
                return compile(source, f"<{_NAME}>", "exec")
        except SyntaxError as error:
            failure = failure or error
    raise failure or SyntaxError(f"does not define {entry_point}")


def _defines(text: str, name: str) -> bool:
    return any(_is_definition(node, name) for node in ast.parse(text).body)


def _is_definition(node: ast.stmt, name: str) -> bool:
    if isinstance(node, ast.Assign):
        return any(isinstance(target, ast.Name) and target.id == name for target in node.targets)
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name == name


def _execute(code: CodeType, module: ModuleType) -> None:
    """`__name__` is the module's, so that only a script runs what stands under `if __name__ == "__main__"`."""
    sys.modules["builtins"].__dict__.update(
        exit=sys.exit, quit=sys.exit
    )  # Python's own come with site, which is not imported
    sys.modules[module.__name__] = module  # dataclasses and typing look their module up
    exec(code, module.__dict__)  # noqa: S102 (to run it is what this process is for)


def _answer(calls: socket.socket, module: ModuleType, objects: _Objects, request: dict[str, Any]) -> None:
    try:
        result = {"value": encode(_perform(module, objects, request), objects.number)}
        send(calls, result)
    except MessageError as error:
        send(calls, {"raised": ["MessageError", str(error)]})
    except BaseException as error:  # noqa: BLE001 (whatever the program raises is its result)
        send(calls, {"raised": _described(error)})


def _perform(module: ModuleType, objects: _Objects, request: dict[str, Any]) -> object:
    values: list[Any] = decode(request["values"], objects.find)
    match request["act"]:
        case "name":
            return module.__dict__[values[0]]
        case "call":
            function, arguments, keywords = values
            return function(*arguments, **keywords)
        case "next":
            return next(values[0])
        case "get":
            return getattr(values[0], values[1])
        case _:
            return setattr(values[0], values[1], values[2])


def _described(error: BaseException) -> list[str]:
    """The name of the nearest built-in exception, and the message."""
    try:
        name = next(cls.__name__ for cls in type(error).__mro__ if cls.__module__ == "builtins")
        return [name, str(error)[:200]]
    except BaseException:  # noqa: BLE001 (the program's own __str__)
        return ["Exception", ""]
