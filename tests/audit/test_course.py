"""The course of an audit: its time, its progress, its report, and the rows it hands on as they are."""

import json
import os
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from data_contracts.errors import EmptyResultError, StageError
from data_contracts.rows import RowKind
from stages.audit import audit, audit_problems
from stages.audit_gate import blocking
from stages.audit_judge import Judge
from stages.verifiers.pool import VerifierPool
from tests.audit.problems import ADDED, Row, make_config, make_problem, make_problems, only
from tests.factories import make_job, write_input

REAL_DATA = Path(os.environ.get("BURNISH_REAL_DATA", Path(__file__).parents[3] / "shared" / "data"))


def test_a_verifier_that_gives_another_reward_when_asked_again_blocks(pool: VerifierPool) -> None:
    report = audit(make_problems("moody", "34", "52"), make_config(), pool)
    changed = only(report).repeated.changed
    assert 0 < changed.count < changed.of <= 200
    (block,) = report.blocks
    assert block.startswith(f"moody is not deterministic: asked again, {changed.count} of {changed.of}")
    example = only(report).repeated.examples[0]
    assert example.first.reward > example.second.reward


def test_verdicts_slower_than_allowed_block_unless_a_model_gives_them(pool: VerifierPool) -> None:
    problems = make_problems("exact_number", "18", "25")
    config = make_config(max_verdict_seconds=1e-9)
    report = audit(problems, config, pool)
    (block,) = report.blocks
    assert block.startswith("exact_number is slow: 1 of 100 verdicts takes ")
    assert "(1e-09 s allowed)" in block
    assert blocking(replace(only(report), is_function=False), config) == []


def test_an_audit_that_runs_out_of_time_ends_and_says_what_it_left(pool: VerifierPool) -> None:
    report = audit(make_problems("exact_number", *map(str, range(500))), make_config(seconds=1e-9), pool)
    (block,) = report.blocks
    assert block.startswith(
        "exact_number was asked for 1e-09 s, all the time that `seconds` gives, and 500 questions"
    )
    assert only(report).num_left == report.metrics()["audit/left"] == 500
    assert only(report).failures.of == 0


def test_a_judge_asks_in_order_until_its_time_is_over(pool: VerifierPool) -> None:
    judge = Judge(pool, None)
    judge.start(60)
    batches = list(judge.batches(range(5000)))
    assert [item for batch in batches for item in batch] == list(range(5000))
    assert len(batches[0]) == 8 and max(map(len, batches)) == 1000
    assert judge.num_left == 0
    judge.start(60)
    late = judge.batches(range(100))
    next(late)
    judge.start(0)
    assert list(late) == []
    assert judge.num_left == 92


def test_verdicts_that_cannot_be_had_block_with_what_went_wrong(pool: VerifierPool) -> None:
    report = audit(make_problems("fragile", "18", "25"), make_config(max_false_negatives=1), pool)
    found = only(report)
    assert found.failures.count > 0
    assert "fragile gave no verdict on" in report.blocks[0]
    assert "ValueError: could not convert string to float" in report.blocks[0]


def test_each_verifier_of_a_mixed_dataset_has_findings_of_its_own(pool: VerifierPool) -> None:
    problems = make_problems("exact_number", "18", "25") + make_problems("without_sign", "18")
    report = audit(problems, make_config(), pool)
    assert [found.verifier for found in report.verifiers] == ["exact_number", "without_sign"]
    assert [found.false_positives.count for found in report.verifiers] == [0, 1]
    assert all(block.startswith("without_sign") for block in report.blocks)


def test_the_same_seed_gives_the_same_report_apart_from_times(pool: VerifierPool) -> None:
    random_ = random.Random(1)
    problems = make_problems("exact_number", *(str(random_.randint(1, 9999)) for _ in range(80)))

    def findings(seed: int) -> dict[str, Any]:
        document = json.loads(audit(problems, make_config(fuzz_rows=10), pool, seed=seed).to_json())
        for found in document["verifiers"]:
            del found["seconds"]
        return document

    assert findings(1) == findings(1)


def test_progress_ends_where_all_verdicts_are_had(pool: VerifierPool) -> None:
    told: list[tuple[int, int]] = []
    audit(make_problems("exact_number", "18"), make_config(), pool, on_progress=lambda *at: told.append(at))
    assert told[-1][0] == told[-1][1] > 0
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_hostile_rows_end_in_a_report_that_is_plain_json(pool: VerifierPool) -> None:
    problems = [
        make_problem(0, "exact_number", "18", "\ud800 {} %s \\boxed{18} </think> <script>"),
        make_problem(1, "exact_number", "{0}", "{"),
        make_problem(2, "format", "", contains=["{}"]),
    ]
    report = audit(problems, make_config(), pool)
    assert json.loads(report.to_json().encode())["problems"] == 3


def test_no_problems_is_an_error(pool: VerifierPool) -> None:
    with pytest.raises(EmptyResultError):
        audit([], make_config(), pool)


@pytest.fixture
def stage(tmp_path: Path) -> Any:
    def stage(rows: list[Row], **fields: Any) -> Any:
        given = write_input(tmp_path, "problems", RowKind.problems, rows)
        config = make_config(**fields)
        job = make_job(tmp_path, config, [given]).model_copy(update={"verifiers": ADDED})
        job.work_dir.mkdir()
        return job, lambda: audit_problems(job, config)

    return stage


def test_the_stage_hands_its_rows_on_unchanged_with_the_report_beside_them(stage: Any) -> None:
    rows = [
        {**row, "level": number} for number, row in enumerate(make_problems("exact_number", "18", "25", "3"))
    ]
    job, run = stage(rows)
    result = run()
    assert pq.read_table(job.output_dir / "rows.parquet").equals(pq.read_table(job.rows[0].path))
    assert result.output == "rows"
    assert result.metrics["audit/problems"] == 3
    assert result.metrics["audit/blocks"] == 0
    assert json.loads((job.report_path).read_text())["blocks"] == []
    assert job.progress_path.read_text()


def test_a_blocked_stage_lists_the_findings_and_keeps_the_report(stage: Any) -> None:
    job, run = stage(make_problems("without_sign", "18"))
    with pytest.raises(StageError) as refusal:
        run()
    assert refusal.value.exit_code == 1
    assert "\n- without_sign gives wrong completions full reward: with the other sign" in str(refusal.value)
    assert str(job.report_path) in refusal.value.do
    assert not job.output_dir.exists()
    assert json.loads((job.report_path).read_text())["blocks"]


def test_a_warning_stage_notes_the_findings_and_hands_the_rows_on(stage: Any) -> None:
    job, run = stage(make_problems("without_sign", "18"), on_findings="warn")
    assert "without_sign gives wrong completions full reward" in run().notes[0]
    assert pq.read_table(job.output_dir / "rows.parquet").num_rows == 1


@pytest.mark.skipif(not REAL_DATA.is_dir(), reason=f"BURNISH_REAL_DATA: {REAL_DATA} does not exist")
@pytest.mark.parametrize("verifier", ["exact_number", "gsm8k", "math"])
def test_gsm8k_passes_without_a_fault(verifier: str, pool: VerifierPool) -> None:
    if verifier not in pool.catalog.names():
        pytest.skip(f"there is no verifier named {verifier}")
    lines = [json.loads(line) for line in (REAL_DATA / "gsm8k" / "train.jsonl").open(encoding="utf-8")]
    problems = [
        make_problem(number, verifier, line["answer"].rpartition("####")[2].strip(), line["question"])
        for number, line in enumerate(lines)
    ]
    report = audit(problems, make_config(fuzz_rows=60, headroom_rows=60), pool)
    assert len(problems) == 7473
    assert report.blocks == ()
    assert report.metrics()["audit/faults"] == 0.0
