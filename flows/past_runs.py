"""Runs that were: found by a short name, with what stands behind each of their stages. Reads the ledger alone."""

from collections.abc import Sequence
from dataclasses import dataclass

from data_contracts.errors import NotFoundError
from flows.nodes import REGISTERED
from flows.recipe import nearest
from infra import records as states
from infra.ledger import Ledger
from infra.liveness import is_crashed
from infra.records import Execution, Run, RunStage

LAST = "last"
CRASHED = "crashed"
"""Of a run, or its stage, whose process died without a word: neither running nor done."""

_SHOWN_CANDIDATES = 8


@dataclass(frozen=True, slots=True)
class PastStage:
    """A stage of a run with its result."""

    stage: RunStage
    state: str
    """As the ledger has it, or crashed."""

    execution: Execution | None
    """The finished execution; None before the stage ended well."""

    made_by: Execution | None
    """The execution that did the work: that of an earlier run, or of another stage, where the result is reused."""


def find_run(ledger: Ledger, wanted: str | None) -> Run:
    """The run with this id or the only one whose id begins so, a recipe's newest, or (`last`) the newest at all.

    Raises NotFoundError, for a beginning that several ids share as well.
    """
    found = ledger.runs(limit=1) if wanted in (None, LAST) else ledger.runs(wanted, limit=1)
    if found:
        return found[0]
    if wanted is None or not ledger.runs(limit=1):
        raise NotFoundError(
            "Nothing has run in this home yet.", "a run", "`burnish run tiny` starts a first one."
        )
    runs = ledger.runs(limit=-1)
    beginning = [run for run in runs if wanted and run.run_id.startswith(wanted)]
    exact = [run for run in beginning if run.run_id == wanted]
    if len(exact or beginning) == 1:
        return (exact or beginning)[0]
    raise _ambiguous(wanted, beginning) if beginning else _unknown(wanted, runs)


def find_recipe_runs(ledger: Ledger, recipe: str | None, limit: int) -> list[Run]:
    """The newest runs (of a recipe), newest first. Raises NotFoundError for a recipe that never ran here."""
    found = ledger.runs(recipe, limit)
    if recipe is not None and not found:
        known = sorted({run.recipe for run in ledger.runs(limit=-1)})
        raise NotFoundError(
            f"No recipe {recipe!r} has run in this home.",
            f"one of {', '.join(known)}" if known else "a recipe that ran",
            f"{nearest(recipe, known)}`burnish runs` lists the runs of all recipes.",
        )
    return found


def run_state(run: Run) -> str:
    """The ledger's word, except for a run that still claims to be running and whose process is gone."""
    return CRASHED if is_crashed(run) else run.state


def past_stages(ledger: Ledger, run: Run) -> list[PastStage]:
    """Every stage of the run, in plan order."""
    is_crashed = run_state(run) == CRASHED
    found: list[PastStage] = []
    for stage in ledger.run_stages(run.run_id):
        execution = _execution(ledger, run, stage)
        state = CRASHED if is_crashed and stage.state == states.RUNNING else stage.state
        found.append(PastStage(stage, state, execution, _made_by(ledger, execution) if execution else None))
    return found


def find_stage(stages: Sequence[PastStage], name: str, run: Run) -> PastStage:
    """The stage of this name. Raises NotFoundError."""
    known = [each.stage.stage for each in stages]
    if name not in known:
        raise NotFoundError(
            f"Run {run.run_id} has no stage {name!r}.",
            f"one of {', '.join(known)}",
            nearest(name, known).strip(),
        )
    return stages[known.index(name)]


def _execution(ledger: Ledger, run: Run, stage: RunStage) -> Execution | None:
    """The run's own where it made one, else what it found then: a later rerun may have the same key."""
    if stage.state not in (states.DONE, states.REUSED, states.REFUSED) or stage.ended is None:
        return None
    if stage.kind == REGISTERED:
        model, version = stage.stage.rpartition(".v")[::2]
        known = ledger.find_by_output(model, int(version))
    else:
        known = ledger.find_by_key(stage.key)
    before = [each for each in known if each.ended <= stage.ended]
    own = [each for each in before if (each.run_id, each.stage) == (run.run_id, stage.stage)]
    named = [each for each in before if (each.pipeline, each.stage) == (run.recipe, stage.stage)]
    return next(iter([*own, *named, *before]), None)


def _made_by(ledger: Ledger, execution: Execution) -> Execution:
    for each in [execution, *ledger.find_by_input_key(execution.input_key)]:
        is_same = each.fingerprint == execution.fingerprint and each.ended <= execution.ended
        if is_same and not _was_taken_over(ledger, each):
            return each
    return execution


def _was_taken_over(ledger: Ledger, execution: Execution) -> bool:
    """Whether its run reused it: a result that came from another pipeline or stage has a row of its own too."""
    of_run = ledger.run_stages(execution.run_id)
    return any(each.stage == execution.stage and each.state == states.REUSED for each in of_run)


def _ambiguous(wanted: str, candidates: Sequence[Run]) -> NotFoundError:
    shown = [f"{run.run_id} ({run.recipe})" for run in candidates[:_SHOWN_CANDIDATES]]
    more = len(candidates) - len(shown)
    return NotFoundError(
        f"{len(candidates)} runs begin with {wanted!r}.",
        f"more of its id: {', '.join(shown)}{f' and {more} more' if more else ''}",
    )


def _unknown(wanted: str, runs: Sequence[Run]) -> NotFoundError:
    recipes = sorted({run.recipe for run in runs})
    newest = ", ".join(run.run_id for run in runs[:5])
    return NotFoundError(
        f"There is no run {wanted!r}.",
        f"a run's id or its beginning, a recipe's name, or {LAST}; the newest runs: {newest}",
        f"{nearest(wanted, [*recipes, LAST])}`burnish runs` lists them.",
    )
