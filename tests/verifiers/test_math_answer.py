"""What reading decides: right answers in any spelling, and none of the ways to seem right."""

import pytest

from data_contracts.errors import GroundTruthError
from data_contracts.verdict import PosedProblem
from stages.verifiers.math_answer import math
from tests.verifiers.math_rewards import reward

PROMPT = (
    "Ann has 17 apples and gets one more.\nIs the number of her apples \\boxed{18}? Answer in a \\boxed{}."
)


@pytest.mark.parametrize(
    ("completion", "ground_truth"),
    [
        ("so $\\boxed{18}$.", "18"),
        ("\\[\\boxed{18}\\]", "18"),
        ("\\fbox{18}", "18"),
        ("\\\\boxed{18}", "18"),
        ("\\boxed{{18}}", "18"),
        ("\\boxed{(18)}", "18"),
        ("The answer is (-\\infty, 2) \\cup (3, \\infty).", "(-\\infty,2)\\cup(3,\\infty)"),
        ("we get \\boxed{18} and so \\boxed{18.0}", "18"),
        ("<think>\\boxed{1}</think>\\boxed{18}", "18"),
        ("The answer is 18.", "18"),
        ("The final answer is $18$. I hope it is correct.", "18"),
        ("**Answer:** 18", "18"),
        ("**Final Answer**\n\n$18$", "18"),
        ("Final answer:\n\\[\n18\n\\]", "18"),
        ("#### 18", "18"),
        ("The answer is $11,\\! 111,\\! 100$.", "11111100"),
        ("So the total is 18.", "18"),
        ("18", "\\boxed{18}"),
        ("\\boxed{18}. The answer is 18 apples.", "18"),
        ("The number is not 17. It is \\boxed{18}.", "18"),
        ("17 is not right, so the answer is 18", "18"),
        ("The answer is therefore $18$.", "18"),
        ("The answer must be 18.", "18"),
        ("The answer is exactly 18, which is even.", "18"),
        ("The answer is $18$ (eighteen).", "18"),
        ("Final answer: The sum of the roots is $18$.", "18"),
        ("$9 \\cdot 2 = \\boxed{18}$", "18"),
        ("- $\\boxed{18}$", "18"),
        ("$\\log_2 64 = \\boxed{6}$", "6"),
        ("\\boxed{18}\n\nLet me double check: 9 * 2 = 18. Yes.", "18"),
        ("$\\boxed{-2,1}$.\n\nTherefore, the answer is $-2,1$.", "-2,1"),
        ("\\boxed{-2} and \\boxed{1}.\n\nFinal answer: \\boxed{-2, 1}", "-2,1"),
    ],
)
def test_the_final_answer_is_found(completion: str, ground_truth: str) -> None:
    assert reward(completion, ground_truth) == 1.0


@pytest.mark.parametrize(
    ("answer", "ground_truth"),
    [
        ("1,200", "1200"),
        ("1{,}200", "1200"),
        ("1,\\!200,\\! 300", "1200300"),
        ("5\\,000", "5000"),
        ("5\\ 000", "5000"),
        ("5 000", "5000"),
        ("5\u202f000", "5000"),
        ("5000", "5\\,000"),
        ("1,200.50", "1200.5"),
        ("12,345,678", "12345678"),
        ("\\$32,\\!348", "32348"),
        ("18", "\\$18"),
        ("18.00", "18"),
        (".5", "0.5"),
        ("0.5", "\\frac{1}{2}"),
        ("\\frac{2}{4}", "\\frac12"),
        ("\\dfrac 92", "\\frac{9}{2}"),
        ("9/2", "\\tfrac92"),
        ("-\\frac{1}{2}", "\\frac{-1}{2}"),
        ("1 1/2", "1.5"),
        ("1\\frac{1}{2}", "\\frac32"),
        ("-1\\frac12", "-1.5"),
        ("\u00bd", "0.5"),
        ("1\u00bd", "1.5"),
        ("0.1\\overline{6}", "\\frac16"),
        ("3 \\times 10^{4}", "30000"),
        ("1.5e3", "1500"),
        ("\u221218", "-18"),
        ("\uff11\uff18", "18"),
        ("\u0661\u0668", "18"),
        ("1\u200b8", "18"),
        ("50\\%", "50"),
        ("50", "50\\%"),
        ("0.5", "50\\%"),
        ("50\\%", "\\frac{1}{2}"),
        ("50 \\text{ percent}", "50\\%"),
        ("18 \\text{ apples}", "18"),
        ("18 apples", "18"),
        ("14", "14 \\text{ right triangles}"),
        ("10\\text{ centimeters}", "10\\text{ cm}"),
        ("10 \\text{ sq cm}", "10\\text{ cm}^2"),
        ("30^\\circ", "30"),
        ("30", "30^{\\circ}"),
        ("30\u00b0", "30 \\text{ degrees}"),
        ("\\$5", "5 \\text{ dollars}"),
        ("3.5 \\text{ million}", "3500000"),
        ("12_{5}", "12_5"),
        ("12", "12_5"),
        ("12_{\\text{five}}", "12_5"),
        ("x = 5", "5"),
        ("5", "x=5"),
        ("2 + 5 = 7", "7"),
        ("y = (16 - 3 - 4) \\times 2 = 18", "18"),
        ("\\frac{1}{3} \\approx 0.33", "\\frac13"),
        ("[-2, 7]", "x \\in [-2,7]"),
        ("\\left( 3, 0.5 \\right)", "(3,\\frac{1}{2})"),
        ("\\{6, 5\\}", "5, 6"),
        ("6 \\text{ and } 5", "5,6"),
        ("5 \\text{ or } 6", "6, 5"),
        ("\\pm 5", "-5, 5"),
        ("\\begin{bmatrix} 0.5 \\\\ 2 \\end{bmatrix}", "\\begin{pmatrix} 1/2 \\\\ 2 \\end{pmatrix}"),
        ("(-\\infty, 2.0) \\cup (3, \\infty)", "(-\\infty,2)\\cup(3,\\infty)"),
        ("Monday", "\\text{Monday}"),
        ("\\textbf{(C)}", "\\text{(C)}"),
        ("C", "\\text{(C)}"),
        ("(C)", "C"),
        ("\\text{B, A}", "\\text{A,B}"),
        ("4:30 PM", "\\text{4:30 p.m.}"),
        ("4", "\\mbox{four}"),
        ("\\sqrt 2+\\sqrt 5", "\\sqrt{2} + \\sqrt{5}"),
        ("42\\,", "42"),
        ("42\\ ", "42"),
        ("\\bf 42", "42"),
        ("\\boldsymbol{42}", "42"),
        ("0.\\bar{3}", "\\frac13"),
        ("\\frac\\pi2", "\\frac{\\pi}{2}"),
        ("\\sqrt[3]2", "\\sqrt[3]{2}"),
        ("2\u221a3", "2\\sqrt{3}"),
        ("36pi", "36\\pi"),
        ("\\pi \\approx 3.14", "\\pi"),
        ("(x, y) = (-1, 2)", "(-1,2)"),
        ("(x,y)=(3,5)", "x=3, y=5"),
        ("y=5, x=3", "x=3, y=5"),
        ("\\angle ABC = 30^\\circ", "30^\\circ"),
        ("a+b = 15", "15"),
        ("15 = a+b", "15"),
        ("f(-2) = 15", "15"),
        ("P(X = 2) = \\frac23", "\\frac{2}{3}"),
        ("\\sin\\theta = \\frac23", "\\frac{2}{3}"),
        ("\\frac{m}{n} = \\frac23", "\\frac{2}{3}"),
        ("x^2+y^2 = 15", "15"),
        ("[ABC] = 15", "15"),
    ],
)
def test_spellings_of_one_answer_are_equal(answer: str, ground_truth: str) -> None:
    assert reward(f"\\boxed{{{answer}}}", ground_truth) == 1.0


@pytest.mark.parametrize(
    ("completion", "ground_truth"),
    [
        # several answers
        ("\\boxed{18}, wait: \\boxed{19}", "18"),
        ("\\boxed{18}, wait: \\boxed{19}", "19"),
        ("\\boxed{17} \\boxed{18} \\boxed{19}", "18"),
        ("\\boxed{18}. The answer is 19.", "18"),
        ("\\boxed{18}\n#### 19", "18"),
        ("\\boxed{18} or 19", "18"),
        ("\\boxed{18}. Or 19.", "18"),
        ("5 or 6 or 7", "5"),
        ("\\boxed{5 \\text{ or } 6}", "5"),
        ("\\boxed{5, 6, 7}", "7"),
        ("\\boxed{5; 6}", "6"),
        ("\\boxed{5 \\text{ and } 6}", "6"),
        ("\\boxed{\\pm 5}", "5"),
        ("\\boxed{18 \\text{ to } 20}", "18"),
        ("\\boxed{\\text{A, B, C, D}}", "\\text{A}"),
        ("\\boxed{\\text{A or B}}", "\\text{A}"),
        ("\\boxed{}", "18"),
        ("\\boxed{18} \\boxed{}", "18"),
        # second thoughts, and answers that are calculated with
        ("The answer is 18. No wait, it is 17.", "18"),
        ("The answer is 18. I made a mistake; the correct value is 17.", "18"),
        ("\\boxed{18}\nSorry, I meant 17.", "18"),
        ("\\boxed{18}\n\nCorrection: 17", "18"),
        ("\\boxed{18}. On second thought, 17.", "18"),
        ("\\boxed{18} should have been 17.", "18"),
        ("The answer is 18 (alternatively 17).", "18"),
        ("-\\boxed{18}", "18"),
        ("$-\\boxed{18}$", "18"),
        ("\\boxed{18}0", "18"),
        ("\\boxed{18}.5", "18"),
        ("\\boxed{18}^2", "18"),
        ("\\boxed{18}/2", "18"),
        ("$\\boxed{18}!$", "18"),
        ("\\boxed{18} + 1", "18"),
        ("2\\cdot\\boxed{18}", "18"),
        ("\\frac{\\boxed{18}}{2}", "18"),
        ("x \\ne \\boxed{18}", "18"),
        ("17 = \\boxed{18}", "18"),
        ("9+8 = \\boxed{18}", "18"),
        ("\\boxed{18} = 17", "18"),
        ("\\boxed{18 \\approx 17}", "18"),
        ("\\boxed{x \\approx 18 \\approx 17}", "18"),
        ("\\boxed{5, 3}", "x=3, y=5"),
        ("\\boxed{2,1}", "A=1, B=2"),
        ("\\boxed{17+26}", "43"),
        # denials and hedges
        ("The answer is not 18", "18"),
        ("The answer is not $18$.", "18"),
        ("The answer isn't 18", "18"),
        ("It is not \\boxed{18}", "18"),
        ("It can't be \\boxed{18}", "18"),
        ("either \\boxed{18} or something else", "18"),
        ("\\boxed{18} is wrong", "18"),
        ("\\boxed{18} is not the answer", "18"),
        ("\\boxed{18}. Wait, no.", "18"),
        ("\\boxed{\\text{not } 18}", "18"),
        ("\\boxed{18 \\text{ is incorrect}}", "18"),
        ("The answer is maybe 18", "18"),
        ("The answer is 5. Or 6.", "5"),
        ("The answer is neither 17 nor 18", "18"),
        # thoughts
        ("<think>\\boxed{18}</think> I give up.", "18"),
        ("<think>\\boxed{18}", "18"),
        ("<think>The answer is 18", "18"),
        ("<think>#### 18</think>", "18"),
        ("</think>\\boxed{18}<think>", "19"),
        ("\\boxed{18}</think>", "18"),
        ("\\boxed{18}</think>\\boxed{19}", "18"),
        ("<think>a</think>\\boxed{17}<think>\\boxed{18}", "18"),
        ("<think><think>\\boxed{18}</think>I wonder.", "18"),
        ("<think>18</think>\n", "18"),
        # chains
        ("\\boxed{7=2}", "2"),
        ("\\boxed{2=7}", "2"),
        ("\\boxed{7=2}", "7"),
        ("\\boxed{x = 18 = 19}", "18"),
        ("\\boxed{18 = x = 19}", "19"),
        ("\\boxed{9+8=18}", "18"),
        ("\\boxed{y=7}", "x=7"),
        ("\\boxed{x = 5, x = 6}", "5"),
        ("\\boxed{18 = 18 = 17}", "18"),
        ("\\boxed{1/2 = 0.4}", "0.5"),
        ("\\boxed{9+9}", "18"),
        # near numbers
        ("\\boxed{0.3333333333}", "\\frac{1}{3}"),
        ("\\boxed{\\frac{1}{3}}", "0.3333333333"),
        ("\\boxed{18.0000000000000001}", "18"),
        ("\\boxed{17.9999999999999999}", "18"),
        ("\\boxed{9007199254740993}", "9007199254740992"),
        ("\\boxed{1e-30}", "0"),
        ("\\boxed{-18}", "18"),
        ("\\boxed{81}", "18"),
        ("\\boxed{180}", "18"),
        ("\\boxed{0.1\\overline{6}}", "0.166666"),
        ("\\boxed{1\\frac12}", "\\frac{1}{2}"),
        # separators
        ("\\boxed{5\\,000}", "0"),
        ("\\boxed{5\\,000}", "5"),
        ("\\boxed{1.200}", "1200"),
        ("\\boxed{1,200}", "1.2"),
        ("\\boxed{1,8}", "18"),
        ("\\boxed{12,34}", "1234"),
        ("\\boxed{1,20}", "120"),
        ("\\boxed{1,200,30}", "120030"),
        ("\\boxed{(1,200)}", "1200"),
        # units, percent, bases
        ("\\boxed{10 \\text{ inches}}", "10\\text{ cm}"),
        ("\\boxed{10 \\text{ cm}^2}", "10\\text{ cm}^3"),
        ("\\boxed{5 \\text{ cents}}", "\\$5"),
        ("\\boxed{0.5\\%}", "50\\%"),
        ("\\boxed{5000}", "50\\%"),
        ("\\boxed{18 \\text{ million}}", "18"),
        ("\\boxed{18 \\text{ squared}}", "18"),
        ("\\boxed{9 \\text{ p.m.}}", "9\\text{ a.m.}"),
        ("\\boxed{12_6}", "12_5"),
        ("\\boxed{12_0}", "12_5"),
        ("\\boxed{30 \\text{ radians}}", "30^\\circ"),
        # other shapes and words
        ("\\boxed{(0,1)}", "[0,1]"),
        ("\\boxed{(1,2)}", "(2,1)"),
        ("\\boxed{(1,2,3)}", "(1,2)"),
        ("\\boxed{5, 6}", "5, 6, 7"),
        ("\\boxed{Tuesday}", "\\text{Monday}"),
        ("\\boxed{(B)}", "\\text{(C)}"),
        ("\\boxed{\\begin{pmatrix} 1 & 2 \\end{pmatrix}}", "\\begin{pmatrix} 1 \\\\ 2 \\end{pmatrix}"),
        ("\\boxed{\\text{Picnic, Softball}}", "\\text{Softball, Picnic}"),
        ("\\boxed{18", "18"),
        ("It is 18 for some and 20 for others", "18"),
        ("", "18"),
    ],
)
def test_what_only_seems_right_is_wrong(completion: str, ground_truth: str) -> None:
    assert reward(completion, ground_truth) == 0.0


@pytest.mark.parametrize(
    "answer",
    [
        "l8",
        "I8",
        "1O",
        "1\u2078",
        "\u2460\u2467",
        "\u202e81",
        "1\u03018",
        "XVIII",
        "\U00010107",
        "1\ufe0f\u20e38",
    ],
)
def test_what_looks_like_a_number_is_none(answer: str) -> None:
    assert reward(f"\\boxed{{{answer}}}", "18") != 1.0
    assert reward(f"The answer is {answer}", "18") != 1.0


@pytest.mark.parametrize(
    ("answer", "ground_truth"),
    [
        ("(2516)_8", "2516_8"),
        ("\\text{2516}_{8}", "2516_8"),
        ("2516\\text{ (base 8)}", "2516_8"),
        ("2516 \\text{ base } 8", "2516_8"),
        ("(\\text{A}5)_{11}", "\\text{A5}_{11}"),
        ("A5_{11}", "\\text{A5}_{11}"),
        ("26_{10} = 28_9", "28_9"),
        ("\\text{a hyperbola}", "\\text{hyperbola}"),
        ("the hyperbola", "\\text{hyperbola}"),
        ("4{:}30 \\text{ PM}", "\\text{4:30 p.m.}"),
        ("4:30", "\\text{4:30 p.m.}"),
        ("1 \\text{ to } 4", "1:4"),
        ("1\\colon 4", "1:4"),
        ("\\begin{pmatrix} 1 \\\\[4pt] 4 \\end{pmatrix}", "\\begin{pmatrix} 1 \\\\ 4 \\end{pmatrix}"),
        ("\\mathbf{\\frac{3}{4}}", "\\frac{3}{4}"),
        ("\\color{red}{42}", "42"),
        ("\\textcolor{blue}{42}", "42"),
        ("\\text{The value is }42", "42"),
        ("42 \\pmod{100}", "42"),
        ("x \\equiv 42 \\pmod{100}", "42"),
        ("42 \\quad\\blacksquare", "42"),
        ("42 \\text{ (units)}", "42"),
        ("42 \\text{ units}^2", "42"),
        ("3-1i", "3-i"),
        ("25^{\\,\\circ}", "25^\\circ"),
        ("1\\text{, }-2", "1,-2"),
    ],
)
def test_dressing_that_people_add_changes_nothing(answer: str, ground_truth: str) -> None:
    assert reward(f"so \\boxed{{{answer}}}", ground_truth) == 1.0


@pytest.mark.parametrize(
    ("answer", "ground_truth"),
    [
        ("1358_{10}", "2516_8"),
        ("(2516)_7", "2516_8"),
        ("25_{10} = 28_9", "28_9"),
        ("4:30\\text{ a.m.}", "\\text{4:30 p.m.}"),
        ("\\text{a hyperbola or a parabola}", "\\text{hyperbola}"),
        ("4 \\text{ to } 1", "1:4"),
        ("\\text{The value is not }42", "42"),
        ("\\text{less than }42", "42"),
        ("142 \\pmod{100}", "42"),
        ("43 \\equiv 42 \\pmod{100}", "42"),
        ("42 \\text{ (thousand)}", "42"),
        ("\\color{red}{43}", "42"),
        ("21i", "i"),
    ],
)
def test_what_dressing_may_hide_is_wrong(answer: str, ground_truth: str) -> None:
    assert reward(f"so \\boxed{{{answer}}}", ground_truth) != 1.0


@pytest.mark.parametrize(
    ("completion", "ground_truth"),
    [
        ("<answer>3/4</answer>", "\\frac{3}{4}"),
        ("<think>5/4</think>\n<answer>\n$\\frac34$\n</answer>", "\\frac{3}{4}"),
        ("**Final Answer:**\n\n---\n\n$7$", "7"),
        (
            "The answer is $\\begin{pmatrix} 2 \\\\\n3 \\end{pmatrix}$.",
            "\\begin{pmatrix} 2 \\\\ 3 \\end{pmatrix}",
        ),
        ("The answer is $34 \\text{ sq. units}$. Done.", "34"),
        ("\\text{Answer: }15", "15"),
    ],
)
def test_an_announced_answer_is_read_to_its_end(completion: str, ground_truth: str) -> None:
    assert reward(completion, ground_truth) == 1.0


@pytest.mark.parametrize("completion", ["<answer>3</answer><answer>4</answer>", "<answer>3 or 4</answer>"])
def test_tags_around_an_answer_excuse_nothing(completion: str) -> None:
    assert reward(completion, "3") == 0.0


@pytest.mark.parametrize("lookalike", ["\u0410", "\u0391", "\uff21", "\u13aa", "\U0001d400", "\u1d00"])
def test_letters_of_other_scripts_are_other_letters(lookalike: str) -> None:
    assert reward(f"\\boxed{{{lookalike}}}", "\\text{(A)}") != 1.0


@pytest.mark.parametrize(
    "completion",
    [
        PROMPT,
        f"{PROMPT}\n{PROMPT}",
        f"User: {PROMPT}",
        "Is the number of her apples \\boxed{18}? Answer in a \\boxed{}.",
        "Is the number of her apples \\boxed{18}?",
        "You ask: Is the number of her apples \\boxed{18}?",
        "gets one more.\nIs the number of her apples \\boxed{18}? I wonder.",
        f"{PROMPT} I do not know.",
        f"I cannot tell. {PROMPT}",
        f"{PROMPT}\nThe answer is 19.",
    ],
)
def test_what_the_prompt_says_is_no_answer(completion: str) -> None:
    assert reward(completion, "18", PROMPT) == 0.0


@pytest.mark.parametrize(
    "completion",
    [f"{PROMPT}\n\\boxed{{18}}", f"{PROMPT} Yes, it is \\boxed{{18}}.", "\\boxed{18}", "The answer is 18"],
)
def test_an_answer_beside_the_prompt_counts(completion: str) -> None:
    assert reward(completion, "18", PROMPT) == 1.0


def test_worked_examples_in_the_prompt_do_not_forbid_their_answers() -> None:
    example = "What is 9+9?\nIt is 18.\nFinal Answer: The final answer is $18$. I hope it is correct."
    completion = "We double 9.\nFinal Answer: The final answer is $18$. I hope it is correct."
    assert reward(completion, "18", f"{example}\n\nWhat is 2 times 9?") == 1.0


@pytest.mark.parametrize(
    ("prompt", "answer", "ground_truth"),
    [
        ("Expand $(x+1)(x+2)$.", "(x+1)(x+2)", "x^2+3x+2"),
        ("Compute $\\sqrt{144}$.", "\\sqrt{144}", "12"),
        ("Compute $\\dfrac{1}{5}\\cdot\\dfrac{8}{7}$.", "\\frac15 \\cdot \\frac87", "\\frac{8}{35}"),
        ("Simplify $\\tan 60^\\circ$", "\\tan 60^{\\circ}", "\\sqrt{3}"),
    ],
)
def test_the_problem_itself_is_no_answer(prompt: str, answer: str, ground_truth: str) -> None:
    assert reward(f"\\boxed{{{answer}}}", ground_truth, prompt) == 0.0


def test_several_boxes_answer_a_problem_with_several_answers() -> None:
    assert reward("$x=\\boxed{5}$ or $x=\\boxed{6}$", "6, 5") == 1.0
    assert reward("$x=\\boxed{5}$ or $x=\\boxed{7}$", "6, 5") == 0.0


@pytest.mark.parametrize("answer", ["(x+1)^2", "\\sqrt{4}", "2^{10}", "x < 3", "5!", "\\mathbb{R}"])
def test_algebra_is_left_to_the_second_tier(answer: str) -> None:
    assert reward(f"\\boxed{{{answer}}}", "x^2+2x+1") is None


@pytest.mark.parametrize("ground_truth", ["", " ", "$$", "x" * 1001])
def test_a_ground_truth_that_no_answer_can_equal_is_refused(ground_truth: str) -> None:
    with pytest.raises(GroundTruthError) as refusal:
        math("\\boxed{18}", PosedProblem("", ground_truth))
    assert refusal.value.found
    assert refusal.value.expected
    assert refusal.value.do
