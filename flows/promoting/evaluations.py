"""The verdicts on a model by the evaluation of its pipeline, made by a run of it or for a promotion."""

from data_contracts.gates import CHAMPION
from flows.nodes import evaluation_name
from flows.promoting.candidates import find_execution
from flows.promoting.decisions import CANDIDATE
from flows.promoting.evaluating import promotion_pipeline
from flows.stored import has_output
from infra.home import Home
from infra.ledger import Ledger
from infra.records import Execution


def find_evaluation(home: Home, ledger: Ledger, made: Execution) -> Execution | None:
    """The newest of the model that are still in this home."""
    return next((each for each in _evaluations(ledger, made) if has_output(home, each)), None)


def accuracy_of(ledger: Ledger, model: str, version: int) -> float | None:
    """Verified accuracy of a registered version; None when nothing verified it."""
    made = find_execution(ledger, model, version)
    found = _evaluations(ledger, made) if made else []
    return found[0].result["metrics"]["eval/accuracy"] if found else None


def _evaluations(ledger: Ledger, made: Execution) -> list[Execution]:
    """Newest first."""
    stages = {
        (made.pipeline, evaluation_name(made.stage)),
        *((promotion_pipeline(made.pipeline), stage) for stage in (CANDIDATE, CHAMPION)),
    }
    return [
        each
        for each in ledger.find_by_input("verify", made.fingerprint)
        if (each.pipeline, each.stage) in stages
        and any(given.role == "start" and given.fingerprint == made.fingerprint for given in each.inputs)
    ]
