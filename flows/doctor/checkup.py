"""The examination of a home, section by section; with repairs, each section is looked at again after them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from data_contracts.errors import BurnishError, HomeError, NotFoundError
from flows.doctor.findings import Finding, Look, Patient
from flows.doctor.leftovers import examine_leftovers
from flows.doctor.models import examine_models
from flows.doctor.orphans import examine_orphan_rows, examine_orphans, require_whole
from flows.doctor.place import examine_place, is_readable
from flows.doctor.projection import examine_mlflow
from flows.doctor.rows import examine_rows
from flows.doctor.runs import examine_runs, examine_work
from infra.home import Home
from infra.ledger import Ledger

_SECTIONS: dict[str, Look] = {
    "runs": examine_runs,
    "work": examine_work,
    "leftovers": examine_leftovers,
    "models": examine_models,
    "MLflow": examine_mlflow,
    "datasets": examine_rows,
    "rows": examine_orphan_rows,
    "orphans": examine_orphans,
}


@dataclass(frozen=True, slots=True)
class Report:
    """What one section came to."""

    section: str
    findings: tuple[Finding, ...]
    """What is left, after the repairs."""

    repaired: tuple[str, ...] = ()
    """What was found and is not there any more."""

    left: dict[str, str] = field(default_factory=dict[str, str])
    """Why a finding, by its text, could not be repaired now."""

    @property
    def is_sound(self) -> bool:
        return all(finding.is_note for finding in self.findings)


def examine(path: Path, *, is_deep: bool = False, fix: bool = False) -> Iterator[Report]:
    """Look at everything, in an order in which what later sections need comes first.

    Without `fix` nothing of the home is changed. Raises NotFoundError where there is no home.
    """
    home = Home(path)
    if not path.is_dir() or not any(path.iterdir()):
        raise NotFoundError(
            f"There is no home at {path}.",
            "a directory in which something has run",
            "Set BURNISH_HOME, or go to the folder of a run.",
        )
    yield _section("home", lambda: examine_place(home), fix=fix)
    if not is_readable(home):
        return
    try:
        ledger = Ledger(home.ledger_path)
        ledger.require_sound()
        require_whole(home, ledger)
    except HomeError as error:
        yield Report("ledger", (_as_finding(error),))
        return
    yield Report("ledger", ())
    patient = Patient(home, ledger, is_deep)
    for name, look in _SECTIONS.items():
        yield _section(name, lambda look=look: look(patient), fix=fix)


def _section(name: str, look: Callable[[], list[Finding]], *, fix: bool) -> Report:
    """With `fix`, until a look finds nothing that was not tried: one repair may uncover the next."""
    findings = _look(look)
    left: dict[str, str] = {}
    while fix and (untried := [f for f in findings if f.repair is not None and f.found not in left]):
        left |= {finding.found: _try(finding) for finding in untried}
        findings = _look(look)
    still = {finding.found for finding in findings}
    repaired = tuple(found for found in left if found not in still)
    return Report(name, tuple(findings), repaired, {found: left[found] for found in still if left.get(found)})


def _try(finding: Finding) -> str:
    assert finding.repair is not None
    try:
        return finding.repair()
    except BurnishError as error:
        return f"left: {error.found}"
    except OSError as error:
        return f"left: {error}"


def _look(look: Callable[[], list[Finding]]) -> list[Finding]:
    try:
        return look()
    except BurnishError as error:
        return [_as_finding(error)]


def _as_finding(error: BurnishError) -> Finding:
    return Finding(error.found, f"Expected: {error.expected}.", error.do)
