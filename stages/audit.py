"""An audit of verifiers: proof that a reward is right, before training spends a GPU on it.

Six questions, for each verifier that problems name. Does every ground truth get full reward? Do right completions
in every form that people write get it too? Does anything wrong get it? What does the training reward pay policies
without skill? Is a verdict the same when asked again? How long does it take? Numbers go to metrics, all of it to the
stage's report.
"""

import zlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data_contracts.audit_config import AuditConfig
from data_contracts.errors import DataError, EmptyResultError, StageError
from data_contracts.jobs import StageJob, StageResult
from data_contracts.verdict import Verdict
from stages.audit_fuzz import Judged, asked_again, by_form, failures, judge_cases, second_opinion
from stages.audit_gate import blocking, notes
from stages.audit_judge import Judge, OnProgress
from stages.audit_policies import score_policies
from stages.audit_report import AuditReport, Fault, Timing, VerifierFindings, share_of, sum_of
from stages.audit_subjects import Asked, draw, read_subjects
from stages.verifiers.catalog import Catalog
from stages.verifiers.ground_truths import ground_truth_faults
from stages.verifiers.pool import VerifierPool, shared_pool
from stages.verifiers.shipped import SHIPPED
from stages.verifiers.submission import submission
from stages.verifiers.verifier import Verifier

Row = Mapping[str, Any]

_COLUMNS = ["problem_id", "prompt", "ground_truth", "verifier", "arguments"]
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
    told = (*report.blocks, *report.notes)
    return StageResult(output="rows", fingerprint="", metrics=report.metrics(), notes=told)


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
    RecipeError where `rewards` or `metric` name a verifier that does not exist, DataError where one of those
    cannot judge a problem.
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
    told = [sentence for each in found for sentence in notes(each, config)]
    return AuditReport(len(problems), found, tuple(blocks), tuple(told))


def _audit_verifier(
    name: str, positions: list[int], problems: Sequence[Row], config: AuditConfig, judge: Judge, seed: int
) -> VerifierFindings:
    judge.start(config.seconds)
    reasons = _faults({position: problems[position] for position in positions}, judge)
    faults = {position: reason for position, (reason, _) in reasons.items() if reason}
    usable = [position for position, (_, is_solvable) in reasons.items() if is_solvable]
    rows = [problems[position] for position in usable]
    fuzzed = [usable[row] for row in draw(rows, config.fuzz_rows, seed, every_shape=True)]
    tried = [usable[row] for row in draw(rows, config.headroom_rows, seed)]
    chosen = {position: problems[position] for position in sorted({*fuzzed, *tried})}
    asked = read_subjects(chosen, name, judge, seed)
    judged = judge_cases([asked[position] for position in fuzzed], judge)
    forms = by_form(judged)
    failed, failure = failures(judged, [asked[position] for position in fuzzed])
    verifier = judge.pool.catalog.find(name) if usable else None
    return VerifierFindings(
        verifier=name,
        faults=share_of(len(faults), len(reasons)),
        fault_examples=tuple(
            Fault(position, problems[position]["problem_id"], reason)
            for position, reason in islice(faults.items(), _FAULT_EXAMPLES)
        ),
        fuzzed=len(fuzzed),
        not_stated=sum(not asked[position].is_stated for position in fuzzed),
        lacks_policies=_lacks_policies(name, verifier),
        false_negatives=sum_of([form.wrong for form in forms if form.is_right and not form.is_open]),
        false_positives=sum_of([form.wrong for form in forms if not form.is_right and not form.is_open]),
        forms=forms,
        failures=failed,
        failure=failure,
        second=second_opinion(judged, verifier.second, judge) if verifier and verifier.second else None,
        seconds=_timing(judged),
        policies=score_policies([asked[position] for position in tried], name, config, judge),
        repeated=asked_again(judged, judge, seed),
        is_function=not _asks_a_model(name, list(asked.values()), judge.pool.catalog),
        num_left=judge.num_left,
    )


def _faults(rows: Mapping[int, Row], judge: Judge) -> dict[int, tuple[str, bool]]:
    """For each position why its row cannot be trained on, or an empty text, and whether it can be solved.

    Without those that there was no time for.
    """
    reasons: dict[int, tuple[str, bool]] = {}
    for batch in judge.batches(list(rows.items())):
        part = [row for _, row in batch]
        faults = ground_truth_faults(part, judge.pool)
        solvable = [row for row, fault in zip(part, faults, strict=True) if fault is None]
        outcomes = iter(judge.verify_all([submission(row, "") for row in solvable]))
        for (position, _), fault in zip(batch, faults, strict=True):
            verdict = next(outcomes).verdict if fault is None else None
            reasons[position] = (_reason(fault, verdict), fault is None)
    return reasons


def _reason(fault: DataError | None, verdict: Verdict | None) -> str:
    if fault is not None:
        return f"{fault.found.rstrip('.')}. {fault.do.rstrip('.')}"
    if verdict is not None and verdict.reward == 1.0:
        return f"an empty completion gets full reward ({verdict.reason})"
    return ""


def _lacks_policies(name: str, verifier: Verifier | None) -> bool:
    if verifier is None or name in SHIPPED:
        return False
    return verifier.answers == "solution" and not verifier.policies


def _asks_a_model(name: str, asked: Sequence[Asked], catalog: Catalog) -> bool:
    """Itself, or one of the terms of its composites."""
    terms = {term["verifier"] for each in asked for term in each.subject.arguments.get("terms", [])}
    return not terms.union([name]).isdisjoint(catalog.models)


def _timing(judged: Sequence[Judged]) -> Timing:
    seconds = [each.outcome.seconds for each in judged] or [0.0]
    return Timing(*(float(value) for value in np.percentile(seconds, [50, 99, 100])))
