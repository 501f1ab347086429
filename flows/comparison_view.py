"""A comparison of two runs as a person or a program reads it. Lines come with their indent and without markup."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from data_contracts.gates import Flip
from flows.run_comparison import ModelComparison, RunComparison
from flows.run_diff import FieldDifference
from flows.run_line import Line
from flows.run_pairs import Pairing
from flows.run_view import finite, headline_names
from flows.summary import p_text
from infra.records import Execution

_SIGNS = {"added": "+", "removed": "-", "changed": "~"}
_EVALUATED = ("eval/accuracy", "eval/reward_mean", "eval/completion_tokens")


def comparison_lines(found: RunComparison) -> Iterator[Line]:
    """Everything but the changed completions."""
    for which, run in (("from", found.before), ("to", found.after)):
        yield 0, f"{which} run {run.run_id} of {run.recipe}"
    yield 0, "Recipe" if found.fields else "Recipe: no difference"
    yield from _field_lines(found.fields)
    if found.settings:
        yield 0, "Run settings (they decide no result)"
        yield from _field_lines(found.settings)
    same = [node for node in found.nodes if node.state == "same" and not node.changes]
    yield 0, f"Nodes: {len(same)} of {len(found.nodes)} the same"
    for node in found.nodes:
        if node not in same:
            yield 2, f"{node.name} {node.state}{': ' if node.changes else ''}{'; '.join(node.changes)}"
    yield 0, "Models"
    for model in found.models:
        yield from _model_lines(model)


def changed_lines(pairing: Pairing, limit: int) -> Iterator[Line]:
    """Completions of problems whose outcome changed, at most so many problems each way."""
    for title, problems in (("Better in the second run", pairing.better), ("Worse", pairing.worse)):
        if problems:
            yield 0, f"{title}: {min(limit, len(problems))} of {len(problems)} problems"
        for problem in problems[:limit]:
            yield 2, f"{problem.prompt} (ground truth {problem.ground_truth})"
            yield (
                4,
                f"first, {problem.before:.0%} right: {problem.completion_before} ({problem.reason_before})",
            )
            yield 4, f"second, {problem.after:.0%} right: {problem.completion_after} ({problem.reason_after})"


def comparison_document(found: RunComparison, samples_of: str | None, limit: int) -> dict[str, Any]:
    """For programs; `samples_of` names the model stage whose changed problems are listed."""
    return {
        "before": found.before.run_id,
        "after": found.after.run_id,
        "recipe": [asdict(each) for each in found.fields],
        "run_settings": [asdict(each) for each in found.settings],
        "nodes": [
            {"name": node.name, "state": node.state, "changes": list(node.changes)} for node in found.nodes
        ],
        "models": [
            _model_document(model, limit if model.stage == samples_of else 0) for model in found.models
        ],
    }


def _field_lines(fields: list[FieldDifference]) -> Iterator[Line]:
    for each in fields:
        shown = f"{each.before} → {each.after}" if each.what == "changed" else f"{each.after or each.before}"
        yield 2, f"{_SIGNS[each.what]} {each.field} {shown}"


def _model_lines(model: ModelComparison) -> Iterator[Line]:
    before, after = _reference(model.before), _reference(model.after)
    yield 2, f"{model.stage}: {before}" if before == after else f"{model.stage}: {before} → {after}"
    if before != after:
        names = headline_names(model.kind)
        yield from ((4, line) for line in _metric_texts(model.before, model.after, names))
    evaluated = [*_EVALUATED, *_pass_names(model.evaluation_after or model.evaluation_before)]
    texts = _metric_texts(model.evaluation_before, model.evaluation_after, evaluated)
    yield from ((4, line) for line in texts)
    if model.pairing is None:
        yield 4, f"not paired: {model.unpaired}"
    else:
        yield from ((4, line) for line in _pairing_texts(model.pairing))
    if model.evaluation_changes:
        yield 4, f"the evaluation itself differs: {'; '.join(model.evaluation_changes)}"


def _pairing_texts(pairing: Pairing) -> Iterator[str]:
    found = pairing.comparison
    if found is None:
        yield (
            f"not paired: the problems differ; the first run was evaluated on {pairing.num_before}, the second on "
            f"{pairing.num_after}, and no problem is in both"
        )
        return
    low, high = 100 * found.low, 100 * found.high
    verdict = "" if found.p_value < 0.05 else "; not distinguishable"
    yield (
        f"difference {100 * found.difference:+.1f} points [{low:+.1f}, {high:+.1f}], "
        f"p{p_text(found.p_value)}, paired by problem over {found.num_problems} problems{verdict}"
    )
    if {pairing.num_before, pairing.num_after} != {found.num_problems}:
        yield (
            f"only the {found.num_problems} problems that both have are paired: "
            f"the first run was evaluated on {pairing.num_before}, the second on {pairing.num_after}"
        )
    yield (
        f"right more often on {len(pairing.better)} problems ({pairing.num_gained} of them never before), "
        f"less often on {len(pairing.worse)} ({pairing.num_lost} of them never after)"
    )


def _metric_texts(before: Execution | None, after: Execution | None, names: list[str]) -> Iterator[str]:
    was, now = _metrics(before), _metrics(after)
    texts = [
        f"{name.partition('/')[2]} {_number(was, name)} → {_number(now, name)}"
        for name in names
        if name in was or name in now
    ]
    if texts:
        yield ", ".join(texts)


def _number(metrics: Mapping[str, float], name: str) -> str:
    return f"{metrics[name]:.4g}" if name in metrics else "–"


def _metrics(execution: Execution | None) -> Mapping[str, float]:
    return execution.result["metrics"] if execution else {}


def _pass_names(evaluation: Execution | None) -> list[str]:
    return [name for name in _metrics(evaluation) if name.startswith("eval/pass_at_")]


def _reference(execution: Execution | None) -> str:
    return f"{execution.name}/{execution.version}" if execution else "none"


def _model_document(model: ModelComparison, limit: int) -> dict[str, Any]:
    was = {**_metrics(model.before), **_metrics(model.evaluation_before)}
    now = {**_metrics(model.after), **_metrics(model.evaluation_after)}
    document: dict[str, Any] = {
        "stage": model.stage,
        "before": _reference(model.before) if model.before else None,
        "after": _reference(model.after) if model.after else None,
        "metrics": {
            name: [finite(side[name]) if name in side else None for side in (was, now)]
            for name in sorted(was.keys() | now.keys())
        },
        "unpaired": model.unpaired or None,
        "evaluation_changes": list(model.evaluation_changes),
    }
    if model.pairing is not None:
        document |= _pairing_document(model.pairing, limit)
    return document


def _pairing_document(pairing: Pairing, limit: int) -> dict[str, Any]:
    found = pairing.comparison
    return {
        "unpaired": "the problems differ" if found is None else None,
        "problems": [pairing.num_before, pairing.num_after],
        "paired": asdict(found) if found else None,
        "better": len(pairing.better),
        "worse": len(pairing.worse),
        "gained": pairing.num_gained,
        "lost": pairing.num_lost,
        "samples": {
            "better": _problem_documents(pairing.better[:limit]),
            "worse": _problem_documents(pairing.worse[:limit]),
        },
    }


def _problem_documents(problems: list[Flip]) -> list[dict[str, Any]]:
    return [problem.model_dump() for problem in problems]
