"""`burnish models` and `chat`."""

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
    context = open_models()
    registry = open_registry(context)
    from flows.promoting.aliases import look
    from flows.promoting.evaluations import accuracy_of
    from infra.registry_aliases import RegistryAliases

    found = [
        version
        for version in registry.list_models()
        if pipeline is None or version.name.startswith(f"{pipeline}.")
    ]
    accuracies = {(v.name, v.version): accuracy_of(context.ledger, v.name, v.version) for v in found}
    aliases = RegistryAliases(context.home)
    by_hand = {name: look(context.ledger, aliases, name).told for name in sorted({v.name for v in found})}
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
                    "by_hand": by_hand[v.name],
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
            plain_text(v.tags.get("burnish.start", "")),
            plain_text(v.tags.get("burnish.datasets", "")),
            v.created_at.astimezone().strftime("%Y-%m-%d %H:%M"),
        )
    context.console.print(table)
    for told in [each for sentences in by_hand.values() for each in sentences]:
        context.console.print(plain_text(told), soft_wrap=True)


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
    context = open_models()
    directory = open_registry(context).model_directory(model)
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
            context.console.print()  # the shell's prompt begins a line of its own
            return
        if not line.strip():
            return
        context.console.print(plain_text(conversation.reply(line)))


def open_models() -> Context:
    """The context, and the environment MLflow must find when it is imported, or it begins to phone home."""
    context = open_context()
    os.environ.update(run_environment(context.home, os.environ, needs_hub=False))
    return context


def open_registry(context: Context) -> "ModelRegistry":
    with Console(stderr=True).status("Opening MLflow…"):
        from infra.registry import ModelRegistry

        return ModelRegistry(context.home.mlflow_uri, context.home.mlflow_artifacts_dir)
