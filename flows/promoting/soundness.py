"""Whether a version may become champion.

It saw no withdrawn rows, and its files, here and in MLflow, are those that its run made.
"""

from collections.abc import Callable
from pathlib import Path

from data_contracts.canonical import fingerprint
from data_contracts.errors import DamagedModelError, NotFoundError
from flows.lineage.withdrawal import require_untainted
from flows.stored import output_path
from infra.home import Home
from infra.ledger import Ledger
from infra.published_files import publishable_files
from infra.records import Execution


def require_sound(home: Home, ledger: Ledger, made: Execution, mlflow_copy: Callable[[str], Path]) -> None:
    """`mlflow_copy` gives the directory of `name/version` in MLflow.

    Raises WithdrawnError for a model that saw withdrawn rows, DamagedModelError for files that are not the model's.
    """
    require_untainted(home, ledger, made.name, made.version)
    named = f"{made.name}/{made.version}"
    kept = output_path(home, made)
    if (damage := _damage(ledger, kept, made.fingerprint)) is not None:
        raise _damaged(f"The model of {named} in this home {damage} ({kept}).", made)
    try:
        copy = mlflow_copy(named)
    except NotFoundError as error:
        raise _damaged(error.found, made) from error
    if (damage := _damage(ledger, copy, made.fingerprint)) is not None:
        raise _damaged(f"MLflow's copy of {named} {damage} ({copy}).", made)


def remembered_fingerprint(ledger: Ledger, directory: Path) -> str:
    """Content of a model directory; read again only when a file's size, time or inode changed, or a name.

    Raises OSError or ValueError where a file is missing or its JSON is damaged.
    """
    files = publishable_files(directory)
    what = f"model of {fingerprint([file.relative_to(directory).as_posix() for file in files])}"
    stamps = {file: _stamp(file) for file in files}
    known = {ledger.file_fact(file, what, *stamp) for file, stamp in stamps.items()}
    if len(known) == 1 and (fact := known.pop()) is not None:
        return fact
    from stages.checkpoint import fingerprint_model  # 5 s of imports

    found = fingerprint_model(directory)
    for file, stamp in stamps.items():
        ledger.note_file_fact(file, what, *stamp, found)
    return found


def _damage(ledger: Ledger, directory: Path, expected: str) -> str | None:
    if not any(directory.glob("*.safetensors")):
        return "has no weights" if directory.is_dir() else "is gone"
    try:
        found = remembered_fingerprint(ledger, directory)
    except (OSError, ValueError):
        return "cannot be read"
    return None if found == expected else "has other content than its run made"


def _damaged(found: str, made: Execution) -> DamagedModelError:
    return DamagedModelError(
        found,
        f"files with the fingerprint {made.fingerprint[:12]}…, in this home and in MLflow",
        "`burnish doctor --deep --fix` repairs one copy from the other; where both are damaged, "
        f"`burnish run {made.pipeline} --force {made.stage}` makes the model again.",
    )


def _stamp(file: Path) -> tuple[int, int, int]:
    stat = file.stat()
    return stat.st_size, stat.st_mtime_ns, stat.st_ino
