"""Stages that do next to nothing, for tests of the processes they run in."""

import os

from data_contracts.jobs import StageJob, StageResult


def end_at_once(document: str) -> None:
    """Takes 64 MiB, and ends well."""
    job = StageJob.model_validate_json(document)
    job.progress_path.write_text("{}\n")
    taken = bytearray(os.urandom(1 << 20) * 64)
    result = StageResult(output="rows", fingerprint="", metrics={"pid": os.getpid(), "taken": len(taken)})
    job.result_path.write_text(result.model_dump_json())


def die(document: str) -> None:
    """Ends without a word."""
    StageJob.model_validate_json(document).progress_path.write_text("{}\n")
    os._exit(3)


def wait_for_a_word(document: str) -> None:
    """Ends when somebody has written into the pipe beside its job's folder."""
    job = StageJob.model_validate_json(document)
    job.progress_path.write_text("{}\n")
    (job.work_dir.parent / "pipe").read_text()
    job.result_path.write_text(StageResult(output="rows", fingerprint="", metrics={}).model_dump_json())
