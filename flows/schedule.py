"""Schedules are Prefect's: a served flow, one deployment per recipe."""

from datetime import timedelta
from typing import Any

from prefect.schedules import Cron, Interval

from data_contracts.errors import RecipeError
from flows.pipeline import post_training
from flows.recipe import Recipe


def serve_recipe(recipe: Recipe, cron: str | None, interval: int | None, timezone: str) -> None:
    """Serve the recipe until interrupted; one run at a time. Raises RecipeError for a schedule that is none."""
    try:
        when: Any = Cron(cron, timezone=timezone) if cron else Interval(timedelta(seconds=interval or 0))
    except ValueError as error:
        raise RecipeError(
            f"The schedule cannot be read: {error}", 'five fields, such as "0 2 * * *", and a known time zone'
        ) from error
    deployed: Any = post_training
    deployed.serve(
        name=recipe.name,
        parameters={"recipe": recipe.model_dump(mode="json")},
        schedule=when,
        limit=1,
        pause_on_shutdown=False,
        print_starting_message=False,
    )
