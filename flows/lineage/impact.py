"""Impact: which versions hold some rows, which models saw them, and which stages would have to run again."""

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from data_contracts.errors import NotFoundError, RecipeError
from flows.lineage.trail import Trail, Use, follow
from infra.home import Home
from infra.ledger import Ledger
from infra.warehouse.locating import HeldRows, find_row, find_rows, in_hashes, of_source
from infra.warehouse.warehouse import Warehouse

_MADE_BY_STAGES = ("verify", "pairs", "select", "audit")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which rows a person means: a version's, one row, or all of a source; exactly one of them is given."""

    version: str | None = None
    row: str | None = None
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Selection:
    """The rows that were meant, wherever they stand."""

    scope: str
    row_hashes: bytes
    source: str | None
    held: Sequence[HeldRows]


class Holding(BaseModel):
    """A dataset version and how many of its rows are meant, or are made of them."""

    model_config = ConfigDict(frozen=True)

    version: str
    rows: int
    of: int
    is_derived: bool


class SeenBy(BaseModel):
    """A model that saw the rows."""

    model_config = ConfigDict(frozen=True)

    model: str
    how: str


class Impact(BaseModel):
    """Where rows are, and what they touched."""

    model_config = ConfigDict(frozen=True)

    scope: str
    versions: tuple[Holding, ...]
    uses: tuple[Use, ...]
    models: tuple[SeenBy, ...]
    rerun: dict[str, tuple[str, ...]]
    """Per pipeline, the stages of its newest run that come after the rows, in order."""


def select(warehouse: Warehouse, wanted: Wanted) -> Selection:
    """Find the rows. Raises NotFoundError, or RecipeError for none or several ways of saying which."""
    given = [value for value in (wanted.version, wanted.row, wanted.source) if value is not None]
    if len(given) != 1:
        raise RecipeError(
            f"{len(given)} of NAME, --row and --source are given.",
            "one of them",
            "See --help of this command.",
        )
    if wanted.row is not None:
        row_hash, held = find_row(warehouse, wanted.row)
        return Selection(f"row {row_hash.hex()}", row_hash, None, held)
    if wanted.source is not None:
        held = find_rows(warehouse, of_source(warehouse, wanted.source))
        if not held:
            raise NotFoundError(
                f"No version holds a row of the source {wanted.source}.",
                "what rows say in their column `source`",
                "`burnish data card NAME` lists the sources of a dataset.",
            )
        return Selection(f"source {wanted.source}", b"", wanted.source, held)
    assert wanted.version is not None
    version = warehouse.get(wanted.version)
    hashes = warehouse.reader.hashes(version)
    held = find_rows(warehouse, in_hashes(warehouse, hashes))
    return Selection(f"version {version} {version.fingerprint}", hashes.tobytes(), None, held)


def assess(home: Home, ledger: Ledger, warehouse: Warehouse, selection: Selection) -> Impact:
    """Follow the rows through every execution of the ledger."""
    trail = follow(home, warehouse, reversed(ledger.executions()), selection.held)
    held = {(rows.version.name, rows.version.version) for rows in selection.held}
    sizes = {(v.name, v.version): v.num_rows for v in warehouse.versions()}
    versions = [
        Holding(
            version=f"{name}@{version}",
            rows=len(rows),
            of=sizes[name, version],
            is_derived=(name, version) not in held,
        )
        for (name, version), rows in sorted(trail.rows.items())
    ]
    models = [
        SeenBy(model=f"{name}/{version}", how=how) for (name, version), how in sorted(trail.models.items())
    ]
    return Impact(
        scope=selection.scope,
        versions=tuple(versions),
        uses=tuple(trail.uses),
        models=tuple(models),
        rerun=_rerun(ledger, trail),
    )


def source_rows(ledger: Ledger, selection: Selection) -> list[HeldRows]:
    """Where the rows stand in datasets that no stage made: what can be withdrawn."""
    made = {(e.name, e.version) for e in ledger.executions() if e.kind in _MADE_BY_STAGES}
    return [rows for rows in selection.held if (rows.version.name, rows.version.version) not in made]


def _rerun(ledger: Ledger, trail: Trail) -> dict[str, tuple[str, ...]]:
    """Stages of each pipeline's newest run whose execution comes after the rows."""
    found: dict[str, tuple[str, ...]] = {}
    for pipeline in sorted({e.pipeline for e in ledger.executions() if e.key in trail.keys}):
        for run in ledger.runs(pipeline, limit=1):
            stages = [stage.stage for stage in ledger.run_stages(run.run_id) if stage.key in trail.keys]
            if stages:
                found[pipeline] = tuple(stages)
    return found
