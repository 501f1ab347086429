"""Policies without skill, written by hand: what a reward pays them is what training can earn without the task.

Each is tried on problems and scored twice, by the training reward and by the metric. A reward with headroom pays
them little, or their metric is as good (arXiv 1606.06565, section 4, on hacking a reward).
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean

from data_contracts.audit_config import AuditConfig
from data_contracts.errors import DataError
from stages.audit_judge import Judge
from stages.audit_report import PolicyScore
from stages.audit_subjects import Asked, Subject
from stages.audit_wrong import RAMBLING, SHELLS
from stages.reward_terms import Row, joined_verdict, judged_by, reward_submissions
from stages.verifiers.submission import submission

Policy = Callable[[Subject], str | None]
"""A completion; None where the policy has nothing to do with a problem."""


def score_policies(
    asked: Sequence[Asked], name: str, config: AuditConfig, judge: Judge
) -> tuple[PolicyScore, ...]:
    """Every policy over these problems of one verifier, the generic ones and the verifier's own."""
    if not asked:
        return ()
    generic = generic_policies([each.subject for each in asked])
    written = {
        policy: [(each, write(each.subject)) for each in asked] for policy, write in generic.items()
    } | {
        policy: [(each, write(each.posed, **each.subject.arguments)) for each in asked]
        for policy, write in judge.pool.catalog.find(name).policies.items()
    }
    scores = {
        policy: _score(name, [(each, text) for each, text in texts if text is not None], config, judge)
        for policy, texts in written.items()
        if any(text is not None for _, text in texts)
    }
    return tuple(
        PolicyScore(name, policy, *score, is_own=policy not in generic) for policy, score in scores.items()
    )


def _score(
    name: str, written: Sequence[tuple[Asked, str]], config: AuditConfig, judge: Judge
) -> tuple[int, float, float]:
    """Problems with verdicts, and the means over them of the training reward and of the metric."""
    questions = [
        [
            *reward_submissions(each.row, text, config.rewards, judge.pool.catalog),
            submission(_measured_by(config.metric or name, each.row, judge), text),
        ]
        for each, text in written
    ]
    outcomes = iter(judge.verify_all([question for part in questions for question in part]))
    rewards: list[float] = []
    metrics: list[float] = []
    for (each, _), part in zip(written, questions, strict=True):
        *terms, last = [next(outcomes) for _ in part]
        for term, outcome in zip((*config.rewards, None), (*terms, last), strict=True):
            if outcome.fault is not None:
                raise _misfit(each, term, outcome.fault, config)
        joined = joined_verdict(terms, config.rewards, config.combine)
        if joined is not None and last.verdict is not None:
            rewards.append(joined.reward)
            metrics.append(float(last.verdict.reward == 1.0))
    return (len(rewards), fmean(rewards), fmean(metrics)) if rewards else (0, 0.0, 0.0)


def _misfit(each: Asked, term: str | None, fault: DataError, config: AuditConfig) -> DataError:
    """A reward, or without its name the metric, that cannot judge this problem."""
    metric = config.metric or each.row["verifier"]
    if term is None:
        what = f"the metric {metric}"
        do = f"The metric {metric} needs other arguments than these problems have: name another, or none."
    else:
        what, do = f"the reward {term}", f"Give the reward {term} the arguments it needs, under `rewards:`."
    found = f"Row {each.position + 1} ({each.row['problem_id']}) cannot be judged by {what}: {fault.found}"
    return type(fault)(found, fault.expected, do)


def _measured_by(verifier: str, row: Row, judge: Judge) -> Row:
    return row if verifier == row["verifier"] else judged_by(row, verifier, judge.pool.catalog, {})


def generic_policies(subjects: Sequence[Subject]) -> Mapping[str, Policy]:
    """Those that need no knowledge of the verifier. `subjects` are all problems the policy will meet."""
    common = _most_common(subjects)
    return {
        "say nothing": lambda _: "",
        "repeat the prompt": lambda subject: subject.last_turn,
        "format only": lambda _: "\n".join(SHELLS.values()),
        "ramble": lambda _: RAMBLING,
        "answer another problem": lambda subject: subject.other,
        "most common answer": lambda subject: _stated(subject, common),
        "first option": lambda subject: subject.state("A") if subject.answers == "choice" else None,
    }


def _most_common(subjects: Sequence[Subject]) -> str | None:
    truths = Counter(subject.ground_truth for subject in subjects if subject.ground_truth)
    return truths.most_common(1)[0][0] if truths else None


def _stated(subject: Subject, ground_truth: str | None) -> str | None:
    if ground_truth is None or subject.answers in ("solution", "constraints"):
        return None
    return subject.state(ground_truth)
