"""A worker process of this machine's own Dask cluster keeps to one core.

A pool of verifiers starts as many processes as its own process has cores. With a Dask worker for each core there
would be the square of that number, and on a large machine no memory left.
"""

import os
from typing import Any

from distributed import WorkerPlugin


class OneCore(WorkerPlugin):
    """Workers are numbered from 0; what a worker starts inherits its core."""

    def setup(self, worker: Any) -> None:
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[worker.name % len(cores)]})
