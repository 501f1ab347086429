"""The log of a run's stage: where it is while the stage works, once it ended, and where another run made its result."""

import codecs
import time
from collections.abc import Iterator
from pathlib import Path

from data_contracts.errors import NotFoundError
from flows.past_runs import PastStage, find_stage, past_stages, run_state
from infra import records as states
from infra.home import Home
from infra.ledger import Ledger
from infra.records import Run

_AT_WORK = (states.RUNNING, states.WAITING)
_POLL_SECONDS = 0.2
_CHUNK_BYTES = 1 << 20


def log_path(home: Home, run: Run, past: PastStage) -> Path:
    """Where the stage's log is, or will be. A stage at work, or killed at it, writes beside its checkpoints."""
    made_by = past.made_by
    if made_by is not None:
        return _kept(home, made_by.run_id, made_by.stage)
    kept, working = _kept(home, run.run_id, past.stage.stage), home.work_dir / past.stage.key / "stage.log"
    return kept if kept.exists() else working


def is_at_work(run: Run, past: PastStage) -> bool:
    """Whether the stage runs, or waits for its turn in a run that does."""
    return past.state in _AT_WORK and run_state(run) == states.RUNNING


def read_log(home: Home, run: Run, past: PastStage) -> Iterator[str]:
    """Text as it stands, in pieces. Raises NotFoundError for a stage that wrote none."""
    path = log_path(home, run, past)
    if not path.exists():
        detail = f": {past.stage.detail}" if past.stage.detail else ""
        raise NotFoundError(
            f"Stage {past.stage.stage} of run {run.run_id} wrote no log ({past.state}{detail}).",
            "a stage with a process of its own that began",
            "`burnish logs -f` waits for one that is still to begin." if is_at_work(run, past) else "",
        )
    offset, decode = 0, codecs.getincrementaldecoder("utf-8")(errors="replace").decode
    while new := _read_from(path, offset):
        offset += len(new)
        yield decode(new)


def follow_log(home: Home, ledger: Ledger, run: Run, name: str) -> Iterator[str]:
    """Text as it is written, until the stage ends."""
    offset, decode = 0, codecs.getincrementaldecoder("utf-8")(errors="replace").decode
    while True:
        past = find_stage(past_stages(ledger, run), name, run)
        is_live = is_at_work(run, past)  # before the last read: nothing is written after the stage ended
        while new := _read_from(log_path(home, run, past), offset):
            offset += len(new)
            yield decode(new)
        if not is_live:
            return
        time.sleep(_POLL_SECONDS)


def _kept(home: Home, run_id: str, stage: str) -> Path:
    return home.logs_dir / run_id / f"{stage}.log"


def _read_from(path: Path, offset: int) -> bytes:
    """What was appended since; nothing while there is no file: a finished stage's moves."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(_CHUNK_BYTES)
    except FileNotFoundError:
        return b""
