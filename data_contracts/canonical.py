"""Canonical form and hash: equal content gives equal text, whatever the machine or the Python.

What has no canonical form (a path, a set, nan) is refused by name instead of being hashed by accident.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from typing import TypeAlias

Canonical: TypeAlias = bool | int | float | str | list["Canonical"] | dict[str, "Canonical"] | None
"""What a canonical form is made of: JSON's own values."""

FINGERPRINT_LENGTH = 32
"""Hexadecimal digits kept of a SHA-256: 128 bits."""


def canonical_json(value: object) -> str:
    """JSON with sorted keys, no spaces and the shortest float that reads back the same.

    Raises TypeError, naming the place, for anything JSON cannot say exactly.
    """
    _require_canonical(value, "value")
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def fingerprint(value: object) -> str:
    """SHA-256 of the canonical form, shortened to `FINGERPRINT_LENGTH` digits."""
    return fingerprint_bytes(canonical_json(value).encode())


def fingerprint_bytes(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:FINGERPRINT_LENGTH]


def _require_canonical(value: object, place: str) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise TypeError(f"{place} is {value}, which has no canonical form")
    if value is None or isinstance(value, (bool, int, float, str)):
        return
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                raise TypeError(f"{place} has the key {key!r}; keys of a canonical form are text")
            _require_canonical(item, f"{place}.{key}")
    elif isinstance(value, (list, tuple)):
        for position, item in enumerate(value):
            _require_canonical(item, f"{place}[{position}]")
    else:
        raise TypeError(f"{place} is a {type(value).__name__}, which has no canonical form")
