"""What every worker process of this machine's own Dask cluster begins with.

It keeps to one core: a pool of verifiers starts as many processes as its own process has cores, so a Dask worker
a core would make the square of them, and leave a large machine no memory. A Ctrl-C in the terminal is for the
process of the flow to handle. And it ends without tearing modules down, as the command line does, because DuckDB's
bindings would report each of their objects on the terminal.
"""

import atexit
import os
import signal
from typing import Any

from distributed import WorkerPlugin


class LocalWorker(WorkerPlugin):
    """Workers are numbered from 0; what a worker starts inherits its core."""

    def setup(self, worker: Any) -> None:
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[worker.name % len(cores)]})
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        atexit.register(os._exit, 0)  # runs last of what is registered from here on
