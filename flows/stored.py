"""What the ledger has of a node already, and where its result is on disk."""

from collections.abc import Mapping
from pathlib import Path

from flows.identity import judged_by
from flows.nodes import REGISTERED, Node
from flows.suites import stored_verdicts, suite_of
from infra.home import Home
from infra.ledger import Ledger
from infra.records import Execution


def find_reusable(home: Home, ledger: Ledger, pipeline: str, node: Node) -> Execution | None:
    """The newest execution of the node's logical key whose output is still on disk, the pipeline's own first."""
    found = [e for e in ledger.find_by_key(node.key) if has_output(home, e)]
    return next((e for e in found if is_own(e, pipeline, node)), next(iter(found), None))


def find_same_input(
    home: Home, ledger: Ledger, pipeline: str, node: Node, given: Mapping[str, Execution]
) -> Execution | None:
    """The same for the same content going in, whatever its parents' keys.

    A registered model's verdicts on a suite are the same also where they were compared with other models' then.
    """
    found = [e for e in _with_same_input(ledger, node, given) if has_output(home, e)]
    return next((e for e in found if is_own(e, pipeline, node)), next(iter(found), None))


def is_own(execution: Execution | None, pipeline: str, node: Node) -> bool:
    """Whether a result stands in the stores under this pipeline's and stage's own name."""
    return execution is not None and (execution.pipeline, execution.stage) == (pipeline, node.name)


def stands_here(execution: Execution | None, pipeline: str, node: Node) -> bool:
    """Whether a reused result needs no taking over: the pipeline's own, or a registered model as it stands."""
    return node.kind == REGISTERED or is_own(execution, pipeline, node)


def output_path(home: Home, execution: Execution) -> Path:
    """Where an execution's result is: a model directory or a Parquet file."""
    if execution.output == "model":
        return home.models_dir / execution.fingerprint
    return home.rows_dir / f"{execution.fingerprint}.parquet"


def has_output(home: Home, execution: Execution) -> bool:
    """Whether an execution's result is still on disk: its rows, or a model's weights."""
    path = output_path(home, execution)
    return any(path.glob("*.safetensors")) if execution.output == "model" else path.is_file()


def verdicts_of(ledger: Ledger, home: Home, model: str, version: int, suite: str) -> Execution | None:
    """The newest stored verdicts of a registered version on the suite; None where there are none any more."""
    made = [each for each in ledger.find_by_output(model, version) if each.output == "model"]
    if not made:
        return None
    found = stored_verdicts(ledger, made[0].fingerprint, suite)
    return next((each for each in found if has_output(home, each)), None)


def _with_same_input(ledger: Ledger, node: Node, given: Mapping[str, Execution]) -> list[Execution]:
    found = ledger.find_by_input_key(node.input_key(given))
    if found or node.kind != "verify" or node.compare_with or node.start is None:
        return found
    judges = judged_by(node.config, [given[parent] for parent in node.rows])
    return stored_verdicts(ledger, given[node.start].fingerprint, suite_of(node.identity, judges))
