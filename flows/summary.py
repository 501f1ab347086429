"""The table a run ends in: verified accuracy, stage by stage, each against the model it started from."""

from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ConfigDict
from rich.box import SIMPLE
from rich.table import Table

from flows.nodes import evaluation_name
from flows.plan import Plan
from infra.records import Execution


class Change(BaseModel):
    """Difference in accuracy to an earlier model, paired by problem."""

    model_config = ConfigDict(frozen=True)

    to: str
    change: float
    low: float
    high: float
    """95 % interval."""

    p_value: float

    def points(self) -> str:
        """In percentage points, with the interval."""
        return f"{100 * self.change:+.1f} [{100 * self.low:+.1f}, {100 * self.high:+.1f}]"


class StageLine(BaseModel):
    """One model of the pipeline."""

    model_config = ConfigDict(frozen=True)

    stage: str
    model: str
    """`name/version` in the registry."""

    accuracy: float | None = None
    low: float | None = None
    high: float | None = None
    """Wilson interval, 95 %."""

    pass_at_k: float | None = None
    k: int | None = None
    completion_tokens: float | None = None
    completions: int | None = None
    problems: int | None = None
    changes: tuple[Change, ...] = ()
    """Nearest ancestor first."""

    seconds: float


class RunSummary(BaseModel):
    """What a run came to."""

    model_config = ConfigDict(frozen=True)

    run_id: str
    recipe: str
    lines: tuple[StageLine, ...]
    seconds: float
    """Of the executions behind it, reused ones included."""


def summarise(plan: Plan, executions: Mapping[str, Execution], run_id: str) -> RunSummary:
    """A line per finished model, with its evaluation where there is one."""
    starts = {step.node.name: step.node.start for step in plan.steps if step.node.makes_model}
    seconds = sum(execution.seconds for execution in executions.values())
    lines = model_lines(starts, executions)
    return RunSummary(run_id=run_id, recipe=plan.recipe.name, lines=lines, seconds=seconds)


def model_lines(
    starts: Mapping[str, str | None], executions: Mapping[str, Execution]
) -> tuple[StageLine, ...]:
    """A line per finished model, in the order of `starts`: every model's name to what it was trained from."""
    return tuple(_line(starts, name, executions) for name in starts if name in executions)


def summary_table(summary: RunSummary) -> Table:
    """For a terminal, 80 columns wide."""
    evaluated = [line for line in summary.lines if line.accuracy is not None]
    if not evaluated:
        return _models_table(summary)
    last = evaluated[-1]
    samples = (last.completions or 0) // (last.problems or 1)
    caption = f"{last.problems} held-out problems, {samples} samples each; 95 % intervals, paired by problem"
    table = Table(
        title=f"{summary.recipe}: verified accuracy",
        caption=caption,
        title_justify="left",
        box=SIMPLE,
        pad_edge=False,
    )
    table.add_column("model", no_wrap=True)
    table.add_column("accuracy, %", no_wrap=True)
    table.add_column(f"pass@{last.k}, %", justify="right", no_wrap=True)
    table.add_column("over its start, points", no_wrap=True)
    table.add_column("p", no_wrap=True)
    for line in summary.lines:
        table.add_row(*_cells(line))
    return table


def _models_table(summary: RunSummary) -> Table:
    """Of a run that evaluated nothing."""
    table = Table(title=f"{summary.recipe}: models", title_justify="left", box=SIMPLE, pad_edge=False)
    table.add_column("stage", no_wrap=True)
    table.add_column("model", overflow="fold")
    for line in summary.lines:
        table.add_row(line.stage, line.model)
    return table


def closing_sentences(summary: RunSummary) -> list[str]:
    """The comparisons that matter, in words: the last model against the first trained one."""
    evaluated = [line for line in summary.lines if line.changes]
    if len(evaluated) < 2:
        return []
    first, last = evaluated[0], evaluated[-1]
    change = next((change for change in last.changes if change.to == first.stage), None)
    if change is None:
        return []
    if change.p_value >= 0.05:
        return [
            f"{last.stage} is not distinguishable from {first.stage}: "
            f"{change.points()} points, p{p_text(change.p_value)}."
        ]
    word = "above" if change.change > 0 else "below"
    return [
        f"{last.stage} is {abs(100 * change.change):.1f} points {word} {first.stage}: "
        f"{change.points()}, p{p_text(change.p_value)}."
    ]


def p_text(p_value: float) -> str:
    """The permutation test draws 1,999 times, so it cannot say less than 0.001."""
    return "≤0.001" if p_value <= 0.001 else f"={p_value:.3f}"


def _line(starts: Mapping[str, str | None], name: str, executions: Mapping[str, Execution]) -> StageLine:
    execution = executions[name]
    evaluation = executions.get(evaluation_name(name))
    model = f"{execution.name}/{execution.version}"
    if evaluation is None:
        return StageLine(stage=name, model=model, seconds=execution.seconds)
    metrics = evaluation.result["metrics"]
    k, at_k = next(
        (int(key.removeprefix("eval/pass_at_")), value)
        for key, value in metrics.items()
        if key.startswith("eval/pass_at_")
    )
    return StageLine(
        stage=name,
        model=model,
        accuracy=metrics["eval/accuracy"],
        low=metrics["eval/accuracy_low"],
        high=metrics["eval/accuracy_high"],
        pass_at_k=at_k,
        k=k,
        completion_tokens=metrics["eval/completion_tokens"],
        completions=int(metrics["eval/completions"]),
        problems=int(metrics["eval/problems"]),
        changes=_changes(metrics, _ancestors(starts, name)),
        seconds=execution.seconds,
    )


def _ancestors(starts: Mapping[str, str | None], name: str) -> list[str]:
    """Nearest first."""
    chain: list[str] = []
    while (start := starts[name]) is not None:
        chain.append(start)
        name = start
    return chain


def _changes(metrics: Mapping[str, float], ancestors: Sequence[str]) -> tuple[Change, ...]:
    """To every ancestor. A result that is reused may know them by other names: their order is the same."""
    ending = "/p_value"
    compared = [name.removesuffix(ending) for name in metrics if name.endswith(ending)]
    return tuple(
        Change(
            to=ancestor,
            change=metrics[f"{prefix}/change"],
            low=metrics[f"{prefix}/change_low"],
            high=metrics[f"{prefix}/change_high"],
            p_value=metrics[f"{prefix}/p_value"],
        )
        for ancestor, prefix in zip(ancestors, compared, strict=True)
    )


def _cells(line: StageLine) -> list[str]:
    name = f"{line.stage}/{line.model.rpartition('/')[2]}"
    if line.accuracy is None or line.low is None or line.high is None:
        return [name, "–"]
    change = line.changes[0] if line.changes else None
    return [
        name,
        f"{100 * line.accuracy:5.1f} [{100 * line.low:.1f}, {100 * line.high:.1f}]",
        f"{100 * (line.pass_at_k or 0):.1f}",
        change.points() if change else "",
        p_text(change.p_value) if change else "",
    ]
