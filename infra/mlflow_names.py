"""What MLflow accepts as names of metrics, values of parameters and filters by tag."""

import json
import re
from collections.abc import Mapping

FETCHED = "fetched"
"""The folder, beside a home's own artifacts, of models that were fetched from a server."""


def metric_name(name: str) -> str:
    """MLflow refuses most punctuation, and a user's source may hold any: the others become their code point."""
    return re.sub(r"[^\w\-. :/]", lambda match: f"_{ord(match[0]):x}_", name)


def parameter_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)


def tags_equal(tags: Mapping[str, str]) -> str:
    return " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
