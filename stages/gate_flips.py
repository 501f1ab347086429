"""Problems that one of two models gets right more often, with a completion of each: what a person reads first."""

from collections.abc import Sequence

from data_contracts.gates import Flip
from stages.gate_metrics import Problems, Row, is_right, share_right


def flips(before: Problems, after: Problems) -> dict[str, Flip]:
    """Of the problems that both were asked; by the problem's key."""
    return {
        key: _flip(before[key], after[key])
        for key in after
        if key in before and share_right(before[key]) != share_right(after[key])
    }


def _flip(before: Sequence[Row], after: Sequence[Row]) -> Flip:
    """Shows a right completion of whoever is better here, and a wrong one of the other."""
    is_gain = share_right(after) > share_right(before)
    was, now = _example(before, right=not is_gain), _example(after, right=is_gain)
    return Flip(
        problem_id=was["problem_id"],
        prompt=was["prompt"][-1]["content"],
        ground_truth=was["ground_truth"],
        before=share_right(before),
        after=share_right(after),
        completion_before=was["completion"],
        reason_before=was["reason"],
        completion_after=now["completion"],
        reason_after=now["reason"],
    )


def _example(rows: Sequence[Row], *, right: bool) -> Row:
    """There is one: whoever is better has a right completion, the other a wrong one."""
    return next(row for row in rows if is_right(row) == right)
