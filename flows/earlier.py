"""What a node was before: which earlier execution to hold it against, and what changed above it since.

A change may have run already, in a run that ended there: `--until dpo`, a failure, Ctrl-C. Then the parents are
reused, and what is below them runs for the same reason as if they ran now.
"""

from collections.abc import Sequence

from flows.causes import (
    FIRST_TIME,
    OTHER_INPUTS,
    OTHER_RESULT,
    OUTPUT_GONE,
    Cause,
    each_once,
    inherited,
    own_changes,
)
from flows.nodes import Node
from infra.ledger import Ledger
from infra.records import Execution, Input


class Earlier:
    """Of one plan; what is reused is added, parents first."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._reused: dict[str, tuple[Node, Execution]] = {}
        self._causes: dict[tuple[str, str], list[Cause]] = {}
        """Of a reused node, by its name and the content it had before."""

    def add(self, node: Node, reused: Execution) -> None:
        self._reused[node.name] = (node, reused)

    def reused_parents(self, node: Node) -> dict[str, Execution]:
        """The parents whose content is known before anything runs."""
        return {name: self._reused[name][1] for name in node.parents if name in self._reused}

    def causes(
        self, node: Node, executions: Sequence[Execution], from_parents: Sequence[Cause]
    ) -> list[Cause]:
        """Why a node runs that has nothing to reuse. `from_parents` is what it inherits from parents that run."""
        if not executions:
            return [Cause(node.name, FIRST_TIME)]
        if self._ledger.find_by_key(node.key):
            return [Cause(node.name, OUTPUT_GONE), *from_parents]
        return self._changes(node, executions, from_parents) or [Cause(node.name, OTHER_INPUTS)]

    def _changes(
        self, node: Node, executions: Sequence[Execution], from_parents: Sequence[Cause] = ()
    ) -> list[Cause]:
        """How the node differs from the one of these executions, newest first, that it differs least from."""
        found = (
            each_once([*self._own(node, before), *from_parents, *self._above(node, before)])
            for before in executions
        )
        return min(found, key=len, default=[])

    def _own(self, node: Node, before: Execution) -> list[Cause]:
        return [Cause(node.name, change) for change in own_changes(node, before, self._ledger)]

    def _above(self, node: Node, before: Execution) -> list[Cause]:
        """By parents that are reused and are not what this execution was made from."""
        now = self.reused_parents(node)
        others = (
            was for was in before.inputs if was.node in now and now[was.node].fingerprint != was.fingerprint
        )
        return inherited(node, ((self._reused[was.node][0], self._since(was)) for was in others))

    def _since(self, was: Input) -> list[Cause]:
        """Why a reused node is not what it was."""
        at = (was.node, was.fingerprint)
        if at not in self._causes:
            node, _ = self._reused[was.node]
            made = self._ledger.find_by_output(was.name, was.version)
            known = [execution for execution in made if execution.fingerprint == was.fingerprint]
            self._causes[at] = self._changes(node, known) or [Cause(node.name, OTHER_RESULT)]
        return self._causes[at]
