"""The datasets of a run, each with what its data card says."""

from collections.abc import Sequence
from dataclasses import dataclass

from data_contracts.data_card import DataCard
from data_contracts.errors import NotFoundError
from flows.card_view import card_facts, text_histogram
from flows.data.cards import card_of
from flows.report.reported_run import ReportedRun
from infra.warehouse.warehouse import Warehouse


@dataclass(frozen=True, slots=True)
class DatasetOfRun:
    """One version that a dataset of the recipe came to."""

    stage: str
    reference: str
    kind: str
    rows: int
    warnings: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    lengths: tuple[tuple[str, ...], ...]
    """Part, unit, smallest, 5 %, median, 95 %, largest, mean, and a histogram in block characters."""


def datasets_of(reported: ReportedRun) -> tuple[list[DatasetOfRun], list[str]]:
    """Datasets of the recipe that were published, and what of them is gone from the home since."""
    warehouse = Warehouse(reported.home)
    found: list[DatasetOfRun] = []
    gone: list[str] = []
    for past in reported.stages:
        made = past.execution
        if past.stage.kind != "dataset" or made is None:
            continue
        try:
            version = warehouse.get(f"{made.name}@{made.version}")
            card = card_of(warehouse, version)
        except NotFoundError as error:
            gone.append(error.found)
            continue
        found.append(
            DatasetOfRun(
                stage=past.stage.stage,
                reference=str(version),
                kind=card.kind.value,
                rows=card.rows,
                warnings=card.warnings(),
                facts=tuple(_facts(card).items()),
                lengths=tuple(_lengths(card)),
            )
        )
    return found, gone


def _facts(card: DataCard) -> dict[str, str]:
    """A fact without a name goes on with the one before it."""
    facts: dict[str, str] = {}
    last = ""
    for name, fact in card_facts(card):
        facts[name or last] = fact if name else f"{facts[last]}, {fact}"
        last = name or last
    return facts


def _lengths(card: DataCard) -> Sequence[tuple[str, ...]]:
    return [
        (
            *(each.part, each.unit),
            *(f"{n:,}" for n in (each.bins[0].low, each.p5, each.p50, each.p95, each.max)),
            f"{each.mean:,.1f}",
            text_histogram(bin.count for bin in each.bins),
        )
        for each in card.lengths
    ]
