"""Keep results across a change of code: a person says that it does not alter them, and the ledger remembers who.

Code that was accepted counts as the code it replaced, so every key is what it was and nothing runs again.
"""

import time
from collections.abc import Mapping

from data_contracts.canonical import fingerprint
from data_contracts.errors import NotFoundError, RecipeError
from flows.causes import changed_files
from flows.graph import make_nodes
from flows.nodes import Node
from flows.recipe import Recipe
from flows.remembered import ACCEPT, remembered_sources
from infra.actor import actor
from infra.home import Home
from infra.ledger import Ledger
from infra.records import Decision


def accept_code(
    home: Home, ledger: Ledger, recipe: Recipe, stage: str, because: str, *, withdraw: bool
) -> list[str]:
    """Note that the code of `stage` gives what its newest execution's code gave; returns what was noted.

    Raises NotFoundError for a stage without an execution, RecipeError where no code changed or no reason is given.
    """
    if not because.strip():
        raise RecipeError("No reason was given.", "--because with why the change does not alter results")
    with home.lock("accept", holder="another `burnish accept`"):
        nodes = {node.name: node for node in make_nodes(recipe, remembered_sources(ledger))}
        if stage not in nodes:
            raise NotFoundError(f"There is no stage {stage!r}.", f"one of {', '.join(nodes)}")
        node = nodes[stage]
        changed = _accepted_before(node) if withdraw else _changed(ledger, node, recipe.name)
        ledger.note_code(node.code_parts)
        ledger.decide(
            Decision(
                made=time.time(),
                kind=ACCEPT,
                model=stage,
                from_version=None,
                to_version=None,
                actor=actor(),
                reason=because,
                evidence={"code": changed, "withdrawn": withdraw},
            )
        )
    if withdraw:
        return [f"Taken back for {_reach(node, code)}: what it made before runs again." for code in changed]
    return [_told(ledger, node, after, before) for after, before in changed.items()]


def _changed(ledger: Ledger, node: Node, pipeline: str) -> dict[str, str]:
    """From the code there is to the code of the newest execution, where the two differ and decided its result."""
    earlier = ledger.find_by_stage(pipeline, node.name, 1)
    if not earlier:
        raise NotFoundError(
            f"{node.name} never ran here.", "a stage with results to keep", "See `burnish plan`."
        )
    judges: list[str] = earlier[0].result["judged_by"]
    verifiers: Mapping[str, str] = earlier[0].identity.get("verifiers", {})
    was = {**earlier[0].identity["code"], **{name: verifiers[name] for name in verifiers if name in judges}}
    now = {**node.identity["code"], **node.identity.get("verifiers", {})}
    changed = {now[name]: was[name] for name in was if name in now and was[name] != now[name]}
    if not changed:
        raise RecipeError(
            f"The code of {node.name} has no change left to accept.", "a changed stage", "See `burnish plan`."
        )
    return changed


def _accepted_before(node: Node) -> dict[str, str]:
    """The node's code that counts as other code, each as itself again."""
    used = {code: fingerprint(dict(parts)) for code, parts in node.code_parts.items()}
    taken_back = {own: own for code, own in used.items() if own != code}
    if not taken_back:
        raise RecipeError(f"No change of the code of {node.name} was accepted.", "an accepted stage")
    return taken_back


def _told(ledger: Ledger, node: Node, after: str, before: str) -> str:
    files = changed_files(ledger.code_parts(before), node.code_parts[after])
    return f"Accepted for {_reach(node, after)}: {', '.join(files) or after} gives what it gave before."


def _reach(node: Node, code: str) -> str:
    """Whose results hang on this code."""
    verifiers: Mapping[str, str] = node.identity.get("verifiers", {})
    named = [name for name, used in verifiers.items() if used == code]
    return f"every stage that {named[0]} judges" if named else f"{node.kind} stages"
