"""Why a node runs: which field of its identity changed, from what to what, through which parents.

A node is compared with the one of its last executions that differs least, so that a change taken back is no
cause. What its parents' changes do to it is theirs to say: their causes are handed on, each once, by its shortest
way, and by a parent that it is only compared with where there is no other.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flows.dataset_config import DatasetConfig
from flows.nodes import REGISTERED, Node, evaluation_name
from infra.ledger import Ledger
from infra.records import SINCE, Execution, Input

FORCED, FIRST_TIME = "forced", "first time"
OUTPUT_GONE, OTHER_INPUTS = "its output is gone", "made from other inputs than before"
OTHER_RESULT = "made again, with another result"
_OF_ONE_NODE = frozenset({FORCED, FIRST_TIME, OUTPUT_GONE, OTHER_INPUTS, OTHER_RESULT})
"""What says nothing beyond its node; any other change is the same wherever it is told."""

_SHOWN_FILES = 3
_SHOWN_CHARACTERS = 40


@dataclass(frozen=True, slots=True)
class Cause:
    """One reason to run, and the way it came."""

    node: str
    """Where it began."""

    change: str
    through: tuple[str, ...] = ()
    """What changes on its way, nearest first: `dpo weights`."""

    def __str__(self) -> str:
        way = [f"{what} change" for what in self.through]
        return " ← ".join([*(way if len(way) < 3 else (way[0], "…")), self.change])

    @property
    def edit(self) -> tuple[str, str]:
        """The same for one edit that begins at several nodes: shared code, a verifier, the recipe's seed."""
        if self.change in _OF_ONE_NODE:
            return self.node, self.change
        return "", self.change.removeprefix(self.node) if ".seed " in self.change else self.change


def inherited(child: Node, parents: Iterable[tuple[Node, Iterable[Cause]]]) -> list[Cause]:
    """Causes of parents, as their child sees them: each once, by its shortest way."""
    made_of: list[Cause] = []
    compared: list[Cause] = []
    for parent, causes in parents:
        what = f"{parent.name} {'weights' if parent.makes_model else 'rows'}"
        longer = [Cause(cause.node, cause.change, (what, *cause.through)) for cause in causes]
        (compared if parent.name in child.compare_with else made_of).extend(longer)
    known = {cause.edit for cause in made_of}
    return each_once([*made_of, *(cause for cause in compared if cause.edit not in known)])


def each_once(causes: Iterable[Cause]) -> list[Cause]:
    """Every edit by its shortest way, the shortest first."""
    found: dict[tuple[str, str], Cause] = {}
    for cause in sorted(causes, key=lambda cause: len(cause.through)):
        found.setdefault(cause.edit, cause)
    return list(found.values())


def own_changes(node: Node, before: Execution, ledger: Ledger) -> list[str]:
    """Differences of the node's own identity to an execution's, parents' content left out."""
    was, now = before.identity, node.identity
    changes = _field_changes(_section(node), was["config"], now["config"])
    if was["seed"] != now["seed"]:
        changes.append(f"{node.name}.seed {was['seed']} → {now['seed']}")
    changes += _source_changes(node, before, ledger)
    changes += _edge_changes(node, before.inputs)
    changes += _code_changes(was["code"], node, ledger)
    changes += _verifier_changes(node, before, ledger)
    if was.get("withdrawn") != now.get("withdrawn"):
        changes.append(f"rows of {node.name} were withdrawn, or given back")
    return changes


def shown(value: object) -> str:
    """A value of a recipe, cut to what a line has room for."""
    text = "none" if value is None else _written(value) if isinstance(value, Mapping) else str(value)
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"


def _written(fields: Mapping[Any, Any]) -> str:
    """As a recipe says it: fields that ask for nothing are left out."""
    return f"{{{', '.join(f'{name}: {value}' for name, value in fields.items() if value is not None)}}}"


def _section(node: Node) -> str:
    """Where the recipe says what the node is: all evaluations are of one section."""
    return "evaluate" if _is_evaluation(node) else node.name


def _is_evaluation(node: Node) -> bool:
    return node.name.endswith(evaluation_name(""))


def _field_changes(place: str, was: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    changes: list[str] = []
    for field in [*now, *(field for field in was if field not in now)]:
        before, after = was.get(field), now.get(field)
        if isinstance(before, dict) and isinstance(after, dict):
            changes += _field_changes(f"{place}.{field}", before, after)
        elif before != after:
            changes.append(f"{place}.{field} {shown(before)} → {shown(after)}")
    return changes


def _source_changes(node: Node, before: Execution, ledger: Ledger) -> list[str]:
    was, now = before.identity["sources"], node.identity["sources"]
    if was == now:
        return []
    if isinstance(node.config, DatasetConfig) and node.config.version:
        versions = [given for given in before.inputs if given.node == f"{given.name}@{given.version}"]
        if not versions:
            return [f"rows: another source → {node.config.version}"]
        since = _rows_since(ledger, versions[0], node.config.version)
        return [f"rows: {versions[0].node} → {node.config.version}{since}"]
    if set(was) != set(now):
        return [f"{node.name} comes from another source"]
    if "directory" in now:
        files = _changed_parts(was["directory"], now["directory"], node, ledger)
        return [f"{_listed(files) or 'the files'} of {node.name} changed"]
    return [f"the {'weights' if node.kind == REGISTERED else 'file'} of {node.name} changed"]


def _rows_since(ledger: Ledger, before: Input, reference: str) -> str:
    """`: 12 added, 3 removed`, where the two versions follow each other."""
    name, _, number = reference.partition("@")
    made = ledger.find_by_output(name, int(number))
    since: Mapping[str, int] = made[-1].result.get(SINCE, {}) if made else {}
    if (name, since.get("version")) != (before.name, before.version):
        return ""
    counts = [f"{since[what]} {what}" for what in ("added", "removed", "changed") if since[what]]
    return f": {', '.join(counts) or 'another order'}"


def _edge_changes(node: Node, inputs: Iterable[Input]) -> list[str]:
    """A start or rows that lead elsewhere, or weigh differently; an evaluation is compared as its model came about."""
    given = [each for each in inputs if each.node != f"{each.name}@{each.version}"]
    if not given or isinstance(node.config, DatasetConfig):
        return []
    changes: list[str] = []
    starts = [each.node for each in given if each.role == "start"]
    if node.start and starts != [node.start]:
        changes.append(f"{node.name}.start {', '.join(starts)} → {node.start}")
    rows = {each.node: each.weight for each in given if each.role == "rows"}
    if rows != dict(node.rows):
        changes.append(f"{_section(node)}.rows {_weights(rows)} → {_weights(node.rows)}")
    compared = tuple(each.node for each in given if each.role == "compare")
    if compared != node.compare_with and not _is_evaluation(node):
        changes.append(f"{node.name} is compared with {', '.join(node.compare_with) or 'nothing'}")
    return changes


def _weights(rows: Mapping[str, float]) -> str:
    shown = (name if weight == 1 else f"{name}: {weight:g}" for name, weight in rows.items())
    return f"[{', '.join(shown)}]"


def _code_changes(was: Mapping[str, str], node: Node, ledger: Ledger) -> list[str]:
    changes: list[str] = []
    for module, code in node.identity["code"].items():
        if was.get(module) != code:
            files = _changed_parts(was.get(module, ""), code, node, ledger)
            changes.append(f"code changed: {_listed(files) or f'of {module}'}")
    return changes


def _changed_parts(was: str, now: str, node: Node, ledger: Ledger) -> list[str]:
    return changed_files(ledger.code_parts(was), node.code_parts.get(now, {}))


def _listed(files: Sequence[str]) -> str:
    more = f" and {len(files) - _SHOWN_FILES} more" if len(files) > _SHOWN_FILES else ""
    return f"{', '.join(files[:_SHOWN_FILES])}{more}"


def changed_files(was: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Files whose digest differs, that came, or that went; none where either side is not known."""
    if not was or not now:
        return []
    return sorted(name for name in {*was, *now} if was.get(name) != now.get(name))


def _verifier_changes(node: Node, before: Execution, ledger: Ledger) -> list[str]:
    """Of the verifiers that judged the execution: others decide nothing."""
    was: Mapping[str, str] = before.identity.get("verifiers", {})
    now: Mapping[str, str] = node.identity.get("verifiers", {})
    changes: list[str] = []
    for name in before.result.get("judged_by", []) if now else []:
        if name not in now:
            changes.append(f"verifier {name} is not there any more")
        elif was.get(name) != now[name]:
            parts = _changed_parts(was.get(name, ""), now[name], node, ledger)
            settings = [
                part for part in parts if "." not in part
            ]  # of a model that is asked; files have dots
            changes.append(f"verifier {name} changed ({_listed(settings) or 'code'})")
    return changes
