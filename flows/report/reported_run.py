"""The run that a report is about, as the ledger has it: its stages, what leads to what, and its models in order."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from flows.nodes import evaluation_name
from flows.past_runs import PastStage, past_stages, run_state
from flows.recipe import is_registered, registered_version
from flows.stored import has_output, output_path
from flows.summary import Change, StageLine, model_lines
from infra.home import Home
from infra.ledger import Ledger
from infra.records import Execution, Run


@dataclass(frozen=True, slots=True)
class ReportedRun:
    """Read once, at one instant: a run that goes on changes under its report."""

    home: Home
    ledger: Ledger
    run: Run
    state: str
    stages: tuple[PastStage, ...]
    """In plan order."""

    models: tuple[StageLine, ...]
    """Finished models, each with its verified accuracy where it was evaluated."""

    def execution(self, stage: str) -> Execution | None:
        """The finished execution of a stage."""
        return next((past.execution for past in self.stages if past.stage.stage == stage), None)

    def evaluations(self) -> dict[str, Execution]:
        """By model, those whose completions are still in the home."""
        found = {line.stage: self.execution(evaluation_name(line.stage)) for line in self.models}
        return {name: each for name, each in found.items() if each and has_output(self.home, each)}

    def completions(self) -> dict[str, Any]:
        """The files behind the evaluations, by model."""
        return {name: output_path(self.home, each) for name, each in self.evaluations().items()}


def read_run(home: Home, ledger: Ledger, run: Run) -> ReportedRun:
    """Everything of it that the ledger knows."""
    stages = tuple(past_stages(ledger, run))
    executions = {past.stage.stage: past.execution for past in stages if past.execution is not None}
    return ReportedRun(
        home, ledger, run, run_state(run), stages, model_lines(_starts(run, stages), executions)
    )


def edges(run: Run, stages: tuple[PastStage, ...]) -> dict[str, tuple[str, ...]]:
    """Every stage and what it is made from, as the recipe says: also of stages that never ran."""
    here = [past.stage.stage for past in stages]
    found = {name: dict.fromkeys(_parents(run.document, name)) for name in here}
    return {name: tuple(parent for parent in parents if parent in here) for name, parents in found.items()}


def verdict(change: Change) -> str:
    """What a difference comes to, in the words of a gate."""
    if change.p_value >= 0.05:
        return "not distinguishable"
    return "better" if change.change > 0 else "worse"


def _starts(run: Run, stages: tuple[PastStage, ...]) -> dict[str, str | None]:
    """Models to what they were trained from."""
    models = [p.stage.stage for p in stages if p.execution is not None and p.execution.output == "model"]
    known = {name: _start(run.document["stages"].get(name, {})) for name in models}
    return {name: start if start in known else None for name, start in known.items()}


def _start(config: Mapping[str, Any]) -> str | None:
    start = config.get("start")
    if start is not None and is_registered(start):
        model, version = registered_version(start)
        return f"{model}.v{version}"
    return start


def _parents(document: Mapping[str, Any], name: str) -> Iterator[str]:
    config: Mapping[str, Any] = document["stages"].get(name, document.get("datasets", {}).get(name, {}))
    start = _start(config)
    if config.get("kind") == "gate":
        yield evaluation_name(str(start))
        return
    if name.endswith(suffix := evaluation_name("")) and document.get("evaluate"):
        start, config = name.removesuffix(suffix), document["evaluate"]
    if start is not None:
        yield start
    yield from config.get("rows", ())
    yield from config.get("compare_with", ())
