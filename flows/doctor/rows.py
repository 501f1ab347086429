"""The warehouse: the same checks as `burnish data verify`; `--deep` hashes every row again."""

from flows.data.keeping import damaged_quarantines, models_that_read
from flows.doctor.findings import Finding, Patient
from infra.warehouse.integrity import Damage, find_damage
from infra.warehouse.warehouse import Warehouse

_SHOWN = 5


def examine_rows(patient: Patient) -> list[Finding]:
    if not patient.home.warehouse_path.is_file() and not any(patient.home.rows_dir.glob("*.parquet")):
        return []
    warehouse = Warehouse(patient.home)
    versions = warehouse.versions()
    damage = find_damage(patient.home, warehouse.catalog, versions, patient.is_deep, _unwatched)
    return [_finding(patient, each) for each in damage + damaged_quarantines(warehouse, None)]


def _unwatched(*_: int) -> None:
    pass


def _finding(patient: Patient, damage: Damage) -> Finding:
    models = models_that_read(patient.ledger, damage.versions)
    return Finding(
        damage.found,
        f"Versions affected: {_some([str(version) for version in damage.versions])}; "
        f"models trained on them: {_some(models)}.",
        "Restore the file from a backup, import its source again, or run its recipe again with --force.",
    )


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return (", ".join(names[:_SHOWN]) or "none") + more
