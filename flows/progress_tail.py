"""What a stage at work told last: read from the end of its progress file, however long that is."""

from pathlib import Path

from data_contracts.jobs import Progress
from flows.stage_numbers import StageNumbers

_TAIL_BYTES = 1 << 16


def read_tail(path: Path, since: float) -> StageNumbers | None:
    """Numbers of a file written at or after `since`, seconds since the epoch; None where there is none.

    An older one is what an earlier execution left, which is begun anew once this one has its turn.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(size - _TAIL_BYTES, 0))
            tail = file.read(_TAIL_BYTES)
        is_old = path.stat().st_mtime < since
    except FileNotFoundError:
        return None
    if is_old:
        return None
    numbers = StageNumbers()
    lines = tail[: tail.rfind(b"\n") + 1].splitlines()
    for line in lines[1 if size > _TAIL_BYTES else 0 :]:
        if line != b"{}":
            numbers.take(Progress.model_validate_json(line))
    return numbers
