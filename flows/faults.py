"""What pydantic found wrong with a value, as a plain sentence."""

from pydantic import ValidationError

_EXPECTED = "Input should be "


def first_fault(error: ValidationError) -> tuple[str, str]:
    """The first of the faults: what was found, and what was expected."""
    fault = error.errors(include_url=False)[0]
    place, message = ".".join(map(str, fault["loc"])) or "It", fault["msg"]
    if fault["type"] == "missing":
        return f"{place} is missing.", ""
    if fault["type"] == "extra_forbidden":
        return f"{place} is none of its fields.", ""
    if message.startswith(_EXPECTED):
        return f"{place} is {fault['input']!r}.", message.removeprefix(_EXPECTED)
    return f"{place} is {fault['input']!r}: {message}.", ""
