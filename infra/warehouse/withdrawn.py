"""Which rows of a table or a version are withdrawn: by hash, or by what their column `source` says."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from infra.records import Withdrawal
from infra.warehouse.catalog import DatasetVersion
from infra.warehouse.locating import HashSet, Mask, hashes_from, names_source
from infra.warehouse.row_hashes import Hashes, RowHasher
from infra.warehouse.warehouse import Warehouse


class WithdrawnRows:
    """What some withdrawals (usually all in force, `Ledger.withdrawals()`) take away."""

    def __init__(self, withdrawals: Sequence[Withdrawal]) -> None:
        self._hashes = HashSet(hashes_from(b"".join(w.row_hashes for w in withdrawals)))
        self._has_hashes = any(w.row_hashes for w in withdrawals)
        self._sources = {w.source for w in withdrawals if w.source is not None}

    def are_withdrawn(self, hashes: Hashes) -> Mask:
        """[rows] By hash alone."""
        return self._hashes.contains(hashes)

    def mask_of_table(self, rows: pa.Table) -> Mask:
        """[rows] True where a row must not be used. Costs nothing where nothing is withdrawn."""
        mask = self._mask_of_sources(rows)
        if self._has_hashes and rows.num_rows:
            hasher = RowHasher()
            try:
                mask |= self.are_withdrawn(hasher.hash_rows(rows))
            finally:
                hasher.close()
        return mask

    def mask_of_version(self, warehouse: Warehouse, version: DatasetVersion) -> Mask:
        """[rows] The same for a version, from the hashes that are stored beside its rows."""
        mask = np.zeros(version.num_rows, np.bool_)
        if self._sources and '"source"' in version.columns:
            mask = self._mask_of_sources(warehouse.reader.read(version, ["source"]))
        if self._has_hashes:
            mask |= self.are_withdrawn(warehouse.reader.hashes(version))
        return mask

    def _mask_of_sources(self, rows: pa.Table) -> Mask:
        if not self._sources or "source" not in rows.column_names:
            return np.zeros(rows.num_rows, np.bool_)
        return names_source(rows.column("source"), self._sources)
