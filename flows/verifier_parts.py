"""Which parts the verdicts of a verifier have, told from its name and arguments, before anything is judged."""

from collections.abc import Iterable, Mapping
from typing import Any

from stages.verifiers.shipped import COMPOSITE_NAME

_PARTS: dict[str, tuple[str, ...]] = {
    "code": ("visible_tests",),
    "exact_match": (),
    "exact_number": (),
    "gsm8k": (),
    "json_schema": (),
    "length": (),
    "math": (),
    "multiple_choice": (),
    "regex_match": (),
    "repetition": ("repeated",),
    "steps": ("steps", "right_before_error"),
}


def known_parts(judges: Iterable[tuple[str, Mapping[str, Any]]]) -> set[str] | None:
    """Of verifiers with their arguments, all together; None where those of one are not known."""
    found = [parts_of(*each) for each in judges]
    return None if None in found else set[str]().union(*filter(None, found))


def parts_of(verifier: str, arguments: Mapping[str, Any]) -> set[str] | None:
    """None where only its verdicts tell, as with a verifier that a recipe or a package adds."""
    if verifier == "format":
        return set(arguments)
    if verifier != COMPOSITE_NAME:
        return set(_PARTS[verifier]) if verifier in _PARTS else None
    terms = arguments["terms"]
    names = [term.get("name", term["verifier"]) for term in terms]
    below = [parts_of(term["verifier"], term.get("arguments", {})) for term in terms]
    if None in below:
        return None
    inner = {f"{name}.{part}" for name, parts in zip(names, below, strict=True) for part in parts or ()}
    return {*names, *inner}
