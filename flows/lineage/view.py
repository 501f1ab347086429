"""Lineage and impact for a terminal: a tree from a model to its data, and lists of what rows touched."""

from collections.abc import Iterable

from rich.text import Text
from rich.tree import Tree

from flows.lineage.impact import Impact
from flows.lineage.models import TRAINED, Artifact, Given, ModelLineage
from flows.lineage.paths import RowPath, Step
from flows.lineage.trail import Use

_SHOWN_CHARACTERS = 30


def lineage_tree(lineage: ModelLineage) -> Tree:
    """The model at the root. What appears a second time is named only."""
    root = lineage[lineage.model]
    tree = Tree(_label(root))
    _grow(tree, lineage, root, {root.reference})
    return tree


def path_lines(path: RowPath) -> str:
    """`row 12 of tiny.problems@1 (hash) → sft_check: 8 rollouts, 3 right → dpo: …`."""
    start = f"row {path.row} of {path.version} ({path.row_hash})"
    return " → ".join([start, *map(_step_text, path.steps)])


def impact_lines(impact: Impact) -> Iterable[str]:
    """What somebody must know before the rows go."""
    yield f"{impact.scope}"
    for holding in impact.versions:
        what = "made of them" if holding.is_derived else "among them"
        yield f"  {holding.version}: {holding.rows:,} of {_counted(holding.of, 'row')} {what}"
    for use in impact.uses:
        yield f"  {use.pipeline}: {use_text(use)}"
    if not impact.models:
        yield "No model saw these rows."
    for seen in impact.models:
        yield f"  {seen.model}: {seen.how}"
    for pipeline, stages in impact.rerun.items():
        yield f"To run again in {pipeline}: {', '.join(stages)}"


def use_text(use: Use) -> str:
    """What one stage did with the rows, in words."""
    what = f"{use.stage} ({use.made})"
    if use.kind in TRAINED and not use.rows:
        return f"{what}: dropped"
    if use.kind in TRAINED:
        return f"{what}: {_counted(use.rows, 'row')} at weight {use.weight:g}, {_passes(use.passes)}"
    if use.completions is not None:
        return f"{what}: {_counted(use.completions, 'rollout')}, {use.right:,} right"
    if use.chosen is not None:
        return f"{what}: {_counted(use.rows, 'pair')}, {use.chosen:,} chosen, {use.rejected:,} rejected"
    return f"{what}: {_counted(use.rows, 'row')}"


def _step_text(step: Step) -> str:
    if not step.chosen and not step.rejected:
        return use_text(step.use)
    return (
        f"{step.use.stage} ({step.use.made}): chosen {_shown(step.chosen)} / rejected {_shown(step.rejected)}"
    )


def _grow(tree: Tree, lineage: ModelLineage, artifact: Artifact, seen: set[str]) -> None:
    for given in artifact.inputs:
        parent = lineage[given.reference]
        label = Text.assemble((f"{given.role}{_share(given)} ", "dim"), _label(parent))
        if given.reference in seen:
            tree.add(Text.assemble((f"{given.role} ", "dim"), given.reference, (" (above)", "dim")))
            continue
        seen.add(given.reference)
        _grow(tree.add(label), lineage, parent, seen)


def _label(artifact: Artifact) -> Text:
    facts = _facts(artifact)
    kind = f" {artifact.kind}" + (f" · {facts}" if facts else "")
    return Text.assemble((artifact.reference, "bold"), kind, (f" {artifact.fingerprint[:8]}", "dim"))


def _share(given: Given) -> str:
    if given.rows is None:
        return "" if given.weight == 1 else f" × {given.weight:g}"
    times = f", {given.times:,} with repeats" if given.times != given.rows else ""
    return f" {given.rows:,} of {given.of or 0:,} × {given.weight:g}{times}"


def _facts(artifact: Artifact) -> str:
    facts = artifact.facts
    if artifact.kind in TRAINED:
        return _passes(facts[f"{artifact.kind}/passes"])
    if artifact.kind == "verify":
        accuracy, problems = facts["eval/accuracy"], facts["eval/problems"]
        return f"{accuracy:.1%} right of {facts['eval/completions']:,.0f} on {problems:,.0f} problems"
    if artifact.kind == "audit":
        return f"{facts['audit/problems']:,.0f} problems, {facts['audit/blocks']:,.0f} findings"
    if artifact.kind == "select":
        total = sum(facts[f"select/{part}"] for part in ("below", "in_band", "above"))
        band = f"[{facts['select/low']:g}, {facts['select/high']:g}]"
        return f"{facts['select/in_band']:,.0f} of {total:,.0f} problems in {band}"
    if "pairs/chosen_reward" in facts:
        chosen, rejected = facts["pairs/chosen_reward"], facts["pairs/rejected_reward"]
        return f"{facts['pairs/pairs']:,.0f} pairs, mean reward {chosen:.2f} against {rejected:.2f}"
    return f"{facts['pairs/pairs']:,.0f} pairs" if artifact.kind == "pairs" else ""


def _passes(passes: float | None) -> str:
    """Below one pass the sampler drew some of the rows, and which ones is not recorded."""
    assert passes is not None
    return "1 pass" if passes == 1 else f"{'up to ' if passes < 1 else ''}{passes:.2g} passes"


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…")
