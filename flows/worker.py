"""`burnish serve`: a Prefect worker in this process. It takes the runs of one work pool, each in a process."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable
from uuid import UUID

import httpx
import psutil
from prefect.client.orchestration import get_client
from prefect.states import Cancelled, Cancelling
from prefect.workers.process import ProcessWorker

Say = Callable[[str], None]

_MAX_RUNS = 32
"""At work side by side. Each deployment has one at most, and accelerators are leased."""

_POLL_SECONDS = 0.5


def work(pool: str, say: Say) -> None:
    """Take the pool's runs until SIGINT or SIGTERM.

    Runs at work are cancelled then, as on Prefect's page: their stages write a checkpoint first, and the next
    run continues there. A second signal ends it at once.
    """
    asyncio.run(
        _work(ProcessWorker(work_pool_name=pool, create_pool_if_not_found=False, limit=_MAX_RUNS), say)
    )


async def _work(worker: ProcessWorker, say: Say) -> None:
    told = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    working = asyncio.create_task(worker.start(printer=say))
    await asyncio.wait({working, asyncio.create_task(told.wait())}, return_when=asyncio.FIRST_COMPLETED)
    if not working.done():
        told.clear()
        worker.limiter.total_tokens = 1  # no other run while one is at work
        try:
            await _cancel_runs(say, told)
        except httpx.TransportError:
            say("Prefect's server does not answer: the run at work is stopped without it.")
            _end_runs()
        working.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await working
    say("Stopped.")


async def _cancel_runs(say: Say, told_again: asyncio.Event) -> None:
    """The worker, still at work, ends them.

    It says so to Prefect only after a process is gone, for which nobody waits: we do, or the run would hold its
    deployment's place.
    """
    cancelled: set[UUID] = set()
    async with get_client() as client:
        while (at_work := _runs_at_work()) and not told_again.is_set():
            if not cancelled:
                say("Stopping: the run at work writes a checkpoint first. Ctrl-C again stops at once.")
            for run in at_work - cancelled:
                await client.set_flow_run_state(run, Cancelling(message="Its worker was stopped."))
            cancelled |= at_work
            await asyncio.sleep(_POLL_SECONDS)
        for run in cancelled - _runs_at_work():
            state = (await client.read_flow_run(run)).state
            if state is None or not state.is_final():
                await client.set_flow_run_state(run, Cancelled(message="Its worker was stopped."))


def _end_runs() -> None:
    """As the worker does it: SIGTERM, on which a run writes a checkpoint."""
    for process in psutil.Process(os.getpid()).children():
        with contextlib.suppress(psutil.Error):
            if "PREFECT__FLOW_RUN_ID" in process.environ():
                process.terminate()


def _runs_at_work() -> set[UUID]:
    """Flow runs in processes that this one started."""
    found: set[UUID] = set()
    for process in psutil.Process(os.getpid()).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if run := process.environ().get("PREFECT__FLOW_RUN_ID"):
                found.add(UUID(run))
    return found
