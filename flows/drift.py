"""What may make one identity give two results: library versions and hardware. Recorded, shown, not compared.

`--strict` makes a difference a reason to run.
"""

import functools
import os
import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from data_contracts.stage_configs import MODEL_KINDS, RunSettings
from infra.records import Execution

_LIBRARIES = ("torch", "transformers", "trl", "peft", "datasets", "duckdb", "math-verify")
_COMPUTES = (*MODEL_KINDS, "verify")
_ARE_NO_DRIFT = ("host",)


def environment_of(kind: str, run: RunSettings) -> dict[str, str]:
    """Of this machine, for one execution. Threads and processors matter to what computes with floats."""
    environment = {**_library_versions(), "python": platform.python_version(), "host": platform.node()}
    if kind in _COMPUTES:
        environment |= {
            "processor": _processor(),
            "accelerator": _accelerator() if run.accelerators else "none",
            "threads": str(num_threads(run)),
        }
    return environment


@functools.cache
def _library_versions() -> Mapping[str, str]:
    """Of this process: reading what describes an installed package takes milliseconds."""
    return {library: metadata.version(library) for library in _LIBRARIES}


def num_threads(run: RunSettings) -> int:
    """CPU threads of one stage."""
    return run.threads or max(1, (os.cpu_count() or 1) // run.parallel_stages)


def drift(execution: Execution, now: Mapping[str, str]) -> list[str]:
    """Differences of an execution's environment to this one, such as `torch 2.12.0 → 2.13.0`."""
    was = execution.environment
    names = [name for name in was if name in now and name not in _ARE_NO_DRIFT]
    return [f"{name} {was[name]} → {now[name]}" for name in names if was[name] != now[name]]


def _processor() -> str:
    """As the system names it, with the architecture."""
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []:
        if line.startswith("model name"):
            return f"{line.partition(':')[2].strip()} ({platform.machine()})"
    return platform.machine()


def _accelerator() -> str:
    """The model of the first NVIDIA GPU, from its driver's own file."""
    for path in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        for line in path.read_text().splitlines():
            if line.startswith("Model"):
                return line.partition(":")[2].strip()
    return "unknown"
