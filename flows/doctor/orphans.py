"""What a run that was killed before it noted its work left behind: nothing in the ledger names it."""

from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from data_contracts.errors import HomeError
from flows.data.records import DATA
from flows.doctor.findings import Finding, Patient, unless_a_run_is_live
from infra.home import Home
from infra.ledger import Ledger
from infra.liveness import live_runs, remove_unless
from infra.records import Execution
from infra.warehouse.catalog import DatasetVersion
from infra.warehouse.collecting import collect
from infra.warehouse.warehouse import Warehouse

Names = Callable[[], Collection[str]]


def examine_orphans(patient: Patient) -> list[Finding]:
    """Model directories and lineage files without a row of the ledger."""
    home, ledger = patient.home, patient.ledger
    kinds: list[tuple[str, Path, Names]] = [
        ("model", home.models_dir, lambda: {each.fingerprint for each in ledger.executions()}),
        (
            "record of training rows",
            home.lineage_dir,
            lambda: {each.input_key for each in ledger.executions()},
        ),
    ]
    return [
        _orphan(ledger, path, what, names)
        for what, folder, names in kinds
        for path in _orphans(folder, names())
    ]


def require_whole(home: Home, ledger: Ledger) -> None:
    """Raises HomeError for a ledger that has lost rows: what they named would be taken for orphans.

    A run is in the ledger before anything else of it is anywhere, so logs of a run that it does not know are of
    another ledger: a newer one than a backup that was restored, or one that was emptied.
    """
    known = {run.run_id for run in ledger.runs(limit=-1)}
    logs = [path for path in _orphans(home.logs_dir, known) if path.is_dir()]
    if logs:
        raise HomeError(
            f"The ledger {home.ledger_path} does not know {len(logs)} runs that have logs here, such as {logs[0]}.",
            "the ledger that those runs wrote: without it all that they made looks like waste",
            "Restore it from a backup. To do without, remove these folders; then what is left of them goes too.",
        )


def _orphans(folder: Path, named: Collection[str]) -> list[Path]:
    if not folder.is_dir():
        return []
    shown = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
    return [path for path in shown if path.name.removesuffix(".parquet") not in named]


def _orphan(ledger: Ledger, path: Path, what: str, names: Names) -> Finding:
    def is_wanted() -> bool:
        return bool(live_runs(ledger)) or path.name.removesuffix(".parquet") in names()

    def drop() -> None:
        remove_unless(is_wanted, path)

    return Finding(
        f"{path} is a {what} that no row of the ledger names.",
        "A run ended before it noted what it had made; no plan will ever find it.",
        "Remove it.",
        lambda: unless_a_run_is_live(ledger, drop),
    )


def examine_orphan_rows(patient: Patient) -> list[Finding]:
    """Versions of pipelines' datasets and rollouts that no row names; and rows the ledger has and nobody else."""
    home, ledger = patient.home, patient.ledger
    if not home.warehouse_path.is_file():
        return []
    warehouse = Warehouse(home)
    versions = warehouse.versions()
    findings = [
        Finding(
            f"{version} has rows of a pipeline that no row of the ledger names.",
            "A run ended before it noted what it had made; no plan will ever find them.",
            "Remove the version, and files that nothing else needs.",
            _collect(patient, version),
        )
        for version in unnamed_versions(warehouse, ledger)
    ]
    there = {(version.name, version.version) for version in versions}
    lost = {
        version: each
        for each in ledger.executions()
        if each.pipeline != DATA
        for version in _versions_made(each)
        if version not in there
    }
    return findings + [
        Finding(
            f"The ledger names {name}@{version}, and the warehouse does not know it.",
            "Its rows cannot be looked at, and lineage through them ends there.",
            f"Restore the warehouse from a backup, or make it again: "
            f"`burnish run {made.pipeline} --force {made.stage}`",
        )
        for (name, version), made in lost.items()
    ]


def unnamed_versions(warehouse: Warehouse, ledger: Ledger) -> list[DatasetVersion]:
    """Untagged versions under a pipeline's name, which has a dot, that no execution made, read or sampled."""
    named: set[tuple[str, int]] = set()
    for each in ledger.executions():
        named.update(_versions_made(each))
        named |= {(given.name, given.version) for given in each.inputs}
    tagged = set(warehouse.tags())
    return [
        version
        for version in warehouse.versions()
        if "." in version.name and (version.name, version.version) not in named | tagged
    ]


def _versions_made(execution: Execution) -> Iterator[tuple[str, int]]:
    """Versions of datasets that it left: its rows, or what its model sampled while it was trained."""
    if execution.output == "rows":
        yield execution.name, execution.version
    if rollouts := execution.result.get("rollouts"):
        name, _, number = rollouts.partition("@")
        yield name, int(number)


def _collect(patient: Patient, version: DatasetVersion) -> Callable[[], str]:
    def drop() -> None:
        warehouse = Warehouse(patient.home)
        if version in unnamed_versions(warehouse, patient.ledger):
            collect(patient.home, warehouse.catalog, [version])

    return lambda: unless_a_run_is_live(patient.ledger, drop)
