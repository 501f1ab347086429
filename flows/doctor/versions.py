"""MLflow's model versions against the ledger's: those it lost, and those it has that nobody knows."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from flows.doctor.findings import Finding, Patient, unless_a_run_is_live, with_lock
from flows.doctor.models import is_whole
from flows.doctor.needed import Version, let_go
from flows.promoting.describing import describe
from flows.stored import has_output, output_path
from infra.ledger import Ledger
from infra.liveness import held_locks
from infra.records import DONE, FAILED, Execution

if TYPE_CHECKING:
    from infra.registry import RegisteredVersion, RunStatus
    from infra.registry_upkeep import RegistryUpkeep

_STATUS: dict[str, "RunStatus"] = {DONE: "FINISHED", FAILED: "FAILED"}


def lost_versions(
    patient: Patient,
    upkeep: "RegistryUpkeep",
    made: Mapping[Version, Execution],
    versions: "Mapping[Version, RegisteredVersion]",
) -> list[Finding]:
    findings: list[Finding] = []
    for (name, version), execution in sorted(made.items()):
        directory = output_path(patient.home, execution)
        if (name, version) not in versions:
            found = f"MLflow has lost {name}/{version}, which the ledger names."
        elif has_output(patient.home, execution) and not upkeep.has_copies(name, version, directory):
            found = f"MLflow has not all files of {name}/{version}."
        else:
            continue
        findings.append(
            Finding(
                found,
                "It cannot be promoted, exported or loaded by its name.",
                "Register it again from the model that this home keeps.",
                _register(patient, upkeep, execution),
            )
        )
    return findings


def _register(patient: Patient, upkeep: "RegistryUpkeep", execution: Execution) -> Callable[[], str]:
    home, ledger = patient.home, patient.ledger

    def repair() -> None:
        directory = output_path(home, execution)
        if (execution.name, execution.version) not in upkeep.versions():
            upkeep.number_next(execution.name, execution.version)
        number = _project(ledger, upkeep, execution, directory)
        if number != execution.version:  # MLflow gives no number twice
            ledger.record(replace(execution, version=number, seconds=0.0))
        describe(home, ledger, [replace(execution, version=number)])

    def checked() -> str:
        if not is_whole(output_path(home, execution), execution.fingerprint):
            again = f"`burnish run {execution.pipeline} --force {execution.stage}`"
            return f"left: the model this home keeps is damaged or gone; {again} makes it again"
        return with_lock(home, f"stage-{execution.key}", lambda: unless_a_run_is_live(ledger, repair))

    return checked


def _project(ledger: Ledger, upkeep: "RegistryUpkeep", execution: Execution, directory: Path) -> int:
    """The MLflow runs and the version of an execution, as when it was made; returns the version's number."""
    registry = upkeep.registry
    run = next((run for run in ledger.runs(limit=-1) if run.run_id == execution.run_id), None)
    document = json.dumps(run.document, indent=2) if run else "{}"
    parent = registry.start_pipeline_run(execution.pipeline, execution.run_id, document)
    child = registry.start_stage_run(
        parent, execution.pipeline, execution.stage, execution.key, execution.identity.get("config", {})
    )
    registry.log_metrics(child, execution.result.get("metrics", {}), 0)
    tags = {"burnish.run": execution.run_id, "burnish.recipe": execution.pipeline}
    start = [f"{given.name}/{given.version}" for given in execution.inputs if given.role == "start"]
    datasets = [f"{given.name}@{given.version}" for given in execution.inputs if given.role == "rows"]
    tags |= {"burnish.start": start[0]} if start else {}
    tags |= {"burnish.datasets": ", ".join(datasets)} if datasets else {}
    number = registry.register_model(child, execution.name, directory, execution.key, tags)
    registry.finish_run(child, "FINISHED")
    registry.finish_run(parent, _STATUS.get(run.state, "KILLED") if run else "FINISHED")
    return number


def unknown_versions(
    patient: Patient, upkeep: "RegistryUpkeep", versions: "Mapping[Version, RegisteredVersion]"
) -> list[Finding]:
    ledger = patient.ledger
    known = {(each.name, each.version) for each in ledger.executions()}
    gone = let_go(ledger)
    busy = held_locks(patient.home, "stage-")
    findings: list[Finding] = []
    for at, version in versions.items():
        if (at in known and (at not in gone or version.aliases)) or version.stage_key in busy:
            continue
        named = f"{version.name}/{version.version}"
        if not version.stage_key:
            findings.append(
                Finding(
                    f"{named} was registered by hand.",
                    "No run of this home made it, so it has no lineage here.",
                    "It is left as it is.",
                    is_note=True,
                )
            )
        elif not version.aliases:
            findings.append(
                Finding(
                    f"MLflow has {named}, which {'was let go' if at in gone else 'the ledger does not name'}.",
                    "Somebody was stopped half-way: no plan finds it, and `burnish models` shows it.",
                    "Remove it from MLflow.",
                    _forget(patient, upkeep, version),
                )
            )
        else:
            findings.append(
                Finding(
                    f"MLflow has {named} ({', '.join(version.aliases)}), which the ledger does not name.",
                    "A run ended before it noted it, and somebody has given it an alias since.",
                    "Take the alias away in MLflow if it may go; the same `burnish run` adopts it.",
                )
            )
    return findings


def _forget(patient: Patient, upkeep: "RegistryUpkeep", version: "RegisteredVersion") -> Callable[[], str]:
    def drop() -> None:
        at = (version.name, version.version)
        known = {(each.name, each.version) for each in patient.ledger.executions()}
        if at in upkeep.versions() and (at not in known or at in let_go(patient.ledger)):
            upkeep.forget(*at)

    name = f"stage-{version.stage_key}"
    return lambda: with_lock(patient.home, name, lambda: unless_a_run_is_live(patient.ledger, drop))
