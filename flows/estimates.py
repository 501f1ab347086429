"""What a node will probably take: time and disk, from earlier executions of the same stage on this machine."""

import platform
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from flows.nodes import Node
from infra.records import Execution


def estimated_seconds(node: Node, earlier: Sequence[Execution]) -> float | None:
    """Median of earlier times, per optimizer step where a stage has steps; None when there are none."""
    here = [e for e in earlier if e.seconds > 0 and e.environment.get("host") == platform.node()]
    steps = getattr(node.config, "steps", None)
    if steps:
        rates = [e.seconds / e.identity["config"]["steps"] for e in here if e.identity["config"].get("steps")]
        if rates:
            return median(rates) * steps
    return median(e.seconds for e in here) if here else None


def bytes_on_disk(path: Path) -> int:
    """Of a file, or of all files below a directory; 0 when it is gone."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.lstat().st_size for file in files if file.is_file())
