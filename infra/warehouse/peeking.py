"""A few rows of a version, from the row groups they stand in: for samples, not for training."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from infra.home import Home
from infra.warehouse.catalog import DatasetVersion
from infra.warehouse.manifests import Integers
from infra.warehouse.reading import Reader
from infra.warehouse.segments import damaged, rows_path


def peek(home: Home, reader: Reader, version: DatasetVersion, rows: Integers) -> pa.Table:
    """The rows with these numbers, in this order. Raises DataError for damaged pages."""
    manifest = reader.manifest(version)
    segment, position = manifest.positions()
    columns = [name for name, _ in json.loads(version.columns)]
    tables: list[pa.Table] = []
    places = np.empty(len(rows), np.int64)
    for index, name in enumerate(manifest.segments):
        mine = np.flatnonzero(segment[rows] == index)
        if len(mine) == 0:
            continue
        table, within = _read_groups(home, name, position[rows[mine]])
        places[mine] = within + sum(t.num_rows for t in tables)
        tables.append(table)
    whole = pa.concat_tables(tables, promote_options="permissive")
    present = [name for name in columns if name in whole.column_names]
    return whole.select(present).take(pa.array(places))


def _read_groups(home: Home, segment: str, position: Integers) -> tuple[pa.Table, Integers]:
    """The row groups that hold these rows of a segment, and each row's place among them."""
    path = rows_path(home.rows_dir, segment)
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            sizes = [file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)]
            starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
            group = np.searchsorted(starts, position, side="right") - 1
            used = np.unique(group)
            table = file.read_row_groups(used.tolist())
    except FileNotFoundError as error:
        raise damaged(path, "is missing") from error
    except (OSError, pa.ArrowException) as error:
        raise damaged(path, "cannot be read") from error
    before = np.concatenate([[0], np.cumsum(np.array(sizes)[used])]).astype(np.int64)
    return table, before[np.searchsorted(used, group)] + position - starts[group]
