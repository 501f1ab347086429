"""What nothing needs any more, and how it goes: `burnish gc`.

The order is such that a kill at any point leaves a sound home. That a model version may go is a decision in the
ledger; then its directory goes, then MLflow's copy. The ledger's rows stay: a plan that wants such a result says
that its output is gone, and makes it again.
"""

import contextlib
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from data_contracts.errors import HomeError
from flows.doctor.findings import unless_a_run_is_live, with_lock
from flows.doctor.needed import (
    PROMOTION_LOCK,
    RELEASE,
    Version,
    model_executions,
    needed_models,
    newest_runs,
    released,
)
from flows.doctor.orphans import require_whole, unnamed_versions
from flows.estimates import bytes_on_disk
from flows.stored import output_path
from infra.actor import actor
from infra.home import Home
from infra.ledger import Ledger
from infra.liveness import held_locks, live_runs, remove_unless
from infra.records import Decision, Execution, Run
from infra.warehouse.collecting import collect, find_garbage
from infra.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    from infra.registry_upkeep import RegistryUpkeep


@dataclass(frozen=True, slots=True)
class Waste:
    """One thing that can go."""

    kind: str
    what: str
    num_bytes: int
    why: str
    remove: Callable[[], str]
    """Returns why it was left; empty when it is gone."""


@dataclass(frozen=True, slots=True)
class Collection:
    """A home, and how many finished runs of each recipe keep their models."""

    home: Home
    ledger: Ledger
    keep_last: int

    def find(self) -> list[Waste]:
        """Everything that can go, in the order in which it goes. Nothing is changed."""
        return [*self._work(), *self._models(), *self._rows(), *self._caches(), *self._logs()]

    @contextlib.contextmanager
    def hold_off_runs(self) -> Generator[None]:
        """Let no known recipe begin meanwhile. Raises HomeError while a run is at work, or for half a ledger."""
        require_whole(self.home, self.ledger)
        if live := live_runs(self.ledger):
            raise HomeError(
                f"Run {live[0].run_id} of {live[0].recipe} is at work.",
                "no run, since it may use what would go",
                "Run `burnish gc --yes` again when it has ended.",
            )
        with contextlib.ExitStack() as stack:
            for recipe in sorted({run.recipe for run in self.ledger.runs(limit=-1)}):
                stack.enter_context(
                    self.home.lock(f"recipe-{recipe}", holder="burnish gc", timeout_seconds=0.0)
                )
            yield

    def _work(self) -> list[Waste]:
        wanted = {stage.key for run in self._runs() for stage in self.ledger.run_stages(run.run_id)}
        busy = held_locks(self.home, "stage-")
        return [
            Waste(
                "checkpoints",
                str(path),
                bytes_on_disk(path),
                "no newest run of a recipe continues from it",
                self._under_lock(path),
            )
            for path in _shown(self.home.work_dir)
            if path.name not in wanted | busy
        ]

    def _under_lock(self, path: Path) -> Callable[[], str]:
        return lambda: with_lock(self.home, f"stage-{path.name}", self._dropping(path))

    def _models(self) -> list[Waste]:
        upkeep = _open_upkeep(self.home)
        versions = upkeep.versions() if upkeep else {}
        aliased = {at: version.aliases for at, version in versions.items()}
        made = model_executions(self.ledger)
        needed = needed_models(self.ledger, aliased, self.keep_last)
        kept = {each.fingerprint for at, each in made.items() if at in needed}
        waste: list[Waste] = []
        counted: set[str] = set(kept)
        for at, execution in made.items():
            path = output_path(self.home, execution)
            num_bytes = 0 if execution.fingerprint in counted else bytes_on_disk(path)
            counted.add(execution.fingerprint)
            if at in versions and upkeep is not None:
                num_bytes += upkeep.num_bytes(*at)
            is_there = at in versions or (execution.fingerprint not in kept and path.exists())
            if at not in needed and is_there:
                named = f"{execution.name}/{execution.version}"
                why = "no alias, promotion or newest run names it"
                waste.append(Waste("model", named, num_bytes, why, self._release(execution, upkeep)))
        return waste

    def _release(self, execution: Execution, upkeep: "RegistryUpkeep | None") -> Callable[[], str]:
        at: Version = (execution.name, execution.version)

        def remove() -> str:
            with self.home.lock(PROMOTION_LOCK, holder="burnish gc"):
                return release()

        def release() -> str:
            versions = upkeep.versions() if upkeep else {}
            aliased = {known: version.aliases for known, version in versions.items()}
            needed = needed_models(self.ledger, aliased, self.keep_last)
            if at in needed:
                return f"left: {needed[at]}"
            if at not in released(self.ledger):
                self.ledger.decide(_release_of(execution))
            made = model_executions(self.ledger)
            if execution.fingerprint not in {e.fingerprint for known, e in made.items() if known in needed}:
                left = self._dropping(output_path(self.home, execution))()
                if left:
                    return left
            if upkeep is None or at not in versions:
                return ""
            return unless_a_run_is_live(self.ledger, partial(upkeep.forget, *at))

        return remove

    def _rows(self) -> list[Waste]:
        if not self.home.warehouse_path.is_file():
            return []
        warehouse = Warehouse(self.home)
        unneeded = unnamed_versions(warehouse, self.ledger)
        found = find_garbage(self.home, warehouse.catalog, unneeded)
        if not found.files and not found.versions:
            return []
        what = ", ".join(map(str, found.versions)) or f"{len(found.files)} files"

        def remove() -> str:
            collect(self.home, warehouse.catalog, unnamed_versions(warehouse, self.ledger))
            return ""

        why = "no version, or no row of the ledger, names them"
        return [Waste("rows", what, found.num_bytes, why, remove)]

    def _caches(self) -> list[Waste]:
        folders = [self.home.reference_cache_dir, self.home.cards_dir, self.home.path / "cache"]
        return [
            Waste(
                "cache",
                str(path),
                bytes_on_disk(path),
                "it is computed again when needed",
                self._dropping(path),
            )
            for folder in folders
            for path in _shown(folder)
            if bytes_on_disk(path)
        ]

    def _logs(self) -> list[Waste]:
        kept: set[str] = set()
        for run in self._runs():
            kept.add(run.run_id)
            for stage in self.ledger.run_stages(run.run_id):
                kept |= {each.run_id for each in self.ledger.find_by_key(stage.key)}
        waste: list[Waste] = []
        for path in _shown(self.home.logs_dir):
            pid = path.stem.removeprefix("run-server-")
            if (path.is_dir() and path.name not in kept) or (
                pid.isdigit() and not psutil.pid_exists(int(pid))
            ):
                why = "no newest run of a recipe has it, nor a stage it reuses"
                waste.append(Waste("log", str(path), bytes_on_disk(path), why, self._dropping(path)))
        return waste

    def _runs(self) -> list[Run]:
        return newest_runs(self.ledger, self.keep_last)

    def _dropping(self, path: Path) -> Callable[[], str]:
        def remove() -> str:
            gone = remove_unless(lambda: bool(live_runs(self.ledger)), path)
            return "" if gone else "left: a run is at work"

        return remove


def _shown(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]


def _open_upkeep(home: Home) -> "RegistryUpkeep | None":
    if not home.has_mlflow:
        return None
    from infra.registry_upkeep import RegistryUpkeep

    return RegistryUpkeep(home)


def _release_of(execution: Execution) -> Decision:
    return Decision(
        made=time.time(),
        kind=RELEASE,
        model=execution.name,
        from_version=execution.version,
        to_version=None,
        actor=actor(),
        reason="nothing needs it",
        evidence={"fingerprint": execution.fingerprint},
    )
