"""The side of the sandbox where a model's program runs. It has the program and never a test.

`serve` answers calls: arguments come in, results go out, as plain data. `run_script` is a program that
reads standard input and prints. Nothing said here is believed: a wrong value fails its test on the other side.
"""

import builtins
import io
import json
import os
import socket
import sys
from collections.abc import Sequence
from types import CodeType, ModuleType
from typing import Any

from stages.verifiers.code_source import program_of
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
        _execute(_compiled(**_read(payload)), module)
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
    code = _compiled(**_read(payload))
    for source, target in ((stdin, 0), (stdout, 1)):
        os.dup2(source, target)
        os.close(source)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 (open until the program ends)
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.__stdin__, sys.__stdout__ = sys.stdin, sys.stdout
    sys.argv = [f"{_NAME}.py"]
    builtins.open = io.open = _open
    _execute(code, ModuleType("__main__"))


_open_file = io.open


def _open(file: Any, *arguments: Any, **keywords: Any) -> Any:
    """Programs name standard input as a file too, which without /proc it is not."""
    return _open_file(os.dup(0) if str(file) == "/dev/stdin" else file, *arguments, **keywords)


def _read(payload: int) -> dict[str, Any]:
    with os.fdopen(payload, "rb") as file:
        return json.load(file)


def _compiled(blocks: Sequence[str], prompt: str, names: Sequence[str], is_among_words: bool) -> CodeType:
    program = program_of(blocks, prompt, names, is_among_words)
    return compile(program, f"<{_NAME}>", "exec", dont_inherit=True)


def _execute(code: CodeType, module: ModuleType) -> None:
    """`__name__` is the module's, so that only a script runs what stands under `if __name__ == "__main__"`."""
    builtins.__dict__.update(
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
