"""`python -m tests.benchmarks.code_verdicts`: programs judged a second, and the public sets' own solutions.

The baseline starts `python -c` for every program, with its tests beside it and no sandbox at all: it can be
cheated and does harm, and it is what a forked process has to beat. Both sides use two processes.
"""

import argparse
import gzip
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from rich.console import Console
from rich.table import Table

from data_contracts.verdict import PosedProblem
from stages.sandbox import strongest
from stages.verifiers.code import canonical_completion, code, code_in_limits

REAL_DATA = Path(os.environ.get("BURNISH_REAL_DATA", Path(__file__).parents[3] / "shared" / "data"))
NUM_PROCESSES = 2
PROGRAM = "def f(x):\n    return x * x\n"
ASSERTS = ["assert f(7) == 49", "assert f(-31) == 961", "assert f(12) == 144"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--programs", type=int, default=400)
    count = parser.parse_args().programs
    console = Console()
    table = Table(
        title=f"{count} programs with three asserts, {NUM_PROCESSES} processes", title_justify="left"
    )
    for heading in ("how", "programs/s", "right"):
        table.add_column(heading)
    for name, judge in ((f"code ({strongest()})", by_verifier), ("python -c, no sandbox", by_interpreter)):
        speed, num_right = measured(judge, count)
        table.add_row(name, f"{speed:.0f}", f"{num_right}/{count}")
    console.print(table)
    if REAL_DATA.is_dir():
        console.print(public_sets())


def measured(judge: Callable[[int], bool], count: int) -> tuple[float, int]:
    """Programs a second once every process has started, and how many were judged right."""
    with ProcessPoolExecutor(NUM_PROCESSES) as pool:
        list(pool.map(judge, range(4 * NUM_PROCESSES)))
        began = time.perf_counter()
        num_right = sum(pool.map(judge, range(count)))
        return count / (time.perf_counter() - began), num_right


def by_verifier(_: int) -> bool:
    return reward(f"```python\n{PROGRAM}```", PosedProblem("", PROGRAM), {"asserts": ASSERTS}) == 1.0


def by_interpreter(_: int) -> bool:
    source = "\n".join([PROGRAM, *ASSERTS])
    return subprocess.run([sys.executable, "-c", source], check=False, capture_output=True).returncode == 0


def reward(completion: str, problem: PosedProblem, arguments: dict[str, object]) -> float:
    judge = code_in_limits if strongest() == "limited" else code
    return judge(completion, problem, **arguments).reward  # type: ignore[arg-type]


def public_sets() -> Table:
    table = Table(title="Canonical solutions, one process", title_justify="left")
    for heading in ("set", "right", "problems/s"):
        table.add_column(heading)
    with gzip.open(REAL_DATA / "humaneval" / "HumanEval.jsonl.gz", "rt") as lines:
        humaneval = [json.loads(line) for line in lines]
    mbpp = [json.loads(line) for line in (REAL_DATA / "mbpp" / "mbpp.jsonl").read_text().splitlines()]
    for name, rows, solution, columns in (
        ("HumanEval", humaneval, "canonical_solution", ("prompt", "entry_point", "test")),
        ("MBPP", mbpp, "code", ("test_list", "test_setup_code", "challenge_test_list")),
    ):
        began = time.perf_counter()
        num_right = sum(canonical_is_right(row, solution, columns) for row in rows)
        speed = len(rows) / (time.perf_counter() - began)
        table.add_row(name, f"{num_right}/{len(rows)}", f"{speed:.0f}")
    return table


def canonical_is_right(row: dict[str, str], solution: str, columns: tuple[str, ...]) -> bool:
    problem = PosedProblem("", row[solution])
    arguments: dict[str, object] = {name: row[name] for name in columns}
    return reward(canonical_completion(problem, **arguments), problem, arguments) == 1.0  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
