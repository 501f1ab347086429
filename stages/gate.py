"""A gate: is this model shown to be what is asked of it? Answered from recorded verdicts alone.

Two evaluations on the same problems in, one verdict out, with the completions that changed both ways. Bare
differences promote noise, and one metric misses what another loses: each metric is tested on paired problems, and
every requirement has to hold.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from data_contracts.errors import StageError
from data_contracts.gates import Check, Flip, GateConfig, GateQuestions, GateVerdict
from data_contracts.jobs import StageJob, StageResult
from stages.gate_checks import check_all
from stages.gate_flips import flips
from stages.gate_metrics import MOST_MISSING, Problems, read_problems, share_right
from stages.gate_sentences import verdict_sentence
from stages.written_rows import write_rows

_COMPLETIONS = ("completion_before", "reason_before", "completion_after", "reason_after")
_SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("problem_id", "source", "prompt", "ground_truth", "change")),
        *((name, pa.float64()) for name in ("before", "after")),
        *((name, pa.string()) for name in _COMPLETIONS),
    ]
)
"""A row a problem of the candidate. `change` is gained, lost or none; completions are shown where there is one."""


def judge(
    questions: GateQuestions,
    before: Path | None,
    after: Path,
    *,
    candidate: str,
    baseline: str | None,
    seed: int = 0,
) -> GateVerdict:
    """Put `questions` to two files of rollouts, `after` of the candidate and `before` of the baseline.

    Without a baseline whatever needs one holds. The same files and seed give the same verdict. Raises StageError
    where the two were not asked the same problems, and for a metric that the rows do not have.
    """
    return _judge(questions, _read(before, after), candidate, baseline, seed)


def gate(job: StageJob, config: GateConfig) -> StageResult:
    """Judge `job.rows[0]` against `job.compare_with[0]`, or against nothing. The report is the GateVerdict.

    A refusal is a result like any other: what it stops is for others to decide. Verdicts that are the baseline's
    own, such as the champion's after its promotion, are compared with nothing.
    """
    candidate = job.rows[0]
    baseline = next((each for each in job.compare_with if each.fingerprint != candidate.fingerprint), None)
    found = _read(baseline.path if baseline else None, candidate.path)
    against = model_named(baseline.name) if baseline else None
    verdict = _judge(config, found, model_named(candidate.name), against, job.seed)
    job.report_path.parent.mkdir(parents=True, exist_ok=True)
    job.report_path.write_text(verdict.model_dump_json(indent=2))
    rows = pa.Table.from_pylist(list(_rows(found)), schema=_SCHEMA)
    return write_rows(job, rows, _metrics(verdict), [verdict.sentence])


def model_named(verdicts: str) -> str:
    """The model by the name of its verdicts: `sft.evaluate` is `sft`, `tiny.sft.v3.evaluate` is `tiny.sft/3`."""
    return re.sub(r"\.v(\d+)$", r"/\1", verdicts.removesuffix(".evaluate"))


@dataclass(frozen=True, slots=True)
class _Evaluations:
    """Of the candidate, and of the baseline where there is one."""

    before: Problems | None
    after: Problems
    flips: Mapping[str, Flip]


def _read(before: Path | None, after: Path) -> _Evaluations:
    now = read_problems(after)
    if not now:
        raise StageError(
            "The evaluation of the candidate has no verdict.", "at least one problem", "Evaluate it anew."
        )
    was = None if before is None else read_problems(before)
    if was is not None:
        _require_same_suite(was, now)
    return _Evaluations(was, now, {} if was is None else flips(was, now))


def _require_same_suite(before: Problems, after: Problems) -> None:
    shared, asked = before.keys() & after.keys(), before.keys() | after.keys()
    if len(asked) - len(shared) > MOST_MISSING * len(asked):
        raise StageError(
            f"Of {len(asked):,} problems the two models share {len(shared):,}.",
            f"evaluations on the same problems, but for {MOST_MISSING:.0%}",
            "Evaluate both models on the same rows, with the same limit.",
        )


def _judge(
    questions: GateQuestions, found: _Evaluations, candidate: str, baseline: str | None, seed: int
) -> GateVerdict:
    before, after = found.before, found.after
    checks = check_all(questions, before, after, baseline, seed)
    changed = sorted(found.flips.values(), key=lambda flip: -abs(flip.after - flip.before))
    gained = tuple(flip for flip in changed if flip.after > flip.before)
    lost = tuple(flip for flip in changed if flip.after < flip.before)
    return GateVerdict(
        passed=all(check.holds for check in checks),
        sentence=verdict_sentence(checks),
        candidate=candidate,
        baseline=None if before is None else baseline,
        checks=checks,
        gained=gained[: questions.flips],
        lost=lost[: questions.flips],
        num_gained=len(gained),
        num_lost=len(lost),
        only_candidate=0 if before is None else len(after.keys() - before.keys()),
        only_baseline=0 if before is None else len(before.keys() - after.keys()),
    )


def _rows(found: _Evaluations) -> Iterator[dict[str, object]]:
    for key, rows in found.after.items():
        flip = found.flips.get(key)
        was = (found.before or {}).get(key)
        change = "none" if flip is None else "gained" if flip.after > flip.before else "lost"
        yield {
            "problem_id": rows[0]["problem_id"],
            "source": rows[0]["source"],
            "prompt": rows[0]["prompt"][-1]["content"],
            "ground_truth": rows[0]["ground_truth"],
            "change": change,
            "before": None if was is None else share_right(was),
            "after": share_right(rows),
            **({} if flip is None else flip.model_dump(include=set(_COMPLETIONS))),
        }


def _metrics(verdict: GateVerdict) -> dict[str, float]:
    """Prefixed `gate/`, then by metric."""
    metrics = {
        "gate/passed": float(verdict.passed),
        "gate/gained": float(verdict.num_gained),
        "gate/lost": float(verdict.num_lost),
    }
    for check in verdict.checks:
        metrics |= _check_metrics(check)
    return metrics


def _check_metrics(check: Check) -> dict[str, float]:
    prefix = f"gate/{check.metric.replace('pass@', 'pass_at_').replace(':', '/', 1)}"
    found = {
        "after": check.after,
        "before": check.before,
        "effect": check.effect,
        "low": check.low,
        "high": check.high,
        "p_value": check.p_value,
    }
    return {f"{prefix}/{name}": value for name, value in found.items() if value is not None}
