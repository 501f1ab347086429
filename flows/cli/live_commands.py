"""`burnish logs` and `cancel`: what a stage's process says, and how to stop it."""

import json as json_text
import sys
from collections.abc import Iterator
from typing import Annotated

from cyclopts import Parameter

from data_contracts.errors import RecipeError
from flows.cancelling import Stopped, interrupt, wait_until_stopped
from flows.cli.context import Context, open_context, plain_console, plain_text, print_json
from flows.cli.past_commands import RunName
from flows.cli.run_commands import Json
from flows.past_runs import PastStage, find_run, find_stage, past_stages
from flows.run_view import is_reused
from flows.stage_logs import follow_log, read_log
from infra import records as states
from infra.records import Run

JsonLines = Annotated[
    bool, Parameter(name="--json", negative=(), help="Print a JSON document for each line of the log.")
]


def logs(
    *words: Annotated[
        str,
        Parameter(
            name="RUN STAGE",
            help="The run, as in `burnish show`, and a stage's name, such as grpo or sft.evaluate. "
            "One word alone is a stage of the newest run.",
        ),
    ],
    follow: Annotated[
        bool, Parameter(name=["--follow", "-f"], negative=(), help="Go on until the stage ends.")
    ] = False,
    json: JsonLines = False,
) -> None:
    """Print what a stage's process wrote: running, finished or failed. Of a reused stage, where it was made.

    For example:

        burnish logs grpo
        burnish logs 20261121-0634 sft
        burnish logs tiny grpo -f
        burnish logs last grpo --json | tail
    """
    if len(words) not in (1, 2):
        raise RecipeError(f"{len(words)} words were given.", "RUN STAGE, or a STAGE of the newest run alone")
    context = open_context()
    chosen = find_run(context.ledger, words[0] if len(words) == 2 else None)
    past = find_stage(past_stages(context.ledger, chosen), words[-1], chosen)
    _tell_maker(chosen, past)
    name = past.stage.stage
    pieces = (
        follow_log(context.home, context.ledger, chosen, name)
        if follow
        else read_log(context.home, chosen, past)
    )
    if json:
        run_id = past.made_by.run_id if past.made_by else chosen.run_id
        pieces = (
            json_text.dumps({"run": run_id, "stage": name, "line": line}) + "\n" for line in _lines(pieces)
        )
    for piece in pieces:
        sys.stdout.write(piece if json else plain_text(piece).plain)
        sys.stdout.flush()
    if follow:
        _tell_end(context, chosen, name)


def cancel(run: RunName = None, *, json: Json = False) -> None:
    """Stop a running run as Ctrl-C would, and wait for it: stages that train write a checkpoint first.

    Finished stages are kept, so what continues the run is the command that started it.

    For example:

        burnish cancel
        burnish cancel tiny
        burnish cancel 20261121-0634 --json
    """
    context = open_context()
    chosen = find_run(context.ledger, run)
    interrupt(chosen)
    plain_console(stderr=True).print(f"Asked run {chosen.run_id} of {chosen.recipe} to stop; waiting for it…")
    stopped = wait_until_stopped(context.home, context.ledger, chosen)
    if json:
        interrupted = [
            {"stage": stage, "checkpoint_step": step} for stage, step in stopped.interrupted.items()
        ]
        document = {"run": chosen.run_id, "recipe": chosen.recipe, "state": stopped.state}
        print_json(document | {"interrupted": interrupted})
        return
    for sentence in _sentences(stopped):
        context.console.print(sentence, highlight=False, markup=False)


def _sentences(stopped: Stopped) -> Iterator[str]:
    run = stopped.run
    yield f"Run {run.run_id} of {run.recipe} is {stopped.state}."
    for stage, step in stopped.interrupted.items():
        where = "it begins again" if step is None else f"it continues at the checkpoint of step {step}"
        yield f"Stage {stage} was at work: {where}."
    if stopped.state != states.DONE:
        yield (
            f"Finished stages are kept. The command that started it continues it; or "
            f"`burnish show {run.run_id} --recipe > again.yaml` and `burnish run again.yaml`."
        )


def _lines(pieces: Iterator[str]) -> Iterator[str]:
    rest = ""
    for piece in pieces:
        *whole, rest = (rest + piece).split("\n")
        yield from whole
    if rest:
        yield rest


def _tell_maker(run: Run, past: PastStage) -> None:
    if past.made_by is not None and is_reused(past, run):
        made = f"{past.made_by.pipeline}.{past.made_by.stage}"
        plain_console(stderr=True).print(
            f"Stage {past.stage.stage} is reused: run {past.made_by.run_id} made it, as {made}.",
            soft_wrap=True,
        )


def _tell_end(context: Context, run: Run, name: str) -> None:
    past = find_stage(past_stages(context.ledger, run), name, run)
    plain_console(stderr=True).print(
        f"Stage {name}: {past.state}. {past.stage.detail}".strip(), soft_wrap=True
    )
