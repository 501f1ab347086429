"""`burnish champion`, `history` and `why`: who is served, who was, and for what reason."""

import time
from datetime import date, datetime
from datetime import time as time_of_day
from math import ceil
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console

from data_contracts.errors import NotFoundError, RecipeError
from flows.card_view import one_line
from flows.cli.context import plain_console, print_json
from flows.cli.data_context import open_data
from flows.cli.model_commands import open_models, open_registry
from flows.cli.run_commands import Json

DecidedModel = Annotated[str, Parameter(help="A model, or a pipeline that has one with a champion.")]


def champion(
    model: DecidedModel,
    *,
    at: Annotated[
        str | None, Parameter(help="At this date (its end) or time, as 2026-01-31 or 2026-01-31T14:00.")
    ] = None,
    json: Json = False,
) -> None:
    """Show who is champion, or who was. Without --at MLflow's alias is checked too.

    For example:

        burnish champion tiny.grpo
        burnish champion tiny.grpo --at 2026-01-31
        burnish champion tiny.grpo --at 2026-01-31T14:00+01:00 --json
    """
    moment = None if at is None else _moment(at, time.time())
    context = open_models()
    from flows.promoting.candidates import find_decided
    from flows.promoting.decisions import OVERRIDE, tenures

    name = find_decided(context.ledger, model)
    notes: list[str] = []
    if moment is None:
        with Console(stderr=True).status("Opening MLflow…"):
            from flows.promoting.aliases import look, settle
            from infra.registry_aliases import RegistryAliases

            aliases = RegistryAliases(context.home)
            notes = [settle(context.home, context.ledger, aliases, name)]
            notes += look(context.ledger, aliases, name).told
    held = [
        each
        for each in tenures(context.ledger, name)
        if (each.ended is None if moment is None else each.began <= moment < (each.ended or moment + 1))
    ]
    if not held:
        first = min(tenures(context.ledger, name), key=lambda each: each.began)
        raise NotFoundError(
            f"{name} had no champion then.",
            f"a time from {time.strftime('%Y-%m-%dT%H:%M:%S', time.localtime(ceil(first.began)))} on",
            f"`burnish history {name}` lists them.",
        )
    found = held[-1]
    if json:
        print_json(
            {
                "model": name,
                "version": found.version,
                "from": _iso(found.began),
                "until": _iso(found.ended) if found.ended else None,
                "kind": found.move.kind,
                "actor": found.move.actor,
                "reason": found.move.reason,
                "override": found.move.evidence.get(OVERRIDE),
                "notes": [note for note in notes if note],
            }
        )
        return
    from flows.promoting.view import local_time, reasons

    console = plain_console()
    until = f" until {local_time(found.ended)}" if found.ended else ""
    decided = f"{name}/{found.version} since {local_time(found.began)}{until}: {found.move.kind} by {found.move.actor}"
    for line in filter(None, [decided, *reasons(found.move), *notes]):
        console.print(one_line(line), soft_wrap=True)


def history(model: DecidedModel, *, json: Json = False) -> None:
    """Show who was champion, from when, by whose decision, and what the gate said.

    For example:

        burnish history tiny.grpo
        burnish history tiny.grpo --json
    """
    context = open_models()
    from flows.promoting.candidates import find_decided
    from flows.promoting.decisions import tenures
    from flows.promoting.view import history_table

    name = find_decided(context.ledger, model)
    held = tenures(context.ledger, name)
    if not json:
        plain_console().print(history_table(name, held))
        return
    print_json(
        {
            "model": name,
            "champions": [
                {
                    "version": each.version,
                    "from": _iso(each.began),
                    "until": _iso(each.ended) if each.ended else None,
                    "kind": each.move.kind,
                    "actor": each.move.actor,
                    "reason": each.move.reason,
                    "evidence": each.move.evidence,
                }
                for each in reversed(held)
            ],
        }
    )


def why(
    model: Annotated[
        str, Parameter(help="`tiny.grpo` (its champion), `tiny.grpo/3`, or a pipeline with one champion.")
    ],
    *,
    json: Json = False,
) -> None:
    """Show what speaks for a model: the decision, the evaluation, the stages below it, rows and verifiers.

    For example:

        burnish why tiny.grpo
        burnish why tiny.grpo/2 --json
    """
    context = open_data()
    from flows.lineage.models import find_model
    from flows.promoting.candidates import find_decided
    from flows.promoting.decisions import standing
    from flows.promoting.view import explanation_view
    from flows.promoting.why import explain

    reference = model.removeprefix("models:/").removesuffix("@champion")
    if "/" not in reference and "@" not in reference:
        name = find_decided(context.ledger, reference)
        reference = f"{name}/{standing(context.ledger, name).champion}"
    made = find_model(context.ledger, reference, lambda name: open_registry(open_models()).aliases(name))
    found = explain(context.home, context.ledger, context.warehouse, made)
    if json:
        print_json(found.model_dump(mode="json"))
    else:
        plain_console().print(explanation_view(found))


def _moment(text: str, now: float) -> float:
    """Seconds since 1970 of a date's end or of a time, in the zone of this machine unless it names its own."""
    try:
        try:
            found = datetime.combine(date.fromisoformat(text), time_of_day.max)
            is_date = True
        except ValueError:
            found, is_date = datetime.fromisoformat(text), False
        moment = found.timestamp()
    except (ValueError, OverflowError, OSError) as error:
        raise RecipeError(
            f"--at {text!r} is no date or time.",
            "a date as 2026-01-31, or a time as 2026-01-31T14:00, with a zone as 2026-01-31T14:00+01:00",
        ) from error
    if moment > now and not (is_date and found.date() == datetime.fromtimestamp(now).date()):
        raise RecipeError(f"--at {text} is in the future.", "a date or time that has been")
    return min(moment, now)


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().isoformat()
