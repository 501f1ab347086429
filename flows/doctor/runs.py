"""Runs that the ledger calls running and nobody runs, stages they left open, and the scratch of their stages."""

from collections.abc import Callable
from pathlib import Path

from flows.doctor.findings import DONE, Finding, Patient, quietly, with_lock
from flows.past_runs import CRASHED
from flows.stored import has_output
from infra.home import Home
from infra.ledger import Ledger
from infra.liveness import is_held, remove_unless
from infra.process_identity import is_same_process
from infra.records import RUNNING, WAITING, Run, RunStage


def examine_runs(patient: Patient) -> list[Finding]:
    """Runs and their stages, against the processes of this machine."""
    ledger = patient.ledger
    findings: list[Finding] = []
    for run in ledger.runs(limit=-1):
        if is_same_process(run.pid, run.pid_started):
            continue
        left = [stage for stage in ledger.run_stages(run.run_id) if stage.state in (RUNNING, WAITING)]
        if run.state == RUNNING:
            findings.append(
                Finding(
                    f"Run {run.run_id} of {run.recipe} is called running, and its process {run.pid} is gone.",
                    "`burnish status` and every page show it as if it could still end.",
                    "Note it as crashed; finished stages are kept, and the same `burnish run` continues.",
                    _end(ledger, run, CRASHED),
                )
            )
        elif left:
            findings.append(
                Finding(
                    f"Run {run.run_id} has ended ({run.state}), and {', '.join(s.stage for s in left)} "
                    "did not.",
                    "`burnish status` and every page show them as if they could still end.",
                    "Note what ran as interrupted, what waited as skipped.",
                    _end(ledger, run, run.state),
                )
            )
    return findings


def _end(ledger: Ledger, run: Run, state: str) -> Callable[[], str]:
    """A repair: what ran of it was interrupted, what waited is skipped."""

    def repair() -> str:
        ledger.end_run(run.run_id, state, run.summary)
        return DONE

    return repair


def examine_work(patient: Patient) -> list[Finding]:
    """One directory per stage that is at work or was interrupted."""
    home, ledger = patient.home, patient.ledger
    if not home.work_dir.is_dir():
        return []
    of_key = stages_by_key(ledger)
    return [
        _of_work(home, ledger, path, of_key.get(path.name))
        for path in sorted(home.work_dir.iterdir())
        if path.is_dir() and not path.name.startswith(".") and not is_held(_lock_of(home, path))
    ]


def stages_by_key(ledger: Ledger) -> dict[str, tuple[Run, RunStage]]:
    """The newest run that planned a stage with this key, and the stage as it saw it."""
    found: dict[str, tuple[Run, RunStage]] = {}
    for run in reversed(ledger.runs(limit=-1)):
        found |= {stage.key: (run, stage) for stage in ledger.run_stages(run.run_id)}
    return found


def _of_work(home: Home, ledger: Ledger, path: Path, known: tuple[Run, RunStage] | None) -> Finding:
    if _is_finished(home, ledger, path.name, known):
        what = f"{path} is the scratch of a stage whose result is stored."
        return _scratch(home, ledger, path, what)
    if known is None:
        return _scratch(home, ledger, path, f"{path} belongs to no stage that a run of this home planned.")
    run, stage = known
    has_checkpoint = any((path / "checkpoints").glob("checkpoint-*"))
    where = "its last checkpoint" if has_checkpoint else "its beginning"
    return Finding(
        f"{stage.stage} of run {run.run_id} was interrupted; {path} is its scratch.",
        f"The same `burnish run` continues it from {where}.",
        f"`burnish run {run.recipe}` continues; `burnish gc` lists it once it is no longer wanted.",
        is_note=True,
    )


def _scratch(home: Home, ledger: Ledger, path: Path, found: str) -> Finding:
    def is_wanted() -> bool:
        known = stages_by_key(ledger).get(path.name)
        return known is not None and not _is_finished(home, ledger, path.name, known)

    def repair() -> str:
        return with_lock(home, f"stage-{path.name}", quietly(lambda: remove_unless(is_wanted, path)))

    return Finding(found, "It takes space, and nothing continues from it.", "Remove it.", repair)


def _is_finished(home: Home, ledger: Ledger, key: str, known: tuple[Run, RunStage] | None) -> bool:
    """Whether a result came after the newest beginning: a forced stage may begin again with one stored."""
    began = (known[1].started or 0.0) if known else 0.0
    return any(e.ended >= began and has_output(home, e) for e in ledger.find_by_key(key))


def _lock_of(home: Home, path: Path) -> Path:
    return home.path / "locks" / f"stage-{path.name}.lock"
