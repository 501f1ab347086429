"""What a sweep over seeds came to: the spread that a difference between two runs has to exceed."""

from statistics import mean, stdev
from typing import Any

from rich.box import SIMPLE
from rich.table import Table
from scipy import stats

from flows.summary import RunSummary, StageLine


def sweep_lines(summary: RunSummary, branches: list[str]) -> list[StageLine]:
    return [line for line in summary.lines if line.stage in branches]


def sweep_table(lines: list[StageLine]) -> Table:
    """A row per seed."""
    table = Table(title="Over seeds", title_justify="left", box=SIMPLE, pad_edge=False)
    for heading in ("branch", "model"):
        table.add_column(heading, no_wrap=True)
    table.add_column("accuracy, %", justify="right")
    table.add_column("95 % interval", justify="right")
    for line in lines:
        if line.accuracy is None or line.low is None or line.high is None:
            table.add_row(line.stage, line.model, "–", "")
        else:
            interval = f"{100 * line.low:.1f} to {100 * line.high:.1f}"
            table.add_row(line.stage, line.model, f"{100 * line.accuracy:.1f}", interval)
    return table


def sweep_document(lines: list[StageLine]) -> dict[str, Any]:
    """For programs: accuracies by branch, the branch with the recipe's own seed, mean and standard deviation."""
    found = [line.accuracy for line in lines if line.accuracy is not None]
    return {
        "branches": {line.stage: line.accuracy for line in lines},
        "own_seed": lines[0].stage,
        "mean": mean(found) if found else None,
        "standard_deviation": stdev(found) if len(found) > 1 else None,
    }


def sweep_sentence(lines: list[StageLine]) -> str:
    """Mean and spread, and what the spread means for one difference: Student's t, since few seeds say little of it."""
    found = [100 * line.accuracy for line in lines if line.accuracy is not None]
    if len(found) < 2:
        return "Without an `evaluate` section there is nothing to compare the seeds by."
    spread = stdev(found)
    reach = float(stats.t.ppf(0.975, len(found) - 1)) * 2**0.5 * spread
    return (
        f"{mean(found):.1f} % on average over {len(found)} seeds, from {min(found):.1f} to {max(found):.1f}, standard "
        f"deviation {spread:.1f} points: by chance alone, two single runs differ by less than {reach:.1f} "
        f"points in 95 of 100 cases."
    )


def sweep_advice(lines: list[StageLine]) -> str:
    """A seed that is ahead was lucky: only the one that was chosen before the numbers were seen may be promoted."""
    own = lines[0]
    return (
        f"None of these is better for its seed: which one is ahead is chance. Compare recipes by the averages of their "
        f"sweeps, and promote the recipe's own seed, whatever its place here: [bold]burnish promote {own.model}[/]"
    )
