"""What a run that was killed before it noted its work left behind: nothing in the ledger names it."""

from collections.abc import Callable, Collection
from pathlib import Path

from flows.data.records import DATA
from flows.doctor.findings import Finding, Patient, unless_a_run_is_live
from infra.ledger import Ledger
from infra.liveness import live_runs, remove_unless
from infra.warehouse.catalog import DatasetVersion
from infra.warehouse.collecting import collect
from infra.warehouse.warehouse import Warehouse

Names = Callable[[], Collection[str]]


def examine_orphans(patient: Patient) -> list[Finding]:
    """Model directories, lineage files and logs without a row of the ledger."""
    home, ledger = patient.home, patient.ledger
    kinds: list[tuple[str, Path, Names]] = [
        ("model", home.models_dir, lambda: {each.fingerprint for each in ledger.executions()}),
        (
            "record of training rows",
            home.lineage_dir,
            lambda: {each.input_key for each in ledger.executions()},
        ),
        ("folder of logs", home.logs_dir, lambda: {run.run_id for run in ledger.runs(limit=-1)}),
    ]
    return [
        _orphan(ledger, path, what, names)
        for what, folder, names in kinds
        for path in _orphans(folder, names())
        if path.is_dir() or folder != home.logs_dir
    ]


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
        (each.name, each.version): each
        for each in ledger.executions()
        if each.output == "rows" and each.pipeline != DATA and (each.name, each.version) not in there
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
        named.add((each.name, each.version))
        named |= {(given.name, given.version) for given in each.inputs}
        if rollouts := each.result.get("rollouts"):
            name, _, number = rollouts.partition("@")
            named.add((name, int(number)))
    tagged = set(warehouse.tags())
    return [
        version
        for version in warehouse.versions()
        if "." in version.name and (version.name, version.version) not in named | tagged
    ]


def _collect(patient: Patient, version: DatasetVersion) -> Callable[[], str]:
    def drop() -> None:
        warehouse = Warehouse(patient.home)
        if version in unnamed_versions(warehouse, patient.ledger):
            collect(patient.home, warehouse.catalog, [version])

    return lambda: unless_a_run_is_live(patient.ledger, drop)
