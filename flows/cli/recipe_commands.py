"""`burnish init` and `burnish recipes`."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.syntax import Syntax
from rich.table import Table

from data_contracts.errors import RecipeError
from flows.cli.context import print_json
from flows.cli.run_commands import Json
from flows.recipe import Recipe
from flows.recipe_files import find_recipe, read_recipe, shipped_recipes


def recipes(
    name: Annotated[str | None, Parameter(help="Print this recipe's YAML.")] = None,
    *,
    schema: Annotated[
        bool, Parameter(negative=(), help="Print the JSON Schema of recipes, for editors.")
    ] = False,
    json: Json = False,
) -> None:
    """List the shipped recipes, or print one to start your own from.

    For example:

        burnish recipes
        burnish recipes tiny > mine.yaml
        burnish recipes --schema > burnish.schema.json
    """
    console = Console()
    if schema:
        print_json(Recipe.model_json_schema())
    elif name is not None:
        text = find_recipe(name).read_text()
        if console.is_terminal:
            console.print(Syntax(text, "yaml"))
        else:
            console.out(text, end="", highlight=False)  # as it is: `print` would break lines
    elif json:
        print_json({name: str(path) for name, path in shipped_recipes().items()})
    else:
        table = Table(title="Shipped recipes", title_justify="left")
        table.add_column("name")
        table.add_column("what it is")
        for recipe, path in shipped_recipes().items():
            table.add_row(recipe, path.read_text().splitlines()[0].removeprefix("# "))
        console.print(table)


def init(
    path: Annotated[Path, Parameter(help="The recipe to write; must not exist.")],
    *,
    sft: Annotated[Path | None, Parameter(help="Rows with messages, or prompt and completion.")] = None,
    problems: Annotated[Path | None, Parameter(help="Rows with prompt and ground_truth.")] = None,
    pairs: Annotated[Path | None, Parameter(help="Rows with prompt, chosen and rejected.")] = None,
    base: Annotated[Path | None, Parameter(help="A local Hugging Face model directory.")] = None,
    verifier: Annotated[str, Parameter(help="Judges problems whose rows name no verifier.")] = "exact_number",
) -> None:
    """Write a commented recipe for your own files (JSONL, JSON, Parquet or CSV), and check the files.

    For example:

        burnish init my.yaml --sft rows.jsonl --problems problems.jsonl
        burnish init my.yaml --sft rows.jsonl --problems problems.jsonl --base ./Qwen2.5-0.5B-Instruct
        burnish init my.yaml --sft rows.parquet --pairs preferences.jsonl
    """
    from flows.init_recipe import OwnFiles, check_files, recipe_text

    if path.exists():
        raise RecipeError(f"{path} exists already.", "a new file", "Name another one, or remove it.")
    files = OwnFiles(sft=sft, problems=problems, pairs=pairs, base=base, verifier=verifier)
    counts = check_files(files)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(recipe_text(path, files, counts))
    try:
        read_recipe(path)
    except RecipeError:
        path.unlink()
        raise
    console = Console()
    for name, count in counts.items():
        console.print(f"{name}: {count} rows, all readable", highlight=False)
    console.print(f"Wrote {path}. Next: [bold]burnish plan {path}[/], then [bold]burnish run {path}[/]")
