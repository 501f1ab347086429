"""`burnish promote` and `burnish rollback`: who becomes champion."""

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from cyclopts.validators import Number
from rich.console import Console

from flows.cli.context import plain_console, print_json
from flows.cli.model_commands import open_models, open_registry
from flows.cli.run_commands import Json
from flows.gating import require_reason

if TYPE_CHECKING:
    from flows.promoting.promote import Promotion

Reason = Annotated[str, Parameter(help="Why; kept in the ledger.")]
TakeOver = Annotated[
    str | None,
    Parameter(help="Take over what somebody changed by hand in MLflow, for this reason; kept in the ledger."),
]


def promote(
    model: Annotated[
        str, Parameter(help="A pipeline (its newest run's last model), a model, or `model/version`.")
    ],
    *,
    stage: Annotated[str | None, Parameter(help="Of the pipeline, where it is not the last.")] = None,
    version: Annotated[int | None, Parameter(help="Of the model.", validator=Number(gte=1))] = None,
    reason: Reason = "",
    override: Annotated[
        str | None, Parameter(help="Promote although the gate refuses, for this reason; kept in the ledger.")
    ] = None,
    against: Annotated[
        str, Parameter(help="`champion`, a version of the same model, or `model/version`.")
    ] = "champion",
    take_over: TakeOver = None,
    dry_run: Annotated[
        bool, Parameter(negative=(), help="Judge by stored verdicts and change nothing.")
    ] = False,
    json: Json = False,
) -> int:
    """Make a version the champion, if it is shown to be better than the one that is.

    Both are judged on the candidate's evaluation; verdicts that are missing are made first. What has to be shown is
    the recipe's `promotion:` section, and without one: a better accuracy. A first champion needs no comparison. The
    champion before stays reachable as `previous`. Exits with 1 when the gate refuses, or where a dry run finds no
    verdicts to judge by.

    For example:

        burnish promote tiny
        burnish promote tiny --stage dpo --dry-run
        burnish promote tiny.dpo/2 --reason "shorter completions"
        burnish promote tiny.dpo/2 --override "the old one is withdrawn"
    """
    _require_reasons(reason, override, take_over)
    context = open_models()
    registry = open_registry(context)
    from flows.promoting.candidates import Wanted
    from flows.promoting.promote import Request
    from flows.promoting.promote import promote as promote_version

    request = Request(reason=reason, override=override, take_over=take_over, against=against, is_dry=dry_run)
    done = promote_version(context.home, context.ledger, registry, Wanted(model, stage, version), request)
    if json:
        print_json(done.model_dump(mode="json"))
    else:
        _print(done)
    return 1 if done.outcome in ("refused", "undecided") else 0


def rollback(
    model: Annotated[str, Parameter(help="A model, or a pipeline that has one with a champion.")],
    *,
    to: Annotated[
        int | None, Parameter(help="This version, in place of the champion before.", validator=Number(gte=1))
    ] = None,
    reason: Reason = "",
    take_over: TakeOver = None,
    json: Json = False,
) -> None:
    """Return to the champion before, at once and without a gate. Again, and it goes one further back.

    A champion that was left by a rollback is not returned to by a later one; --to names any version.

    For example:

        burnish rollback tiny.grpo --reason "it answers in French"
        burnish rollback tiny.grpo --to 2
    """
    _require_reasons(reason, None, take_over)
    context = open_models()
    from flows.promoting.candidates import find_decided

    name = find_decided(context.ledger, model)
    with Console(stderr=True).status("Rolling back…"):
        from flows.promoting.rollback import roll_back

        done = roll_back(context.home, context.ledger, name, to, reason=reason, taking_over=take_over)
    if json:
        print_json(done.model_dump(mode="json"))
        return
    from flows.promoting.view import rollback_lines

    for line in rollback_lines(done):
        plain_console().print(line, soft_wrap=True)


def _print(done: "Promotion") -> None:
    from flows.promoting.view import promotion_lines

    for line in promotion_lines(done):
        plain_console().print(line, soft_wrap=True)


def _require_reasons(reason: str, override: str | None, take_over: str | None) -> None:
    for option, given in (("--reason", reason or None), ("--override", override), ("--take-over", take_over)):
        require_reason(option, given)
