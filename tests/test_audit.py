"""The audit tells wrong verifiers from right ones, says which completions show it, and leaves the rows as they are."""

import json
import os
import random
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_contracts.audit_config import AuditConfig
from data_contracts.errors import DataError, EmptyResultError, RecipeError, StageError
from data_contracts.rows import RowKind
from stages.arithmetic import generate_problems
from stages.audit import audit, audit_problems
from stages.audit_cases import cases_of
from stages.audit_gate import blocking
from stages.audit_judge import Judge
from stages.audit_numbers import (
    exact_fraction,
    fraction_forms,
    near_fractions,
    near_numbers,
    number_forms,
    seldom_forms,
)
from stages.audit_programs import stubs
from stages.audit_report import AuditReport, FormFinding, VerifierFindings, share_of
from stages.audit_subjects import Subject, surely_differ
from stages.verifiers.catalog import Catalog
from stages.verifiers.pool import VerifierPool
from tests.factories import make_job, write_input

REAL_DATA = Path(os.environ.get("BURNISH_REAL_DATA", Path(__file__).parents[2] / "shared" / "data"))
ADDED = {
    name: f"tests.verifiers.bad_verifiers:{name.upper()}"
    for name in (
        "same_text", "always_true", "forgiving", "without_sign", "without_thousands", "anywhere", "any_number",
        "any_letter", "fragile", "tagged", "labelled", "first_number", "paid_overlaps", "valid_only",
        "after_is", "after_is_final", "in_box", "letter_after_is", "within_a_cent", "or_double", "or_half",
        "or_percent", "or_huge", "or_long", "obedient", "bag_of_words", "any_case", "any_case_always",
        "names_only", "begins_well", "moody", "last_number", "first_box", "sixty_times", "part_of_it", "none_is_none",
        "constant", "points", "hangs_on_long", "format_pays", "never", "tagged_letter", "official", "unthinking",
    )
}  # fmt: skip

Row = dict[str, Any]


@pytest.fixture(scope="module")
def pool() -> Iterator[VerifierPool]:
    with VerifierPool(Catalog(ADDED), num_workers=1) as pool:
        yield pool


def _problem(
    number: int, verifier: str, ground_truth: str, prompt: str = "How many?", **arguments: Any
) -> Row:
    return {
        "problem_id": f"problem-{number}",
        "prompt": [{"role": "user", "content": prompt}],
        "ground_truth": ground_truth,
        "verifier": verifier,
        "arguments": json.dumps(arguments),
        "source": "mine",
    }


def _problems(verifier: str, *ground_truths: str) -> list[Row]:
    return [_problem(number, verifier, truth) for number, truth in enumerate(ground_truths)]


def _config(**fields: Any) -> AuditConfig:
    return AuditConfig.model_validate({"rows": ["problems"], **fields})


def _only(report: AuditReport) -> VerifierFindings:
    (found,) = report.verifiers
    return found


def _wrong_forms(found: VerifierFindings, *, right: bool) -> dict[str, FormFinding]:
    return {
        form.form: form
        for form in found.forms
        if form.is_right is right and not form.is_open and form.wrong.count
    }


def test_a_right_verifier_on_arithmetic_passes_with_every_verdict_right(pool: VerifierPool) -> None:
    problems = [
        _problem(number, "exact_number", row["ground_truth"], row["prompt"])
        for number, row in enumerate(generate_problems(60, "rl", seed=3))
    ]
    report = audit(problems, _config(), pool)
    found = _only(report)
    assert report.blocks == ()
    assert (found.false_negatives.count, found.false_positives.count, found.faults.count) == (0, 0, 0)
    assert found.fuzzed == 60
    assert found.false_negatives.of >= 60 * 7
    assert found.false_positives.of >= 60 * 15
    assert report.metrics()["audit/scripted_reward"] < 0.1


def test_string_equality_is_caught_refusing_18_point_00(pool: VerifierPool) -> None:
    report = audit(_problems("same_text", "18", "1200", "7"), _config(), pool)
    refused = _wrong_forms(_only(report), right=True)
    assert refused["with .00"].wrong == share_of(3, 3)
    example = refused["with .00"].example
    assert example is not None and (example.ground_truth, example.completion) == ("18", "18.00")
    assert "with grouped thousands" in refused and "with $" in refused
    assert "its own completion" not in refused
    assert _wrong_forms(_only(report), right=False) == {}
    (block,) = report.blocks
    assert block.startswith("same_text refuses right completions: ")


def test_a_form_that_few_problems_have_blocks_by_itself(pool: VerifierPool) -> None:
    report = audit(_problems("without_thousands", *map(str, range(10, 50)), "1200"), _config(), pool)
    assert _only(report).false_negatives.value < 0.01
    assert list(_wrong_forms(_only(report), right=True)) == ["with grouped thousands"]
    (block,) = report.blocks
    assert "with grouped thousands, 1 of 1, such as '1,200' where the ground truth is '1200'" in block


def test_a_constraint_that_is_always_met_is_caught_on_every_row(pool: VerifierPool) -> None:
    report = audit(_problems("always_true", "", "", ""), _config(), pool)
    assert _only(report).faults == share_of(3, 3)
    assert "an empty completion gets full reward" in report.blocks[0]
    assert "always_true gives wrong completions full reward: nothing, 3 of 3" in report.blocks[1]


def test_one_unparseable_ground_truth_that_pays_is_found_among_many(pool: VerifierPool) -> None:
    problems = _problems("forgiving", *map(str, range(100, 400)), "eighteen", *map(str, range(400, 600)))
    report = audit(problems, _config(fuzz_rows=5, headroom_rows=5), pool)
    (fault,) = _only(report).fault_examples
    assert (fault.row, fault.problem_id) == (300, "problem-300")
    assert "1 of 501 problems cannot be trained on" in report.blocks[0]
    assert "such as row 301 (problem-300)" in report.blocks[0]
    paid = _wrong_forms(_only(report), right=False)
    assert paid["another problem's right completion"].wrong.count == 1, "its shape is rare, so it is fuzzed"


def test_a_ground_truth_that_its_verifier_rejects_is_a_fault_and_is_not_fuzzed(pool: VerifierPool) -> None:
    report = audit(_problems("exact_number", "18", "eighteen"), _config(), pool)
    assert _only(report).faults == share_of(1, 2)
    assert _only(report).fuzzed == 1
    assert "row 2 (problem-1)" in report.blocks[0]
    assert audit(_problems("exact_number", "18", "eighteen"), _config(max_faults=0.5), pool).blocks == ()


def test_a_verifier_that_does_not_exist_is_a_fault_of_its_rows(pool: VerifierPool) -> None:
    report = audit(_problems("exact_nubmer", "18"), _config(), pool)
    assert _only(report).faults == share_of(1, 1)
    assert "There is no verifier named 'exact_nubmer'" in report.blocks[0]


def test_an_extractor_that_drops_the_sign_is_caught_paying_minus_18(pool: VerifierPool) -> None:
    report = audit(_problems("without_sign", "18", "-7"), _config(), pool)
    paid = _wrong_forms(_only(report), right=False)
    assert list(paid) == ["with the other sign"]
    assert paid["with the other sign"].wrong == share_of(2, 2)
    example = paid["with the other sign"].example
    assert example is not None and example.completion == "-18"


def test_a_substring_is_caught_in_longer_numbers_though_no_form_was_declared(pool: VerifierPool) -> None:
    paid = _wrong_forms(_only(audit(_problems("anywhere", "18", "25"), _config(), pool)), right=False)
    assert {"with a digit in front", "with a digit at the end", "ten times"} <= paid.keys()
    assert {"the right answer in the thinking only", "the right answer taken back"} <= paid.keys()


def test_numbers_found_anywhere_are_caught_in_thoughts_and_beside_others(pool: VerifierPool) -> None:
    report = audit(_problems("any_number", "18"), _config(), pool)
    assert "the right answer taken back" in _wrong_forms(_only(report), right=False)


def test_a_mathematical_verifier_is_caught_paying_for_hedges_and_denials(pool: VerifierPool) -> None:
    paid = _wrong_forms(_only(audit(_problems("first_number", "18"), _config(), pool)), right=False)
    assert {"one of two", "the right answer denied", "the right answer taken back"} <= paid.keys()
    assert "the other of two" not in paid
    example = paid["one of two"].example
    assert example is not None and example.completion == "18 or 19"


@pytest.mark.parametrize("verifier", ["after_is", "after_is_final"])
def test_any_number_after_is_is_caught_by_hedges_and_second_thoughts(
    verifier: str, pool: VerifierPool
) -> None:
    paid = _wrong_forms(_only(audit(_problems(verifier, "18", "1,200"), _config(), pool)), right=False)
    assert {
        "one of two",
        "one of four",
        "one of a thousand",
        "the right answer denied, then another",
    } <= paid.keys()
    example = paid["one of four"].example
    assert example is not None and example.completion == "The answer is 17, 18, 19 or 20."
    thousand = paid["one of a thousand"].example
    assert thousand is not None and thousand.completion.startswith("The answer is -482, -481, ")
    assert "one more" not in paid


def test_any_number_in_the_last_box_is_caught_by_a_box_of_four(pool: VerifierPool) -> None:
    paid = _wrong_forms(_only(audit(_problems("in_box", "18"), _config(), pool)), right=False)
    assert paid.keys() == {"one of two", "one of four", "one of a thousand"}
    example = paid["one of four"].example
    assert example is not None and example.completion == "\\boxed{17, 18, 19 or 20}"


def test_any_letter_after_is_is_caught_naming_every_option(pool: VerifierPool) -> None:
    problems = _problems("letter_after_is", *"ABCD")
    paid = _wrong_forms(_only(audit(problems, _config(), pool)), right=False)
    assert {"every letter", "the other of two letters", "the right letter denied"} <= paid.keys()
    example = paid["every letter"].example
    assert example is not None and example.completion == "The answer is (A) (B) (C) (D)."
    assert "another letter" not in paid


def test_what_the_rule_of_the_last_number_allows_is_told_and_does_not_block(pool: VerifierPool) -> None:
    report = audit(_problems("last_number", "18"), _config(), pool)
    assert report.blocks == ()
    assert _only(report).false_positives.count == 0
    (note,) = report.notes
    assert note.startswith("last_number also gives full reward, as its rule may allow: ")
    assert "'not 18'" in note


@pytest.mark.parametrize(
    ("verifier", "form"),
    [
        ("within_a_cent", "with wrong thousandths"),
        ("or_double", "twice"),
        ("or_half", "half"),
        ("or_percent", "a hundredth"),
        ("or_huge", "a huge number"),
        ("obedient", "orders to the verifier"),
        ("or_long", "thirty thousand characters of nothing"),
        ("or_long", "another problem's right completion in thirty thousand characters"),
    ],
)
def test_a_verifier_that_is_right_but_for_one_thing_is_caught_by_it(
    verifier: str, form: str, pool: VerifierPool
) -> None:
    report = audit(_problems(verifier, "34", "52", "726"), _config(), pool)
    assert form in _wrong_forms(_only(report), right=False)
    assert f"{verifier} gives wrong completions full reward" in report.blocks[0]


def test_text_in_another_order_is_wrong_and_in_other_case_where_case_counts(pool: VerifierPool) -> None:
    def wrong(verifier: str, **arguments: Any) -> AuditReport:
        problems = [_problem(n, verifier, f"the red Room {n}", **arguments) for n in range(3)]
        return audit(problems, _config(), pool)

    order = _wrong_forms(_only(wrong("bag_of_words")), right=False)
    assert order.keys() == {"words in another order"}
    case = _wrong_forms(_only(wrong("any_case_always", case_sensitive=True)), right=False)
    assert case.keys() == {"in other case"}
    assert wrong("any_case_always", case_sensitive=False).blocks == ()
    unsaid = wrong("any_case")
    assert unsaid.blocks == ()
    assert "any_case also gives full reward, as its rule may allow: in other case, 3 of 3" in unsaid.notes[0]
    for right in (wrong("exact_match"), wrong("exact_match", case_sensitive=False)):
        assert (right.blocks, right.notes) == ((), ())


def test_a_program_with_the_right_names_and_empty_functions_is_caught(pool: VerifierPool) -> None:
    truths = (f"def plus_{n}(number, step={n}):\n    return number + step" for n in range(4))
    paid = _wrong_forms(_only(audit(_problems("names_only", *truths), _config(), pool)), right=False)
    assert {"functions that only raise", "functions that return nothing"} == paid.keys()


def test_stubs_keep_the_names_and_lose_the_work() -> None:
    program = "import math\n\nclass Box:\n    def area(self, side):\n        return side ** 2\n\ndef one(): return 1"
    found = stubs(f"So:\n```python\n{program}\n```\nDone.", program)
    assert found is not None
    raising, empty = found.wrong.values()
    (argument,) = found.weak.values()
    assert argument == (
        "So:\n```python\nimport math\n\nclass Box:\n\n    def area(self, side):\n        return side\n\n"
        "def one():\n    return None\n```\nDone."
    )
    assert raising.count("raise NotImplementedError") == empty.count("return None") == 2
    for hostile in ("-" * 10**5 + "1", "(" * 10**5, "a" + ".b" * 10**4, "def f(:", "\0", "300", ""):
        assert stubs(hostile, hostile) is None


def test_half_of_what_is_built_is_wrong(pool: VerifierPool) -> None:
    truths = ("<a>one</a><b>two</b>", "<c>three</c><d>four</d>")
    paid = _wrong_forms(_only(audit(_problems("begins_well", *truths), _config(), pool)), right=False)
    example = paid["the first half of it"].example
    assert example is not None and example.completion == "<a>one</a>"
    assert paid.keys() == {"the first half of it"}


def test_a_verifier_that_gives_another_reward_when_asked_again_blocks(pool: VerifierPool) -> None:
    report = audit(_problems("moody", "34", "52"), _config(), pool)
    changed = _only(report).repeated.changed
    assert 0 < changed.count < changed.of <= 200
    (block,) = report.blocks
    assert block.startswith(f"moody is not deterministic: asked again, {changed.count} of {changed.of}")
    example = _only(report).repeated.examples[0]
    assert example.first.reward > example.second.reward


def test_verdicts_slower_than_allowed_block_unless_a_model_gives_them(pool: VerifierPool) -> None:
    problems = _problems("exact_number", "18", "25")
    config = _config(max_verdict_seconds=1e-9)
    report = audit(problems, config, pool)
    (block,) = report.blocks
    assert block.startswith("exact_number is slow: 1 of 100 verdicts takes ")
    assert "(1e-09 s allowed)" in block
    assert blocking(replace(_only(report), is_function=False), config) == []


def test_an_audit_that_runs_out_of_time_ends_and_says_what_it_left(pool: VerifierPool) -> None:
    report = audit(_problems("exact_number", *map(str, range(500))), _config(seconds=1e-9), pool)
    (block,) = report.blocks
    assert block.startswith(
        "exact_number was asked for 1e-09 s, all the time that `seconds` gives, and 500 questions"
    )
    assert _only(report).num_left == report.metrics()["audit/left"] == 500
    assert _only(report).failures.of == 0


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


@pytest.mark.parametrize(
    ("fields", "what", "do"),
    [
        (
            {"metric": "length"},
            "the metric length",
            "The metric length needs other arguments than these problems have: name another, or none.",
        ),
        (
            {"rewards": ["problem", "length"]},
            "the reward length",
            "Give the reward length the arguments it needs, under `rewards:`.",
        ),
    ],
)
def test_a_reward_or_metric_that_cannot_judge_a_problem_is_named_with_its_row(
    fields: dict[str, Any], what: str, do: str, pool: VerifierPool
) -> None:
    problems = [_problem(0, "exact_number", "eighteen"), _problem(7, "exact_number", "18")]
    with pytest.raises(DataError) as fault:
        audit(problems, _config(**fields), pool)
    assert fault.value.found.startswith(f"Row 2 (problem-7) cannot be judged by {what}: The arguments {{}}")
    assert fault.value.do == do


def test_a_letter_found_anywhere_is_caught_by_the_list_of_options(pool: VerifierPool) -> None:
    prompt = "Which?\nA. one\nB. two\nC. three\nD. four"
    problems = [_problem(n, "any_letter", letter, prompt) for n, letter in enumerate("ABCD")]
    paid = _wrong_forms(_only(audit(problems, _config(), pool)), right=False)
    assert paid["the prompt again"].wrong == share_of(4, 4)
    assert "another letter" not in paid


def test_the_form_of_a_verifier_that_says_nothing_of_it_is_found(pool: VerifierPool) -> None:
    found = _only(audit(_problems("tagged", "18", "1200"), _config(), pool))
    assert found.not_stated == 0
    assert "with .00" in {form.form for form in found.forms if form.is_right}
    assert _wrong_forms(found, right=True) == {}


def test_where_no_form_is_rewarded_only_wrong_completions_are_tried_and_a_note_says_so(
    pool: VerifierPool,
) -> None:
    report = audit(_problems("labelled", "18", "25"), _config(), pool)
    assert _only(report).not_stated == 2
    assert _only(report).false_negatives.of == 0
    assert _only(report).false_positives.of > 0
    assert "no form of a right completion is known for 2 of 2 problems" in report.notes[0]


@pytest.mark.parametrize(
    ("verifier", "truths", "sentence"),
    [
        ("first_box", ("18", "25"), "the right answer taken back in its form, 2 of 2"),
        ("sixty_times", ("18", "25"), "sixty times, 2 of 2"),
        ("part_of_it", ("[1, 2]", "[3]"), "an empty list, 2 of 2"),
        ("none_is_none", ("18", "none"), "1 of 2 problems cannot be trained on"),
        (
            "constant",
            ("18", "25"),
            "'say nothing' earns 0.50 of the training reward while 0% of it is right: constant",
        ),
        ("points", ("18", "25"), "a reward lies in [0, 1], this verifier gave 2.0"),
        ("hangs_on_long", ("18", "25"), "hangs_on_long is slow: 1 of 100 verdicts takes 1.5 s or more"),
        ("format_pays", ("18", "25"), "'answer another problem' earns 0.50 of the training reward"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(
    verifier: str, truths: tuple[str, ...], sentence: str, pool: VerifierPool
) -> None:
    assert sentence in "\n".join(audit(_problems(verifier, *truths), _config(), pool).blocks)


def test_a_verifier_that_never_pays_is_told_apart_from_one_that_was_seen_to(pool: VerifierPool) -> None:
    report = audit(_problems("never", "18", "25"), _config(), pool)
    assert "nothing shows that full reward can be earned" in report.notes[0]


@pytest.mark.parametrize(
    ("verifier", "truths", "unread"),
    [
        ("tagged_letter", ("A", "B", "C"), "announced, 3 of 3"),
        ("official", ("18", "1200"), "in fullwidth digits"),
        ("unthinking", ("red", "blue"), "after a thought"),
    ],
)
def test_a_strict_form_is_told_and_does_not_block(
    verifier: str, truths: tuple[str, ...], unread: str, pool: VerifierPool
) -> None:
    report = audit(_problems(verifier, *truths), _config(), pool)
    assert report.blocks == ()
    assert any(
        note.startswith(f"{verifier} does not read, as its rule may allow: ") and unread in note
        for note in report.notes
    )


def test_problems_that_all_have_one_answer_block(pool: VerifierPool) -> None:
    (block,) = audit(_problems("exact_number", *["18"] * 40), _config(), pool).blocks
    assert block.startswith(
        "the policy 'most common answer', which knows nothing of the task, is right on 40 of 40"
    )
    few = audit(_problems("exact_number", *["18"] * 20), _config(), pool)
    assert few.blocks == ()
    assert "the policy 'most common answer' is right on 20 of 20 problems of exact_number" in few.notes


def test_the_verifier_that_pays_is_named_not_the_one_that_measures(pool: VerifierPool) -> None:
    rewards = {"constant": {"weight": 1}}
    report = audit(_problems("exact_number", "18", "25"), _config(rewards=rewards), pool)
    assert "constant pays for something else than the task" in report.blocks[0]


def test_few_right_completions_refused_are_told_though_they_do_not_block(pool: VerifierPool) -> None:
    report = audit(_problems("same_text", "18", "25"), _config(max_false_negatives=1), pool)
    assert report.blocks == ()
    told = "same_text is wrong, no more often than this audit allows: "
    assert any(note.startswith(told) and "with .00, 2 of 2" in note for note in report.notes)


def test_disagreements_with_a_second_verifier_are_listed(pool: VerifierPool) -> None:
    second = _only(audit(_problems("tagged", "18"), _config(), pool)).second
    assert second is not None and second.verifier == "without_sign"
    forms = [example.form for example in second.examples]
    assert "with the other sign" in forms
    assert "one more" not in forms
    assert second.differ.count == len(second.examples)
    for example in second.examples:
        assert (example.first.reward == 1.0) != (example.second.reward == 1.0)


def test_verdicts_that_cannot_be_had_block_with_what_went_wrong(pool: VerifierPool) -> None:
    report = audit(_problems("fragile", "18", "25"), _config(max_false_negatives=1), pool)
    found = _only(report)
    assert found.failures.count > 0
    assert "fragile gave no verdict on" in report.blocks[0]
    assert "ValueError: could not convert string to float" in report.blocks[0]


def _schedules(verifier: str, count: int) -> list[Row]:
    """Nine events; each odd one starts within the even one before it and ends with it.

    The even ones are the best schedule: 5 x 60 minutes.
    """
    events = [(hour * 100 + late, hour * 100 + 60) for hour in range(4) for late in (0, 30)] + [(400, 460)]
    return [_problem(number, verifier, "300", events=events) for number in range(count)]


def test_a_reward_that_pays_for_overlaps_blocks_with_what_copying_all_earns(pool: VerifierPool) -> None:
    """Copying all is in order, 0.3, and one event of 60 minutes in 300 overlaps no other: 0.3 + 0.7 / 5 = 0.44."""
    report = audit(_schedules("paid_overlaps", 4), _config(), pool)
    scores = {score.policy: score for score in _only(report).policies}
    assert scores["copy all"].reward == pytest.approx(0.44)
    assert scores["copy all"].metric == 0.0
    assert (scores["the best"].reward, scores["the best"].metric) == (pytest.approx(1.0), 1.0)
    (block,) = report.blocks
    assert block.startswith(
        "the policy 'copy all' earns 0.44 of the training reward while 0% of it is right: "
    )


def test_a_gated_reward_pays_copying_all_nothing(pool: VerifierPool) -> None:
    report = audit(_schedules("valid_only", 4), _config(), pool)
    assert report.blocks == ()
    assert {score.policy: score.reward for score in _only(report).policies}["copy all"] == 0.0


def test_scripted_policies_are_paid_by_the_training_reward_and_judged_by_the_metric(
    pool: VerifierPool,
) -> None:
    """A weighted sum pays format 3 of 4 parts; a gate on the right answer pays nothing for it alone."""
    shape = {"format": {"weight": 3, "arguments": {"max_characters": 50}}}
    rewards = {"problem": {"weight": 1}, **shape}
    problems = _problems("exact_number", "18", "25")
    summed = audit(problems, _config(rewards=rewards, combine="sum"), pool)
    scores = {score.policy: score for score in _only(summed).policies}
    assert (scores["say nothing"].reward, scores["say nothing"].metric) == (0.75, 0.0)
    assert scores["ramble"].reward == 0.0
    assert (
        "the policy 'say nothing' earns 0.75 of the training reward while 0% of it is right"
        in summed.blocks[0]
    )
    assert audit(problems, _config(rewards=rewards, combine="gate"), pool).blocks == ()


def test_another_verifier_can_be_the_metric(pool: VerifierPool) -> None:
    report = audit(_schedules("paid_overlaps", 2), _config(metric="valid_only"), pool)
    scores = {score.policy: score for score in _only(report).policies}
    assert (scores["copy all"].metric, scores["the best"].metric) == (0.0, 1.0)
    with pytest.raises(RecipeError, match="no verifier named 'vaild_only'"):
        audit(_schedules("paid_overlaps", 2), _config(metric="vaild_only"), pool)


def test_a_composite_is_read_in_the_form_that_all_its_terms_reward(pool: VerifierPool) -> None:
    shape = {"verifier": "format", "weight": 1, "arguments": {"contains": ["<answer>", "</answer>"]}}
    terms: dict[str, Any] = {
        "terms": [{"verifier": "exact_number", "weight": 4}, shape],
        "gate": "exact_number",
    }
    problems = [_problem(number, "composite", truth, **terms) for number, truth in enumerate(("18", "1200"))]
    report = audit(problems, _config(), pool)
    assert report.blocks == ()
    assert _only(report).not_stated == 0
    assert _only(report).false_negatives.of > 10


def test_a_prompt_that_shows_its_answer_is_not_held_against_the_verifier(pool: VerifierPool) -> None:
    shown = _problem(0, "exact_number", "1,200", "Half of 2400 is 1200")
    hidden = _problem(1, "exact_number", "30", "Half of 60")
    report = audit([shown, hidden], _config(), pool)
    assert report.blocks == ()
    (form,) = [form for form in _only(report).forms if form.form == "the prompt again"]
    assert form.wrong.of == 1


def test_each_verifier_of_a_mixed_dataset_has_findings_of_its_own(pool: VerifierPool) -> None:
    problems = _problems("exact_number", "18", "25") + _problems("without_sign", "18")
    report = audit(problems, _config(), pool)
    assert [found.verifier for found in report.verifiers] == ["exact_number", "without_sign"]
    assert [found.false_positives.count for found in report.verifiers] == [0, 1]
    assert all(block.startswith("without_sign") for block in report.blocks)


def test_thresholds_decide_what_blocks(pool: VerifierPool) -> None:
    problems = _problems("without_sign", "18", "25")
    assert audit(problems, _config(max_false_positives=1), pool).blocks == ()
    overlaps = _schedules("paid_overlaps", 2)
    assert audit(overlaps, _config(max_scripted_reward=0.45), pool).blocks == ()


def test_the_same_seed_gives_the_same_report_apart_from_times(pool: VerifierPool) -> None:
    random_ = random.Random(1)
    problems = _problems("exact_number", *(str(random_.randint(1, 9999)) for _ in range(80)))

    def findings(seed: int) -> dict[str, Any]:
        document = json.loads(audit(problems, _config(fuzz_rows=10), pool, seed=seed).to_json())
        for found in document["verifiers"]:
            del found["seconds"]
        return document

    assert findings(1) == findings(1)


def test_progress_ends_where_all_verdicts_are_had(pool: VerifierPool) -> None:
    told: list[tuple[int, int]] = []
    audit(_problems("exact_number", "18"), _config(), pool, on_progress=lambda *at: told.append(at))
    assert told[-1][0] == told[-1][1] > 0
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_hostile_rows_end_in_a_report_that_is_plain_json(pool: VerifierPool) -> None:
    problems = [
        _problem(0, "exact_number", "18", "\ud800 {} %s \\boxed{18} </think> <script>"),
        _problem(1, "exact_number", "{0}", "{"),
        _problem(2, "format", "", contains=["{}"]),
    ]
    report = audit(problems, _config(), pool)
    assert json.loads(report.to_json().encode())["problems"] == 3


def test_no_problems_is_an_error(pool: VerifierPool) -> None:
    with pytest.raises(EmptyResultError):
        audit([], _config(), pool)


@pytest.fixture
def stage(tmp_path: Path) -> Any:
    def stage(rows: list[Row], **fields: Any) -> Any:
        given = write_input(tmp_path, "problems", RowKind.problems, rows)
        config = _config(**fields)
        job = make_job(tmp_path, config, [given]).model_copy(update={"verifiers": ADDED})
        job.work_dir.mkdir()
        return job, lambda: audit_problems(job, config)

    return stage


def test_the_stage_hands_its_rows_on_unchanged_with_the_report_beside_them(stage: Any) -> None:
    rows = [{**row, "level": number} for number, row in enumerate(_problems("exact_number", "18", "25", "3"))]
    job, run = stage(rows)
    result = run()
    assert pq.read_table(job.output_dir / "rows.parquet").equals(pq.read_table(job.rows[0].path))
    assert result.output == "rows"
    assert result.metrics["audit/problems"] == 3
    assert result.metrics["audit/blocks"] == 0
    assert json.loads((job.report_path).read_text())["blocks"] == []
    assert job.progress_path.read_text()


def test_a_blocked_stage_lists_the_findings_and_keeps_the_report(stage: Any) -> None:
    job, run = stage(_problems("without_sign", "18"))
    with pytest.raises(StageError) as refusal:
        run()
    assert refusal.value.exit_code == 1
    assert "\n- without_sign gives wrong completions full reward: with the other sign" in str(refusal.value)
    assert str(job.report_path) in refusal.value.do
    assert not job.output_dir.exists()
    assert json.loads((job.report_path).read_text())["blocks"]


def test_a_warning_stage_notes_the_findings_and_hands_the_rows_on(stage: Any) -> None:
    job, run = stage(_problems("without_sign", "18"), on_findings="warn")
    assert "without_sign gives wrong completions full reward" in run().notes[0]
    assert pq.read_table(job.output_dir / "rows.parquet").num_rows == 1


def test_forms_of_1200() -> None:
    assert number_forms("1,200") == {
        "plain": "1200",
        "with .0": "1200.0",
        "with .00": "1200.00",
        "with grouped thousands": "1,200",
        "with $": "$1200",
        "with a unit": "1200 dollars",
    }
    assert seldom_forms("1,200") == {"in fullwidth digits": "１２００", "with a plus sign": "+1200"}


def test_forms_of_minus_one_half() -> None:
    assert number_forms("-0.5") == {
        "plain": "-0.5",
        "with a trailing zero": "-0.50",
        "with a minus sign": "−0.5",
    }
    assert fraction_forms("-0.5") == {
        "as a/b": "-1/2",
        "as \\frac": "-\\frac{1}{2}",
        "as \\dfrac": "-\\dfrac{1}{2}",
        "as \\tfrac": "-\\tfrac{1}{2}",
        "as a decimal": "-0.5",
    }
    assert fraction_forms(r"\frac{1}{2}")["as one character"] == "½"
    assert "as a decimal" not in fraction_forms("1/3")


def test_near_misses_of_18() -> None:
    assert near_numbers("18") == {
        "one more": "19",
        "one less": "17",
        "with the other sign": "-18",
        "twice": "36",
        "half": "9",
        "ten times": "180",
        "a hundred times": "1800",
        "a hundredth": "0.18",
        "a thousand times": "18000",
        "a thousandth": "0.018",
        "sixty times": "1080",
        "a huge number": "987654321987654321",
        "with a digit in front": "118",
        "with a digit at the end": "181",
        "with wrong decimals": "18.01",
        "with wrong thousandths": "18.004",
        "without its last digit": "1",
        "with digits swapped": "81",
    }
    assert near_numbers("-2.5")["without its decimals"] == "-2"
    assert near_fractions("1/2") == {
        "upside down": r"\frac{2}{1}",
        "with another numerator": r"\frac{1}{1}",
        "with the other sign": r"-\frac{1}{2}",
    }


@pytest.mark.parametrize("text", ["", "x", "18 apples", "50%", "1e9", "1,20", "--1", "1/0", "１８", "9" * 40])
def test_what_is_no_plain_number_has_no_forms(text: str) -> None:
    assert number_forms(text) == near_numbers(text) == fraction_forms(text) == near_fractions(text) == {}


def _oracle(text: str) -> Fraction:
    """The value of a form, by Python's own reading."""
    if text in "½¼¾⅓⅔":
        return {"½": Fraction(1, 2), "¼": Fraction(1, 4), "¾": Fraction(3, 4), "⅓": Fraction(1, 3)}.get(
            text, Fraction(2, 3)
        )
    for written, meant in (("−", "-"), ("$", ""), (",", ""), (" dollars", ""), ("}{", "/"), ("}", "")):
        text = text.replace(written, meant)
    for command in (r"\frac{", r"\dfrac{", r"\tfrac{"):
        text = text.replace(command, "")
    return Fraction(text)


@given(st.fractions(min_value=-(10**6), max_value=10**6, max_denominator=40))
@settings(derandomize=True, max_examples=300, deadline=None)
def test_forms_keep_the_value_and_near_misses_never_do(value: Fraction) -> None:
    decimal = f"{float(value):.3f}" if (1000 * value).denominator == 1 else ""
    for text in filter(None, (f"{value.numerator}/{value.denominator}", decimal)):
        assert exact_fraction(text) == value
        assert {_oracle(form) for form in (number_forms(text) | fraction_forms(text)).values()} <= {value}
        assert value not in {_oracle(near) for near in (near_numbers(text) | near_fractions(text)).values()}


@given(
    st.text(max_size=30), st.sampled_from(["number", "final_number", "math", "choice", "text", "solution"])
)
@settings(derandomize=True, max_examples=200, deadline=None)
def test_no_completion_is_asked_to_be_right_and_wrong(truth: str, answers: Any) -> None:
    subject = Subject(answers, truth, {}, "What is it?", lambda text: f"\\boxed{{{text}}}", None)
    completions = [case.completion for case in cases_of(subject)]
    assert len(completions) == len(set(completions))
    assert any(case.is_right for case in cases_of(subject))


@pytest.mark.parametrize(
    ("answers", "one", "other", "differ"),
    [
        ("number", "18", "18.0", False),
        ("number", "18", "19", True),
        ("number", "Paris", "Paris, France", False),
        ("math", "x=5", "5", False),
        ("math", r"50\%", "0.5", False),
        ("math", r"\frac{1}{2}", "0.5", False),
        ("math", "1/2", "1/3", True),
        ("choice", "A", "(a)", False),
        ("choice", "A", "B", True),
        ("text", "cat", "dog", True),
    ],
)
def test_only_what_no_reading_equates_counts_as_another_answer(
    answers: Any, one: str, other: str, differ: bool
) -> None:
    first, second = (Subject(answers, truth, {}, "", str, None) for truth in (one, other))
    assert surely_differ(first, second) is differ


@pytest.mark.skipif(not REAL_DATA.is_dir(), reason=f"BURNISH_REAL_DATA: {REAL_DATA} does not exist")
@pytest.mark.parametrize("verifier", ["exact_number", "gsm8k", "math"])
def test_gsm8k_passes_without_a_fault(verifier: str, pool: VerifierPool) -> None:
    if verifier not in pool.catalog.names():
        pytest.skip(f"there is no verifier named {verifier}")
    lines = [json.loads(line) for line in (REAL_DATA / "gsm8k" / "train.jsonl").open(encoding="utf-8")]
    problems = [
        _problem(number, verifier, line["answer"].rpartition("####")[2].strip(), line["question"])
        for number, line in enumerate(lines)
    ]
    report = audit(problems, _config(fuzz_rows=60, headroom_rows=60), pool)
    assert len(problems) == 7473
    assert report.blocks == ()
    assert report.metrics()["audit/faults"] == 0.0
