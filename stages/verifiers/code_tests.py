"""The side of the sandbox where a problem's tests run. They never share a process with the program they test.

A name that the program is to define is a stand-in here, which sends the arguments over and brings the
result back as plain data. So expected values, asserts and helper functions are out of the program's reach, and
`==` compares built-in values. Arguments go by value: a test cannot see that the program changed one in place.
"""

import builtins
import json
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from types import CodeType, TracebackType
from typing import Any, Self, cast

from stages.verifiers.code_values import PLAIN_ATTRIBUTES, MessageError, decode, encode, receive, send

UNIT = "_burnish_unit"
"""What `code_plan` calls the guard around each test."""

GONE = "the program ended"
"""Whoever watches the program's process can say how."""


_OPERATORS = frozenset(
    {name for cls in (int, float, list, dict, set) for name in dir(cls) if name.startswith("__")}
    - set(dir(object))
    | {"__str__", "__repr__", "__format__"}
)
"""Of built-in values. Never a comparison, which all objects have: one that is equal to everything would pass."""


class _ProgramGoneError(BaseException):
    """No further call can succeed. Tests that catch every Exception do not catch this."""


class _ProblemFaultError(BaseException):
    """The tests cannot be run, or hand over what cannot leave this process, such as a function."""


def run(payload: int, results: int, channel: int) -> None:
    """Write one JSON line a test passed or failed, and a last one if the tests themselves are at fault."""
    with os.fdopen(payload, "rb") as file:
        job = json.load(file)
    with os.fdopen(results, "w", encoding="utf-8") as lines:
        record = _Record(lines.write, job["stops_early"])
        try:
            calls = _Calls(socket.socket(fileno=channel), frozenset(job["attributes"]))
            names: dict[str, Any] = {"__name__": "tests", UNIT: record.unit}
            tests = _prepared(job["prelude"], job["tests"], names)
            calls.ready()
            names |= {name: calls.named(original) for name, original in job["names"].items()}
            exec(tests, names)  # noqa: S102
            record.say(ended=True)
        except _ProblemFaultError as error:
            record.say(fault=str(error))
        except (_ProgramGoneError, Exception) as error:  # noqa: BLE001 (a test's failure, or a program's)
            record.say(stopped=_described(error))
        lines.flush()
    os._exit(0)


def _prepared(prelude: str, tests: str, names: dict[str, Any]) -> CodeType:
    """Run the problem's own, trusted code, and compile its tests."""
    try:
        exec(compile(prelude, "<prelude>", "exec", dont_inherit=True), names)  # noqa: S102
        return compile(tests, "<tests>", "exec", dont_inherit=True)
    except Exception as error:
        raise _ProblemFaultError(f"what the tests need cannot be run: {_described(error)}") from error


@dataclass(slots=True)
class _Record:
    write: Any
    stops_early: bool

    def unit(self, number: int) -> "_Unit":
        return _Unit(self, number)

    def say(self, **what: object) -> None:
        self.write(json.dumps(what) + "\n")


@dataclass(slots=True)
class _Unit:
    """One test. A failure is noted, and ends all or not."""

    record: _Record
    number: int

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None
    ) -> bool:
        if error is None:
            self.record.say(passed=self.number)
            return False
        if isinstance(error, Exception):
            self.record.say(failed=self.number, reason=_described(error))
            return not self.record.stops_early
        return False


@dataclass(frozen=True, slots=True)
class _Calls:
    """The line to the program."""

    channel: socket.socket
    attributes: frozenset[str]
    """What classes of the ground truth define: names that built-in values have too, and operators."""

    def ready(self) -> None:
        """The program has run; what it raised meanwhile is the failure of every test."""
        try:
            self._result()
        except Exception as error:
            raise _ProgramGoneError(_described(error)) from error

    def named(self, name: str) -> Any:
        try:
            return self.ask("name", name)
        except KeyError:
            raise _ProgramGoneError(f"the program does not define {name}") from None

    def ask(self, act: str, *values: object) -> Any:
        try:
            send(self.channel, {"act": act, "values": encode(list(values), _number_of)})
        except OSError:
            raise _ProgramGoneError(GONE) from None
        return self._result(may_stop=act == "next")

    def _result(self, may_stop: bool = False) -> Any:
        try:
            answer = receive(self.channel)
            if answer is None:
                raise _ProgramGoneError(GONE)
            if "raised" not in answer:
                return decode(answer.get("value"), self._stand_in)
            error = _exception(answer["raised"], may_stop)
        except OSError:
            raise _ProgramGoneError(GONE) from None
        except MessageError as fault:
            raise _ProgramGoneError(f"the program answered with {fault}") from fault
        raise error

    def _stand_in(self, kind: str, number: int) -> object:
        return _Items(self, number) if kind == "iterator" else _class_with(self.attributes)(self, number)


class _Object:
    """Stands for an object of the program's. It equals nothing else and can be called and handed back.

    Where a test asks for what built-in values have (`f(3).startswith("a")`), a program could answer whatever
    pleases the test: only where a class of the ground truth defines that too is it asked.
    """

    __slots__ = ("_calls", "_number")

    def __init__(self, calls: _Calls, number: int) -> None:
        object.__setattr__(self, "_calls", calls)
        object.__setattr__(self, "_number", number)

    def __call__(self, *arguments: object, **keywords: object) -> Any:
        return self._calls.ask("call", self, arguments, keywords)

    def __getattr__(self, name: str) -> Any:
        is_foreign = name in PLAIN_ATTRIBUTES and name not in self._calls.attributes
        if is_foreign or name.startswith("__"):
            raise AttributeError(f"no built-in value, so it has no {name}")
        return self._calls.ask("get", self, name)

    def __setattr__(self, name: str, value: object) -> None:
        self._calls.ask("set", self, name, value)


@cache
def _class_with(attributes: frozenset[str]) -> type[_Object]:
    """Stand-ins that know the operators among these: Python looks for those in the class only."""
    operators = {name: _operator(name) for name in _OPERATORS & attributes}
    return type("_Object", (_Object,), {"__slots__": (), **operators})


def _operator(name: str) -> Callable[..., Any]:
    def operate(stand_in: _Object, *values: object) -> Any:
        calls: _Calls = object.__getattribute__(stand_in, "_calls")
        return calls.ask("get", stand_in, name)(*values)

    return operate


class _Items(_Object, Iterator[Any]):
    """Stands for an iterator of the program's, which may have no end."""

    __slots__ = ()

    def __next__(self) -> Any:
        return self._calls.ask("next", self)


def _number_of(value: object, _: str) -> int:
    if isinstance(value, _Object):
        return cast("int", object.__getattribute__(value, "_number"))
    raise _ProblemFaultError(f"the tests hand over a {type(value).__name__}")


def _exception(described: object, may_stop: bool) -> Exception:
    """The program's exception as the nearest built-in one, so that tests may expect it.

    Never StopIteration from a call: it would end a test's `all(map(f, values))` early, and so well.
    """
    if not (isinstance(described, list) and len(described) == 2):
        raise MessageError("no valid exception")
    name, text = map(str, described)
    known = vars(builtins).get(name)
    if isinstance(known, type) and issubclass(known, Exception) and (may_stop or known is not StopIteration):
        try:
            return known(text)
        except TypeError:  # a few, such as UnicodeDecodeError, want more than a message
            pass
    return RuntimeError(f"{name}: {text}")


def _described(error: BaseException) -> str:
    if isinstance(error, _ProgramGoneError):
        return str(error)
    text = str(error)[:200]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
