"""The front matter of a model card: what Hugging Face's hub reads of it (hub-docs, modelcard.md).

A licence is claimed only where the base and all rows tell theirs, and it is one; else it says `other`.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from huggingface_hub.repocard_data import EvalResult, ModelCardData

from data_contracts.stage_configs import SamplingConfig
from flows.card_view import one_line
from flows.lineage.models import TRAINED
from flows.promoting.behind import datasets_behind
from flows.promoting.loading import Form, hub_base
from flows.promoting.why import Explanation, Rows
from infra.records import Execution

_IDENTIFIER = re.compile(r"[a-z0-9][a-z0-9.-]{0,39}")
"""A licence as the hub lists them."""


def front_matter(
    why: Explanation,
    behind: Sequence[Execution],
    evaluation: Execution | None,
    form: Form,
    origins: Mapping[str, Mapping[str, Any]],
) -> str:
    """YAML between its two lines of dashes. Rows that it was only evaluated on are no part of it.

    `origins` says of every dataset version, `name@version`, where it came from.
    """
    base = hub_base(behind)
    trained = datasets_behind(*behind)
    datasets = [rows for rows in why.datasets if rows.reference in trained]
    is_told = any(map(_is_built, behind)) and all(_tells(origins, rows.reference) for rows in datasets)
    licences = sorted({one_line(each).lower() for rows in datasets for each in rows.licences if is_told})
    is_one = len(licences) == 1 and _IDENTIFIER.fullmatch(licences[0]) is not None
    data = ModelCardData(
        license=licences[0] if is_one else "other",
        license_name=None if is_one else ", ".join(licences) or None,
        base_model=base[0] if base else None,
        datasets=sorted({_dataset_id(rows, behind) for rows in datasets}) or None,
        library_name="peft" if form == "adapter" else "transformers",
        pipeline_tag="text-generation",
        tags=["burnish", *([made.kind for made in why.stages if made.kind in TRAINED])],
        model_name=why.model,
        eval_results=list(_results(evaluation)) or None,
    )
    return f"---\n{data.to_yaml()}\n---"


def sampling_of(evaluation: Execution) -> dict[str, object]:
    """How the completions of an evaluation were drawn."""
    config = evaluation.identity["config"]
    drawn = {name: config[name] for name in SamplingConfig.model_fields if config.get(name) is not None}
    return {"seed": evaluation.identity["seed"], **drawn}


def _tells(origins: Mapping[str, Mapping[str, Any]], reference: str) -> bool:
    """Whether somebody told the licence of a version, or of all that it was made from."""
    origin = origins.get(reference, {})
    parents = origin.get("parents", {})
    is_own = bool(origin.get("options", {}).get("licence"))
    return is_own or (bool(parents) and all(_tells(origins, parent) for parent in parents))


def _is_built(made: Execution) -> bool:
    """Whether it is a base that Burnish built, which is nobody else's."""
    return made.kind == "base" and bool(made.identity.get("config", {}).get("build"))


def _dataset_id(rows: Rows, behind: Iterable[Execution]) -> str:
    """The hub's id of rows that were read from there, else the name they have here."""
    name, _, version = rows.reference.rpartition("@")
    for each in behind:
        if (each.kind, each.name, str(each.version)) == ("dataset", name, version):
            return each.identity.get("config", {}).get("hub") or name
    return name


def _results(evaluation: Execution | None) -> Iterable[EvalResult]:
    if evaluation is None:
        return
    rows = [given for given in evaluation.inputs if given.role == "rows"]
    yield EvalResult(
        task_type="text-generation",
        dataset_type=one_line(", ".join(given.name for given in rows)),
        dataset_name=one_line(", ".join(f"{given.name}@{given.version}" for given in rows)),
        metric_type="accuracy",
        metric_name="verified accuracy",
        metric_value=evaluation.result["metrics"]["eval/accuracy"],
        metric_args=sampling_of(evaluation),
    )
