"""The process of one stage: reads its job, does it, writes its result, and ends with a telling exit code."""

import json
import logging
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from multiprocessing import parent_process
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from data_contracts.errors import BurnishError, StageError, error_document
from data_contracts.jobs import StageJob, StageResult

PRELOAD = (
    "torch",
    "scipy.stats",
    "pyarrow.parquet",
    "datasets",
    "peft",
    "transformers.models.qwen3.modeling_qwen3",
    "trl.trainer.sft_trainer",
    "trl.trainer.dpo_trainer",
    "trl.trainer.grpo_trainer",
    "stages.child",
    "stages.kinds",
)
"""What the fork server imports once. Imports only: nothing in it may compute."""


_FAREWELL_SECONDS = 900.0
"""For what a stage does after its parent died: the rest of a round of sampling, and a checkpoint."""


def run(document: str) -> None:
    """Entry point of the child: `document` is a StageJob as JSON."""
    job = StageJob.model_validate_json(document)
    _detach(job)
    try:
        result = _execute(job)
        _write(job.result_path, result.model_dump_json())
    except BurnishError as error:
        traceback.print_exc()
        _write(job.error_path, json.dumps(error_document(error)))
        sys.exit(error.exit_code)
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent is to hear of it
        traceback.print_exc()
        summary = StageError(
            f"{type(error).__name__}: {error}",
            "a stage that runs to its end",
            f"The whole trace is in the stage's log: {job.log_path}",
        )
        _write(job.error_path, json.dumps(error_document(summary)))
        sys.exit(1)


def _detach(job: StageJob) -> None:
    """A session of its own (Ctrl-C is the parent's to pass on), a log file, and an eye on the parent."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    log = os.open(job.log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, sys.stdout.fileno() if sys.stdout else 1)
    os.dup2(log, 2)
    sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    job.progress_path.write_text("{}\n")  # alive: the parent waits for this line
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """When the parent dies, stop as on request: training writes a checkpoint first, if that ends in time.

    This process keeps the locks of its stage and its accelerators, so it must not stay for ever.
    """
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(_FAREWELL_SECONDS)
        os.kill(os.getpid(), signal.SIGKILL)


def _execute(job: StageJob) -> StageResult:
    import shutil
    import tempfile

    import torch
    from datasets import disable_progress_bars
    from transformers import set_seed
    from transformers.utils.logging import disable_progress_bar

    from stages.kinds import STAGES

    disable_progress_bars()
    disable_progress_bar()
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, job.accelerators))  # before CUDA is first used
    if job.run.threads:
        torch.set_num_threads(job.run.threads)
    set_seed(job.seed)
    scratch = job.work_dir / "tmp"
    scratch.mkdir(exist_ok=True)
    tempfile.tempdir = os.environ["TMPDIR"] = str(
        scratch
    )  # where libraries leave caches behind: `datasets` all tokenized rows
    if job.output_dir.exists():  # half an output of an execution that was killed
        shutil.rmtree(job.output_dir)
    stage: Callable[[StageJob, Any], StageResult] = STAGES[job.config.kind]
    return stage(job, job.config)


def _write(path: Path, text: str) -> None:
    temporary = path.with_suffix(".writing")
    temporary.write_text(text)
    temporary.replace(path)
