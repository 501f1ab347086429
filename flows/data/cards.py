"""The data card of a version: computed once, because a version never changes, and kept beside its rows."""

from datetime import UTC, datetime
from pathlib import Path

from data_contracts.data_card import DataCard, Provenance
from data_contracts.mixtures import Mixture
from infra.data_card import make_card
from infra.home import write_atomically
from infra.warehouse.catalog import DatasetVersion
from infra.warehouse.warehouse import Warehouse


def card_of(warehouse: Warehouse, version: DatasetVersion) -> DataCard:
    """Its facts from the rows, its provenance from the catalog. Raises DataError for damaged rows."""
    path = warehouse.home.cards_dir / f"{version.fingerprint}.json"
    facts = _kept(path)
    if facts is None:
        facts = make_card(version.kind, warehouse.reader.pieces(version))
        write_atomically(path, facts.model_dump_json())
    return facts.model_copy(update={"provenance": _provenance(version)})


def _kept(path: Path) -> DataCard | None:
    """The card that was computed before; one that is damaged is computed again."""
    try:
        return DataCard.model_validate_json(path.read_bytes())
    except (OSError, ValueError):
        return None


def _provenance(version: DatasetVersion) -> Provenance:
    told = version.origin
    options = told.get("options", {})
    return Provenance(
        origin=options.get("origin") or told.get("source", ""),
        licence=options.get("licence", ""),
        imported_at=datetime.fromtimestamp(version.created_at, UTC),
        mapping=told.get("mapping", {}),
        quarantine=told.get("reasons", {}),
        parents=tuple(told.get("parents", {})),
        mixture=Mixture.model_validate(told["mixture"]) if told.get("mixture") else None,
    )
