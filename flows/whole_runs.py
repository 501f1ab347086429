"""What the runs of a pipeline have to offer for promotion: the models that they made or reused, by stage.

A run until a stage in the middle offers what it has; the pipeline's last model comes from its newest whole run.
"""

from collections.abc import Mapping

from data_contracts.stage_configs import MODEL_KINDS
from infra.ledger import Ledger
from infra.records import Run


def trained_stages(run: Run) -> set[str]:
    """The stages of its recipe that train a model."""
    return {name for name, config in run.document["stages"].items() if config["kind"] in MODEL_KINDS}


def models_of(run: Run) -> Mapping[str, str]:
    """`model/version` by stage; empty for a run that came to nothing."""
    return {line["stage"]: line["model"] for line in (run.summary or {"lines": []})["lines"]}


def newest_whole_run(ledger: Ledger, pipeline: str) -> Run | None:
    """The newest that has a model of every stage that trains one."""
    runs = ledger.runs(pipeline, limit=-1)
    return next((run for run in runs if set() < trained_stages(run) <= models_of(run).keys()), None)


def newest_model(ledger: Ledger, pipeline: str, stage: str) -> str | None:
    """`model/version` that the newest run with that stage has of it."""
    runs = ledger.runs(pipeline, limit=-1)
    return next((found for run in runs if (found := models_of(run).get(stage)) is not None), None)
