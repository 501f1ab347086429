"""Write a registered version out of the home: a directory that transformers or peft loads, with its card."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from data_contracts.data_card import DataCard
from data_contracts.errors import DataError, RecipeError
from data_contracts.vocabulary import DType
from flows.data.cards import card_of
from flows.data.exports import complete_or_absent, unwritable
from flows.lineage.models import ancestors
from flows.promoting.behind import datasets_behind
from flows.promoting.card import Card, make_card
from flows.promoting.loading import Form
from flows.promoting.soundness import require_sound
from flows.stored import output_path
from infra.home import Home
from infra.ledger import Ledger
from infra.published_files import PUBLISHED_SUFFIXES
from infra.records import Execution
from infra.warehouse.warehouse import Warehouse

README = "README.md"


@dataclass(frozen=True, slots=True)
class Export:
    """What a person asks for."""

    directory: Path
    form: Form = "model"
    dtype: DType | None = None
    """Of the weights; as they are stored where it is left out."""

    replaces: bool = False
    """Whether an earlier export may be replaced."""


def export_model(
    home: Home,
    ledger: Ledger,
    warehouse: Warehouse,
    made: Execution,
    wanted: Export,
    mlflow_copy: Callable[[str], Path],
) -> None:
    """Write a version's files; the directory appears complete or not at all.

    Raises WithdrawnError and DamagedModelError as a promotion does, DataError for a directory that is in use,
    RecipeError for a precision of an adapter, StageError for a model without the adapter that is asked for.
    """
    if wanted.form == "adapter" and wanted.dtype is not None:
        raise RecipeError(
            f"--adapter and --dtype {wanted.dtype} exclude each other.",
            "an adapter as it was trained, or whole weights in another precision",
            "Leave one of them out.",
        )
    try:
        _require_free(wanted.directory, replaces=wanted.replaces)
    except OSError as error:
        raise unwritable(wanted.directory, error) from error
    require_sound(home, ledger, made, mlflow_copy)
    from stages import exporting  # 5 s of imports

    card = full_card(home, ledger, warehouse, made, wanted.form)
    source = output_path(home, made)
    with complete_or_absent(wanted.directory, replaces=wanted.directory.exists()) as folder:
        folder.mkdir()
        if wanted.form == "adapter":
            exporting.export_adapter(source, folder)
        else:
            exporting.export_model(source, folder, wanted.dtype)
        (folder / README).write_text(card.text, encoding="utf-8")


def full_card(
    home: Home, ledger: Ledger, warehouse: Warehouse, made: Execution, form: Form = "model"
) -> Card:
    """The card with what there is to say of the rows, which is measured now where nobody did before."""
    there = {str(version): version for version in warehouse.versions()}
    read = [name for name in datasets_behind(*ancestors(ledger, made)) if name in there]
    data_cards: dict[str, DataCard] = {name: card_of(warehouse, there[name]) for name in read}
    return make_card(home, ledger, warehouse, made, form=form, data_cards=data_cards)


def _require_free(directory: Path, *, replaces: bool) -> None:
    """Nothing of a person's is written over: what is replaced has to look like an export."""
    if not (directory.exists() or directory.is_symlink()):
        return
    is_own = directory.is_dir() and not directory.is_symlink() and not directory.samefile(Path.cwd())
    held = list(directory.iterdir()) if is_own else [directory]
    if not held:
        return
    if replaces and (directory / README).is_file() and all(map(_is_exported, held)):
        return
    raise DataError(
        f"{directory} {'is no earlier export' if replaces else 'is there already'}.",
        "a new or empty directory, and not the working one, whose place it would take",
        "Name another one, or remove it."
        if replaces
        else "Name another one; --force replaces an earlier export.",
    )


def _is_exported(path: Path) -> bool:
    return path.is_file() and (path.name == README or path.suffix in PUBLISHED_SUFFIXES)
