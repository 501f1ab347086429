"""A stage's output rows, as a file."""

import pyarrow as pa
import pyarrow.parquet as pq

from data_contracts.jobs import StageJob, StageResult


def write_rows(job: StageJob, table: pa.Table, metrics: dict[str, float], notes: list[str]) -> StageResult:
    """Write a stage's output rows for the warehouse to publish."""
    job.output_dir.mkdir(parents=True)
    pq.write_table(table, job.output_dir / "rows.parquet")  # pyright: ignore[reportUnknownMemberType]
    return StageResult(output="rows", fingerprint="", metrics=metrics, notes=tuple(notes))
