"""The `burnish` command. Every subcommand imports what it needs when it runs, so that help is instant."""

import atexit
import logging
import os
import sys
import traceback
from typing import NoReturn

from cyclopts import App, CycloptsError, Parameter
from pydantic import ValidationError

from data_contracts.errors import BurnishError, RecipeError
from flows.cli import (
    champion_commands,
    deploying,
    doctor_commands,
    export_commands,
    lineage_commands,
    live_commands,
    look,
    model_commands,
    past_commands,
    promotion_commands,
    recipe_commands,
    report_commands,
    rerun_commands,
    run_commands,
    samples,
    serving,
    top_command,
)
from flows.cli.command_line import read_argument, told
from flows.cli.context import plain_console
from flows.cli.data_app import data
from flows.cli.verifier_app import verifier
from flows.faults import first_fault

app = App(
    name="burnish",
    help="""Post-training pipelines for language models: SFT, length-normalized DPO and GRPO with verifiable
    rewards, as one DAG. Schedule it, rerun any stage, promote what is proven better.

    A first run, on any machine, in minutes:

        burnish run tiny
        burnish samples
        burnish models
        burnish promote tiny
        burnish chat tiny.grpo@champion
    """,
    help_format="markdown",
    default_parameter=Parameter(converter=read_argument),
    error_formatter=told,
)
for group, commands in {
    "Run": (
        run_commands.run,
        run_commands.plan,
        rerun_commands.rerun,
        rerun_commands.accept,
        recipe_commands.init,
        recipe_commands.recipes,
    ),
    "Look": (
        past_commands.runs,
        past_commands.show,
        past_commands.compare,
        report_commands.report,
        look.status,
        live_commands.logs,
        live_commands.cancel,
        top_command.top,
        samples.samples,
    ),
    "Models": (
        model_commands.models,
        promotion_commands.promote,
        promotion_commands.rollback,
        champion_commands.champion,
        champion_commands.history,
        champion_commands.why,
        model_commands.chat,
        export_commands.card,
        export_commands.export,
        lineage_commands.lineage,
    ),
    "Serve": (serving.ui, serving.serve, deploying.deploy),
    "Home": (doctor_commands.doctor, doctor_commands.gc),
}.items():
    for command in commands:
        app.command(command, group=group)
app.command(data)
app.command(verifier)


def main() -> None:
    """Run the command; exit 0 done, 1 a run failed or a gate said no, 2 the user's input, 130 interrupted."""
    logging.raiseExceptions = False  # a handler that cannot deliver its line writes nothing in its place
    try:
        code = execute(sys.argv[1:])
    except Exception:  # noqa: BLE001 - a bug: shown whole, but left by the same door
        traceback.print_exc()
        code = 1
    if "prefect" in sys.modules:
        _leave(code)
    sys.exit(code)


def execute(arguments: list[str]) -> int:
    """Run one command line in this process; returns its exit code."""
    errors = plain_console(stderr=True)
    try:
        _require_text(arguments)
        result = app(arguments, exit_on_error=False, error_console=errors, result_action="return_value")
    except CycloptsError:
        return 2
    except BurnishError as error:
        errors.print(str(error), soft_wrap=True)
        return error.exit_code
    except ValidationError as error:
        mistake = RecipeError(*first_fault(error))
        errors.print(str(mistake), soft_wrap=True)
        return mistake.exit_code
    except KeyboardInterrupt:
        errors.print("Interrupted.")
        return 130
    except (BrokenPipeError, SystemExit) as error:  # the reader of a pipe, `head` say, has seen enough
        if isinstance(error, SystemExit) and not isinstance(error.__context__, BrokenPipeError):
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        result = 0
    return result if isinstance(result, int) else 0


def _require_text(arguments: list[str]) -> None:
    """Refuse what no database, file or terminal could take: bytes that are not UTF-8 come as lone surrogates."""
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError as error:
            raise RecipeError(
                f"The argument {argument!r} is not UTF-8.", "text in UTF-8", "Name it otherwise."
            ) from error


def _leave(code: int) -> NoReturn:
    """End without tearing modules down: Prefect's threads still hold objects of DuckDB, whose bindings would
    report each of them as leaked on the terminal. What is registered to run at exit has run by then.
    """
    atexit._run_exitfuncs()  # pyright: ignore[reportPrivateUsage]
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
