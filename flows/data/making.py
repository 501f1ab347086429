"""Make training sets of versions: mix, split, deduplicate, decontaminate. The result is a version that records how.

Every one of them chooses rows of versions that are there already, so nothing is copied.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from data_contracts.canonical import fingerprint
from data_contracts.errors import DataError
from data_contracts.mixtures import HeldOutSplit, Mixture
from data_contracts.rows import RowKind
from flows.data.records import DataStep, record_version
from flows.lineage.withdrawal import withdrawn_masks
from infra.ledger import Ledger
from infra.warehouse.catalog import DatasetVersion
from infra.warehouse.committing import Origin, Published
from infra.warehouse.reading import require_columns
from infra.warehouse.row_hashes import words_of
from infra.warehouse.warehouse import Warehouse
from stages.contamination import Contamination, Decontamination, EvaluationText
from stages.decontaminate import find_contamination
from stages.deduplicate import Duplicates, Method, NamedTexts, find_duplicates
from stages.mix import mix
from stages.row_texts import columns_of_texts, prompt_texts, row_texts
from stages.split import held_out_rows

OnProgress = Callable[[int, int], None]
Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Maker:
    """Makes versions in one home."""

    warehouse: Warehouse
    ledger: Ledger

    def mix(self, name: str, mixture: Mixture) -> tuple[Published, tuple[int, ...]]:
        """The mixture's rows, and how many each source gave. Raises DataError."""
        began = time.monotonic()
        versions = [self.warehouse.get(source.dataset) for source in mixture.sources]
        _require_one_kind(versions)
        usable = [np.flatnonzero(mask) for mask in self._usable(versions)]
        hashes = {
            str(v): words_of(self.warehouse.reader.hashes(v)[rows])
            for v, rows in zip(versions, usable, strict=True)
        }
        mixed = mix(mixture, hashes)
        position = mixed.position.copy()
        for source, rows in enumerate(usable):
            position[mixed.source == source] = rows[mixed.position[mixed.source == source]]
        identity = {"command": "mix", "mixture": mixture.model_dump(mode="json")}
        made = self._publish(name, versions, (mixed.source, position), identity, began)
        return made, mixed.counts

    def split(
        self, reference: str, names: tuple[str, str], config: HeldOutSplit
    ) -> tuple[Published, Published]:
        """The rows to train on and those held out. Grouped by `prompt`, rows of one prompt's text stay together."""
        began = time.monotonic()
        version = self.warehouse.get(reference)
        (usable,) = self._usable([version])
        by_prompt = config.group_by == "prompt"
        rows = self._read(version, [*([] if by_prompt else [config.group_by]), config.stratify_by], by_prompt)
        rows = _only(usable, rows)
        groups = prompt_texts(version.kind, rows) if by_prompt else rows[config.group_by]
        strata = rows[config.stratify_by].cast(pa.string()) if config.stratify_by else None
        mask = held_out_rows(config, groups.cast(pa.string()), strata)
        places = np.flatnonzero(usable)
        identity = {"command": "split", "split": config.model_dump(mode="json"), "of": str(version)}
        made = [
            self._publish(name, [version], (np.zeros_like(kept), kept), {**identity, "side": side}, began)
            for name, side, kept in zip(
                names, ("train", "held_out"), (places[~mask], places[mask]), strict=True
            )
        ]
        return made[0], made[1]

    def dedupe(
        self,
        name: str,
        references: Sequence[str],
        against: Sequence[str],
        method: Method | None,
        threshold: float,
        on_progress: OnProgress,
    ) -> tuple[Published, Duplicates]:
        """The sources' rows without those that repeat an earlier one; rows of `against` come first and stay out.

        Without a method problems are compared exactly, because another number makes another problem.
        """
        began = time.monotonic()
        prior = [self.warehouse.get(reference) for reference in against]
        versions = list({str(v): v for v in map(self.warehouse.get, references)}.values())
        _require_one_kind(versions)
        method = method or ("exact" if versions and versions[0].kind is RowKind.problems else "near")
        texts: list[NamedTexts] = []
        places: dict[str, Rows] = {}
        for version, usable in zip((*prior, *versions), self._usable([*prior, *versions]), strict=True):
            rows = _only(usable, self._read(version, [], with_texts=True))
            texts.append(NamedTexts(str(version), row_texts(version.kind, rows)))
            places[str(version)] = np.flatnonzero(usable)
        found = find_duplicates(texts, method, threshold=threshold, on_progress=on_progress)
        kept = [places[str(version)][found.keep[str(version)]] for version in versions]
        source = np.repeat(np.arange(len(versions)), [len(rows) for rows in kept])
        identity = {
            "command": "dedupe",
            "method": method,
            "threshold": threshold,
            "of": [str(version) for version in versions],
            "against": [str(version) for version in prior],
        }
        made = self._publish(name, versions, (source, np.concatenate(kept)), identity, began)
        return made, _in_versions(found, places)

    def find_contamination(
        self,
        reference: str,
        evaluations: Sequence[str],
        settings: Decontamination,
        on_progress: OnProgress,
    ) -> "Findings":
        """Rows of a version that hold problems of the evaluation sets. Raises DataError."""
        version = self.warehouse.get(reference)
        sets = [self.warehouse.get(evaluation) for evaluation in evaluations]
        rows = self._read(version, [], with_texts=True)
        texts, prompts = row_texts(version.kind, rows), prompt_texts(version.kind, rows)
        problems = [problem for held_out in sets for problem in self._problems(held_out)]
        hits = find_contamination(texts, problems, settings, prompts=prompts, on_progress=on_progress)
        by_place = {(problem.name, problem.row): problem for problem in problems}
        return Findings(version, tuple(sets), hits, texts, by_place)

    def without_contamination(self, name: str, found: "Findings", settings: dict[str, Any]) -> Published:
        """The version without its contaminated rows."""
        began = time.monotonic()
        kept = np.setdiff1d(np.arange(found.version.num_rows), found.contaminated_rows)
        identity = {
            "command": "decontaminate",
            "settings": settings,
            "of": str(found.version),
            "against": [str(held_out) for held_out in found.sets],
        }
        source = np.zeros(len(kept), np.int64)
        return self._publish(name, [found.version], (source, kept), identity, began)

    def _publish(
        self,
        name: str,
        versions: Sequence[DatasetVersion],
        rows: tuple[NDArray[Any], Rows],
        identity: dict[str, Any],
        began: float,
    ) -> Published:
        """Rows chosen from versions as the next version of `name`; withdrawn rows stay out of whatever is made."""
        parents = {str(version): version.fingerprint for version in versions}
        document = {**identity, "parents": parents}
        source, position = rows[0].astype(np.int64), rows[1]
        usable = self._usable(versions)
        if not all(mask.all() for mask in usable):
            document["withdrawn"] = sorted(withdrawal.scope for withdrawal in self.ledger.withdrawals())
            kept = np.ones(len(source), np.bool_)
            for index, mask in enumerate(usable):
                kept[source == index] = mask[position[source == index]]
            source, position = source[kept], position[kept]
        if len(position) == 0:
            raise DataError(
                f"No row of {', '.join(parents)} is left for {name}: each was removed or is withdrawn.",
                "at least one row",
            )
        made = self.warehouse.publish_selection(
            name, versions, source, position, Origin(fingerprint(document), document)
        )
        step = DataStep(identity["command"], document, tuple(versions))
        record_version(self.ledger, self.warehouse, made.version, step, time.monotonic() - began)
        return made

    def _usable(self, versions: Sequence[DatasetVersion]) -> list[NDArray[np.bool_]]:
        """Per version [rows], False for the withdrawn: they neither come along nor decide which others do."""
        return [~mask for mask in withdrawn_masks(self.ledger, self.warehouse, [str(v) for v in versions])]

    def _read(
        self, version: DatasetVersion, columns: Sequence[str | None], with_texts: bool = False
    ) -> pa.Table:
        wanted = {*filter(None, columns), *(columns_of_texts(version.kind) if with_texts else [])}
        require_columns(version, wanted)
        rows = self.warehouse.reader.read(version, sorted(wanted))
        for name in filter(None, columns):
            if pa.types.is_nested(rows.schema.field(name).type):
                raise DataError(
                    f"The column {name} of {version} holds lists or objects.", "text or numbers", ""
                )
        return rows

    def _problems(self, version: DatasetVersion) -> list[EvaluationText]:
        columns = ["ground_truth"] if version.kind is RowKind.problems else []
        rows = self._read(version, columns, with_texts=True)
        prompts = prompt_texts(version.kind, rows).to_pylist()
        truths = rows["ground_truth"].to_pylist() if columns else [""] * len(prompts)
        return [
            EvaluationText(str(version), row, prompt, truth)
            for row, (prompt, truth) in enumerate(zip(prompts, truths, strict=True))
        ]


@dataclass(frozen=True, slots=True)
class Findings:
    """Contamination of one version by some evaluation sets."""

    version: DatasetVersion
    sets: tuple[DatasetVersion, ...]
    hits: list[Contamination]
    texts: pa.ChunkedArray
    problems: dict[tuple[str, int], EvaluationText]

    @property
    def contaminated_rows(self) -> Rows:
        """Rows with a hit that counts."""
        return np.unique(np.array([hit.training_row for hit in self.hits if hit.is_counted], np.int64))


def _only(usable: NDArray[np.bool_], rows: pa.Table) -> pa.Table:
    return rows if usable.all() else rows.filter(pa.array(usable))


def _in_versions(found: Duplicates, places: Mapping[str, Rows]) -> Duplicates:
    """Rows by their place in their version; `places`: those of the rows that were compared, by source."""

    def placed(table: pa.Table, source: str, row: str) -> pa.Table:
        names, rows = table[source].to_numpy(), table[row].to_numpy().copy()
        for name, of in places.items():
            rows[names == name] = of[rows[names == name]]
        return table.set_column(table.column_names.index(row), row, pa.array(rows))

    removed = placed(found.removed, "source", "row")
    removed = placed(removed, "duplicate_of_source", "duplicate_of_row")
    return replace(found, removed=removed, clusters=placed(found.clusters, "source", "row"))


def _require_one_kind(versions: Sequence[DatasetVersion]) -> None:
    kinds = {version.kind for version in versions}
    if len(kinds) > 1:
        named = ", ".join(f"{version} ({version.kind})" for version in versions)
        raise DataError(f"These versions hold rows of several kinds: {named}.", "rows of one kind", "")
