"""`burnish card` and `burnish export`: a model for others, with what there is to say of it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from rich.console import Console

from data_contracts.vocabulary import DType
from flows.cli.context import plain_console
from flows.cli.data_context import open_data
from flows.cli.model_commands import open_models, open_registry

if TYPE_CHECKING:
    from infra.ledger import Ledger
    from infra.records import Execution

Model = Annotated[str, Parameter(help="`tiny.grpo`, `tiny.grpo/3` or `tiny.grpo@champion`.")]


def card(
    model: Model,
    *,
    raw: Annotated[bool, Parameter(negative=(), help="The README.md as it is, front matter too.")] = False,
) -> None:
    """Show a version's model card: decision and gate, evaluation, how to load it, stages, rows and licences.

    For example:

        burnish card tiny.grpo@champion
        burnish card tiny.grpo/3 --raw
    """
    context = open_data()
    from rich.markdown import Markdown

    from flows.promoting.exporting import full_card

    found = full_card(context.home, context.ledger, context.warehouse, _find(context.ledger, model))
    if raw:
        plain_console().print(found.text, soft_wrap=True, end="")
    else:
        plain_console().print(Markdown(found.body, hyperlinks=False))


def export(
    model: Model,
    directory: Annotated[Path, Parameter(help="To make; it may be there already if it is empty.")],
    *,
    adapter: Annotated[
        bool,
        Parameter(negative=(), help="The LoRA adapter alone, in place of the weights it is merged into."),
    ] = False,
    dtype: Annotated[DType | None, Parameter(help="Of the weights; by default as they are stored.")] = None,
    force: Annotated[bool, Parameter(negative=(), help="Replace an earlier export.")] = False,
) -> None:
    """Write a version as a directory that transformers loads: weights in safetensors, tokenizer, model card.

    What saw withdrawn rows, or has other files than its run made, is refused, as a promotion of it is.

    For example:

        burnish export tiny.grpo@champion served
        burnish export tiny.grpo/3 served --dtype bfloat16 --force
        burnish export lora.sft adapter --adapter
    """
    context = open_data()
    from flows.promoting.exporting import Export, export_model
    from flows.promoting.loading import content_below

    made = _find(context.ledger, model)
    registry = open_registry(open_models())
    wanted = Export(directory.absolute(), "adapter" if adapter else "model", dtype, replaces=force)
    with Console(stderr=True).status(f"Writing {made.name}/{made.version}…"):
        export_model(context.home, context.ledger, context.warehouse, made, wanted, registry.model_directory)
    what = "adapter" if adapter else f"weights{f' as {dtype}' if dtype else ''}"
    merged = (
        "" if adapter or content_below(context.home, made) is None else ", the LoRA adapter merged into them"
    )
    plain_console().print(
        f"{made.name}/{made.version} is in {directory}: {what}{merged}, tokenizer and README.md.",
        soft_wrap=True,
    )


def _find(ledger: "Ledger", model: str) -> "Execution":
    from flows.lineage.models import find_model

    return find_model(ledger, model, lambda name: open_registry(open_models()).aliases(name))
