"""Contamination: planted problems are found, clean rows are not, and every hit shows its place in both texts."""

import os
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.contamination import Contamination, Decontamination, EvaluationText, Kind
from stages.decontaminate import find_contamination
from tests.benchmarks.planted_contamination import REAL_DATA, invented, invented_text, measure, real

PROJECT = Path(__file__).parents[2]
DUCKS = "Janet\u2019s ducks lay 16 eggs per day and she eats three of them for breakfast every morning. How many stay?"


def look(rows: list[str], problems: list[str], **changes: object) -> list[Contamination]:
    evaluation = [EvaluationText("set", number, problem) for number, problem in enumerate(problems)]
    return find_contamination(pa.array(rows, pa.string()), evaluation, replace(Decontamination(), **changes))


def kinds(hits: list[Contamination]) -> set[Kind]:
    return {hit.kind for hit in hits}


@pytest.fixture(scope="module")
def planted() -> dict[str, dict[str, float]]:
    return measure(*invented(2_000, 300, seed=11), seed=11)


def test_whole_problems_are_found_whatever_their_surface_or_surroundings(
    planted: dict[str, dict[str, float]],
):
    for kind in ("exact", "8-gram", "13-gram", "near", "counted"):
        for plant in ("verbatim", "other_surface", "embedded"):
            assert planted[kind][plant] == 1.0, (kind, plant)


def test_near_finds_reworded_problems_that_the_stricter_kinds_miss(planted: dict[str, dict[str, float]]):
    assert planted["near"]["reworded"] > 0.75
    assert planted["exact"]["reworded"] < 0.1 < planted["13-gram"]["reworded"]
    assert planted["counted"]["reworded"] >= planted["near"]["reworded"]


def test_other_numbers_are_listed_but_not_counted(planted: dict[str, dict[str, float]]):
    found = sum(planted[kind]["renumbered"] for kind in ("template", "8-gram", "13-gram", "near"))
    assert found >= 1.0, "every renumbered problem is listed by one kind at least"
    assert planted["counted"]["renumbered"] <= 0.1, "those few without any number are the same problem"


def test_no_clean_row_is_a_hit(planted: dict[str, dict[str, float]]):
    assert {kind: row["clean"] for kind, row in planted.items()} == dict.fromkeys(planted, 0.0)


def test_a_hit_shows_the_matching_words_in_both_original_texts():
    row = "Q:  " + DUCKS.upper().replace("PER", "P\u00ader") + " A: 13"
    evaluation = [EvaluationText("set", 7, DUCKS, "13")]
    hits = find_contamination(pa.array(["nothing", row]), evaluation, Decontamination())
    assert {hit.kind for hit in hits} == {"exact", "8-gram", "13-gram", "near"}
    for hit in hits:
        assert (hit.training_row, hit.evaluation_name, hit.evaluation_row, hit.score) == (1, "set", 7, 1.0)
        assert hit.training_spans == ((4, row.index("?")),)
        assert hit.evaluation_spans == ((0, DUCKS.index("?")),)
        assert hit.ground_truth_found and hit.numbers_agree


def test_8_gram_coverage_is_the_share_of_the_problems_words():
    problem = invented_text(random.Random(1), 40)
    words = problem.split()
    half = " ".join(["x", *words[:20], "y"])
    (hit,) = look([half], [problem], methods=("8-gram",))
    assert hit.score == 0.5 and half[slice(*hit.training_spans[0])] == " ".join(words[:20]).rstrip(".")
    assert look([" ".join(["x", *words[:19], "y"])], [problem], methods=("8-gram",)) == []


def test_13_gram_needs_13_words_in_a_row():
    words = invented_text(random.Random(2), 60).split()
    assert look([" ".join(words[20:33])], [" ".join(words)], methods=("13-gram",))
    assert look([" ".join(words[20:32])], [" ".join(words)], methods=("13-gram",)) == []


INSTRUCTION = "Let's think step by step and output the final answer within \\boxed{}."


def test_the_instruction_that_all_prompts_share_is_never_contamination():
    rng = random.Random(3)
    rows = [f"{INSTRUCTION}\n\n{invented_text(rng, 30)}" for _ in range(200)]
    problems = [f"{INSTRUCTION}\n\n{invented_text(rng, rng.choice([5, 12, 30]))}" for _ in range(50)]
    assert look(rows, problems) == []
    rows[3] = problems[8].removeprefix(INSTRUCTION)
    assert {(hit.training_row, hit.evaluation_row) for hit in look(rows, problems)} == {(3, 8)}


def test_a_phrase_in_many_problems_or_many_different_rows_makes_no_hit():
    rng = random.Random(4)
    phrase = invented_text(rng, 15)
    shared = [f"{invented_text(rng, 12)} {phrase} {invented_text(rng, 12)}" for _ in range(30)]
    assert look(shared[:1], shared[1:6], methods=("13-gram",)) == [], "five problems have it"
    assert look(shared[:20], shared[20:21], methods=("13-gram",)) == [], "twenty rows have it"
    assert look(shared[:5], shared[20:21], methods=("13-gram",)), "five rows are no boilerplate"


def test_many_copies_of_one_problem_do_not_excuse_each_other():
    rng = random.Random(5)
    problem = invented_text(rng, 40)
    rows = [f"{problem}\n{invented_text(rng, 30)}" for _ in range(64)]
    hits = look(rows, [problem])
    assert {hit.training_row for hit in hits if hit.is_counted} == set(range(64))
    assert kinds(hits) == {"exact", "8-gram", "13-gram", "near"}


def test_completions_of_one_prompt_count_once_when_prompts_are_given():
    rng = random.Random(6)
    problem = invented_text(rng, 40).split()
    prompt = " ".join(problem[:25])
    rows = [f"{prompt}\n{invented_text(rng, 30)}" for _ in range(40)]
    evaluation = [EvaluationText("set", 0, " ".join(problem))]
    only = Decontamination(methods=("8-gram",))
    assert find_contamination(pa.array(rows), evaluation, only) == []
    assert len(find_contamination(pa.array(rows), evaluation, only, prompts=pa.array([prompt] * 40))) == 40


def test_a_short_problem_must_be_a_sentence_of_the_row():
    problem = "Compute $\\sin 60^\\circ$."
    for row in [
        "compute \\(\\sin 60^\\circ\\)!",
        "Solve: Compute sin 60^circ.",
        "Hi.\nCompute sin 60^circ\nThat is",
    ]:
        assert kinds(look([row], [problem])) == {"exact"}, row
    for row in ["Compute $\\sin 60^\\circ + 1$.", "Do not compute sin 60^circ.", "compute sin 60^circ.5"]:
        assert look([row], [problem]) == [], row


def test_a_problem_of_three_words_must_be_a_line_of_the_row():
    assert kinds(look(["user:\n Compute $7!$.\n"], ["Compute $7!$"])) == {"exact"}
    assert look(["First. Compute $7!$. Then go on."], ["Compute $7!$"]) == []


def test_the_same_story_with_other_numbers_is_a_template():
    row = DUCKS.replace("16", "1,250").replace("three", "twenty")
    short = "A plane flies 1200 miles in 3 hours and then 50 more."
    hits = look(["A plane flies 8 miles in 7 hours and then 9 more."], [short])
    assert [(hit.kind, hit.is_counted, hit.numbers_agree) for hit in hits] == [("template", False, False)]
    assert not any(hit.is_counted for hit in look([row], [DUCKS]))
    assert any(hit.is_counted for hit in look([row], [DUCKS], count_other_numbers=True))


def test_what_a_person_judged_harmless_is_not_reported():
    rows, problems = [DUCKS, f"Again: {DUCKS}"], [DUCKS, invented_text(random.Random(7), 20)]
    assert {hit.training_row for hit in look(rows, problems)} == {0, 1}
    assert look(rows, problems, allowed_problems=frozenset({("set", 0)})) == []
    rest = look(rows, problems, allowed_pairs=frozenset({(0, "set", 0)}))
    assert {hit.training_row for hit in rest} == {1}
    assert kinds(look(rows, problems, harmless_texts=(DUCKS,))) == {"exact"}


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.lists(st.text(max_size=60), max_size=6), st.lists(st.text(max_size=60), max_size=6))
def test_any_texts_give_spans_inside_of_them(rows: list[str], problems: list[str]):
    rows, problems = [[t.encode("utf-8", "ignore").decode() for t in texts] for texts in (rows, problems)]
    for hit in look([*rows, *problems], problems):
        text, prompt = [*rows, *problems][hit.training_row], problems[hit.evaluation_row]
        for spans, whole in ((hit.training_spans, text), (hit.evaluation_spans, prompt)):
            edges = [edge for span in spans for edge in span]
            assert edges == sorted(edges) and edges[0] >= 0 and edges[-1] <= len(whole)
        assert 0 < hit.score <= 1


def test_nothing_to_compare_is_no_contamination():
    assert look([], [DUCKS]) == []
    assert look([DUCKS], []) == []
    assert look(["", "!!!"], ["", "?"]) == []


_SCRIPT = """
import pyarrow as pa
from stages.contamination import Decontamination, EvaluationText
from stages.decontaminate import find_contamination
from tests.benchmarks.planted_contamination import invented, reworded
import random
rows, problems = invented(300, 60, 5)
rows += [reworded(random.Random(1), problem) for problem in problems]
evaluation = [EvaluationText("s", row, problem) for row, problem in enumerate(problems)]
print(find_contamination(pa.array(rows), evaluation, Decontamination()))
"""


def test_the_hash_seed_changes_nothing():
    outputs = {
        subprocess.run(
            [sys.executable, "-c", _SCRIPT],
            cwd=PROJECT,
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1 and "near" in outputs.pop()


@pytest.mark.skipif(not REAL_DATA.is_dir(), reason=f"BURNISH_REAL_DATA: {REAL_DATA} does not exist")
def test_math_500_planted_in_gsm8k_is_found_and_gsm8k_itself_is_clean():
    clean, problems = real()
    measured = measure(clean, problems[::4], seed=1)
    assert min(measured["exact"][plant] for plant in ("verbatim", "embedded")) > 0.98
    assert min(measured["counted"][plant] for plant in ("verbatim", "embedded")) > 0.98
    assert measured["counted"]["clean"] <= 2
