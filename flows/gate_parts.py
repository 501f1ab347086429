"""Parts of verdicts that gates ask about, `part.NAME`, are looked up before anything trains."""

import json
from collections.abc import Mapping

import pyarrow as pa

from data_contracts.errors import RecipeError
from flows.gate_sources import asked_by, evaluated
from flows.plan import Plan
from flows.recipe import nearest
from flows.verifier_parts import known_parts
from infra.home import Home


def require_parts(plan: Plan, home: Home, tables: Mapping[str, pa.Table]) -> None:
    """Raise RecipeError where no verdict of the evaluation has a part; `tables` are rows that were just read."""
    asked = asked_by(plan.recipe, lambda quantity, _: quantity.partition("part.")[2] or None)
    found = evaluated(plan, home, tables, ["verifier", "arguments"]) if asked else None
    if found is None:
        return
    judges = {(row["verifier"], row["arguments"]) for table in found for row in table.to_pylist()}
    known = known_parts((verifier, json.loads(arguments)) for verifier, arguments in judges)
    if known is None:
        return
    for place, part in asked.items():
        if part not in known:
            raise RecipeError(
                f"{place}: no verdict of the evaluation has a part {part!r}.",
                f"one of {', '.join(f'part.{each}' for each in sorted(known))}"
                if known
                else "another metric: the verifiers of these problems give no parts",
                f"{nearest(part, sorted(known))}Change the metric, or the verifier of the problems.",
            )
