"""Promotion: a candidate becomes the champion when its recipe's questions are answered, or stays a candidate.

find the version ─► finish what a killed command left ─► its files, its rows ─► judge it against the champion
─► one row in the ledger ─► aliases
"""

import time
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict

from data_contracts.errors import NotFoundError
from data_contracts.gates import CHAMPION, GateVerdict
from flows.doctor.needed import released
from flows.promoting.aliases import deciding, look, project, require_as_decided, settle
from flows.promoting.candidates import Wanted, find_candidate
from flows.promoting.decisions import OVERRIDE, REFUSE, Standing, decisions_about
from flows.promoting.describing import describe_decided
from flows.promoting.evaluations import accuracy_of
from flows.promoting.judging import Judgement, judge_candidate
from flows.promoting.soundness import require_sound
from flows.promoting.taking_over import take_over
from infra.actor import actor
from infra.home import Home
from infra.ledger import Ledger
from infra.records import PROMOTE, Decision, Execution

if TYPE_CHECKING:
    from infra.registry import ModelRegistry
    from infra.registry_aliases import RegistryAliases

Outcome = Literal["promoted", "refused", "undecided", "champion already"]
"""Undecided is a dry run alone, where verdicts are missing."""


class Request(BaseModel):
    """What a person asks beside the version."""

    model_config = ConfigDict(frozen=True)

    reason: str = ""
    override: str | None = None
    """Why it is promoted although the gate refuses."""

    take_over: str | None = None
    """Why what somebody changed by hand is taken over."""

    against: str = CHAMPION
    """Or `name/version`, or a version of the candidate's name."""

    is_dry: bool = False
    """Judge what is stored, change nothing."""


class Promotion(BaseModel):
    """What came of it."""

    model_config = ConfigDict(frozen=True)

    model: str
    version: int
    outcome: Outcome
    is_dry: bool
    """Then `outcome` says what would come of it."""

    previous: int | None
    """The champion before; None when there was none, or when it is this version already."""

    was_champion: bool
    against: str | None = None
    accuracy: float | None = None
    sentence: str = ""
    """What the gate found, or why it was not asked."""

    gate: GateVerdict | None = None
    override: str | None = None
    suite: str | None = None
    num_choices: int = 0
    wear: str = ""
    notes: tuple[str, ...] = ()


def promote(
    home: Home, ledger: Ledger, registry: "ModelRegistry", wanted: Wanted, request: Request
) -> Promotion:
    """Judge a version and decide; nothing is half done, whatever instant a kill comes at.

    Raises NotFoundError, WithdrawnError, DamagedModelError; PromotionError where the champion changed meanwhile or
    aliases were changed by hand.
    """
    from infra.registry_aliases import RegistryAliases  # 2 s of imports

    aliases = RegistryAliases(home)
    candidate = find_candidate(ledger, wanted)
    model = candidate.name
    notes = [] if request.is_dry else [settle(home, ledger, aliases, model)]
    found = look(ledger, aliases, model)
    _require_registered(ledger, candidate, found.found.versions)
    require_sound(home, ledger, candidate, registry.model_directory)
    if request.take_over is None:
        require_as_decided(found)
    elif not request.is_dry:
        notes.append(take_over(home, ledger, aliases, found, request.take_over))
        found = look(ledger, aliases, model)
    before = found.decided
    told = tuple(filter(None, notes))
    if before.champion == candidate.version:
        return Promotion(
            model=model,
            version=candidate.version,
            outcome="champion already",
            is_dry=request.is_dry,
            previous=None,
            was_champion=True,
            accuracy=accuracy_of(ledger, model, candidate.version),
            notes=told,
        )
    baseline = _baseline(ledger, request.against, before)
    judgement = judge_candidate(home, ledger, candidate, baseline, is_dry=request.is_dry)
    if not request.is_dry:
        _decide(home, ledger, aliases, before, judgement, request)
        told += tuple(describe_decided(home, ledger, model))
    return Promotion(
        model=model,
        version=candidate.version,
        outcome=_outcome(judgement, request),
        is_dry=request.is_dry,
        previous=before.champion,
        was_champion=False,
        against=judgement.baseline,
        accuracy=judgement.accuracy,
        sentence=judgement.sentence,
        gate=judgement.verdict,
        override=None if judgement.passed else request.override,
        suite=judgement.suite,
        num_choices=judgement.num_choices,
        wear=judgement.wear,
        notes=told,
    )


def _decide(
    home: Home,
    ledger: Ledger,
    aliases: "RegistryAliases",
    before: Standing,
    judgement: Judgement,
    request: Request,
) -> None:
    candidate, evidence = judgement.candidate, judgement.evidence
    is_promoted = _is_promoted(judgement, request)
    if is_promoted and not judgement.passed:
        evidence = {**evidence, OVERRIDE: request.override}
    with deciding(home, ledger, before):
        found = look(ledger, aliases, candidate.name)
        require_as_decided(found)
        _require_registered(ledger, candidate, found.found.versions)  # gc may have come between
        if is_promoted or not _is_known(ledger, candidate, evidence):
            ledger.decide(
                Decision(
                    made=time.time(),
                    kind=PROMOTE if is_promoted else REFUSE,
                    model=candidate.name,
                    from_version=before.champion,
                    to_version=candidate.version if is_promoted else None,
                    actor=actor(),
                    reason=request.reason,
                    evidence=evidence,
                )
            )
        project(ledger, aliases, candidate.name)


def _outcome(judgement: Judgement, request: Request) -> Outcome:
    if judgement.is_open and request.override is None:
        return "undecided"
    return "promoted" if _is_promoted(judgement, request) else "refused"


def _is_promoted(judgement: Judgement, request: Request) -> bool:
    return judgement.passed or request.override is not None


def _is_known(ledger: Ledger, candidate: Execution, evidence: dict[str, Any]) -> bool:
    """Whether the newest decision refused the same on the same evidence: said again, it is no second one."""
    decisions = decisions_about(ledger, candidate.name)
    return bool(decisions) and decisions[-1].kind == REFUSE and decisions[-1].evidence == evidence


def _baseline(ledger: Ledger, against: str, before: Standing) -> tuple[str, int] | None:
    """Name and version to hold the candidate against; None where there is no champion."""
    if against == CHAMPION:
        return (before.model, before.champion) if before.champion is not None else None
    wanted = Wanted(before.model, version=int(against)) if against.isdecimal() else Wanted(against)
    made = find_candidate(ledger, wanted)
    return made.name, made.version


def _require_registered(ledger: Ledger, candidate: Execution, versions: frozenset[int]) -> None:
    if candidate.version in versions:
        return
    named = f"{candidate.name}/{candidate.version}"
    expected = f"one of {', '.join(map(str, sorted(versions)))}" if versions else "a registered version"
    if (candidate.name, candidate.version) in released(ledger):
        raise NotFoundError(
            f"`burnish gc` let {named} go.", expected, f"`burnish run {candidate.pipeline}` makes it again."
        )
    raise NotFoundError(
        f"MLflow has lost {named}.",
        expected,
        "`burnish doctor --fix` registers it again from the model that this home keeps.",
    )
