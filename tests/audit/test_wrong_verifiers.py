"""The audit tells wrong verifiers from right ones, and says which completions show it."""

from typing import Any

import pytest

from stages.arithmetic import generate_problems
from stages.audit import audit
from stages.audit_report import AuditReport, share_of
from stages.verifiers.pool import VerifierPool
from tests.audit.problems import make_config, make_problem, make_problems, only, wrong_forms


def test_a_right_verifier_on_arithmetic_passes_with_every_verdict_right(pool: VerifierPool) -> None:
    problems = [
        make_problem(number, "exact_number", row["ground_truth"], row["prompt"])
        for number, row in enumerate(generate_problems(60, "rl", seed=3))
    ]
    report = audit(problems, make_config(), pool)
    found = only(report)
    assert report.blocks == ()
    assert (found.false_negatives.count, found.false_positives.count, found.faults.count) == (0, 0, 0)
    assert found.fuzzed == 60
    assert found.false_negatives.of >= 60 * 7
    assert found.false_positives.of >= 60 * 15
    assert report.metrics()["audit/scripted_reward"] < 0.1


def test_string_equality_is_caught_refusing_18_point_00(pool: VerifierPool) -> None:
    report = audit(make_problems("same_text", "18", "1200", "7"), make_config(), pool)
    refused = wrong_forms(only(report), right=True)
    assert refused["with .00"].wrong == share_of(3, 3)
    example = refused["with .00"].example
    assert example is not None and (example.ground_truth, example.completion) == ("18", "18.00")
    assert "with grouped thousands" in refused and "with $" in refused
    assert "its own completion" not in refused
    assert wrong_forms(only(report), right=False) == {}
    (block,) = report.blocks
    assert block.startswith("same_text refuses right completions: ")


def test_a_form_that_few_problems_have_blocks_by_itself(pool: VerifierPool) -> None:
    report = audit(make_problems("without_thousands", *map(str, range(10, 50)), "1200"), make_config(), pool)
    assert only(report).false_negatives.value < 0.01
    assert list(wrong_forms(only(report), right=True)) == ["with grouped thousands"]
    (block,) = report.blocks
    assert "with grouped thousands, 1 of 1, such as '1,200' where the ground truth is '1200'" in block


def test_a_constraint_that_is_always_met_is_caught_on_every_row(pool: VerifierPool) -> None:
    report = audit(make_problems("always_true", "", "", ""), make_config(), pool)
    assert only(report).faults == share_of(3, 3)
    assert "an empty completion gets full reward" in report.blocks[0]
    assert "always_true gives wrong completions full reward: nothing, 3 of 3" in report.blocks[1]


def test_one_unparseable_ground_truth_that_pays_is_found_among_many(pool: VerifierPool) -> None:
    problems = make_problems("forgiving", *map(str, range(100, 400)), "eighteen", *map(str, range(400, 600)))
    report = audit(problems, make_config(fuzz_rows=5, headroom_rows=5), pool)
    (fault,) = only(report).fault_examples
    assert (fault.row, fault.problem_id) == (300, "problem-300")
    assert "1 of 501 problems cannot be trained on" in report.blocks[0]
    assert "such as row 301 (problem-300)" in report.blocks[0]
    paid = wrong_forms(only(report), right=False)
    assert paid["another problem's right completion"].wrong.count == 1, "its shape is rare, so it is fuzzed"


def test_a_ground_truth_that_its_verifier_rejects_is_a_fault_and_is_not_fuzzed(pool: VerifierPool) -> None:
    report = audit(make_problems("exact_number", "18", "eighteen"), make_config(), pool)
    assert only(report).faults == share_of(1, 2)
    assert only(report).fuzzed == 1
    assert "row 2 (problem-1)" in report.blocks[0]
    assert (
        audit(make_problems("exact_number", "18", "eighteen"), make_config(max_faults=0.5), pool).blocks == ()
    )


def test_a_verifier_that_does_not_exist_is_a_fault_of_its_rows(pool: VerifierPool) -> None:
    report = audit(make_problems("exact_nubmer", "18"), make_config(), pool)
    assert only(report).faults == share_of(1, 1)
    assert "There is no verifier named 'exact_nubmer'" in report.blocks[0]


def test_an_extractor_that_drops_the_sign_is_caught_paying_minus_18(pool: VerifierPool) -> None:
    report = audit(make_problems("without_sign", "18", "-7"), make_config(), pool)
    paid = wrong_forms(only(report), right=False)
    assert list(paid) == ["with the other sign"]
    assert paid["with the other sign"].wrong == share_of(2, 2)
    example = paid["with the other sign"].example
    assert example is not None and example.completion == "-18"


def test_a_substring_is_caught_in_longer_numbers_though_no_form_was_declared(pool: VerifierPool) -> None:
    paid = wrong_forms(only(audit(make_problems("anywhere", "18", "25"), make_config(), pool)), right=False)
    assert {"with a digit in front", "with a digit at the end", "ten times"} <= paid.keys()
    assert {"the right answer in the thinking only", "the right answer taken back"} <= paid.keys()


def test_numbers_found_anywhere_are_caught_in_thoughts_and_beside_others(pool: VerifierPool) -> None:
    report = audit(make_problems("any_number", "18"), make_config(), pool)
    assert "the right answer taken back" in wrong_forms(only(report), right=False)


def test_a_mathematical_verifier_is_caught_paying_for_hedges_and_denials(pool: VerifierPool) -> None:
    paid = wrong_forms(only(audit(make_problems("first_number", "18"), make_config(), pool)), right=False)
    assert {"one of two", "the right answer denied", "the right answer taken back"} <= paid.keys()
    assert "the other of two" not in paid
    example = paid["one of two"].example
    assert example is not None and example.completion == "18 or 19"


@pytest.mark.parametrize("verifier", ["after_is", "after_is_final"])
def test_any_number_after_is_is_caught_by_hedges_and_second_thoughts(
    verifier: str, pool: VerifierPool
) -> None:
    paid = wrong_forms(only(audit(make_problems(verifier, "18", "1,200"), make_config(), pool)), right=False)
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
    paid = wrong_forms(only(audit(make_problems("in_box", "18"), make_config(), pool)), right=False)
    assert paid.keys() == {"one of two", "one of four", "one of a thousand"}
    example = paid["one of four"].example
    assert example is not None and example.completion == "\\boxed{17, 18, 19 or 20}"


def test_any_letter_after_is_is_caught_naming_every_option(pool: VerifierPool) -> None:
    problems = make_problems("letter_after_is", *"ABCD")
    paid = wrong_forms(only(audit(problems, make_config(), pool)), right=False)
    assert {"every letter", "the other of two letters", "the right letter denied"} <= paid.keys()
    example = paid["every letter"].example
    assert example is not None and example.completion == "The answer is (A) (B) (C) (D)."
    assert "another letter" not in paid


def test_what_the_rule_of_the_last_number_allows_is_told_and_does_not_block(pool: VerifierPool) -> None:
    report = audit(make_problems("last_number", "18"), make_config(), pool)
    assert report.blocks == ()
    assert only(report).false_positives.count == 0
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
    report = audit(make_problems(verifier, "34", "52", "726"), make_config(), pool)
    assert form in wrong_forms(only(report), right=False)
    assert f"{verifier} gives wrong completions full reward" in report.blocks[0]


def test_text_in_another_order_is_wrong_and_in_other_case_where_case_counts(pool: VerifierPool) -> None:
    def wrong(verifier: str, **arguments: Any) -> AuditReport:
        problems = [make_problem(n, verifier, f"the red Room {n}", **arguments) for n in range(3)]
        return audit(problems, make_config(), pool)

    order = wrong_forms(only(wrong("bag_of_words")), right=False)
    assert order.keys() == {"words in another order"}
    case = wrong_forms(only(wrong("any_case_always", case_sensitive=True)), right=False)
    assert case.keys() == {"in other case"}
    assert wrong("any_case_always", case_sensitive=False).blocks == ()
    unsaid = wrong("any_case")
    assert unsaid.blocks == ()
    assert "any_case also gives full reward, as its rule may allow: in other case, 3 of 3" in unsaid.notes[0]
    for right in (wrong("exact_match"), wrong("exact_match", case_sensitive=False)):
        assert (right.blocks, right.notes) == ((), ())


def test_a_program_with_the_right_names_and_empty_functions_is_caught(pool: VerifierPool) -> None:
    truths = (f"def plus_{n}(number, step={n}):\n    return number + step" for n in range(4))
    paid = wrong_forms(only(audit(make_problems("names_only", *truths), make_config(), pool)), right=False)
    assert {"functions that only raise", "functions that return nothing"} == paid.keys()


def test_half_of_what_is_built_is_wrong(pool: VerifierPool) -> None:
    truths = ("<a>one</a><b>two</b>", "<c>three</c><d>four</d>")
    paid = wrong_forms(only(audit(make_problems("begins_well", *truths), make_config(), pool)), right=False)
    example = paid["the first half of it"].example
    assert example is not None and example.completion == "<a>one</a>"
    assert paid.keys() == {"the first half of it"}


def test_a_letter_found_anywhere_is_caught_by_the_list_of_options(pool: VerifierPool) -> None:
    prompt = "Which?\nA. one\nB. two\nC. three\nD. four"
    problems = [make_problem(n, "any_letter", letter, prompt) for n, letter in enumerate("ABCD")]
    paid = wrong_forms(only(audit(problems, make_config(), pool)), right=False)
    assert paid["the prompt again"].wrong == share_of(4, 4)
    assert "another letter" not in paid


def test_the_form_of_a_verifier_that_says_nothing_of_it_is_found(pool: VerifierPool) -> None:
    found = only(audit(make_problems("tagged", "18", "1200"), make_config(), pool))
    assert found.not_stated == 0
    assert "with .00" in {form.form for form in found.forms if form.is_right}
    assert wrong_forms(found, right=True) == {}


def test_where_no_form_is_rewarded_only_wrong_completions_are_tried_and_a_note_says_so(
    pool: VerifierPool,
) -> None:
    report = audit(make_problems("labelled", "18", "25"), make_config(), pool)
    assert only(report).not_stated == 2
    assert only(report).false_negatives.of == 0
    assert only(report).false_positives.of > 0
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
        pytest.param(
            *("hangs_on_long", ("18", "25"), "hangs_on_long is slow: 1 of 100 verdicts takes 1.5 s or more"),
            marks=pytest.mark.chaos,  # only for its time
        ),
        ("format_pays", ("18", "25"), "'answer another problem' earns 0.50 of the training reward"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(
    verifier: str, truths: tuple[str, ...], sentence: str, pool: VerifierPool
) -> None:
    assert sentence in "\n".join(audit(make_problems(verifier, *truths), make_config(), pool).blocks)


def test_a_verifier_that_never_pays_is_told_apart_from_one_that_was_seen_to(pool: VerifierPool) -> None:
    report = audit(make_problems("never", "18", "25"), make_config(), pool)
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
    report = audit(make_problems(verifier, *truths), make_config(), pool)
    assert report.blocks == ()
    assert any(
        note.startswith(f"{verifier} does not read, as its rule may allow: ") and unread in note
        for note in report.notes
    )


def test_few_right_completions_refused_are_told_though_they_do_not_block(pool: VerifierPool) -> None:
    report = audit(make_problems("same_text", "18", "25"), make_config(max_false_negatives=1), pool)
    assert report.blocks == ()
    told = "same_text is wrong, no more often than this audit allows: "
    assert any(note.startswith(told) and "with .00, 2 of 2" in note for note in report.notes)


def test_disagreements_with_a_second_verifier_are_listed(pool: VerifierPool) -> None:
    second = only(audit(make_problems("tagged", "18"), make_config(), pool)).second
    assert second is not None and second.verifier == "without_sign"
    forms = [example.form for example in second.examples]
    assert "with the other sign" in forms
    assert "one more" not in forms
    assert second.differ.count == len(second.examples)
    for example in second.examples:
        assert (example.first.reward == 1.0) != (example.second.reward == 1.0)


def test_a_composite_is_read_in_the_form_that_all_its_terms_reward(pool: VerifierPool) -> None:
    shape = {"verifier": "format", "weight": 1, "arguments": {"contains": ["<answer>", "</answer>"]}}
    terms: dict[str, Any] = {
        "terms": [{"verifier": "exact_number", "weight": 4}, shape],
        "gate": "exact_number",
    }
    problems = [
        make_problem(number, "composite", truth, **terms) for number, truth in enumerate(("18", "1200"))
    ]
    report = audit(problems, make_config(), pool)
    assert report.blocks == ()
    assert only(report).not_stated == 0
    assert only(report).false_negatives.of > 10


def test_a_prompt_that_shows_its_answer_is_not_held_against_the_verifier(pool: VerifierPool) -> None:
    shown = make_problem(0, "exact_number", "1,200", "Half of 2400 is 1200")
    hidden = make_problem(1, "exact_number", "30", "Half of 60")
    report = audit([shown, hidden], make_config(), pool)
    assert report.blocks == ()
    (form,) = [form for form in only(report).forms if form.form == "the prompt again"]
    assert form.wrong.of == 1
