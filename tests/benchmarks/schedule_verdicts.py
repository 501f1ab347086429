"""`python -m tests.benchmarks.schedule_verdicts`: how fast and how strict the schedule verifiers are.

Scripted policies answer the published problems (BURNISH_REAL_DATA): the best schedule, all events in order, the
heaviest first. For each: its mean reward under the gated and the original reward, how many of its
schedules are valid, and verdicts a second on one core. `--outputs DIR` adds the table of the original project's
evaluation for a folder of completions 0.txt, 1.txt, ... to the test rows.
"""

import argparse
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter
from rich.console import Console
from rich.table import Table

from data_contracts.errors import DataError
from data_contracts.verdict import PosedProblem, Verdict
from stages.verifiers.schedule import schedule
from stages.verifiers.schedule_original import schedule_original
from stages.verifiers.schedule_policies import SCRIPTED, best_schedule
from stages.verifiers.schedule_problem import ScheduleArguments, read_problem

REAL_DATA = Path(os.environ.get("BURNISH_REAL_DATA", Path(__file__).parents[3] / "shared" / "data"))
COLUMNS = (
    "format_error",
    "too_few_events",
    "overlap",
    "unsorted",
    "non_existent",
    "valid",
    "score",
    "optimal",
)


@dataclass(frozen=True, slots=True)
class Row:
    problem: PosedProblem
    arguments: ScheduleArguments
    arguments_json: str


POLICIES: dict[str, Callable[..., str]] = {"best": best_schedule, **SCRIPTED}


def read_rows(name: str) -> list[Row]:
    """The rows of one split whose events can happen, and a line about the others."""
    adapter = TypeAdapter(ScheduleArguments)
    rows: list[Row] = []
    lines = (REAL_DATA / "events_scheduling" / f"{name}.jsonl").read_text("utf-8").splitlines()
    for line in lines:
        document = json.loads(line)
        text = json.dumps({name: document[name] for name in ("events", "priority_events")})
        problem = PosedProblem(document["prompt"], str(document["optimal_score"]))
        row = Row(problem, adapter.validate_json(text, strict=True), text)
        try:
            schedule("", problem, **row.arguments)
        except DataError:
            continue
        rows.append(row)
    print(f"{name}: {len(rows)} of {len(lines)} rows can be solved, their optimum confirmed")
    return rows


def verdicts_per_second(
    verifier: Callable[..., Verdict], rows: Sequence[Row], texts: Sequence[str], repeats: int
) -> float:
    start = time.process_time()
    for _ in range(repeats):
        for row, text in zip(rows, texts, strict=True):
            verifier(text, row.problem, **row.arguments)
    return repeats * len(rows) / (time.process_time() - start)


def policy_table(rows: Sequence[Row], repeats: int) -> Table:
    table = Table("policy", "gated", "valid", "verdicts/s", "original", "verdicts/s ")
    for name, policy in POLICIES.items():
        texts = [policy(row.problem, **row.arguments) for row in rows]
        cells = [name]
        for verifier in (schedule, schedule_original):
            verdicts = [verifier(t, r.problem, **r.arguments) for r, t in zip(rows, texts, strict=True)]
            cells.append(f"{sum(verdict.reward for verdict in verdicts) / len(rows):.4f}")
            if verifier is schedule:
                cells.append(f"{sum(verdict.parts['valid'] for verdict in verdicts):.0f}")
            cells.append(f"{verdicts_per_second(verifier, rows, texts, repeats):,.0f}")
        table.add_row(*cells)
    return table


def problem_seconds(rows: Sequence[Row]) -> tuple[float, float]:
    """Seconds to validate one row's arguments, and to read and solve one problem, nothing remembered."""
    adapter = TypeAdapter(ScheduleArguments)
    start = time.process_time()
    for row in rows:
        adapter.validate_json(row.arguments_json, strict=True)
    validated = time.process_time()
    for row in rows:
        # Another ground truth of the same value is another entry of the memory.
        read_problem(**row.arguments, ground_truth=f"{row.problem.ground_truth}.0")
    return (validated - start) / len(rows), (time.process_time() - validated) / len(rows)


def evaluation(rows: Sequence[Row], outputs: Path) -> Table:
    """One row of the original project's table: the first failing check of each completion."""
    counts: Counter[str] = Counter()
    for position, row in enumerate(rows):
        completion = (outputs / f"{position}.txt").read_text("utf-8")
        counts.update(schedule(completion, row.problem, **row.arguments).parts)
    table = Table(*COLUMNS)
    table.add_row(*(f"{counts[column]:.4g}" for column in COLUMNS))
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--outputs", type=Path)
    options = parser.parse_args()
    console = Console(width=100)
    for name in ("train", "test"):
        rows = read_rows(name)
        validation, reading = problem_seconds(rows)
        print(
            f"once a problem: {validation * 1e6:.1f} us to validate its arguments, {reading * 1e6:.1f} us to solve it"
        )
        console.print(policy_table(rows, options.repeats))
    if options.outputs:
        console.print(evaluation(rows, options.outputs))


if __name__ == "__main__":
    main()
