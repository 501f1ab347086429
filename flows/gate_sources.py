"""Sources that gates ask about are looked up before anything trains: a misspelt one would stop the run at its gate."""

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.parquet as pq

from data_contracts.errors import RecipeError
from data_contracts.gates import GateQuestions, metric_of
from flows.plan import Action, Plan
from flows.recipe import nearest
from flows.stored import output_path
from infra.home import Home


def require_sources(plan: Plan, home: Home, tables: Mapping[str, pa.Table]) -> None:
    """Raise RecipeError where no problem of the evaluation has a source; `tables` are rows that were just read.

    Says nothing of an evaluation on rows that a stage has yet to make.
    """
    recipe = plan.recipe
    asked = _asked(plan)
    if recipe.evaluate is None or not asked:
        return
    known: set[str] = set()
    for name in recipe.evaluate.rows:
        step = plan[name]
        if name in tables:
            column = tables[name]["source"]
        elif step.action is Action.reuse and step.execution is not None:
            column = pq.read_table(output_path(home, step.execution), columns=["source"])["source"]
        else:
            return
        known.update(column.unique().to_pylist())
    for place, source in asked.items():
        if source not in known:
            raise RecipeError(
                f"{place}: no problem of the evaluation is from the source {source!r}.",
                f"one of {', '.join(sorted(known))}",
                f"{nearest(source, sorted(known))}Change the metric, or evaluate on problems of that source too.",
            )


def _asked(plan: Plan) -> dict[str, str]:
    """Source by where the recipe names it."""
    stages = {f"stages.{name}": config for name, config in plan.recipe.stages.items()}
    asking = {**stages, "promotion": plan.recipe.promotion}
    return {
        f"{place}.metrics.{metric}": source
        for place, config in asking.items()
        if isinstance(config, GateQuestions)
        for metric in config.metrics
        if (source := metric_of(metric)[1]) is not None
    }
