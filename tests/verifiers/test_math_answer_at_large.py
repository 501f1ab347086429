"""Any number, any text, a megabyte of anything, and every answer of the public sets."""

import json
import os
import time
from fractions import Fraction
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_contracts.verdict import PosedProblem
from stages.verifiers.math_answer import MATH, math
from tests.verifiers.math_rewards import reward

REAL_DATA = Path(os.environ.get("BURNISH_REAL_DATA", Path(__file__).parents[3] / "shared" / "data"))
needs_real_data = pytest.mark.skipif(not REAL_DATA.is_dir(), reason=f"BURNISH_REAL_DATA: no {REAL_DATA}")
MEGABYTE = 1_000_000


@given(st.integers(), st.integers(), st.sampled_from(["\\boxed{%s}", "#### %s", "The answer is %s.", "$%s$"]))
@settings(derandomize=True)
def test_integers_agree_with_python(answer: int, truth: int, form: str) -> None:
    assert reward(form % f"{answer:,}", str(truth)) == float(answer == truth)


@given(st.fractions(), st.fractions())
@settings(derandomize=True)
def test_fractions_agree_with_python(answer: Fraction, truth: Fraction) -> None:
    written = f"\\boxed{{\\frac{{{answer.numerator}}}{{{answer.denominator}}}}}"
    assert reward(written, f"{truth.numerator}/{truth.denominator}") == float(answer == truth)


@given(st.text(alphabet="0123456789.,-+=^_/$% {}()[]\\&;!abox\u00bd\u221a\u0661\u200b") | st.text())
@settings(derandomize=True)
def test_no_completion_raises(text: str) -> None:
    for completion in (text, f"\\boxed{{{text}}}", f"The answer is {text}"):
        for ground_truth in ("18", "5, 6", "(1, \\frac{\\pi}{2})", "\\text{Monday}"):
            verdict = math(completion, PosedProblem("What is it?", ground_truth))
            assert verdict is None or verdict.reward in (0.0, 1.0)


@pytest.mark.parametrize(
    "piece",
    [
        *(
            "\\boxed{",
            "{",
            "}",
            "$",
            "answer is ",
            "\n",
            " ",
            "= ",
            "1+",
            "\\",
            ",\\!",
            "9",
            "1,",
            "####",
            "\\frac1",
        ),
        *(
            "(",
            "&",
            "\\text{",
            "\\boxed{1}",
            "\\overline{",
            "or ",
            "\u200b",
            "\u00bd",
            "\\pm ",
            "e9",
            "\\cup ",
        ),
        *("is ", "1/", "_", "^"),
    ],
)
def test_a_megabyte_of_anything_is_judged_at_once(piece: str) -> None:
    many, few = piece * (MEGABYTE // len(piece)), piece * (990 // len(piece))
    for completion in (
        many,
        f"\\boxed{{{many}",
        f"\\boxed{{{many}}}",
        f"\\boxed{{{few}}}",
        f"The answer is {few}",
    ):
        start = time.process_time()
        verdict = math(completion, PosedProblem("What is it?", "18"))
        assert time.process_time() - start < 5
        assert verdict is None or verdict.reward == 0.0
        assert verdict is None or len(verdict.reason) < 300


@needs_real_data
def test_every_real_ground_truth_passes_at_once() -> None:
    """All but the two empty ones of MATH's training rows."""
    tables = [
        pq.read_table(REAL_DATA / "math_train" / f"{name}.parquet")
        for name in ("train", "test", "dapo17k_train")
    ]
    truths = [row["ground_truth"] for table in tables for row in table.column("reward_model").to_pylist()]
    assert len(truths) == 7_500 + 5_000 + 17_398
    assert MATH.completion_of is not None
    for ground_truth in filter(None, truths):
        problem = PosedProblem("", ground_truth)
        verdict = math(MATH.completion_of(problem), problem)
        assert verdict is not None, ground_truth
        assert verdict.reward == 1.0, ground_truth
    assert truths.count("") == 2


@needs_real_data
def test_every_solution_of_math_500_is_right() -> None:
    for line in (REAL_DATA / "math500" / "test.jsonl").read_text().splitlines():
        row = json.loads(line)
        assert reward(row["solution"], row["answer"], row["problem"]) == 1.0, row["unique_id"]
