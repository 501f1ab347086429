"""Problems of verifiers that are wrong in known ways, and what an audit of them found."""

import json
from typing import Any

from data_contracts.audit_config import AuditConfig
from stages.audit_report import AuditReport, FormFinding, VerifierFindings

ADDED = {
    name: f"tests.verifiers.bad_verifiers:{name.upper()}"
    for name in (
        "same_text", "always_true", "forgiving", "without_sign", "without_thousands", "anywhere", "any_number",
        "any_letter", "fragile", "tagged", "labelled", "first_number", "paid_overlaps", "valid_only",
        "after_is", "after_is_final", "in_box", "letter_after_is", "within_a_cent", "or_double", "or_half",
        "or_percent", "or_huge", "or_long", "obedient", "bag_of_words", "any_case", "any_case_always",
        "names_only", "begins_well", "moody", "last_number", "first_box", "sixty_times", "part_of_it", "none_is_none",
        "constant", "points", "hangs_on_long", "format_pays", "never", "tagged_letter", "official", "unthinking",
    )
}  # fmt: skip

Row = dict[str, Any]


def make_problem(
    number: int, verifier: str, ground_truth: str, prompt: str = "How many?", **arguments: Any
) -> Row:
    return {
        "problem_id": f"problem-{number}",
        "prompt": [{"role": "user", "content": prompt}],
        "ground_truth": ground_truth,
        "verifier": verifier,
        "arguments": json.dumps(arguments),
        "source": "mine",
    }


def make_problems(verifier: str, *ground_truths: str) -> list[Row]:
    return [make_problem(number, verifier, truth) for number, truth in enumerate(ground_truths)]


def make_config(**fields: Any) -> AuditConfig:
    return AuditConfig.model_validate({"rows": ["problems"], **fields})


def only(report: AuditReport) -> VerifierFindings:
    (found,) = report.verifiers
    return found


def wrong_forms(found: VerifierFindings, *, right: bool) -> dict[str, FormFinding]:
    return {
        form.form: form
        for form in found.forms
        if form.is_right is right and not form.is_open and form.wrong.count
    }


def make_schedules(verifier: str, count: int) -> list[Row]:
    """Nine events; each odd one starts within the even one before it and ends with it.

    The even ones are the best schedule: 5 x 60 minutes.
    """
    events = [(hour * 100 + late, hour * 100 + 60) for hour in range(4) for late in (0, 30)] + [(400, 460)]
    return [make_problem(number, verifier, "300", events=events) for number in range(count)]
