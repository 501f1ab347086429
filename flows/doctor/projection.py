"""MLflow against the ledger, whose projection it is: versions, their files, runs and aliases."""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from flows.doctor.findings import DONE, Finding, Patient, quietly, with_lock
from flows.doctor.needed import PROMOTION_LOCK, Version, let_go, model_executions
from flows.doctor.versions import lost_versions, unknown_versions
from flows.promoting.aliases import HandMade, look, project, way_out
from flows.promoting.describing import describe, describe_decided, is_outdated
from infra.ledger import Ledger
from infra.liveness import live_runs
from infra.records import Execution

if TYPE_CHECKING:
    from infra.registry_aliases import RegistryAliases
    from infra.registry_upkeep import RegistryUpkeep


def examine_mlflow(patient: Patient) -> list[Finding]:
    home, ledger = patient.home, patient.ledger
    gone = let_go(ledger)
    made = {version: each for version, each in model_executions(ledger).items() if version not in gone}
    if not home.has_mlflow:
        if not made:
            return []
        return [
            Finding(
                f"MLflow's database {home.mlflow_path} is missing.",
                "No model can be listed, promoted or chatted with.",
                f"Make it again, with the {len(made)} versions that the ledger names.",
                lambda: _rebuild(patient, made),
            )
        ]
    from infra.registry_upkeep import RegistryUpkeep

    upkeep = RegistryUpkeep(home)
    versions = upkeep.versions()
    return [
        *lost_versions(patient, upkeep, made, versions),
        *unknown_versions(patient, upkeep, versions),
        *_open_runs(ledger, upkeep),
        *_aliases(patient),
        *(_cards(patient, made) if patient.is_deep else []),
    ]


def _rebuild(patient: Patient, made: Mapping[Version, Execution]) -> str:
    from infra.registry_upkeep import RegistryUpkeep

    upkeep = RegistryUpkeep(patient.home)  # makes the database
    outcomes = [each.repair() for each in lost_versions(patient, upkeep, made, {}) if each.repair]
    return next(filter(None, outcomes), DONE)


def _open_runs(ledger: Ledger, upkeep: "RegistryUpkeep") -> list[Finding]:
    alive = {run.run_id for run in live_runs(ledger)}
    return [
        Finding(
            f"MLflow calls {run.name} ({run.mlflow_run}) running; it is of {run.run_id}, whose process is gone.",
            "MLflow's page shows it as if it could still end.",
            "Note it as killed.",
            quietly(partial(upkeep.registry.finish_run, run.mlflow_run, "KILLED")),
        )
        for run in upkeep.open_runs()
        if run.run_id not in alive
    ]


def _aliases(patient: Patient) -> list[Finding]:
    from infra.registry_aliases import RegistryAliases

    registry = RegistryAliases(patient.home)
    findings: list[Finding] = []
    for model in registry.models():
        found = look(patient.ledger, registry, model)
        findings += [_by_hand(patient, registry, each) for each in found.by_hand]
        if found.is_behind:
            findings.append(_behind(patient, registry, model))
        findings += [
            Finding(
                f"{model}@{alias} is version {version}, an alias made by hand in MLflow.",
                "Burnish moves it nowhere, and keeps the version it names.",
                "Nothing: it is yours.",
                is_note=True,
            )
            for alias, version in sorted(found.others.items())
        ]
    return findings


def _cards(patient: Patient, made: Mapping[Version, Execution]) -> list[Finding]:
    """Without `--deep` nobody reads them: each takes as long as `burnish card` does."""
    return [
        Finding(
            f"MLflow's card of {name}/{version} is not the ledger's.",
            "Its page says less than is known of the model, or what was true earlier.",
            "Write it again.",
            partial(_describe, patient, execution),
        )
        for (name, version), execution in sorted(made.items())
        if is_outdated(patient.home, patient.ledger, execution)
    ]


def _describe(patient: Patient, execution: Execution) -> str:
    untold = describe(patient.home, patient.ledger, [execution])
    return f"left: {untold[0]}" if untold else DONE


def _behind(patient: Patient, registry: "RegistryAliases", model: str) -> Finding:
    def follow() -> None:
        project(patient.ledger, registry, model)
        describe_decided(patient.home, patient.ledger, model)

    return Finding(
        f"MLflow's aliases of {model} are behind the ledger: a promotion or rollback was cut short.",
        "Who loads the model by its alias gets another than the one that was decided on.",
        "Set them by the newest decision.",
        lambda: with_lock(patient.home, PROMOTION_LOCK, quietly(follow)),
    )


def _by_hand(patient: Patient, registry: "RegistryAliases", made: HandMade) -> Finding:
    """What was moved is for a person to decide on; what is gone is put back."""
    if made.found is not None:
        return Finding(
            str(made),
            "Who loads a model by that alias gets another than the one that was decided on.",
            way_out(look(patient.ledger, registry, made.model)),
        )

    def restore() -> str:
        if made.decided not in registry.state(made.model).versions:
            return f"left: MLflow has no {made.model}/{made.decided}"
        if any(each.found is not None for each in look(patient.ledger, registry, made.model).by_hand):
            return "left: other aliases of the model were moved by hand"
        project(patient.ledger, registry, made.model)
        return DONE

    return Finding(
        str(made),
        "Nobody can load the model by that alias.",
        "Set the alias by the newest decision.",
        lambda: with_lock(patient.home, PROMOTION_LOCK, restore),
    )
