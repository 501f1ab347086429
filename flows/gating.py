"""What a gate of a recipe does to a run: it refuses what follows, unless a person says otherwise and why."""

import json
import time
from pathlib import Path
from typing import Any

from data_contracts.errors import GateRefused, RecipeError
from data_contracts.gates import GateVerdict
from flows.gate_view import gate_lines
from flows.suites import CANDIDATE_CONTENT, GATE, SUITE, suite_of_verdicts
from infra.actor import actor
from infra.ledger import Ledger
from infra.records import Decision, Execution

OVERRIDE = "override"
"""Kind of the decision to go on although a gate refused."""

_LONGEST_REASON = 1000


def require_reason(option: str, reason: str | None) -> None:
    """Raise RecipeError for a reason that says nothing, or more than anybody reads; None asks for nothing."""
    if reason is not None and not reason.strip():
        raise RecipeError(f"{option} has no reason.", f'{option} "…"', "It is kept for whoever asks later.")
    if reason is not None and len(reason) > _LONGEST_REASON:
        raise RecipeError(
            f"{option} has {len(reason):,} characters.",
            f"a reason of at most {_LONGEST_REASON:,}",
            "Keep the long form where it belongs, and say where that is.",
        )


def gate_result(report: Path, verdicts: Execution) -> dict[str, Any]:
    """What the ledger keeps of a gate: its verdict, its suite, and which model it judged."""
    model = next(given for given in verdicts.inputs if given.role == "start")
    return {
        GATE: json.loads(report.read_text()),
        SUITE: suite_of_verdicts(verdicts),
        CANDIDATE_CONTENT: model.fingerprint,
    }


def require_passed(ledger: Ledger, gate: Execution, override: str | None) -> str | None:
    """Raise GateRefused where the gate refused and nobody overrode it; the reason, where somebody did.

    An override is kept with what the gate found: it holds for later runs until the gate judges other verdicts.
    """
    verdict = GateVerdict.model_validate(gate.result[GATE])
    if verdict.passed:
        return None
    if (earlier := _override(ledger, gate)) is not None:
        return earlier.reason
    if override is None:
        raise GateRefused(
            f"{gate.stage}: {verdict.sentence}",
            "",
            "\n".join(
                [
                    *gate_lines(verdict),
                    "What follows was not run. `burnish show last` shows all of it; "
                    '--override "REASON" goes on all the same, and is recorded.',
                ]
            ),
        )
    evidence = {"input_key": gate.input_key} | {
        name: gate.result[name] for name in (GATE, SUITE, CANDIDATE_CONTENT)
    }
    ledger.decide(Decision(time.time(), OVERRIDE, gate.name, None, None, actor(), override, evidence))
    return override


def is_refused(ledger: Ledger, gate: Execution) -> bool:
    """Whether the gate refused and nobody overrode it."""
    return not gate.result[GATE]["passed"] and _override(ledger, gate) is None


def _override(ledger: Ledger, gate: Execution) -> Decision | None:
    found = (each for each in ledger.decisions(gate.name) if each.kind == OVERRIDE)
    return next((each for each in found if each.evidence["input_key"] == gate.input_key), None)
