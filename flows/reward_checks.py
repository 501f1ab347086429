"""What a GRPO stage is paid for, looked at before anything trains: verifiers that exist, audited as they are paid."""

import json
from collections.abc import Mapping

from data_contracts.audit_config import AuditConfig
from data_contracts.errors import DataError, RecipeError
from data_contracts.rewards import PROBLEM_VERIFIER
from data_contracts.training_configs import GRPOConfig
from flows.nodes import Node
from flows.recipe import Recipe


def require_rewards(recipe: Recipe, node: Node) -> None:
    if not isinstance(node.config, GRPOConfig):
        return
    from stages.verifiers.catalog import Catalog

    catalog = Catalog(recipe.verifiers, recipe.run.sandbox)
    for name, term in node.config.rewards.items():
        if name == PROBLEM_VERIFIER:
            continue
        try:
            catalog.arguments(name, json.dumps(term.arguments))
        except (RecipeError, DataError) as error:
            raise RecipeError(
                f"stages.{node.name}.rewards.{name}: {error.found}",
                f"{PROBLEM_VERIFIER} (the verifier each problem names), or {error.expected}",
                error.do,
            ) from error
    if node.config.held_out and (verifier := node.config.held_out.verifier):
        catalog.find(verifier)


def require_same_rewards(node: Node, nodes: Mapping[str, Node]) -> None:
    """An audit of another reward than the one that is paid would prove nothing."""
    if not isinstance(node.config, GRPOConfig):
        return
    for name in _rows_ancestors(node, nodes):
        audit = nodes[name].config
        paid = (node.config.rewards, node.config.combine)
        if isinstance(audit, AuditConfig) and (audit.rewards, audit.combine) != paid:
            raise RecipeError(
                f"Stage {name} audits {_told(audit)}, and stage {node.name} is paid {_told(node.config)}.",
                "the same rewards and combine in both",
                f"Copy them from stages.{node.name} to stages.{name}.",
            )


def _rows_ancestors(node: Node, nodes: Mapping[str, Node]) -> set[str]:
    above = set(node.rows)
    return above.union(*(_rows_ancestors(nodes[name], nodes) for name in above))


def _told(config: GRPOConfig | AuditConfig) -> str:
    terms = ", ".join(f"{name} x {term.weight:g}" for name, term in config.rewards.items())
    return f"{terms} by {config.combine}"
