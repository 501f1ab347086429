"""The number a word problem's completion ends with, wherever it says so, and nothing that only holds one."""

import json
import os
import re
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_contracts.errors import GroundTruthError
from data_contracts.verdict import PosedProblem
from stages.verifiers.gsm8k import GSM8K, gsm8k

REAL_DATA = Path(os.environ.get("BURNISH_REAL_DATA", Path(__file__).parents[3] / "shared" / "data"))
MEGABYTE = 1_000_000
PROMPT = "Natalia sold clips to 18 of her friends in April.\nHow many clips did she sell to 18 friends?"


def reward(completion: str, ground_truth: str = "18", prompt: str = "How many?") -> float:
    return gsm8k(completion, PosedProblem(prompt, ground_truth)).reward


@pytest.mark.parametrize(
    "completion",
    [
        "16 - 3 - 4 = 9\n#### 18",
        "####18",
        "#### **18**",
        "#### $18",
        "#### $18.00",
        "#### 18 eggs",
        "#### 18\n\nWas this good?",
        "#### 17\nno, again:\n#### 18",
        "#### Step 1: take 3\nso $\\boxed{18}$",
        "#### 1. Read it\nThe answer is 18",
        "\\boxed{18}",
        "\\boxed{18 \\text{ eggs}}",
        "\\boxed{9 \\times 2 = 18}",
        "The answer is 18.",
        "The answer is: $18.",
        "The final answer is $18$. I hope it is correct.",
        "**Answer:** 18 dollars",
        "The answer is 9 * 2 = 18 dollars",
        "The answer is that she has 18 eggs",
        "So she has 18 eggs left.",
        "The answer is 9 eggs \u00d7 $2 = $18.",
        "Answer: 9 x 2 = 18",
        "The answer is 18 because 9*2=18",
        "The answer is 18, not 17.",
        "The answer is $18/day",
        "#### 18 (9*2)",
        "\\boxed{18\\,}",
        "\\boxed{\\text{\\$18}}",
        "Answer: Rs. 18",
        "The final answer is: 18.\n\n#### Explanation\n9 eggs at $2.",
        "So, she makes 9 x $2 = $18 on eggs.",
        "25 \u2013 7 = 18",
        "20% of 90 = 18",
        "15 apples + 3 = 18 apples",
        "$6 \\times 3 = 18$",
        "$\\frac12 \\times 36 = 18$",
        "Therefore, 24 - 6 = 18 students are not on varsity.",
        "You will save $14 + $4 = $18 for 2 tubs and 4 packets.",
        "9 * 2 = 18",
        "She makes 9 * 2 = $18 every day.",
        "(16 - 3 - 4) * 2 = 18",
        "First 3, then 18.",
        "There are 18 left! I hope this helps.",
        "<think>7</think>18",
        "\uff11\uff18",
        "18",
    ],
)
def test_the_last_number_is_the_answer(completion: str) -> None:
    assert reward(completion) == 1.0


@pytest.mark.parametrize(
    ("completion", "ground_truth"),
    [
        ("#### 1,200", "1200"),
        ("#### 1200", "1,200"),
        ("#### 1200.00", "1200"),
        ("\\boxed{1{,}200}", "1200"),
        ("The answer is 1,200,300.", "1200300"),
        ("#### -5", "-5"),
        ("#### \u22125", "-5"),
        ("So she lost $-5$", "-5"),
        ("#### .5", "0.5"),
        ("#### 1/2", "0.5"),
        ("#### 1 1/2", "1.5"),
        ("#### 50%", "50"),
        ("#### 18", "so 9 * 2 = <<9*2=18>>18\n#### 18"),
    ],
)
def test_spellings_of_one_number_are_equal(completion: str, ground_truth: str) -> None:
    assert reward(completion, ground_truth) == 1.0


@pytest.mark.parametrize(
    "completion",
    [
        # several answers
        "#### 18\n#### 17",
        "#### 17 or 18",
        "#### 17, 18",
        "#### 18 17",
        "\\boxed{18} \\boxed{17}",
        "\\boxed{17, 18}",
        "\\boxed{18} or 17",
        "The answer is 17 or 18",
        "The answer is 16, 17, 18.",
        "The answer is 17 and 18",
        "It is either 17 or 18",
        "The candidates are 16, 17, 18",
        "16, 17 and 18",
        "Between 10 and 18",
        # second thoughts, and answers that are calculated with
        "#### 18\n\nActually the answer is 17.",
        "\\boxed{18}. Actually, no, the answer is 17.",
        "The answer is 18. No wait, it is 17.",
        "The answer is 18.\nCorrection: 17",
        "\\boxed{18}\nSorry, I meant 17.",
        "Janet makes 17 dollars, rather than 18.",
        "-\\boxed{18}",
        "\\boxed{18}0",
        "\\boxed{18}/2",
        "\\boxed{18} million",
        "17 = \\boxed{18}",
        "$\\frac12 \\times 34 = 18$",
        # denials
        "The answer is not 18",
        "The answer isn't 18",
        "#### not 18",
        "\\boxed{18} is wrong",
        "It is not \\boxed{18}",
        "It cannot be 18.",
        "So it is not 18",
        "Perhaps 18",
        "I doubt it is 18, and not 17",
        "The answer is probably 18",
        "The answer is 18. Or 17.",
        # thoughts
        "<think>18</think> I do not know",
        "<think>#### 18</think>",
        "<think>#### 18",
        "<think>\\boxed{18}</think>\n",
        "#### 18</think>",
        "#### 18</think>#### 17",
        "<think>The answer is 18</think>The answer is above.",
        "<think><think>18</think>no",
        "a</think>17<think>18",
        "<think>18",
        # equations
        "The answer is 17 = 18",
        "7 = 18",
        "#### 9 + 8 = 18",
        "\\boxed{17=18}",
        "\\boxed{18=17}",
        "9 * 3 = 18",
        "The answer is 3 * 5 = 18 dollars",
        "(2 + 3) * 2 = 18",
        "20 - 5 = $18",
        "1/2 = 18",
        "9 * 2",
        "36/2",
        # tolerance and separators
        "#### 18.0000000001",
        "#### 17.9999999999",
        "#### 18.5",
        "#### -18",
        "#### 81",
        "#### 180",
        "#### 1,8",
        "#### 1.8",
        "#### 18e1",
        "#### 18 million",
        # look-alikes
        "#### l8",
        "#### 1O",
        "#### 1\u2078",
        "#### \u2460\u2467",
        "#### eighteen-ish",
        "#### \u202e81",
        "#### 1\u03018",
        "#### XVIII",
        "#### 1 8",
        "",
    ],
)
def test_what_only_holds_the_number_is_wrong(completion: str) -> None:
    assert reward(completion) == 0.0


@pytest.mark.parametrize(
    "completion",
    [
        PROMPT,
        f"{PROMPT}\n{PROMPT}",
        f"You ask: {PROMPT}",
        "How many clips did she sell to 18 friends?",
        "Natalia sold clips to 18 of her friends in April.",
        "Natalia sold clips to 18",
        "We know that Natalia sold clips to 18 of her friends in April",
        "So how many? I wonder how many clips did she sell to 18 friends?",
        f"{PROMPT}\nLet me think.",
        f"{PROMPT}\nIt is 17",
    ],
)
def test_what_the_prompt_says_is_no_answer(completion: str) -> None:
    assert reward(completion, "18", PROMPT) == 0.0


@pytest.mark.parametrize("completion", [f"{PROMPT}\n18", f"{PROMPT}\n#### 18", "She sold 18", "#### 18"])
def test_an_answer_beside_the_prompt_counts(completion: str) -> None:
    assert reward(completion, "18", PROMPT) == 1.0


@pytest.mark.parametrize(
    "ground_truth", ["", "eighteen or so", "x", "1 2", "nan", "1/0", "#### ", "9" * 1001]
)
def test_a_ground_truth_that_is_no_number_is_refused_in_three_parts(ground_truth: str) -> None:
    with pytest.raises(GroundTruthError) as refusal:
        gsm8k("#### 18", PosedProblem("", ground_truth))
    assert refusal.value.found
    assert "18" in refusal.value.expected
    assert "math" in refusal.value.do


@given(
    st.integers(), st.integers(), st.sampled_from(["#### %s", "\\boxed{%s}", "The answer is %s.", "It is %s"])
)
@settings(derandomize=True)
def test_integers_agree_with_python(answer: int, truth: int, form: str) -> None:
    assert reward(form % f"{answer:,}", str(truth)) == float(answer == truth)


@given(st.text(alphabet="0123456789.,-+=/#$% {}\\\u00bd\u0661\u200b\nboxed") | st.text())
@settings(derandomize=True)
def test_no_completion_raises(text: str) -> None:
    for completion in (text, f"#### {text}", f"\\boxed{{{text}}}", f"The answer is {text}"):
        assert reward(completion) in (0.0, 1.0)


@pytest.mark.parametrize(
    "piece",
    [
        "9",
        "1 ",
        "1,",
        "1,200,",
        "-",
        ".",
        "1e",
        "$",
        "1/",
        "#",
        "#### 1\n",
        "\\boxed{",
        "(",
        "1+",
        "=",
        "answer is ",
    ],
)
def test_a_megabyte_of_anything_is_judged_at_once(piece: str) -> None:
    many = piece * (MEGABYTE // len(piece))
    for completion in (many, f"#### {many}", f"\\boxed{{{many}}}", f"The answer is {many}", f"{many} = 18,"):
        start = time.process_time()
        verdict = gsm8k(completion, PosedProblem("How many?", "17"))
        assert time.process_time() - start < 5
        assert verdict.reward == 0.0
        assert len(verdict.reason) < 300


@pytest.mark.parametrize(
    ("completion", "ground_truth"),
    [
        ("The answer is 18 m\u00b2.", "18"),
        ("The area is 18 m^2.", "18"),
        ("#### $18 for 9 eggs", "18"),
        ("She makes $18 for the 9 eggs she sells.", "18"),
        ("Janet earns $18 daily from selling her remaining 9 eggs at $2 each.", "18"),
        ("He walks **18 miles** in 3 hours.", "18"),
        ("18 bolts (2 blue + 16 white)", "18"),
        ("The winner jumped 18 feet because 18 > 17", "18"),
        ("The number of pets that are neither cats nor dogs is 20 - 2 = 18", "18"),
        ("Final answer:\n\n---\n\n**18**", "18"),
        ("<answer>\n$18\n</answer>", "18"),
        ("She gets home at 3:00 PM.", "3"),
        ("She earns $5k.", "5000"),
        ("The answer is 5k.", "5000"),
        ("She sells 5 thousand eggs.", "5000"),
        ("70\u202f000", "70000"),
        ("2 1/2", "2.5"),
        ("\u00bd", "0.5"),
        ("\\boxed{18}\n\nActually, let me verify: 9 * 2 = 18. \\boxed{18}", "18"),
    ],
)
def test_the_number_is_told_from_what_explains_it(completion: str, ground_truth: str) -> None:
    assert reward(completion, ground_truth) == 1.0


@pytest.mark.parametrize(
    ("completion", "ground_truth"),
    [
        ("She makes $9 for 18 eggs.", "18"),
        ("She makes $18 for 9 eggs, or $20 for 10.", "18"),
        ("**18** or **19**", "18"),
        ("It's more than 18", "18"),
        ("less than 18", "18"),
        ("17\u201318", "18"),
        ("17 to 18", "18"),
        ("between 17 and 18", "18"),
        ("18k", "18"),
        ("18 million", "18"),
        ("36/2", "18"),
        ("At 3:30 PM", "3"),
        ("<answer>18</answer><answer>17</answer>", "18"),
        ("\\boxed{18}\n\nActually, let me verify: 9 * 3 = 27. \\boxed{27}", "18"),
    ],
)
def test_numbers_that_bound_explain_or_scale_are_no_answer(completion: str, ground_truth: str) -> None:
    assert reward(completion, ground_truth) == 0.0


def test_what_the_prompt_counts_in_dozens_stays_in_dozens() -> None:
    assert reward("She needs 2 dozen eggs.", "2", "How many dozen eggs does she need?") == 1.0
    assert reward("She needs 2 dozen eggs.", "24", "How many eggs does she need?") == 1.0
    assert reward("She needs 2 dozen eggs.", "2", "How many eggs does she need?") == 0.0


@pytest.mark.skipif(not REAL_DATA.is_dir(), reason=f"BURNISH_REAL_DATA: no {REAL_DATA}")
@pytest.mark.parametrize("split", ["train", "test"])
def test_every_real_solution_and_ground_truth_is_right_and_its_neighbour_wrong(split: str) -> None:
    assert GSM8K.completion_of is not None
    for line in (REAL_DATA / "gsm8k" / f"{split}.jsonl").read_text().splitlines():
        row = json.loads(line)
        problem = PosedProblem(row["question"], row["answer"].rpartition("#### ")[2])
        assert gsm8k(row["answer"], problem).reward == 1.0, line
        assert gsm8k(GSM8K.completion_of(problem), problem).reward == 1.0, line
        neighbour = int(problem.ground_truth.replace(",", "")) + 1
        assert gsm8k(f"#### {neighbour}", problem).reward == 0.0, line


@pytest.mark.skipif(not REAL_DATA.is_dir(), reason=f"BURNISH_REAL_DATA: no {REAL_DATA}")
def test_worked_solutions_in_prose_are_read_as_people_read_them() -> None:
    """Without their last line; the few left out end in another number than their answer."""
    rows = [json.loads(line) for line in (REAL_DATA / "gsm8k" / "test.jsonl").read_text().splitlines()]
    rewards = [
        reward(re.sub(r"<<.*?>>", "", steps).strip(), number.strip(), row["question"])
        for row in rows
        for steps, _, number in [row["answer"].partition("####")]
    ]
    assert sum(rewards) >= 0.99 * len(rows)
