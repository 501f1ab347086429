"""The `burnish` command. Every subcommand imports what it needs when it runs, so that help is instant."""

import atexit
import os
import sys
import traceback
from typing import NoReturn

from cyclopts import App, CycloptsError
from pydantic import ValidationError
from rich.console import Console

from data_contracts.errors import BurnishError, RecipeError
from flows.cli import lineage_commands, look, model_commands, recipe_commands, run_commands, serving
from flows.cli.context import plain_text
from flows.cli.data_app import data

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
)
for group, commands in {
    "Run": (run_commands.run, run_commands.plan, recipe_commands.init, recipe_commands.recipes),
    "Look": (look.status, look.logs, look.cancel, look.samples),
    "Models": (
        model_commands.models,
        model_commands.promote,
        model_commands.chat,
        lineage_commands.lineage,
    ),
    "Serve": (serving.ui, serving.serve),
}.items():
    for command in commands:
        app.command(command, group=group)
app.command(data)


def main() -> None:
    """Run the command; exit 0 done, 1 a run failed or a gate said no, 2 the user's input, 130 interrupted."""
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
    errors = Console(stderr=True, soft_wrap=True)
    try:
        result = app(arguments, exit_on_error=False, error_console=errors, result_action="return_value")
    except CycloptsError:
        return 2
    except BurnishError as error:
        errors.print(plain_text(str(error)), highlight=False)
        return error.exit_code
    except ValidationError as error:
        errors.print(plain_text(_first_fault(error)), highlight=False)
        return RecipeError.exit_code
    except KeyboardInterrupt:
        errors.print("Interrupted.")
        return 130
    except (BrokenPipeError, SystemExit) as error:  # the reader of a pipe, `head` say, has seen enough
        if isinstance(error, SystemExit) and not isinstance(error.__context__, BrokenPipeError):
            raise
        sys.stderr.close()
        result = 0
    return result if isinstance(result, int) else 0


def _first_fault(error: ValidationError) -> str:
    fault = error.errors(include_url=False)[0]
    return f"{'.'.join(map(str, fault['loc']))} is {fault['input']!r}: {fault['msg']}."


def _leave(code: int) -> NoReturn:
    """End without tearing modules down: Prefect's threads still hold objects of DuckDB, whose bindings would
    report each of them as leaked on the terminal. What is registered to run at exit has run by then.
    """
    atexit._run_exitfuncs()  # pyright: ignore[reportPrivateUsage]
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
