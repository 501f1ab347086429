"""Rolling back: an earlier champion is champion again, at once and without a gate."""

import time

from pydantic import BaseModel, ConfigDict

from data_contracts.errors import NotFoundError
from flows.promoting.aliases import deciding, look, project, require_as_decided, settle
from flows.promoting.candidates import find_execution
from flows.promoting.decisions import Standing
from flows.promoting.describing import describe_decided
from flows.promoting.soundness import require_sound
from flows.promoting.taking_over import take_over
from infra.actor import actor
from infra.home import Home
from infra.ledger import Ledger
from infra.records import ROLLBACK, Decision, Execution


class Rollback(BaseModel):
    """What came of it."""

    model_config = ConfigDict(frozen=True)

    model: str
    version: int
    """The champion now."""

    left: int | None
    """The champion before; None where nothing moved."""

    next: int | None
    """What another rollback would return to."""

    notes: tuple[str, ...] = ()


def roll_back(
    home: Home,
    ledger: Ledger,
    model: str,
    to: int | None = None,
    *,
    reason: str = "",
    taking_over: str | None = None,
) -> Rollback:
    """Return to the champion before, or to any version. The champion that is left is passed over from now on.

    A rollback that was killed half-way is finished, and nothing else is done then: saying it again goes further back.
    Raises NotFoundError, WithdrawnError, DamagedModelError, PromotionError.
    """
    from infra.registry import ModelRegistry  # 2 s of imports
    from infra.registry_aliases import RegistryAliases

    registry = ModelRegistry(home.mlflow_uri, home.mlflow_artifacts_dir)
    aliases = RegistryAliases(home)
    finished = settle(home, ledger, aliases, model)
    found = look(ledger, aliases, model)
    notes = [finished]
    if taking_over is None:
        require_as_decided(found)
    else:
        if found.adopted is None:  # else there is what was left
            _target(found.decided, to, is_finished=bool(finished))
        notes.append(take_over(home, ledger, aliases, found, taking_over))
        found = look(ledger, aliases, model)
    before = found.decided
    target = _target(before, to, is_finished=bool(finished))
    if target == before.champion:
        return Rollback(
            model=model, version=target, left=None, next=before.previous, notes=tuple(filter(None, notes))
        )
    made = _require_made(ledger, model, target, found.found.versions)
    require_sound(home, ledger, made, registry.model_directory)
    with deciding(home, ledger, before):
        now = look(ledger, aliases, model)
        require_as_decided(now)
        _require_made(ledger, model, target, now.found.versions)  # gc may have come between
        ledger.decide(
            Decision(
                made=time.time(),
                kind=ROLLBACK,
                model=model,
                from_version=before.champion,
                to_version=target,
                actor=actor(),
                reason=reason,
                evidence={},
            )
        )
        project(ledger, aliases, model)
    notes += describe_decided(home, ledger, model)
    after = look(ledger, aliases, model).decided
    return Rollback(
        model=model,
        version=target,
        left=before.champion,
        next=after.previous,
        notes=tuple(filter(None, notes)),
    )


def _target(before: Standing, to: int | None, *, is_finished: bool) -> int:
    """The version to return to; the champion of now where a rollback was just finished that had been cut short."""
    if to is not None:
        return to
    move, champion, previous = before.move, before.champion, before.previous
    if is_finished and move is not None and move.kind == ROLLBACK and champion is not None:
        return champion
    if previous is None:
        raise NotFoundError(
            f"{before.model} has no champion{'' if champion is None else f' before version {champion}'}.",
            "an earlier champion to return to",
            "`--to VERSION` names any version; `burnish models` lists them.",
        )
    return previous


def _require_made(ledger: Ledger, model: str, version: int, registered: frozenset[int]) -> Execution:
    made = find_execution(ledger, model, version)
    if made is not None and version in registered:
        return made
    known = [number for number in sorted(registered) if find_execution(ledger, model, number) is not None]
    raise NotFoundError(
        f"{model} has no version {version}." if made is None else f"MLflow has lost {model}/{version}.",
        f"one of {', '.join(map(str, known))}" if known else "a registered version",
        ""
        if made is None
        else "`burnish doctor --fix` registers it again from the model that this home keeps.",
    )
