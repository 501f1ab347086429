"""What an audit does not let pass and what it tells, as sentences that name the verifier, the share and an example."""

from collections.abc import Iterator, Sequence

from data_contracts.audit_config import AuditConfig
from stages.audit_report import FormFinding, PolicyScore, Share, VerifierFindings

_SHOWN = 3


def blocking(found: VerifierFindings, config: AuditConfig) -> list[str]:
    """Why this verifier is not to be trained on; empty where nothing speaks against it."""
    return [
        *_time(found, config),
        *_faults(found, config),
        *_failures(found, config),
        *_forms(found, config),
        *_changed(found),
        *_policies(found, config),
    ]


def notes(found: VerifierFindings) -> Iterator[str]:
    """What a person should know of this verifier, and may find right."""
    if found.not_stated:
        yield (
            f"{found.verifier}: no form of a right completion is known for {found.not_stated} of "
            f"{found.fuzzed} problems, so that only wrong ones were tried; give its record `completion_of`"
        )
    allowed = [form for form in found.forms if form.is_right is None and form.wrong.count]
    if allowed:
        yield f"{found.verifier} also gives full reward, as its rule may allow: {_listed(allowed)}"
    if found.second and found.second.differ.count:
        differ = found.second.differ
        yield (
            f"{found.verifier} and {found.second.verifier} differ on {differ.count:,} of {differ.of:,} completions"
        )


def _time(found: VerifierFindings, config: AuditConfig) -> Iterator[str]:
    if found.num_left:
        yield (
            f"{found.verifier} was asked for {config.seconds:g} s, all the time that `seconds` gives, and "
            f"{found.num_left:,} questions or more were left: what was not asked is not known"
        )
    if found.is_function and found.seconds.p99 > config.max_verdict_seconds:
        yield (
            f"{found.verifier} is slow: 1 of 100 verdicts takes {found.seconds.p99:.2g} s or more "
            f"({config.max_verdict_seconds:g} s allowed), the longest {found.seconds.max:.2g} s"
        )


def _changed(found: VerifierFindings) -> Iterator[str]:
    changed = found.repeated.changed
    if found.is_function and changed.count:
        example = found.repeated.examples[0]
        yield (
            f"{found.verifier} is not deterministic: asked again, {_count(changed)} completions got another reward, "
            f"such as {example.first.completion!r} where the ground truth is {example.first.ground_truth!r} "
            f"({example.first.reward:g}, then {example.second.reward:g})"
        )


def _faults(found: VerifierFindings, config: AuditConfig) -> Iterator[str]:
    if found.faults.value > config.max_faults:  # every row was asked
        first = found.fault_examples[0]
        yield (
            f"{found.verifier}: {_count(found.faults)} problems cannot be trained on ({config.max_faults:.1%} "
            f"allowed), such as row {first.row + 1} ({first.problem_id}): {first.reason}"
        )


def _failures(found: VerifierFindings, config: AuditConfig) -> Iterator[str]:
    if found.failures.low > config.max_failures:
        yield (
            f"{found.verifier} gave no verdict on {_count(found.failures)} completions "
            f"({config.max_failures:.1%} allowed): {found.failure}"
        )


def _forms(found: VerifierFindings, config: AuditConfig) -> Iterator[str]:
    refused = [form for form in found.forms if form.is_right and form.wrong.low > config.max_false_negatives]
    paid = [
        form for form in found.forms if form.is_right is False and form.wrong.low > config.max_false_positives
    ]
    if refused:
        yield f"{found.verifier} refuses right completions: {_listed(refused)}"
    if paid:
        yield f"{found.verifier} gives wrong completions full reward: {_listed(paid)}"


def _policies(found: VerifierFindings, config: AuditConfig) -> Iterator[str]:
    for score in found.policies:
        if score.reward > config.max_scripted_reward and score.metric < score.reward / 2:
            yield _paid_without_skill(score)


def _paid_without_skill(score: PolicyScore) -> str:
    return (
        f"the policy {score.policy!r} earns {score.reward:.2f} of the training reward while "
        f"{_percent(score.metric)} of it is right: {score.verifier} pays for something else than the task, "
        f"which is what a policy will learn"
    )


def _listed(forms: Sequence[FormFinding]) -> str:
    worst = sorted(forms, key=lambda form: -form.wrong.value)
    shown = "; ".join(map(_described, worst[:_SHOWN]))
    return shown + (f"; and {len(worst) - _SHOWN} other forms" if len(worst) > _SHOWN else "")


def _described(form: FormFinding) -> str:
    example = form.example
    assert example is not None
    return (
        f"{form.form}, {_count(form.wrong)}, such as {example.completion!r} where the ground truth is "
        f"{example.ground_truth!r} (reward {example.reward:g}: {example.reason})"
    )


def _count(share: Share) -> str:
    return f"{share.count:,} of {share.of:,}"


def _percent(share: float) -> str:
    return f"{share:.0%}" if share == 0 or share >= 0.01 else "less than 1%"
