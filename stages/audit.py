"""An audit of verifiers: proof that a reward is right, before training spends a GPU on it.

Five questions, for each verifier that problems name. Does every ground truth get full reward? Do right completions
in every form that people write get it too? Does anything wrong get it? What does the training reward pay policies
without skill? How long does a verdict take? Numbers go to metrics, all of it to the stage's report.
"""

import zlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data_contracts.audit_config import AuditConfig
from data_contracts.errors import EmptyResultError, StageError
from data_contracts.jobs import StageJob, StageResult
from stages.audit_fuzz import Judged, by_form, failures, judge_cases, second_opinion
from stages.audit_gate import blocking
from stages.audit_judge import Judge, OnProgress
from stages.audit_policies import score_policies
from stages.audit_report import AuditReport, Fault, Timing, VerifierFindings, share_of, sum_of
from stages.audit_subjects import draw, read_subjects
from stages.verifiers.ground_truths import ground_truth_faults
from stages.verifiers.pool import VerifierPool, shared_pool
from stages.verifiers.submission import submission

Row = Mapping[str, Any]

_COLUMNS = ["problem_id", "prompt", "ground_truth", "verifier", "arguments"]
_SLICE = 1000
_FAULT_EXAMPLES = 50


def audit_problems(job: StageJob, config: AuditConfig) -> StageResult:
    """Audit the rows and hand them on unchanged, in order. Raises StageError where the audit blocks."""
    from stages.progress import ProgressFile

    table = pa.concat_tables([pq.read_table(rows.path) for rows in job.rows], promote_options="default")
    report = audit(
        table.select(_COLUMNS).to_pylist(),
        config,
        shared_pool(job.verifiers, job.run.sandbox),
        seed=job.seed,
        on_progress=ProgressFile(job.progress_path, "completion").report,
    )
    path = job.report_path
    path.write_text(report.to_json())
    if report.blocks and config.on_findings == "stop":
        raise StageError(
            "The reward of these problems is not right yet.\n- " + "\n- ".join(report.blocks),
            "no finding above the thresholds of the audit",
            f"Mend the verifier, its arguments or the rows; {path} has every finding. "
            "`on_findings: warn` trains regardless.",
        )
    job.output_dir.mkdir(parents=True)
    pq.write_table(table, job.output_dir / "rows.parquet")
    notes = (*report.blocks, *report.notes)
    return StageResult(output="rows", fingerprint="", metrics=report.metrics(), notes=notes)


def audit(
    problems: Sequence[Row],
    config: AuditConfig,
    pool: VerifierPool,
    *,
    seed: int = 0,
    on_progress: OnProgress | None = None,
) -> AuditReport:
    """Ask everything about these problems. The same problems and seed give the same report, times apart.

    `problems` have prompt, ground_truth, verifier, arguments and problem_id. Raises EmptyResultError for none,
    RecipeError where `rewards` or `metric` name a verifier that does not exist.
    """
    if not problems:
        raise EmptyResultError("There are no problems to audit.", "at least one problem")
    for name in {*config.rewards, config.metric} - {"problem", None}:
        pool.catalog.find(str(name))
    judge = Judge(pool, on_progress)
    groups: dict[str, list[int]] = defaultdict(list)
    for position, problem in enumerate(problems):
        groups[problem["verifier"]].append(position)
    found = tuple(
        _audit_verifier(name, positions, problems, config, judge, seed + zlib.crc32(name.encode()))
        for name, positions in groups.items()
    )
    blocks = [sentence for each in found for sentence in blocking(each, config)]
    notes = [sentence for each in found for sentence in _notes(each)]
    return AuditReport(len(problems), found, tuple(blocks), tuple(notes))


def _audit_verifier(
    name: str, positions: list[int], problems: Sequence[Row], config: AuditConfig, judge: Judge, seed: int
) -> VerifierFindings:
    faults = _faults([problems[position] for position in positions], judge)
    usable = [
        problems[position]
        for position, (_, is_solvable) in zip(positions, faults, strict=True)
        if is_solvable
    ]
    fuzzed = draw(usable, config.fuzz_rows, seed, every_shape=True)
    tried = draw(usable, config.headroom_rows, seed)
    chosen = sorted({*fuzzed, *tried})
    asked = dict(zip(chosen, read_subjects([usable[row] for row in chosen], name, judge, seed), strict=True))
    judged = judge_cases([asked[row] for row in fuzzed], judge)
    second = judge.pool.catalog.find(name).second if usable else None
    forms = by_form(judged)
    failed, failure = failures(judged)
    reasons = [(position, reason) for position, (reason, _) in zip(positions, faults, strict=True) if reason]
    return VerifierFindings(
        verifier=name,
        faults=share_of(len(reasons), len(positions)),
        fault_examples=tuple(
            Fault(position, problems[position]["problem_id"], reason)
            for position, reason in reasons[:_FAULT_EXAMPLES]
        ),
        fuzzed=len(fuzzed),
        not_stated=sum(not asked[row].is_stated for row in fuzzed),
        false_negatives=sum_of([form.wrong for form in forms if form.is_right]),
        false_positives=sum_of([form.wrong for form in forms if not form.is_right]),
        forms=forms,
        failures=failed,
        failure=failure,
        second=second_opinion(judged, second, judge) if second else None,
        seconds=_timing(judged),
        policies=score_policies([asked[row] for row in tried], name, config, judge),
    )


def _faults(rows: Sequence[Row], judge: Judge) -> list[tuple[str, bool]]:
    """For each row why it cannot be trained on, or an empty text, and whether it can be solved."""
    reasons: list[tuple[str, bool]] = []
    for start in range(0, len(rows), _SLICE):
        part = rows[start : start + _SLICE]
        faults = ground_truth_faults(part, judge.pool)
        solvable = [row for row, fault in zip(part, faults, strict=True) if fault is None]
        outcomes = iter(judge.verify_all([submission(row, "") for row in solvable]))
        for fault in faults:
            verdict = next(outcomes).verdict if fault is None else None
            is_paid = verdict is not None and verdict.reward == 1.0
            paid = f"an empty completion gets full reward ({verdict.reason})" if is_paid and verdict else ""
            reasons.append((fault.found if fault else paid, fault is None))
    return reasons


def _timing(judged: Sequence[Judged]) -> Timing:
    seconds = [each.outcome.seconds for each in judged] or [0.0]
    return Timing(*(float(value) for value in np.percentile(seconds, [50, 99, 100])))


def _notes(found: VerifierFindings) -> list[str]:
    notes: list[str] = []
    if found.not_stated:
        notes.append(
            f"{found.verifier}: no form of a right completion is known for {found.not_stated} of "
            f"{found.fuzzed} problems, so that only wrong ones were tried; give its record `completion_of`"
        )
    if found.second and found.second.differ.count:
        differ = found.second.differ
        notes.append(
            f"{found.verifier} and {found.second.verifier} differ on {differ.count:,} of {differ.of:,} completions"
        )
    return notes
