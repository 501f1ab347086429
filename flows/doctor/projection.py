"""MLflow against the ledger, whose projection it is: versions, their files, runs and aliases."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from flows.doctor.findings import DONE, Finding, Patient, quietly, with_lock
from flows.doctor.needed import Version, current_version, let_go, model_executions, promotions
from flows.doctor.versions import lost_versions, unknown_versions
from flows.promotion import CHAMPION, PREVIOUS
from infra.ledger import Ledger
from infra.liveness import live_runs
from infra.records import Execution

if TYPE_CHECKING:
    from infra.registry import RegisteredVersion
    from infra.registry_upkeep import RegistryUpkeep


def examine_mlflow(patient: Patient) -> list[Finding]:
    home, ledger = patient.home, patient.ledger
    gone = let_go(ledger)
    made = {version: each for version, each in model_executions(ledger).items() if version not in gone}
    if not home.mlflow_path.is_file():
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
        *_aliases(patient, upkeep, versions),
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


def _aliases(
    patient: Patient, upkeep: "RegistryUpkeep", versions: "Mapping[Version, RegisteredVersion]"
) -> list[Finding]:
    held = {(at[0], alias): at[1] for at, version in versions.items() for alias in version.aliases}
    wanted = _decided(patient.ledger)
    findings = [
        Finding(
            f"{model}@{alias} is version {held.get((model, alias), 'none')} in MLflow, and {number} by the ledger.",
            "Who loads a model by that alias gets another than the one that was decided on.",
            "Set the alias by the newest promotion.",
            _set_alias(patient, upkeep, model, alias),
        )
        for (model, alias), number in wanted.items()
        if held.get((model, alias)) != number
    ]
    promoted = {model for model, _ in wanted}
    return findings + [
        Finding(
            f"{model}@{alias} is version {number} in MLflow, and no promotion of the ledger made it so.",
            "Nobody can say who decided it, or why.",
            f"`burnish promote {model}/{number} --reason …` keeps it; else take the alias away in MLflow.",
        )
        for (model, alias), number in held.items()
        if alias in (CHAMPION, PREVIOUS) and model not in promoted
    ]


def _decided(ledger: Ledger) -> dict[tuple[str, str], int]:
    """What the aliases should be, by the newest promotion of each model."""
    wanted: dict[tuple[str, str], int] = {}
    for decision in reversed(promotions(ledger)):
        for alias, number in ((CHAMPION, decision.to_version), (PREVIOUS, decision.from_version)):
            if number is not None:
                wanted[decision.model, alias] = current_version(ledger, decision.model, number)
    return wanted


def _set_alias(patient: Patient, upkeep: "RegistryUpkeep", model: str, alias: str) -> Callable[[], str]:
    def repair() -> str:
        number = _decided(patient.ledger)[model, alias]
        if (model, number) not in upkeep.versions():
            return f"left: MLflow has no {model}/{number}"
        upkeep.registry.set_alias(model, alias, number)
        return DONE

    return lambda: with_lock(patient.home, "promotion", repair)
