"""What pydantic found wrong with a value, as a plain sentence."""

from pydantic import ValidationError

_EXPECTED = "Input should be "
_SHOWN_CHARACTERS = 60


def first_fault(error: ValidationError) -> tuple[str, str]:
    """The first of the faults: what was found, and what was expected."""
    fault = error.errors(include_url=False)[0]
    place, message = ".".join(map(str, fault["loc"])) or "it", fault["msg"]
    if fault["type"] == "json_invalid":
        return f"{message}.", ""
    if fault["type"] == "missing":
        return f"{place} is missing.", ""
    if fault["type"] == "extra_forbidden":
        return f"{place} is none of its fields.", ""
    given = repr(fault["input"])
    found = f"{place} is {given if len(given) <= _SHOWN_CHARACTERS else given[: _SHOWN_CHARACTERS - 1] + '…'}"
    if message.startswith(_EXPECTED):
        return f"{found}.", message.removeprefix(_EXPECTED)
    return f"{found}: {message}.", ""
