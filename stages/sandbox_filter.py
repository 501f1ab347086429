"""The system calls that a program in the sandbox may not make, as a seccomp filter: it can never be taken off.

A program is one process for its whole life. It may start threads but no process, so there is no tree to chase
when it is killed; it opens no socket, signals nobody but itself, owns no memory that outlives it, and changes
nobody's permissions. A refused call fails with EPERM, which Python raises as PermissionError.

Classic BPF as in Linux' Documentation/userspace-api/seccomp_filter.rst; numbers from its system call tables.
"""

import ctypes
import errno
import os
import platform
import struct
from functools import cache

_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
"""Column in the tables below, and the kernel's name for the machine (AUDIT_ARCH_*)."""

_REFUSED = {
    "another process or program": "57,- 58,- 59,221 322,281",  # fork vfork execve execveat
    "others' processes": "200,130 129,138 297,240 424,424 434,434 438,438 101,117 310,270 311,271 440,440 448,448 "
    "312,272 141,140 203,122 142,118 144,119 314,274 251,30 256,238 279,239",
    "network": "41,198 42,203 49,200 50,201 43,202 288,242 46,211 307,269",
    "memory that outlives the program": "29,194 30,196 31,195 67,197 68,186 69,189 70,188 71,187 64,190 65,193 "
    "66,191 220,192 240,180 241,181 319,279 447,447 250,219 248,217 249,218",
    "the kernel": "321,280 298,241 323,282 425,425 426,426 427,427 175,105 313,273 176,106 246,104 320,294 "
    "169,142 167,224 168,225 103,116 163,89 179,60 300,262 135,92",
    "other file systems": "272,97 308,268 165,40 166,39 155,41 161,51 428,428 429,429 430,430 431,431 432,432 "
    "433,433 442,442 304,265 303,264",
    "permissions and attributes": "90,- 91,52 268,53 452,452 92,- 93,55 94,- 260,54 188,5 189,6 190,7 280,88 "
    "132,- 235,- 261,- 76,45 133,- 259,33",
    "what others wait for or share": "73,32 253,- 294,26 206,0",  # flock, inotify, asynchronous input and output
}
"""Pairs x86_64,aarch64 of what is refused whatever its arguments."""

_FIRST_UNKNOWN = 457
"""From here on, numbers are the same on all machines and calls are too new for this list: they do not exist."""

_CLONE, _CLONE3 = (56, 220), (435, 435)
_TO_ITSELF = {"kill": (62, 129), "tgkill": (234, 131)}
_PRLIMIT, _SENDTO, _FCNTL, _IOCTL = (302, 261), (44, 206), (72, 25), (16, 29)
_CLONE_THREAD = 0x10000
_COMMANDS = (0, 1, 2, 3, 4, 1030, 1031, 1032)
"""Of fcntl: copies and flags of descriptors, sizes of pipes. The others lock and lease files, or signal somebody."""

_REQUESTS = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
"""Of ioctl: terminals' settings and size (to read), bytes that wait, and flags of descriptors."""

_X32 = 0x40000000

_LOAD, _AND, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x06
_ALLOW, _KILL = 0x7FFF0000, 0x80000000
_REFUSE, _ABSENT = 0x00050000 | errno.EPERM, 0x00050000 | errno.ENOSYS
_NUMBER, _MACHINE, _ARGUMENTS = 0, 4, 16
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP = 38, 22

_INSTRUCTION = struct.Struct("=HBBI")


def forbid_system_calls() -> None:
    """Bind this process, and its threads to come, for ever. Raises OSError where the kernel has no filters."""
    code = _fixed_part() + _about(os.getpid()) + _instruction(_RETURN, _ALLOW)
    buffer = ctypes.create_string_buffer(code, len(code))
    filter_ = struct.pack("HxxxxxxP", len(code) // _INSTRUCTION.size, ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    for call in ((_PR_SET_NO_NEW_PRIVS, 1), (_PR_SET_SECCOMP, 2, ctypes.c_char_p(filter_))):
        if libc.prctl(*call, *[0] * (5 - len(call))) != 0:
            raise OSError(ctypes.get_errno(), "the kernel takes no seccomp filter")


def is_machine_known() -> bool:
    return platform.machine() in _MACHINES


@cache
def _fixed_part() -> bytes:
    """What does not depend on the process. Computed in the template, before it forks."""
    column, machine = _MACHINES[platform.machine()]
    code = _instruction(_LOAD, _MACHINE) + _instruction(_EQUAL, machine, 1, 0) + _instruction(_RETURN, _KILL)
    code += _instruction(_LOAD, _NUMBER) + _instruction(_AT_LEAST, _X32, 0, 1) + _instruction(_RETURN, _KILL)
    for pairs in _REFUSED.values():
        for pair in pairs.split():
            number = pair.split(",")[column]
            if number != "-":
                code += _instruction(_EQUAL, int(number), 0, 1) + _instruction(_RETURN, _REFUSE)
    code += _instruction(_AT_LEAST, _FIRST_UNKNOWN, 0, 1) + _instruction(_RETURN, _ABSENT)
    code += _instruction(_EQUAL, _CLONE3[column], 0, 1) + _instruction(
        _RETURN, _ABSENT
    )  # libc then uses clone
    code += _when(
        _CLONE[column],
        _load(0) + _instruction(_AND, _CLONE_THREAD) + _instruction(_EQUAL, 0, 0, 1),
    )
    no_address = _load(4) + _instruction(_EQUAL, 0, 0, 2) + _load_high(4) + _instruction(_EQUAL, 0, 1, 0)
    code += _when(_SENDTO[column], no_address)
    for request, values in ((_FCNTL, _COMMANDS), (_IOCTL, _REQUESTS)):
        is_one = (_instruction(_EQUAL, each, len(values) - place, 0) for place, each in enumerate(values))
        code += _when(request[column], _load(1) + b"".join(is_one))
    return code


def _about(pid: int) -> bytes:
    """Signals and limits reach the process itself only."""
    column, _ = _MACHINES[platform.machine()]
    code = b"".join(
        _when(numbers[column], _load(0) + _instruction(_EQUAL, pid, 1, 0)) for numbers in _TO_ITSELF.values()
    )
    itself = _load(0) + _instruction(_EQUAL, pid, 2, 0) + _instruction(_EQUAL, 0, 1, 0)
    return code + _when(_PRLIMIT[column], itself)


def _when(number: int, test: bytes) -> bytes:
    """Of the call `number`, refuse what `test` does not jump over; then have the number at hand again."""
    inside = test + _instruction(_RETURN, _REFUSE) + _instruction(_LOAD, _NUMBER)
    return _instruction(_EQUAL, number, 0, len(inside) // _INSTRUCTION.size) + inside


def _load(argument: int) -> bytes:
    """The low half of an argument: all of it where it is a number."""
    return _instruction(_LOAD, _ARGUMENTS + 8 * argument)


def _load_high(argument: int) -> bytes:
    return _instruction(_LOAD, _ARGUMENTS + 8 * argument + 4)


def _instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return _INSTRUCTION.pack(code, if_true, if_false, value)
