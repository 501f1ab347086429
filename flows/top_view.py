"""What runs just now, as a person reads it, on a terminal of any width."""

from collections.abc import Iterator

from rich.text import Text

from flows.live_rows import bar, mark
from flows.pace import time_left
from flows.top import RunAtWork, Snapshot, StageAtWork
from flows.view import one_line
from infra import records as states


def snapshot_lines(snapshot: Snapshot) -> Iterator[Text]:
    """Runs with their stages at work, then accelerators, then servers; only what there is."""
    if not snapshot.runs:
        yield Text("Nothing runs in this home.")
    for run in snapshot.runs:
        yield from _run_lines(run, snapshot.taken)
    if snapshot.leases.held or snapshot.leases.waiting:
        yield Text("Accelerators of this machine", "bold")
        for index, who in snapshot.leases.held.items():
            yield Text(f"  {index}: {one_line(who)}")
        for who in snapshot.leases.waiting:
            yield Text(f"  waits: {one_line(who)}")
    if snapshot.servers:
        yield Text("Servers of this home", "bold")
        for server in snapshot.servers:
            yield Text(f"  {server.name} {server.url} (process {server.pid})")


def _run_lines(at_work: RunAtWork, now: float) -> Iterator[Text]:
    run = at_work.run
    told = f"{at_work.num_ended}/{at_work.num_stages} stages · {time_left(now - run.started)} · process {run.pid}"
    yield Text.assemble((run.run_id, "bold"), one_line(f" {run.recipe}"))
    yield bar("  ", at_work.num_ended, at_work.num_stages, told)
    for stage in at_work.stages:
        yield from _stage_lines(stage, now)


def _stage_lines(at_work: StageAtWork, now: float) -> Iterator[Text]:
    stage, numbers = at_work.stage, at_work.numbers
    head = f" {stage.stage} · {time_left(now - (stage.started or now))}"
    memory = None if at_work.memory_bytes is None else at_work.memory_bytes / 2**30
    if numbers is None or not numbers.total:
        waiting = "starting" if memory is not None else "waiting for its turn"
        yield Text.assemble("  ", mark(states.RUNNING), one_line(f"{head} · {waiting}"))
        return
    yield Text.assemble("  ", mark(states.RUNNING), one_line(head))
    yield bar("    ", numbers.step, numbers.total, numbers.how_far())
    newest = [f"{label} {value:.3g}" for label, value in numbers.newest.items()]
    if told := " · ".join(filter(None, [*newest, numbers.how_fast(memory)])):
        yield Text(f"    {one_line(told)}", "dim")
