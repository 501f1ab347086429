"""`burnish verifier`: see, write, try and check what decides a reward."""

import json as json_library
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter
from rich.table import Table

from data_contracts.errors import DataError, RecipeError
from flows.cli import verifier_audit, verifier_rescore
from flows.cli.context import plain_console, print_json
from flows.cli.run_commands import Json
from flows.cli.verifier_options import Added, Sandbox, absolute_place, read_added

if TYPE_CHECKING:
    from stages.verifiers.submission import Outcome

_TEMPLATE = Path(__file__).parents[1] / "verifier_template.py"

Arguments = Annotated[str, Parameter(help="The verifier's own arguments, a JSON object.")]

verifier = App(
    name="verifier",
    group="Data",
    help="""What decides a reward: see the verifiers there are, write one, try it, audit it before RL.

    A verifier gives a completion a reward from 0 to 1, and says why.

        burnish verifier list
        burnish verifier try math 'It is 0.5' --ground-truth 1/2
        burnish verifier audit problems
        burnish verifier template > my_verifier.py
        burnish verifier check my_verifier.py:LAST_WORD --ground-truth blue
    """,
    help_format="markdown",
)


verifier.command(verifier_audit.audit)
verifier.command(verifier_rescore.rescore)


@verifier.command(name="list")
def list_verifiers(*, add: Added = (), json: Json = False) -> None:
    """List the verifiers that rows and recipes can name, with their arguments.

    For example:

        burnish verifier list
    """
    from stages.verifiers.catalog import Catalog

    catalog = Catalog(read_added(add))
    found = {name: catalog.find(name) for name in catalog.names()}
    if json:
        print_json(
            [
                {"name": name, "summary": each.summary, "arguments": list(each.arguments.__annotations__)}
                for name, each in found.items()
            ]
        )
        return
    table = Table(title="Verifiers", title_justify="left")
    for heading in ("name", "rewards", "arguments"):
        table.add_column(heading, overflow="fold")
    for name, each in found.items():
        table.add_row(name, each.summary, ", ".join(each.arguments.__annotations__))
    plain_console().print(table)


@verifier.command(name="try")
def try_verifier(
    name: Annotated[str, Parameter(help="The verifier.")],
    completion: Annotated[
        str, Parameter(help="What the policy wrote; - reads standard input.", allow_leading_hyphen=True)
    ],
    *,
    ground_truth: Annotated[str, Parameter(help="What it is compared with.")] = "",
    prompt: Annotated[str, Parameter(help="What was asked.")] = "",
    arguments: Arguments = "{}",
    add: Added = (),
    sandbox: Sandbox = "strong",
    json: Json = False,
) -> None:
    """Give one completion its verdict.

    For example:

        burnish verifier try math 'The answer is 5 or 6' --ground-truth 5
    """
    from stages.verifiers.catalog import Catalog
    from stages.verifiers.pool import VerifierPool
    from stages.verifiers.submission import Submission

    text = sys.stdin.buffer.read().decode(errors="replace") if completion == "-" else completion
    with VerifierPool(Catalog(read_added(add), sandbox), num_workers=1) as pool:
        outcome = pool.verify(Submission(name, arguments, text, prompt, ground_truth))
    verdict = _verdict(outcome)
    if json:
        print_json(verdict)
        return
    table = Table(show_header=False, box=None)
    for label, value in verdict.items():
        table.add_row(label, json_library.dumps(value) if isinstance(value, dict) else str(value))
    plain_console().print(table)


@verifier.command
def template() -> None:
    """Print a verifier to start from: a whole module, with what each part promises.

    For example:

        burnish verifier template > my_verifier.py
    """
    sys.stdout.write(_TEMPLATE.read_text())


@verifier.command
def check(
    place: Annotated[str, Parameter(help="A verifier's name, file.py:RECORD or package.module:RECORD.")],
    *,
    ground_truth: Annotated[
        tuple[str, ...], Parameter(help="Of a problem to try it on; may be repeated.")
    ] = ("18",),
    arguments: Arguments = "{}",
    sandbox: Sandbox = "strong",
    json: Json = False,
) -> int:
    """Try a verifier on problems of yours and on hostile completions. Exit code 1 when a promise is broken.

    For example:

        burnish verifier check my_verifier.py:LAST_WORD --ground-truth blue --ground-truth green
    """
    from stages.verifiers.catalog import Catalog
    from stages.verifiers.kit import check_verifier
    from stages.verifiers.pool import VerifierPool

    if place.endswith(".py"):
        raise RecipeError(
            f"{place} names a file and no record in it.",
            f"{place}:RECORD, where RECORD is a Verifier in that file",
            "`burnish verifier template` prints a module with such a record.",
        )
    own = {place: absolute_place(place)} if ":" in place else {}
    problems = [
        {
            "prompt": [{"role": "user", "content": "?"}],
            "ground_truth": truth,
            "verifier": place,
            "arguments": arguments,
        }
        for truth in ground_truth
    ]
    with (
        VerifierPool(Catalog(own, sandbox), num_workers=1) as pool,
        plain_console(stderr=True).status("Trying it…"),
    ):
        checks = check_verifier(problems, pool)
    if json:
        print_json([{"promise": each.promise, "fault": each.fault} for each in checks])
    else:
        table = Table(title=f"Verifier {place}", title_justify="left")
        for heading in ("promise", "kept", "what breaks it"):
            table.add_column(heading, overflow="fold")
        for each in checks:
            table.add_row(each.promise, "no" if each.fault else "yes", each.fault)
        plain_console().print(table)
    return int(any(each.fault for each in checks))


def _verdict(outcome: "Outcome") -> dict[str, Any]:
    if (fault := outcome.fault) is not None:
        raise DataError(fault.found, fault.expected, "Give another --ground-truth, or other --arguments.")
    if outcome.verdict is None:
        raise DataError(
            f"The verifier gave no verdict: {outcome.failure}.",
            "a verdict on any completion",
            "`burnish verifier check` looks for more.",
        )
    return {
        "reward": outcome.verdict.reward,
        "reason": outcome.verdict.reason,
        "parts": dict(outcome.verdict.parts),
        "seconds": round(outcome.seconds, 6),
    }
