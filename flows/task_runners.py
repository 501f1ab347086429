"""Where the mapped tasks of a flow run: threads of this process, or the workers of a Dask or Ray cluster.

Workers of a cluster import Burnish, so it is installed there, in the version it has here; and they report to
Prefect's server, so theirs is one that they can reach: PREFECT_API_URL names it.
"""

import logging
import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, TypeAlias

from data_contracts.errors import RecipeError

RunnerName: TypeAlias = Literal["threads", "dask", "ray"]

_THREADS = 4
"""Enough to keep a pool of verifiers busy; what takes long is in its worker processes."""

_CONNECT_SECONDS = 10


def require_runner(name: RunnerName, address: str | None) -> None:
    """Raises RecipeError where the runner is not installed, or has no use for an address. Imports nothing."""
    if name == "threads" and address is not None:
        raise RecipeError(
            f"Threads of this process were asked for, and a cluster at {address}.",
            "an address with the runner dask or ray",
            "Add --runner dask, or leave the address out.",
        )
    if name != "threads" and find_spec(f"prefect_{name}") is None:
        raise RecipeError(
            f"The runner {name} is not installed.",
            f"the package prefect-{name}",
            f"pip install 'burnish[{name}]', or leave --runner out: this machine's cores are used either way.",
        )


def task_runner(name: RunnerName, address: str | None, scratch: Path) -> Any:
    """A Prefect task runner. Without an address a cluster of this machine starts with the flow and ends with it.

    `scratch` is a folder for what a cluster of this machine writes while it runs.
    """
    if name == "threads":
        from prefect.task_runners import ThreadPoolTaskRunner

        return ThreadPoolTaskRunner(max_workers=_THREADS)
    if name == "ray":
        from prefect_ray.task_runners import RayTaskRunner  # pyright: ignore[reportMissingImports]

        quiet: dict[str, Any] = {} if address else {"include_dashboard": False, "_temp_dir": str(scratch)}
        return RayTaskRunner(address=address, init_kwargs=quiet)
    from prefect_dask.task_runners import DaskTaskRunner

    if address is not None:
        return DaskTaskRunner(address=address, client_kwargs={"timeout": _CONNECT_SECONDS})
    from flows.dask_worker import LocalWorker

    return DaskTaskRunner(
        cluster_kwargs={
            "n_workers": max(2, len(os.sched_getaffinity(0))),  # while one starts again another works
            "threads_per_worker": 1,
            "host": "127.0.0.1",
            "dashboard_address": None,
            "local_directory": str(scratch),
            "silence_logs": logging.ERROR,
            "plugins": (LocalWorker(),),
        }
    )
