"""What needs a dataset version: a tag, a run of a pipeline, a model trained on it."""

from collections.abc import Iterable

from data_contracts.errors import DataError
from data_contracts.stage_configs import MODEL_KINDS
from flows.data.records import DATA
from infra.ledger import Ledger
from infra.warehouse.catalog import DatasetVersion
from infra.warehouse.collecting import needed_versions
from infra.warehouse.integrity import Damage
from infra.warehouse.quarantine import Quarantines
from infra.warehouse.warehouse import Warehouse


def unneeded_versions(warehouse: Warehouse, ledger: Ledger, keep: int | None) -> list[DatasetVersion]:
    """Versions beyond the newest `keep` of their name that no tag and no run names; none without `keep`."""
    if keep is None:
        return []
    tagged = set(warehouse.tags())
    used: set[tuple[str, int]] = set()
    for execution in ledger.executions():
        if execution.pipeline != DATA:
            used |= {(execution.name, execution.version)}
            used |= {(given.name, given.version) for given in execution.inputs}
    versions = warehouse.versions()
    needed = needed_versions(versions, keep, lambda v: (v.name, v.version) in tagged | used)
    return [version for version in versions if (version.name, version.version) not in needed]


def damaged_quarantines(warehouse: Warehouse, name: str | None) -> list[Damage]:
    """Quarantines of a dataset, or of all, whose file is not as it was written."""
    store = Quarantines(warehouse.home, warehouse.catalog)
    damage: list[Damage] = []
    for quarantine in store.of(name):
        try:
            store.require_intact(quarantine)
        except DataError as error:
            damage.append(Damage(f"Quarantine of {quarantine.name}: {error.found}", ()))
    return damage


def models_that_read(ledger: Ledger, versions: Iterable[DatasetVersion]) -> list[str]:
    """Models trained, directly or through other versions and models, on any of these versions."""
    reached = {(version.name, version.version) for version in versions}
    models: list[str] = []
    for execution in reversed(ledger.executions()):  # whoever reads comes after what it reads
        if any((given.name, given.version) in reached for given in execution.inputs):
            reached.add((execution.name, execution.version))
            if execution.kind in MODEL_KINDS:
                models.append(f"{execution.name}/{execution.version}")
    return sorted(set(models))
