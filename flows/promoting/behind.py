"""What stands behind results: the recipe of a model, the datasets that were read, the verifiers that judged."""

from typing import Any

from infra.ledger import Ledger
from infra.records import Execution


def recipe_behind(ledger: Ledger, made: Execution) -> dict[str, Any]:
    """The recipe's document as the newest run that made or reused the model has it."""
    for run in ledger.runs(made.pipeline, limit=-1):
        if run.run_id == made.run_id or made.key in {each.key for each in ledger.run_stages(run.run_id)}:
            return run.document
    return {}


def recipe_that_made(ledger: Ledger, made: Execution) -> dict[str, Any]:
    """The recipe's document of the very run that made the model, whatever reused it since."""
    runs = ledger.runs(made.pipeline, limit=-1)
    return next((run.document for run in runs if run.run_id == made.run_id), {})


def verifiers_behind(*executions: Execution) -> dict[str, str]:
    """Fingerprints of the code of every verifier that decided one of these results."""
    return {
        name: each.identity["verifiers"][name]
        for each in executions
        for name in each.result.get("judged_by", [])
        if name in each.identity.get("verifiers", {})
    }


def datasets_behind(*executions: Execution) -> dict[str, str]:
    """Content of every dataset version that one of these read, by `name@version`."""
    return {
        f"{given.name}@{given.version}": given.fingerprint
        for each in executions
        for given in each.inputs
        if given.role == "rows"
    }
