"""A plan as a person or a program reads it."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from rich.box import HEAVY_HEAD, SIMPLE
from rich.filesize import decimal
from rich.markup import escape
from rich.table import Table

from flows.plan import Action, Plan, Step
from flows.plan_diff import NodeDifference
from infra.records import Run

_DIFFERENCE_STYLES = {
    "same": "green",
    "changed": "bold yellow",
    "inherited": "cyan",
    "added": "bold",
    "removed": "bold",
    "unfinished": "red",
}
_NARROW = 70
"""Columns of a terminal that has no room for all of the table's."""

_SHOWN_STAGES = 3
_STYLES = {Action.run: "bold yellow", Action.reuse: "green", Action.depends: "cyan", Action.later: "dim"}


def plan_table(planned: Plan, width: int) -> Table:
    """One row per node, in an order in which parents come first; on a narrow terminal its name, action and why."""
    is_narrow = width < _NARROW
    title = f"{planned.recipe.name}: plan"
    table = Table(
        title=title, title_justify="left", box=SIMPLE if is_narrow else HEAVY_HEAD, pad_edge=not is_narrow
    )
    table.add_column("stage", overflow="fold", max_width=max(12, width // 3))
    if not is_narrow:
        table.add_column("kind", no_wrap=True)
    table.add_column("action", no_wrap=True)
    table.add_column("why", overflow="fold")
    if not is_narrow:
        table.add_column("takes", no_wrap=True, justify="right")
    for step in planned.steps:
        name, why = step.node.name, escape(step.reason)
        action = f"[{_STYLES[step.action]}]{step.action.value}[/]"
        takes = duration(step.seconds) if step.seconds is not None else ""
        table.add_row(*([name, action, why] if is_narrow else [name, step.node.kind, action, why, takes]))
    return table


def plan_sentences(planned: Plan, free_bytes: int) -> list[str]:
    """What the table comes to: how much runs, how long, how much disk, and what drifted."""
    running = [step for step in planned.steps if step.action is Action.run]
    waiting = [step for step in planned.steps if step.action is Action.depends]
    reused = [step for step in planned.steps if step.action is Action.reuse]
    counts = [f"{len(running)} to run", f"{len(waiting)} that may run"][: 2 if waiting else 1]
    sentence = f"{', '.join(counts)}, {len(reused)} reused"
    if running or waiting:
        sentence += f": {_time(running, waiting)}{_disk([*running, *waiting], free_bytes)}"
    return [f"{sentence}.", *_drifts(reused)]


def plan_document(planned: Plan) -> dict[str, Any]:
    """For programs: every node with its action, its causes and its estimate."""
    return {
        "recipe": planned.recipe.name,
        "is_finished": planned.is_finished,
        "nodes": [_node_document(step) for step in planned.steps],
    }


def difference_table(planned: Plan, run: Run, found: list[NodeDifference]) -> Table:
    """Against a run that was."""
    table = Table(title=f"{planned.recipe.name} now, against run {run.run_id}", title_justify="left")
    table.add_column("stage", no_wrap=True)
    table.add_column("is", no_wrap=True)
    table.add_column("what changed", overflow="fold")
    for each in found:
        state = f"[{_DIFFERENCE_STYLES[each.state]}]{each.state}[/]"
        table.add_row(each.name, state, escape("\n".join(each.changes)))
    return table


def duration(seconds: float) -> str:
    """`0.4 s`, `52 s`, `3 min`, `2.5 h`."""
    if seconds < 1:
        return f"{max(seconds, 0.1):.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _node_document(step: Step) -> dict[str, Any]:
    return {
        "name": step.node.name,
        "kind": step.node.kind,
        "action": step.action.value,
        "reason": step.reason,
        "causes": [
            {"node": cause.node, "change": cause.change, "through": list(cause.through)}
            for cause in step.causes
        ],
        "key": step.node.key,
        "parents": list(step.node.parents),
        "run": step.execution.run_id if step.execution else None,
        "drift": list(step.drift),
        "seconds": step.seconds,
        "bytes": step.num_bytes,
    }


def _time(running: list[Step], waiting: list[Step]) -> str:
    known = [step.seconds for step in running if step.seconds is not None]
    more = sum(step.seconds or 0.0 for step in waiting)
    if not running:
        return f"at most {duration(more)}"
    if not known:
        return "nothing like it ran on this machine yet"
    unknown = len(running) - len(known)
    parts = [f"about {duration(sum(known))}"]
    parts += [f"without {unknown} that never ran here"] if unknown else []
    parts += [f"up to {duration(more)} more if nothing turns out identical"] if more else []
    return ", ".join(parts)


def _disk(steps: Iterable[Step], free_bytes: int) -> str:
    needed = sum(step.num_bytes for step in steps)
    return f"; about {decimal(needed)} of {decimal(free_bytes)} free" if needed else ""


def _drifts(reused: Iterable[Step]) -> list[str]:
    stages: dict[str, list[str]] = defaultdict(list)
    for step in reused:
        for change in step.drift:
            stages[change].append(step.node.name)
    sentences = [f"Drift: {change} since {_some(names)}." for change, names in stages.items()]
    return [*sentences, "Reused all the same; --strict runs them again."] if sentences else []


def _some(names: list[str]) -> str:
    more = len(names) - _SHOWN_STAGES
    return ", ".join(names) if more < 2 else f"{', '.join(names[:_SHOWN_STAGES])} and {more} more"
