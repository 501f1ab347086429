"""Can these problems be solved at all? A problem whose verifier rejects its own ground truth cannot."""

from collections.abc import Mapping, Sequence
from typing import Any

from data_contracts.errors import DataError, GroundTruthError, RecipeError
from stages.verifiers.pool import VerifierPool
from stages.verifiers.reading import shortened
from stages.verifiers.submission import Outcome, Submission, submission

Row = Mapping[str, Any]


def ground_truth_faults(problems: Sequence[Row], pool: VerifierPool) -> list[DataError | None]:
    """For each problem, why no completion could ever be right, or None.

    A verifier that makes no completion of its own is asked about an empty one, which checks its arguments.
    """
    proofs = [_proof(problem, pool) for problem in problems]
    outcomes = iter(pool.verify_all([proof for proof, _ in proofs if not isinstance(proof, DataError)]))
    return [
        proof if isinstance(proof, DataError) else _fault(proof, next(outcomes), has_own)
        for proof, has_own in proofs
    ]


def require_gradable(problems: Sequence[Row], pool: VerifierPool) -> None:
    """Refuse problems that no policy could ever get right. Raises GroundTruthError or DataError."""
    for position, fault in enumerate(ground_truth_faults(problems, pool)):
        if fault is not None:
            place = f"Row {position + 1}, verifier {problems[position]['verifier']}"
            raise type(fault)(f"{place}: {fault.found.rstrip('.')}.", fault.expected, fault.do) from fault


def _proof(problem: Row, pool: VerifierPool) -> tuple[Submission | DataError, bool]:
    """The right completion to be judged, and whether the verifier made one at all."""
    empty = submission(problem, "")
    try:
        completion = pool.catalog.own_completion(empty)
    except DataError as fault:
        return fault, False
    except RecipeError as unknown:
        return DataError(unknown.found, unknown.expected, unknown.do), False
    return submission(problem, completion or ""), completion is not None


def _fault(proof: Submission, outcome: Outcome, has_own: bool) -> DataError | None:
    if outcome.fault is not None or not has_own:
        return outcome.fault
    if outcome.verdict is None:
        said = f"no verdict ({outcome.failure})"
    elif outcome.verdict.reward != 1.0:
        said = f"reward {outcome.verdict.reward:g} ({outcome.verdict.reason})"
    else:
        return None
    return GroundTruthError(
        f"its own ground truth {shortened(proof.ground_truth)!r} gets {said}",
        "reward 1 for the ground truth itself",
        "Fix the row or drop it.",
    )
