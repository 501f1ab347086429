"""What an audit does not let pass and what it tells, as sentences that name the verifier, the share and an example."""

from collections.abc import Iterator, Sequence

from data_contracts.audit_config import AuditConfig
from data_contracts.rewards import PROBLEM_VERIFIER
from stages.audit_report import FormFinding, PolicyScore, Share, VerifierFindings, share_of

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


def notes(found: VerifierFindings, config: AuditConfig) -> Iterator[str]:
    """What a person should know of this verifier, and may find right."""
    if found.not_stated:
        yield (
            f"{found.verifier}: no form of a right completion is known for {found.not_stated} of "
            f"{found.fuzzed} problems, so that only wrong ones were tried and nothing shows that full reward can "
            f"be earned; give its record `completion_of`"
        )
    if found.lacks_policies:
        yield (
            f"{found.verifier} judges what is built and brings no scripted policies, so that only general ones were "
            f"tried; give its record `policies`, such as one that copies all there is"
        )
    yield from _tolerated(found, config)
    for score in found.policies:
        right = _right(score)
        if right.low > config.max_scripted_reward and not _is_trivial(score, config):
            yield f"the policy {score.policy!r} is right on {_count(right)} problems of {score.verifier}"
    if found.second and found.second.differ.count:
        differ = found.second.differ
        yield (
            f"{found.verifier} and {found.second.verifier} differ on {differ.count:,} of {differ.of:,} completions"
        )


def _tolerated(found: VerifierFindings, config: AuditConfig) -> Iterator[str]:
    wrong = [form for form in found.forms if form.wrong.count]
    for forms, said in (
        (
            [form for form in wrong if form.is_open and not form.is_right],
            "also gives full reward, as its rule may allow",
        ),
        ([form for form in wrong if form.is_open and form.is_right], "does not read, as its rule may allow"),
        (
            [form for form in wrong if not form.is_open and form not in _excessive(found, config)],
            "is wrong, no more often than this audit allows",
        ),
    ):
        if forms:
            yield f"{found.verifier} {said}: {_listed(forms)}"


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
    excessive = _excessive(found, config)
    for is_right, said in (
        (True, "refuses right completions"),
        (False, "gives wrong completions full reward"),
    ):
        if forms := [form for form in excessive if form.is_right is is_right]:
            yield f"{found.verifier} {said}: {_listed(forms)}"


def _excessive(found: VerifierFindings, config: AuditConfig) -> list[FormFinding]:
    allowed = {True: config.max_false_negatives, False: config.max_false_positives}
    return [form for form in found.forms if not form.is_open and form.wrong.low > allowed[form.is_right]]


def _policies(found: VerifierFindings, config: AuditConfig) -> Iterator[str]:
    for score in found.policies:
        if score.reward > config.max_scripted_reward and score.metric < score.reward / 2:
            yield _paid_without_skill(score, config)
        elif _is_trivial(score, config):
            yield (
                f"the policy {score.policy!r}, which knows nothing of the task, is right on "
                f"{_count(_right(score))} problems of {score.verifier}: these problems teach nothing else"
            )


def _is_trivial(score: PolicyScore, config: AuditConfig) -> bool:
    return not score.is_own and _right(score).low > config.max_scripted_metric


def _right(score: PolicyScore) -> Share:
    return share_of(round(score.metric * score.problems), score.problems)


def _paid_without_skill(score: PolicyScore, config: AuditConfig) -> str:
    paid_by = [score.verifier if name == PROBLEM_VERIFIER else name for name in config.rewards]
    pays = f"{' and '.join(paid_by)} {'pays' if len(paid_by) == 1 else 'pay'}"
    return (
        f"the policy {score.policy!r} earns {score.reward:.2f} of the training reward while "
        f"{_percent(score.metric)} of it is right: {pays} for something else than the task, "
        f"which is what a policy will learn"
    )


def _listed(forms: Sequence[FormFinding]) -> str:
    worst = sorted(forms, key=lambda form: -form.wrong.value)
    shown = "; ".join(map(_described, worst[:_SHOWN]))
    return shown + (f"; and {len(worst) - _SHOWN} more" if len(worst) > _SHOWN else "")


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
