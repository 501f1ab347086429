"""Verifiers by name; problems that nobody could solve are refused before training."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from data_contracts.errors import DataError, GroundTruthError, RecipeError
from data_contracts.row_rules import WITH_GROUND_TRUTH
from stages.verifiers.catalog import Catalog
from stages.verifiers.ground_truths import Row, ground_truth_faults, require_gradable
from stages.verifiers.pool import VerifierPool
from stages.verifiers.submission import Submission

SCHEDULE = '{"events": [["a", "10:00", "11:00"], ["b", "11:00", "12:00"]], "priority_events": []}'


def make_problem(verifier: str, ground_truth: str = "18", arguments: str = "{}") -> Row:
    return {
        "prompt": [{"role": "user", "content": "?"}],
        "ground_truth": ground_truth,
        "verifier": verifier,
        "arguments": arguments,
    }


@pytest.fixture(scope="module")
def pool() -> Iterator[VerifierPool]:
    with VerifierPool(Catalog()) as pool:
        yield pool


def test_an_unknown_verifier_names_the_nearest() -> None:
    with pytest.raises(RecipeError, match="Did you mean exact_number"):
        Catalog().arguments("exact_nubmer", "{}")


@pytest.mark.parametrize(
    ("name", "arguments", "complaint"),
    [
        ("exact_number", "{", "Invalid JSON"),
        ("exact_number", "[]", "should be an object"),
        ("exact_number", '{"tolerance": 1}', "tolerance: Extra inputs"),
        ("format", '{"pattern": "a*"}', "pattern: Extra inputs"),
        ("format", '{"contains": "ab"}', "contains: Input should be a valid array"),
        ("format", '{"contains": []}', "contains: List should have at least 1"),
        ("format", '{"contains": ["a", ""]}', "contains.1: String should have at least 1"),
        ("format", '{"max_characters": "9"}', "max_characters: Input should be a valid integer"),
        ("format", "{}", "no condition"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(name: str, arguments: str, complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        Catalog().quick(Submission(name, arguments, "18", "", "18"))


def test_solvable_problems_pass(pool: VerifierPool) -> None:
    require_gradable(
        [
            make_problem("exact_number", "1,200"),
            make_problem("math", r"\left( 3, \frac{\pi}{2} \right)"),
            make_problem("math", "x=5"),
            make_problem("format", "", '{"ends_with": "."}'),
        ],
        pool,
    )


def test_a_problem_nobody_can_solve_is_named_by_row_verifier_and_ground_truth(pool: VerifierPool) -> None:
    rows = [make_problem("exact_number"), make_problem("exact_number", "eighteen")]
    with pytest.raises(GroundTruthError) as refusal:
        require_gradable(rows, pool)
    assert "Row 2" in refusal.value.found
    assert "exact_number" in refusal.value.found
    assert "'eighteen'" in refusal.value.found
    assert refusal.value.do


def test_a_ground_truth_its_own_verifier_rejects_is_refused_with_the_reason(pool: VerifierPool) -> None:
    with pytest.raises(GroundTruthError, match=r"Row 1.*math.*'\}\{' gets reward 0"):
        require_gradable([make_problem("math", "}{")], pool)


def test_bad_arguments_are_found_before_any_completion_and_name_the_row(pool: VerifierPool) -> None:
    with pytest.raises(DataError, match="Row 1, verifier format"):
        require_gradable([make_problem("format", "", '{"max_characters": 0}')], pool)


def test_every_fault_is_found_beside_the_problems_that_are_fine(pool: VerifierPool) -> None:
    rows = [
        make_problem("exact_number"),
        make_problem("no_such"),
        make_problem("math", r"\frac{1}{2}"),
        make_problem("exact_number", "x"),
    ]
    faults = ground_truth_faults(rows, pool)
    assert [fault and fault.found.split(".")[0][:31] for fault in faults] == [
        None,
        "There is no verifier named 'no_",
        None,
        "The ground truth 'x' is no numb",
    ]


def test_the_rows_contract_asks_for_a_ground_truth_where_its_verifier_does(pool: VerifierPool) -> None:
    arguments = {"schedule": SCHEDULE, "schedule_original": SCHEDULE}
    rows = [make_problem(name, "", arguments.get(name, "{}")) for name in sorted(WITH_GROUND_TRUTH)]
    assert [fault is not None for fault in ground_truth_faults(rows, pool)] == [True] * len(rows)
    judged_by_arguments = [
        make_problem("length", "", '{"unit": "words", "maximum": 9}'),
        make_problem("regex_match", "", '{"pattern": "a+"}'),
        make_problem("json_schema", "", '{"schema": {"type": "object"}}'),
        make_problem("repetition", "", '{"n": 2}'),
        make_problem("steps", ""),
    ]
    assert ground_truth_faults(judged_by_arguments, pool) == [None] * len(judged_by_arguments)


def test_a_record_that_cannot_make_its_completion_is_a_fault_of_the_verifier(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "from data_contracts.verdict import Verdict\n"
        "from stages.verifiers.verifier import Verifier\n"
        "OWN = Verifier(\n"
        "    quick=lambda completion, problem: Verdict(1.0, 'fine'), completion_of=lambda problem: problem.no_such\n"
        ")\n"
    )
    with VerifierPool(Catalog({"own": f"{tmp_path / 'own.py'}:OWN"})) as pool:
        (fault,) = ground_truth_faults([make_problem("own")], pool)
    assert fault is not None
    assert "completion_of of verifier own fails: AttributeError" in fault.found
