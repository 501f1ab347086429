"""One past run as a person or a program reads it: every stage with its result, and where that came from."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.markup import escape

from data_contracts.gates import GateVerdict
from flows.drift import drift, environment_of
from flows.gate_view import gate_lines
from flows.past_runs import PastStage
from flows.plan_view import duration
from flows.recipe import Recipe
from flows.recipe_files import check_recipe, write_recipe
from flows.run_line import Line, styled
from flows.suites import GATE
from infra.records import Execution, Input, Run

_HEADLINES: Mapping[str, tuple[str, ...]] = {
    "dataset": ("data/rows",),
    "base": ("base/parameters",),
    "sft": ("sft/loss", "sft/mean_token_accuracy"),
    "dpo": ("dpo/loss", "dpo/rewards/accuracies", "dpo/rewards/margins"),
    "grpo": ("grpo/reward", "grpo/completions/mean_length", "grpo/entropy"),
    "pairs": ("pairs/pairs", "pairs/prompts"),
    "select": ("select/in_band", "select/below", "select/above"),
    "audit": ("audit/problems", "audit/false_positives", "audit/false_negatives"),
}
"""The metrics of a kind that say most; verify stages have a sentence of their own."""


def recipe_as_run(run: Run) -> Recipe:
    """The run's recipe, overrides included. Raises RecipeError for one that this version cannot read."""
    return check_recipe(run.document, f"The recipe of run {run.run_id}")


def recipe_yaml(recipe: Recipe) -> str:
    """What differs from the defaults, which is all of it: reading it back gives the same recipe."""
    short = recipe.model_dump(mode="json", exclude_defaults=True)
    for name, stage in recipe.stages.items():
        short["stages"][name] = {"kind": stage.kind, **short["stages"][name]}
    for name, verifier in recipe.verifiers.items():
        if not isinstance(verifier, str):
            short["verifiers"][name] = {"kind": verifier.kind, **short["verifiers"][name]}
    return write_recipe(check_recipe(short, recipe.name))


def stage_document(past: PastStage, run: Run, recipe: Recipe) -> dict[str, Any]:
    """A stage for programs. `reused_from` is the run that made the result, where that is another."""
    execution, made_by = past.execution, past.made_by
    document: dict[str, Any] = {
        "stage": past.stage.stage,
        "kind": past.stage.kind,
        "state": past.state,
        "detail": past.stage.detail,
    }
    if execution is None or made_by is None:
        return document
    return document | {
        "version": _version(execution),
        "reused_from": made_by.run_id if is_reused(past, run) else None,
        "made_as": f"{made_by.pipeline}.{made_by.stage}",
        "seconds": made_by.seconds,
        "metrics": {name: finite(value) for name, value in execution.result.get("metrics", {}).items()},
        "notes": list(execution.result.get("notes", [])),
        "inputs": [_input_document(each) for each in execution.inputs],
        "environment": execution.environment,
        "drift": drift(execution, environment_of(past.stage.kind, recipe.run)),
    }


def stage_lines(past: PastStage, run: Run, recipe: Recipe) -> Iterator[Line]:
    """A stage for people, with markup: a line with its name, then what there is to say of it."""
    kind = "" if past.stage.kind == past.stage.stage else f" {past.stage.kind}"
    name = f"[bold]{escape(past.stage.stage)}[/]{kind} {styled(past.state)}"
    execution, made_by = past.execution, past.made_by
    if execution is None or made_by is None:
        yield 0, name
        if past.stage.detail:
            yield 2, f"{escape(past.stage.detail)}"
        return
    yield 0, f"{name} {_version(execution)} {duration(made_by.seconds)}"
    if is_reused(past, run):
        other = (made_by.pipeline, made_by.stage) != (run.recipe, past.stage.stage)
        where = f" as {made_by.pipeline}.{made_by.stage}" if other else ""
        yield 2, f"made by run {made_by.run_id}{where}"
    if headline := headline_of(execution):
        yield 2, f"{headline}"
    for note in execution.result.get("notes", []):
        yield 2, f"{escape(note)}"
    if GATE in execution.result:
        for gate_line in gate_lines(GateVerdict.model_validate(execution.result[GATE])):
            yield 2, escape(gate_line)
    if execution.inputs:
        given = [f"{each.node} {_reference(each)}" for each in execution.inputs if each.role != "base"]
        yield 2, f"from {escape(', '.join(given))}" if given else "from the base"
    if drifted := drift(execution, environment_of(past.stage.kind, recipe.run)):
        yield 2, f"drift: {escape('; '.join(drifted))}"


def environment_lines(stages: Sequence[PastStage], run: Run) -> list[Line]:
    """Libraries and hardware of what the run itself made; none where it made nothing."""
    facts: dict[str, None] = {}
    for past in stages:
        if past.execution is not None and not is_reused(past, run):
            facts |= dict.fromkeys(f"{name} {value}" for name, value in past.execution.environment.items())
    return [(0, f"Made with {escape(', '.join(facts))}")] if facts else []


def is_reused(past: PastStage, run: Run) -> bool:
    """Whether another run, or another stage of this one, made the result."""
    made_by = past.made_by
    return made_by is not None and (made_by.run_id, made_by.stage) != (run.run_id, past.stage.stage)


def headline_of(execution: Execution) -> str:
    """The metrics that say most, in words."""
    metrics: Mapping[str, float] = execution.result.get("metrics", {})
    if "eval/accuracy" in metrics:
        low, high = metrics["eval/accuracy_low"], metrics["eval/accuracy_high"]
        return (
            f"accuracy {100 * metrics['eval/accuracy']:.1f} % \\[{100 * low:.1f}, {100 * high:.1f}] "
            f"of {metrics['eval/completions']:.0f} completions"
        )
    names = [name for name in headline_names(execution.kind) if name in metrics]
    return ", ".join(f"{name.partition('/')[2]} {metrics[name]:.6g}" for name in names)


def headline_names(kind: str) -> list[str]:
    """Metrics of a stage of this kind that say most."""
    return list(_HEADLINES.get(kind, ()))


def finite(value: float) -> float | None:
    """JSON knows no nan."""
    return value if math.isfinite(value) else None


def _version(execution: Execution) -> str:
    return f"{execution.name}{'/' if execution.output == 'model' else '@'}{execution.version}"


def _reference(given: Input) -> str:
    return f"{given.name}{'/' if given.role in ('start', 'base') else '@'}{given.version}"


def _input_document(given: Input) -> dict[str, Any]:
    return {
        "node": given.node,
        "role": given.role,
        "reference": _reference(given),
        "fingerprint": given.fingerprint,
        "weight": given.weight,
    }
