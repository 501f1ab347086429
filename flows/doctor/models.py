"""Model directories against the ledger: whole, readable, and with `--deep` what was recorded byte for byte."""

from pathlib import Path

from safetensors import SafetensorError, safe_open

from flows.doctor.findings import Finding, Patient, unless_a_run_is_live
from flows.doctor.needed import let_go, model_executions
from flows.stored import has_output, output_path
from infra.being_written import path_to_write
from infra.home import Home
from infra.ledger import Ledger
from infra.liveness import remove, remove_unless
from infra.records import Execution


def examine_models(patient: Patient) -> list[Finding]:
    gone = let_go(patient.ledger)
    findings: list[Finding] = []
    seen: set[str] = set()
    for version, execution in model_executions(patient.ledger).items():
        if version in gone or execution.fingerprint in seen:
            continue
        seen.add(execution.fingerprint)
        if damage := _damage(patient, execution):
            findings.append(_damaged(patient, execution, damage))
    return findings


def is_whole(path: Path, fingerprint: str) -> bool:
    """Whether a directory holds the model with this fingerprint, every byte read."""
    from stages.checkpoint import fingerprint_model  # 5 s of imports

    try:
        return fingerprint_model(path) == fingerprint
    except (OSError, ValueError):  # a file is missing, or its JSON is damaged
        return False


def _damage(patient: Patient, execution: Execution) -> str:
    path = output_path(patient.home, execution)
    if not has_output(patient.home, execution):
        return "has no weights" if path.is_dir() else "is gone"
    for file in sorted(path.rglob("*.safetensors")):
        if not _is_readable(file):
            return f"has weights that cannot be read: {file.relative_to(path)}"
    if patient.is_deep and not is_whole(path, execution.fingerprint):
        return "has other content than its run recorded"
    return ""


def _is_readable(file: Path) -> bool:
    """Whether the header is whole and the file as long as it says."""
    try:
        with safe_open(file, "numpy"):
            return True
    except (SafetensorError, OSError):
        return False


def _damaged(patient: Patient, execution: Execution, damage: str) -> Finding:
    home = patient.home
    named = f"{execution.name}/{execution.version}"
    return Finding(
        f"The model of {named} {damage} ({output_path(home, execution)}).",
        "Runs that start from it fail or train on something else; nothing else holds what plans reuse.",
        "Take MLflow's copy if that is whole; else "
        f"`burnish run {execution.pipeline} --force {execution.stage}` makes it again.",
        lambda: _restore(home, patient.ledger, execution),
    )


def _restore(home: Home, ledger: Ledger, execution: Execution) -> str:
    """Put MLflow's copy in the place of a damaged directory, once it is proven to be the model."""
    again = f"`burnish run {execution.pipeline} --force {execution.stage}` makes it again"
    if not home.has_mlflow:
        return f"left: MLflow has no copy; {again}"
    from infra.registry_upkeep import RegistryUpkeep

    kept = output_path(home, execution)
    aside = path_to_write(home.models_dir)
    try:
        if not RegistryUpkeep(home).fetch(execution.name, execution.version, aside):
            return f"left: MLflow has no copy; {again}"
        if not is_whole(aside, execution.fingerprint):
            return f"left: MLflow's copy is damaged too; {again}"
        return unless_a_run_is_live(ledger, lambda: _exchange(aside, kept))
    finally:
        remove(aside)


def _exchange(aside: Path, kept: Path) -> None:
    if kept.exists():
        remove_unless(lambda: False, kept)
    aside.rename(kept)
