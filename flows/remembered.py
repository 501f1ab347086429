"""Facts about files, read again only when the file's size, time or inode changed. The ledger keeps them."""

import json
from collections.abc import Callable
from pathlib import Path

from data_contracts.errors import NotFoundError
from flows.code_identity import Code, SourceFile, read_source
from flows.lineage.withdrawn_datasets import withdrawals_by_dataset
from flows.promoting.decisions import standing
from flows.sources import Sources, file_sha256
from infra.ledger import Ledger
from infra.records import Execution

ACCEPT = "accept"
"""The kind of decision that keeps results across a change of code."""


def remembered_sources(ledger: Ledger) -> Sources:
    """What a plan asks, answered from the ledger where it can be."""
    accepted = accepted_code(ledger)
    return Sources(
        code=Code(lambda path: remembered_source(ledger, path)),
        file_digest=lambda path: remembered_digest(ledger, path),
        find_version=lambda name, version: find_version(ledger, name, version),
        champion=lambda model: standing(ledger, model).champion,
        withdrawn=withdrawals_by_dataset(ledger),
        accepted=lambda code: accepted.get(code, code),
    )


def remembered_digest(ledger: Ledger, path: Path) -> str:
    """A file's SHA-256. Raises DataError when it is not there."""
    return _remembered(ledger, path, "sha256", file_sha256)


def remembered_source(ledger: Ledger, path: Path) -> SourceFile:
    """What matters of a Python file. Raises DataError when it cannot be read as Python."""

    def read(path: Path) -> str:
        source = read_source(path)
        return json.dumps([source.digest, source.imports])

    digest, imports = json.loads(_remembered(ledger, path, "source", read))
    return SourceFile(digest, tuple(imports))


def find_version(ledger: Ledger, name: str, version: int) -> Execution:
    """The execution that made a version of a dataset or model. Raises NotFoundError."""
    found = ledger.find_by_output(name, version)
    if not found:
        raise NotFoundError(
            f"The recipe reads version {version} of {name}, which this home does not have.",
            "a dataset version or a registered model of this home",
            f"`burnish data log {name}` and `burnish models` list them.",
        )
    return found[0]


def accepted_code(ledger: Ledger) -> dict[str, str]:
    """From code to the code whose results a person said it gives too, through every acceptance since."""
    accepted: dict[str, str] = {}
    for decision in reversed(ledger.decisions()):
        if decision.kind == ACCEPT:
            for after, before in decision.evidence["code"].items():
                if after == before:  # taken back
                    accepted.pop(after, None)
                else:
                    accepted[after] = accepted.get(before) or before
    return accepted


def _remembered(ledger: Ledger, path: Path, what: str, read: Callable[[Path], str]) -> str:
    if not path.is_file():
        return read(path)  # raises with the reason
    stat = path.stat()
    stamp = (stat.st_size, stat.st_mtime_ns, stat.st_ino)
    known = ledger.file_fact(path, what, *stamp)
    if known is None:
        known = read(path)
        ledger.note_file_fact(path, what, *stamp, known)
    return known
