"""What a gate found, as lines of plain text: prompts and completions are hostile."""

from collections.abc import Iterable

from data_contracts.gates import Flip, GateVerdict
from flows.card_view import one_line

_SHOWN_CHARACTERS = 300


def gate_lines(gate: GateVerdict) -> Iterable[str]:
    """Every requirement, and the completions that flipped, the largest changes first.

    Of a single requirement the gate's own sentence, which stands above, says all.
    """
    for check in gate.checks if len(gate.checks) > 1 else ():
        yield f"  {'✓' if check.holds else '✗'} {check.sentence}"
    unpaired = gate.only_candidate + gate.only_baseline
    if unpaired:
        yield f"  {unpaired:,} problems were asked of one of the two alone, and are left out."
    for heading, number, flips in (
        ("right more often now", gate.num_gained, gate.gained),
        ("right less often now", gate.num_lost, gate.lost),
    ):
        if number:
            yield f"{number:,} problems are {heading}" + (", the largest changes:" if flips else ".")
            for flip in flips:
                yield from _flip_lines(flip)


def _flip_lines(flip: Flip) -> Iterable[str]:
    yield f"  {_shown(flip.problem_id)}: {flip.before:.0%} → {flip.after:.0%} of {_shown(flip.ground_truth)}"
    yield f"    prompt  {_shown(flip.prompt)}"
    yield f"    before  {_shown(flip.completion_before)} ({_shown(flip.reason_before)})"
    yield f"    after   {_shown(flip.completion_after)} ({_shown(flip.reason_after)})"


def _shown(text: str) -> str:
    line = one_line(text)
    return line if len(line) <= _SHOWN_CHARACTERS else f"{line[: _SHOWN_CHARACTERS - 1]}…"
