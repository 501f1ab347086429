"""`burnish models`, `promote` and `chat`."""

import os
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from cyclopts.validators import Number
from rich.console import Console
from rich.table import Table

from flows.cli.context import Context, open_context, plain_text, print_json
from flows.cli.run_commands import Json
from infra.environment import run_environment

if TYPE_CHECKING:
    from infra.registry import ModelRegistry


def models(
    pipeline: Annotated[str | None, Parameter(help="Only this pipeline's models.")] = None,
    *,
    json: Json = False,
) -> None:
    """List the registered models, with their accuracy and aliases.

    For example:

        burnish models
        burnish models tiny --json
    """
    context = _open()
    from flows.promotion import accuracy_of

    found = [
        version
        for version in _registry(context).list_models()
        if pipeline is None or version.name.startswith(f"{pipeline}.")
    ]
    accuracies = {(v.name, v.version): accuracy_of(context.ledger, v.name, v.version) for v in found}
    if json:
        print_json(
            [
                {
                    "name": v.name,
                    "version": v.version,
                    "uri": f"models:/{v.name}/{v.version}",
                    "aliases": v.aliases,
                    "accuracy": accuracies[v.name, v.version],
                    "created_at": v.created_at.isoformat(),
                    "tags": dict(v.tags),
                }
                for v in found
            ]
        )
        return
    table = Table(title="Registered models", title_justify="left")
    for heading in ("model", "aliases", "accuracy", "made from", "rows", "registered"):
        table.add_column(heading, overflow="fold")
    for v in found:
        accuracy = accuracies[v.name, v.version]
        table.add_row(
            f"{v.name}/{v.version}",
            ", ".join(v.aliases),
            "" if accuracy is None else f"{accuracy:.1%}",
            v.tags.get("burnish.start", ""),
            v.tags.get("burnish.datasets", ""),
            v.created_at.astimezone().strftime("%Y-%m-%d %H:%M"),
        )
    context.console.print(table)


def promote(
    model: Annotated[str, Parameter(help="A pipeline (its last model), a model, or `model/version`.")],
    *,
    reason: Annotated[str, Parameter(help="Why; kept in the ledger.")] = "",
    json: Json = False,
) -> None:
    """Make a version the champion. The one before stays reachable as `previous`.

    For example:

        burnish promote tiny
        burnish promote tiny.dpo/2 --reason "shorter answers"
        burnish chat tiny.grpo@champion
    """
    context = _open()
    from flows.promotion import promote_version

    promotion = promote_version(context.ledger, _registry(context), context.home, model, reason)
    if json:
        print_json(promotion.model_dump(mode="json"))
        return
    before = f" (before: version {promotion.previous})" if promotion.previous is not None else ""
    if promotion.was_champion:
        context.console.print(f"{promotion.model}/{promotion.version} is the champion already.")
    else:
        context.console.print(
            f"{promotion.model}/{promotion.version} is the champion{before}.", highlight=False
        )
    if promotion.accuracy is None:
        context.console.print("Nothing verified it: its recipe has no evaluate section.", highlight=False)
    context.console.print(
        f"Load it with transformers from models:/{promotion.model}@champion", highlight=False
    )


def chat(
    model: Annotated[str, Parameter(help="`tiny.grpo`, `tiny.grpo/3` or `tiny.grpo@champion`.")],
    *,
    prompt: Annotated[str | None, Parameter(help="Ask this once and end.")] = None,
    temperature: Annotated[float, Parameter(help="0 is greedy.", validator=Number(gte=0))] = 0.0,
    max_tokens: Annotated[int, Parameter(help="Per reply.", validator=Number(gte=1))] = 512,
) -> None:
    """Talk to a registered model. An empty line or Ctrl-D ends it.

    For example:

        burnish chat tiny.grpo --prompt 347+285
        burnish chat tiny.grpo@champion --temperature 1
    """
    context = _open()
    directory = _registry(context).model_directory(model)
    with Console(stderr=True).status(f"Loading {model}…"):
        from stages.chat import Conversation

        conversation = Conversation(directory, temperature, max_tokens)
    if prompt is not None:
        context.console.print(plain_text(conversation.reply(prompt)))
        return
    while True:
        try:
            line = context.console.input("[bold]you:[/] ")
        except EOFError:
            return
        if not line.strip():
            return
        context.console.print(plain_text(conversation.reply(line)))


def _open() -> Context:
    """The context, and the environment MLflow must find when it is imported, or it begins to phone home."""
    context = open_context()
    os.environ.update(run_environment(context.home, os.environ, needs_hub=False))
    return context


def _registry(context: Context) -> "ModelRegistry":
    with Console(stderr=True).status("Opening MLflow…"):
        from infra.registry import ModelRegistry

        return ModelRegistry(context.home.mlflow_uri, context.home.mlflow_artifacts_dir)
