"""Make training sets of versions: mix, split, deduplicate, decontaminate. The result is a version that records how.

Every one of them chooses rows of versions that are there already, so nothing is copied.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
        usable = [np.flatnonzero(~mask) for mask in self._withdrawn(versions)]
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
        by_prompt = config.group_by == "prompt"
        rows = self._read(version, [*([] if by_prompt else [config.group_by]), config.stratify_by], by_prompt)
        groups = prompt_texts(version.kind, rows) if by_prompt else rows[config.group_by]
        strata = rows[config.stratify_by].cast(pa.string()) if config.stratify_by else None
        mask = held_out_rows(config, groups.cast(pa.string()), strata)
        identity = {"command": "split", "split": config.model_dump(mode="json"), "of": str(version)}
        made = [
            self._publish(
                name, [version], (np.zeros(len(kept), np.int64), kept), {**identity, "side": side}, began
            )
            for name, side, kept in (
                (names[0], "train", np.flatnonzero(~mask)),
                (names[1], "held_out", np.flatnonzero(mask)),
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
        versions = [self.warehouse.get(reference) for reference in references]
        _require_one_kind(versions)
        method = method or ("exact" if versions and versions[0].kind is RowKind.problems else "near")
        texts = [
            NamedTexts(str(version), row_texts(version.kind, self._read(version, [], with_texts=True)))
            for version in (*prior, *versions)
        ]
        found = find_duplicates(texts, method, threshold=threshold, on_progress=on_progress)
        kept = [np.flatnonzero(found.keep[str(version)]) for version in versions]
        source = np.repeat(np.arange(len(versions)), [len(rows) for rows in kept])
        identity = {
            "command": "dedupe",
            "method": method,
            "threshold": threshold,
            "of": [str(version) for version in versions],
            "against": [str(version) for version in prior],
        }
        return self._publish(name, versions, (source, np.concatenate(kept)), identity, began), found

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
        masks = self._withdrawn(versions)
        if any(mask.any() for mask in masks):
            document["withdrawn"] = sorted(withdrawal.scope for withdrawal in self.ledger.withdrawals())
            kept = np.ones(len(source), np.bool_)
            for index, mask in enumerate(masks):
                kept[source == index] = ~mask[position[source == index]]
            source, position = source[kept], position[kept]
        made = self.warehouse.publish_selection(
            name, versions, source, position, Origin(fingerprint(document), document)
        )
        step = DataStep(identity["command"], document, tuple(versions))
        record_version(self.ledger, made.version, step, time.monotonic() - began)
        return made

    def _withdrawn(self, versions: Sequence[DatasetVersion]) -> list[NDArray[np.bool_]]:
        return withdrawn_masks(self.ledger, self.warehouse, [str(version) for version in versions])

    def _read(
        self, version: DatasetVersion, columns: Sequence[str | None], with_texts: bool = False
    ) -> pa.Table:
        wanted = {*filter(None, columns), *(columns_of_texts(version.kind) if with_texts else [])}
        rows = self.warehouse.reader.read(version, sorted(wanted))
        if missing := sorted(wanted - set(rows.column_names)):
            raise DataError(
                f"{version} ({version.kind} rows) has no column {', '.join(missing)}.",
                "a column of its rows",
                f"See `burnish data show {version}`.",
            )
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


def _require_one_kind(versions: Sequence[DatasetVersion]) -> None:
    kinds = {version.kind for version in versions}
    if len(kinds) > 1:
        named = ", ".join(f"{version} ({version.kind})" for version in versions)
        raise DataError(f"These versions hold rows of several kinds: {named}.", "rows of one kind", "")
