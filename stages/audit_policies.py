"""Policies without skill, written by hand: what a reward pays them is what training can earn without the task.

Each is tried on problems and scored twice, by the training reward and by the metric. A reward with headroom pays
them little, or their metric is as good (arXiv 1606.06565, section 4, on hacking a reward).
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from stages.audit_cases import RAMBLING, SHELLS, Subject

Policy = Callable[[Subject], str | None]
"""A completion; None where the policy has nothing to do with a problem."""


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
