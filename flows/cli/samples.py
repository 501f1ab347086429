"""`burnish samples`: the completions behind a run's numbers, and where two of its models differ."""

import json as json_text
from collections.abc import Mapping
from typing import Annotated, Any

from cyclopts import Parameter
from cyclopts.validators import Number
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from data_contracts.errors import NotFoundError, RecipeError
from flows.cli.context import open_context, plain_text, print_json
from flows.cli.past_commands import RUN_HELP
from flows.cli.run_commands import Json
from flows.nodes import evaluation_name
from flows.past_runs import find_run, past_stages
from flows.recipe import nearest
from flows.stored import output_path
from infra.ledger import Ledger
from infra.records import Execution, Run

_SIDE_BY_SIDE = 72
"""Columns of a terminal from which two completions stand side by side."""

Row = Mapping[str, Any]


def samples(
    stage: Annotated[
        str | None,
        Parameter(
            help="A verify stage, or a model stage for its evaluation, of the newest run. Default: the last. "
            "One word that is no stage is a run."
        ),
    ] = None,
    run: Annotated[str | None, Parameter(help=f"{RUN_HELP} Default: the newest run.")] = None,
    *,
    wrong: Annotated[
        bool,
        Parameter(name=["--wrong", "--failed"], negative=(), help="Only completions without full reward."),
    ] = False,
    right: Annotated[bool, Parameter(negative=(), help="Only completions with full reward.")] = False,
    flipped: Annotated[
        str | None,
        Parameter(
            help="Two stages, as in `--flipped sft:grpo`: problems that one gets right and the other wrong, side "
            "by side. --wrong and --right then mean the second."
        ),
    ] = None,
    problem: Annotated[str | None, Parameter(help="Only this problem, by its id.")] = None,
    search: Annotated[
        str | None, Parameter(help="Only with this text in prompt or completion, in any case.")
    ] = None,
    limit: Annotated[int, Parameter(help="How many.", validator=Number(gte=1))] = 10,
    json: Json = False,
) -> None:
    """Show completions with their verdicts: reward, the reason for it, and its parts.

    A model gets a problem right where most of its samples are right, or the first of equally many.

    For example:

        burnish samples
        burnish samples grpo --failed
        burnish samples sft_check tiny --limit 50 --json
        burnish samples tiny --flipped sft:grpo
        burnish samples --stage grpo --search "carry the 1"
    """
    if wrong and right:
        raise RecipeError("--wrong and --right leave nothing.", "one of them, or neither for all")
    from infra.warehouse import samples as rollouts

    context = open_context()
    chosen, stage = _chosen(context.ledger, stage, run)
    verified = _verified(context.ledger, chosen)
    sought = rollouts.Sought(True if right else False if wrong else None, problem, search)
    if flipped is None:
        name = _require_verified(stage or list(verified)[-1], verified, chosen)
        rows = rollouts.completions(output_path(context.home, verified[name]), sought, limit)
        shown = _samples_table(name, rows)
    else:
        names = [_require_verified(each, verified, chosen) for each in _pair(flipped, stage)]
        before, after = (output_path(context.home, verified[name]) for name in names)
        rows = rollouts.flipped(before, after, sought, limit)
        shown = _flipped_view(names, rows, context.console)
    if json:
        print_json(rows)
    else:
        context.console.print(shown)


def _chosen(ledger: Ledger, stage: str | None, run: str | None) -> tuple[Run, str | None]:
    """The run, and the stage if one is named: a word alone that is no stage of the newest run names a run."""
    newest = find_run(ledger, run)
    if run is not None or stage is None or _has(_verified(ledger, newest), stage):
        return newest, stage
    try:
        return find_run(ledger, stage), None
    except NotFoundError:
        return newest, stage


def _verified(ledger: Ledger, run: Run) -> dict[str, Execution]:
    found = {
        past.stage.stage: past.execution
        for past in past_stages(ledger, run)
        if past.stage.kind == "verify" and past.execution is not None
    }
    if not found:
        raise NotFoundError(f"Run {run.run_id} has no finished verify stage.", "", "See `burnish status`.")
    return found


def _has(verified: Mapping[str, Execution], stage: str) -> bool:
    return stage in verified or evaluation_name(stage) in verified


def _require_verified(stage: str, verified: Mapping[str, Execution], run: Run) -> str:
    if not _has(verified, stage):
        raise NotFoundError(
            f"Run {run.run_id} has no completions of {stage!r}.",
            f"one of {', '.join(verified)}",
            nearest(stage, list(verified)),
        )
    return evaluation_name(stage) if evaluation_name(stage) in verified else stage


def _pair(flipped: str, stage: str | None) -> tuple[str, str]:
    before, colon, after = flipped.partition(":")
    if not (before and colon and after) or stage is not None:
        found = f"--flipped {flipped}" + (f" and the stage {stage}" if stage is not None else "")
        raise RecipeError(f"{found} were given.", "two stages and no third, as in --flipped sft:grpo")
    return before, after


def _samples_table(stage: str, rows: list[dict[str, Any]]) -> RenderableType:
    if not rows:
        return plain_text(f"{stage}: no such completions.")
    title = plain_text(f"{stage}: completions with their verdicts")
    table = Table(title=title, title_justify="left", show_lines=True)
    for heading in ("prompt", "completion", "reward", "reason"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        reason = Text("\n").join(filter(None, [plain_text(row["reason"]), _parts(row)]))
        prompt, completion = plain_text(row["prompt"]), plain_text(row["completion"])
        table.add_row(prompt, completion, Text(f"{row['reward']:g}", _style(row)), reason)
    return table


def _flipped_view(names: list[str], rows: list[dict[str, Any]], console: Console) -> RenderableType:
    before, after = names
    if not rows:
        return plain_text(f"{before} and {after} agree on every such problem.")
    flips, gained = rows[0]["num_flipped"], rows[0]["num_gained"]
    counted = (
        f"{flips} problems flipped from {before} to {after}: {gained} to right, {flips - gained} to wrong"
    )
    more = f"; the first {len(rows)}" if len(rows) < flips else ""
    wide = console.width >= _SIDE_BY_SIDE
    return Group(plain_text(f"{counted}{more}"), *(_flip(names, row, wide) for row in rows))


def _flip(names: list[str], row: Row, wide: bool) -> Table:
    way = Text("wrong → right", "green") if row["is_right"] else Text("right → wrong", "red")
    title = Text.assemble(plain_text(row["problem_id"]), "  ", way, "\n", plain_text(row["prompt"]))
    if row["ground_truth"]:
        title.append_text(plain_text(f"\nground truth: {row['ground_truth']}"))
    table = Table(title=title, title_justify="left", title_style="", show_lines=True, expand=True)
    heads = [
        plain_text(f"{name}: {row[f'num_right_{when}']} of {row[f'num_{when}']} right")
        for name, when in zip(names, ("before", "after"), strict=True)
    ]
    sides = [_side(row[when]) for when in ("before", "after")]
    if wide:
        for head in heads:
            table.add_column(head, overflow="fold", ratio=1)
        table.add_row(*sides)
    else:
        table.show_header = False
        for head, side in zip(heads, sides, strict=True):
            table.add_row(Text("\n").join([head, side]))
    return table


def _side(row: Row) -> Text:
    verdict = Text.assemble((f"reward {row['reward']:g}", _style(row)), ": ", plain_text(row["reason"]))
    return Text("\n").join(filter(None, [plain_text(row["completion"]), verdict, _parts(row)]))


def _parts(row: Row) -> Text | None:
    parts: dict[str, float] = json_text.loads(row["parts"])
    told = ", ".join(f"{name} {value:g}" for name, value in parts.items())
    return Text.assemble(plain_text(told), style="dim") if told else None


def _style(row: Row) -> str:
    return "green" if row["reward"] == 1.0 else "red"
