"""The report of a run as long as they come: 2,000 steps of GRPO, 100,000 completions."""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from data_contracts.rows import RowKind
from flows.past_runs import find_run
from flows.report.report import make_report
from infra.home import open_home
from infra.ledger import Ledger
from infra.warehouse.warehouse import Warehouse
from stages.verify import ROLLOUT_SCHEMA
from tests.report.trained_home import progress, recipe, run

NUM_PROBLEMS, SAMPLES = 25_000, 4


def _table() -> pa.Table:
    """Long completions of problems from ten sources."""
    draw = np.random.default_rng(5)
    number = np.repeat(np.arange(NUM_PROBLEMS), SAMPLES)
    right = draw.random(len(number)) < 0.6
    columns = {
        "problem_id": [f"p{each}" for each in number],
        "sample": np.tile(np.arange(SAMPLES), NUM_PROBLEMS),
        "prompt": [
            [{"role": "user", "content": f"What is {each} + {each}? " + "words " * 20}] for each in number
        ],
        "ground_truth": [f"{2 * each}" for each in number],
        "verifier": ["exact_match"] * len(number),
        "arguments": ["{}"] * len(number),
        "source": [f"source {each % 10}" for each in number],
        "completion": [f"{'step ' * 150} so it is {2 * each}" for each in number],
        "completion_ids": [[1, 2, 3]] * len(number),
        "finished": [True] * len(number),
        "reward": right.astype(float),
        "reason": ["exact match" if each else "answered 1, expected 2" for each in right],
        "parts": ["{}"] * len(number),
        "model": ["content"] * len(number),
        "temperature": [1.0] * len(number),
        "top_p": [1.0] * len(number),
    }
    return pa.table(columns, schema=ROLLOUT_SCHEMA)


@pytest.mark.chaos  # only for its time
def test_its_report_takes_less_than_ten_seconds_and_three_megabytes(tmp_path: Path) -> None:
    home = open_home(tmp_path / "home")
    run_id = run(home, recipe())
    (home.logs_dir / run_id / "grpo.progress.jsonl").write_text("\n".join([*progress(2_000), ""]))
    ledger = Ledger(home.ledger_path)
    made = next(each for each in ledger.executions() if each.stage == "grpo.evaluate")
    published = Warehouse(home).publish(made.name, RowKind.rollouts, _table(), made.key)
    ledger.record(replace(made, fingerprint=published.fingerprint, version=published.version))
    began = time.process_time()
    page = make_report(home, ledger, find_run(ledger, run_id), now=1_800_000_000.0)
    assert time.process_time() - began < 10
    assert len(page.encode()) < 3_000_000
    assert "60 of 25,000 problems" in page
