"""Sources that gates ask about are looked up before anything trains: a misspelt one would stop the run at its gate."""

from collections.abc import Callable, Mapping

import pyarrow as pa
import pyarrow.parquet as pq

from data_contracts.errors import RecipeError
from data_contracts.gates import GateQuestions, metric_of
from flows.plan import Action, Plan
from flows.recipe import Recipe, nearest
from flows.stored import output_path
from infra.home import Home


def require_sources(plan: Plan, home: Home, tables: Mapping[str, pa.Table]) -> None:
    """Raise RecipeError where no problem of the evaluation has a source; `tables` are rows that were just read.

    Says nothing of an evaluation on rows that a stage has yet to make.
    """
    asked = asked_by(plan.recipe, lambda _, source: source)
    found = evaluated(plan, home, tables, ["source"]) if asked else None
    if found is None:
        return
    known = {source for table in found for source in table["source"].unique().to_pylist()}
    for place, source in asked.items():
        if source not in known:
            raise RecipeError(
                f"{place}: no problem of the evaluation is from the source {source!r}.",
                f"one of {', '.join(sorted(known))}",
                f"{nearest(source, sorted(known))}Change the metric, or evaluate on problems of that source too.",
            )


def evaluated(
    plan: Plan, home: Home, tables: Mapping[str, pa.Table], columns: list[str]
) -> list[pa.Table] | None:
    """These columns of the evaluation's problems; None where a stage has yet to make some."""
    found: list[pa.Table] = []
    for name in plan.recipe.evaluate.rows if plan.recipe.evaluate else ():
        step = plan[name]
        if name in tables:
            found.append(tables[name].select(columns))
        elif step.action is Action.reuse and step.execution is not None:
            found.append(pq.read_table(output_path(home, step.execution), columns=columns))
        else:
            return None
    return found or None


def asked_by(recipe: Recipe, wanted: Callable[[str, str | None], str | None]) -> dict[str, str]:
    """What metrics of gates and promotion ask, by where the recipe names them; `wanted` gets quantity and source."""
    stages = {f"stages.{name}": config for name, config in recipe.stages.items()}
    asking = {**stages, "promotion": recipe.promotion}
    return {
        f"{place}.metrics.{metric}": asked
        for place, config in asking.items()
        if isinstance(config, GateQuestions)
        for metric in config.metrics
        if (asked := wanted(*metric_of(metric))) is not None
    }
