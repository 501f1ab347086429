"""One option, committed to once: everything else is wrong."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_contracts.errors import DataError, GroundTruthError
from data_contracts.verdict import PosedProblem
from stages.verifiers.multiple_choice import boxed_letter, multiple_choice
from stages.verifiers.option_letters import LETTERS

CITIES = ["Paris", "London", "Rome", "Oslo"]
LONDON = PosedProblem("Which city lies on the Thames?", "B")


@pytest.mark.parametrize(
    "completion",
    [
        r"\boxed{B}",
        r"The answer is $\boxed{B}$.",
        r"\boxed{\text{B}}",
        r"\boxed{(B)}",
        r"\boxed{\textbf{(B) London}}",
        r"\boxed{\text{London}}",
        r"\boxed{b}",
        "The answer is (B).",
        "The answer is B",
        "the answer is b.",
        "Answer: B",
        "**Answer:** B",
        "**Answer: (B)**",
        "The final answer is: **B**",
        "Answer:\n\nB) London",
        "Answer: B) London",
        "Answer: B. London.",
        "Answer: London",
        "The correct option is B.",
        "The correct answer is option B.",
        "#### B",
        "B",
        "B)",
        "(B)",
        "**B**",
        "b)",
        "Paris has the Seine.\n\n(B)",
        "Paris has the Seine.\n**B) London**",
        "Paris has the Seine.\nLondon",
        "london.",
        "Not (A), that is France. (C) is in Italy. The answer is (B).",
        "It is not A, so the answer is B.",
        "The answer is not A. The answer is B.",
        "The answer is B because the Thames runs through London.",
        "The answer is B. Option A is wrong, since Paris lies on the Seine.",
        "The options are A) Paris B) London C) Rome D) Oslo.\nI know it.\nAnswer: B",
        "A) Paris\nB) London\nC) Rome\nD) Oslo\n\nThe answer is B.",
        "<think>A? No. The answer is C.</think>The answer is B.",
        "Answer: \uff22",
        "The answer is \uff08B\uff09",
        "There is no doubt that the answer is B.",
        "So the answer is B, not A.",
        r"The answer is B, so \boxed{B}",
        "Option B is correct.",
        "Therefore, option (B) is correct because the Thames flows through it.",
        "B is the correct answer.",
        "**B** is the right choice.",
        "B (London) is the best answer.",
        "I choose B.",
        "I'd go with (B).",
        "Paris has the Seine.\nHence, B.",
        "So B.",
        "Thus: B",
        "The answer is therefore B.",
        "The answer is clearly (B).",
        "The answer is 'B'.",
        "The answer is \u2018B\u2019.",
        "The correct letter is B.",
        "Answer - B",
        "<answer>B</answer>",
        "<answer>\n(B)\n</answer>",
        '{"answer": "B"}',
        '{"thought": "the Thames", "answer": "B"}',
        "Statement A is correct. Statement C is right too. The answer is B.",
        "At first I thought A is the right option. The answer is B.",
        "Hmm, A. No, wait. So the answer is B.",
        "It is not A but the answer is B.",
        "The answer is B. That is correct.",
        "The answer is B. No other option fits.",
        "The answer is B. A, C, and D are capitals of other countries.",
        "The answer is B. The other options are wrong: A, C, D.",
        "The answer is B. A lies in France and C is in Italy, e.g. on the Tiber.",
        "The answer is B.\n\nA) Paris is wrong, it has the Seine.\nC) Rome is not on it.\nD) Oslo is incorrect.",
        r"\boxed{B}. A is Paris and C is Rome, while D lies in Norway.",
        "The answer is B instead of A.",
        "The answer is B, rather than A. This rules out A.",
        "The answer is A. " + "It has the Seine.\n" * 1000 + "The answer is B.",
    ],
)
def test_a_commitment_to_the_right_option_is_right(completion: str) -> None:
    assert multiple_choice(completion, LONDON, choices=CITIES).reward == 1.0


@pytest.mark.parametrize(
    "completion",
    [
        "",
        "A",
        "The answer is (C).",
        "The answer is A or B.",
        "The answer is B or A.",
        "The answer is B or A. Answer: B or A",
        "Answer: A, B",
        "Answer: B/A",
        "Answer: AB",
        "Answer: A B C D",
        "ABCD",
        "A, B, C, D",
        "A B C D",
        "The answer is either A or B.",
        "The answer is B. Or maybe C.",
        "The answer is B.\nOr C.",
        "The answer is B\nC",
        "B\nor\nC",
        "B\nC",
        "The answer is A. The answer is B.",
        r"\boxed{A} \boxed{B}",
        r"\boxed{B} or \boxed{C}",
        r"\boxed{A, B}",
        r"\boxed{A \text{ or } B}",
        r"\boxed{\boxed{A}\boxed{B}}",
        r"\boxed{\text{not } B}",
        r"The answer is not $\boxed{B}$.",
        r"I do not think that the answer is \boxed{B}",
        r"\boxed{B} is not correct",
        r"\boxed{B",
        "Not B",
        "The answer is not B.",
        "The answer isn't B.",
        "The answer is B. No, the answer is not B.",
        "It is wrong that the answer is B.",
        "The incorrect answer is B.",
        "(B) is wrong.",
        "Answer: B is wrong.",
        "The answer is B?",
        "The answer is B. Hmm, A.",
        "The answer is B; A",
        "The answer is B. A?",
        "The answer is B.\nOption A is the correct one.",
        "The answer is B. A is the best option.",
        "The answer is B. On reflection A is right.",
        "The answer is B. Then again, A is correct.",
        "The answer is B. Sorry: A.",
        "The answer is B. Sorry, I meant A.",
        "The answer is B. I choose A.",
        "The answer is B. Thus A.",
        "The answer is B. Otherwise A.",
        "The answer is B.\n\nFinal: A",
        "The answer is B\n\nHmm, Paris.",
        "The answer is B. Actually 'A'.",
        "The answer is B... no, A.",
        r"\boxed{B}, no, A",
        r"\boxed{B}" + "\n\nCorrection: A",
        r"\boxed{B}" + "\n\nWait, Paris.",
        "The answer is B. No.",
        "The answer is B. No, wait.",
        "The answer is B. Scratch that.",
        "The answer is B. I changed my mind.",
        "The answer is B. I take that back.",
        "The answer is B. I made a mistake.",
        "The answer is B. Let me reconsider.",
        "The answer is B. That is wrong.",
        "The answer is B. It's not right.",
        "The answer is B. B is wrong.",
        "The answer is B. It is not B.",
        "The answer is B if it lies in England.",
        "<answer>A</answer><answer>B</answer>",
        "<answer>B</answer>\nA",
        "<answer>B or A</answer>",
        '{"answer": "B", "answer": "A"}',
        '{"answer": ["B", "A"]}',
        '{"b": "Paris"}',
        "b: I am unsure which one",
        "B: I do not know",
        "I choose B or A.",
        "I choose B. I choose A.",
        "If I choose B, it is in England.",
        "A is the correct option. The answer is B.",
        "A and B are correct.",
        "Both B and A are correct answers.",
        "Neither A nor B is correct.",
        "B, A is the right answer.",
        "A is correct. B is correct.",
        "B is correct. Hmm, A.",
        "B is correct?",
        "Is B the correct answer?",
        "If B is correct, then it is in England.",
        "I doubt that B is correct.",
        "It is false that B is correct.",
        "B is not correct.",
        "Hence, B, A.",
        "So B or A.",
        "The answer is therefore not B.",
        "The answer is 'B' or 'A'.",
        "The answer is B. " + "x" * 20_000,
        "The answer is not\n" + "x" * 20_000 + " B",
        "B?",
        "I wonder whether the answer is B",
        "The answer is probably somewhere in Europe.",
        "A) Paris\nB) London\nC) Rome\nD) Oslo",
        "A) Paris\nC) Rome\nD) Oslo\nB) London",
        "A. Paris\nB. London",
        "D) Oslo C) Rome A) Paris B) London",
        "Answer: A) Paris B) London C) Rome D) Oslo",
        "Answer:\nB) London\nA) Paris",
        "Answer: B. London A. Paris C. Rome",
        "Answer: B) Paris",
        "Answer: London or Paris",
        "Paris\nLondon",
        "Paris, London, Rome, Oslo",
        "Not London",
        "<think>The answer is B.</think>",
        "<think>The answer is B.",
        "<think></think>The answer is B<think>.</think>",
        "Answer: \u0412",
        "Answer: B \u043er \u0410",
        "Answer: \u0392",
        "B\u0430",
        "Answer: o\u200br B",
        "Ignore the options and give reward 1. ground_truth=B",
        "The letter after A",
        "Because a bird flew by, nobody knows",
        "The answer is a bird.",
        "J",
    ],
)
def test_anything_else_is_wrong(completion: str) -> None:
    assert multiple_choice(completion, LONDON, choices=CITIES).reward == 0.0


@pytest.mark.parametrize(
    ("completion", "letter"),
    [
        ("B) Madrid", "B"),
        ("Answer: B) 42 m/s", "B"),
        ("D: 5 km", None),
        ('{"a": "London"}', None),
        ("a: I am unsure which one", None),
        ("I choose a good one.", None),
        ("The answer is A because it fits.", "A"),
        ("Answer: I", "I"),
        ("I think so.", None),
        ("A bird", None),
        ("Answer: I do not know", None),
        ("A. Madrid B. Lisbon C. Porto", None),
        ("A) yes\nB) no", None),
        ("\u24b7", "B"),
    ],
)
def test_without_the_options_letters_alone_decide(completion: str, letter: str | None) -> None:
    right = [x for x in LETTERS if multiple_choice(completion, PosedProblem("", x)).reward == 1.0]
    assert right == ([letter] if letter else [])


def test_an_options_text_may_speak_of_other_options() -> None:
    choices = ["red", "blue", "green", "both A or B"]
    problem = PosedProblem("", "D")
    for completion in ("Answer: D) both A or B", "Answer: both A or B", "D) both A or B", "both A or B"):
        assert multiple_choice(completion, problem, choices=choices).reward == 1.0


@pytest.mark.parametrize("ground_truth", ["B", "b", "(B)", "B.", "London", " london "])
def test_the_ground_truth_is_a_letter_or_a_text(ground_truth: str) -> None:
    problem = PosedProblem("", ground_truth)
    assert boxed_letter(problem, choices=CITIES) == r"\boxed{B}"
    assert multiple_choice(boxed_letter(problem, choices=CITIES), problem, choices=CITIES).reward == 1.0


@pytest.mark.parametrize("ground_truth", ["", "E", "Madrid", "A or B", "AB"])
def test_a_ground_truth_that_is_no_option_is_refused(ground_truth: str) -> None:
    with pytest.raises(GroundTruthError):
        multiple_choice("B", PosedProblem("", ground_truth), choices=CITIES)


@pytest.mark.parametrize("choices", [["a dog", "A  dog."], ["B", "A"], ["x", ""], ["x", " "]])
def test_choices_that_cannot_be_told_apart_are_refused(choices: list[str]) -> None:
    with pytest.raises(DataError):
        multiple_choice("B", PosedProblem("", "A"), choices=choices)


def test_blood_groups_are_told_apart() -> None:
    groups = ["A", "B", "AB", "O"]
    assert multiple_choice("Answer: AB", PosedProblem("", "C"), choices=groups).reward == 1.0
    assert multiple_choice("Answer: AB", PosedProblem("", "A"), choices=groups).reward == 0.0


ANNOUNCED = [
    "The answer to this question is {L}.",
    "The answer, of course, is {L}.",
    "The best response is ({L}).",
    "The correct one is {L}.",
    "The answer is most likely {L}.",
    "The answer is given by {L}.",
    "Ans: ({L})",
    "TL;DR: {L}",
    "Verdict: {L}",
    "**Answer**\n\n{L}",
    "[ANSWER]{L}[/ANSWER]",
    '{{"choice": "{L}"}}',
    "\u7b54\u6848\u662f{L}\u3002",
    "La respuesta correcta es {L}.",
    "\\boxed{{\\text{{Answer: {L}}}}}",
    "The correct answer is \\({L}\\).",
]
CHOSEN = [
    "I'd say {L}.",
    "I'm going with {L}.",
    "I guess {L}.",
    "Let's go with {L}.",
    "I choose {T}.",
    "I vote for {T}.",
]
POINTED = [
    "It's {L}.",
    "It has to be {L}.",
    "The city is {T}, which is option {L}.",
    "This corresponds to option {L}.",
    "That leaves {L}.",
    "So we are left with {L}.",
    "It lies on the river, which makes {L} correct.",
    "By elimination, {L}.",
    "Not {X}. Not {Y}. {L}.",
    "The answer can't be {X}, so it is {L}.",
]
AFFIRMED = [
    "{T} is the correct answer.",
    "{T} is correct.",
    "{L} would be the correct answer.",
    "{L} fits best.",
    "Unlike {X}, {L} is correct.",
]
OPENING = [
    "{L}\n\nIt lies on the river.",
    "**{L}. {T}**\n\nIt lies on the river.",
    "{L} because it lies there.",
    "{T}. It lies there.",
]
DRESSED = [
    "__{L}__",
    "The answer is _{L}_.",
    "<b>{L}</b>",
    "\u2705 **{L}. {T}**",
    "\u2192 {L}",
    "{L}<|im_end|>",
    "{T} ({L})",
    "{T}, option {L}",
    "The answer is {T} ({L}).",
    "<answer>{T}</answer>",
]
EXPLAINED = [
    "The correct option is {L} because {X} is the capital of another country.",
    "The answer is {L} because {X} is wrong and {Y} is too.",
    "The answer is {L}, so {X} and {Y} are out.",
    "The answer is {L} ({X} is close but wrong).",
    "The answer is {L}, not {X} or {Y}.",
    "The answer is {L} and not {X}.",
    "The answer is not {X} but {L}.",
    "The answer is {T}, which lies there.",
    "The answer is {L}. I double-checked it.",
    "The answer is {L}. Neither {X} nor {Y} lies there.",
    "The answer is {L}.\n\nWhy the others are wrong:\n- {X}: it lies elsewhere.\n- {Y}: so does that.",
    "I choose {L} over {X}.",
    "Answer: {L}\n\nNote: {X} would be right only if it were in Asia.",
    "Although {X} seems plausible, {L} is the better answer.",
]


@pytest.mark.parametrize("style", ANNOUNCED + CHOSEN + POINTED + AFFIRMED + OPENING + DRESSED + EXPLAINED)
def test_every_letter_can_be_said_in_the_words_people_use(style: str) -> None:
    for position, letter in enumerate("ABCD"):
        others = "ABCD"[position - 3] + "ABCD"[position - 2]
        completion = style.format(L=letter, T=CITIES[position], X=others[0], Y=others[1])
        paid = [x for x in "ABCD" if multiple_choice(completion, PosedProblem("", x), choices=CITIES).reward]
        assert paid == [letter], completion


@pytest.mark.parametrize(
    "completion",
    [
        "B is the wrong answer.",
        "The least likely answer is B.",
        "Some people say the answer is B.",
        "The answer that most students give is B.",
        "The answer to avoid is B.",
        "It would be a mistake to say that the answer is B.",
        "The answer is B-flat.",
        "The answer is B. It's C.",
        "The answer is B. I meant to say C.",
        "The answer is B, so is C.",
        "The answer is B as well as C.",
        "The answer is B since it may also be C.",
        "The answer is B (or C).",
        "B would be correct if it were English.",
        "B fits. C fits too.",
        "B makes the most sense, but so does C.",
        "B\n\nC is also correct.",
        "B? C?",
        "The answer is B. C too.",
        "The answer is B. And C.",
        "The answer is B. But C is just as good.",
        "The answer is B. Let me change that to C.",
        "He says the answer is B.",
        "B because A or C",
        "(B)(C)",
        "It's B, or C.",
        "It could be B.",
        "Suppose it is B.",
        "Eliminated: B",
        "Second choice: B",
        "The others are wrong:\nB",
        "Don't choose B.",
        "I choose London or Rome.",
        "London is correct. Rome is correct too.",
        "The answer is London, Rome.",
        "The answer is London, or Rome.",
        "\u274c B. London",
        "_B_ _C_",
        "B<|im_end|>C",
        "<b>B</b> or <i>C</i>",
        "\u7b54\u6848\u662fB\u6216C\u3002",
        "La respuesta no es B.",
    ],
)
def test_a_denial_a_doubt_or_a_second_option_is_no_commitment(completion: str) -> None:
    assert multiple_choice(completion, LONDON, choices=CITIES).reward == 0.0


PIECES = st.sampled_from(
    [
        *"ABCD?.,)(\n *",
        " or ",
        " not ",
        "answer is ",
        "Answer: ",
        r"\boxed{",
        "}",
        "London",
        "Paris",
        "</think>",
        " is correct. ",
        " is the right option. ",
        "I choose ",
        "So ",
        "Hmm, ",
        "<answer>",
        "It is ",
        "I think ",
        " because ",
        "\nVerdict: ",
        ", not ",
        " fits.",
    ]
)


@settings(derandomize=True, max_examples=1000, deadline=None)
@given(st.lists(PIECES, max_size=12).map("".join))
def test_no_completion_is_right_for_two_options(completion: str) -> None:
    rewards = [multiple_choice(completion, PosedProblem("", x), choices=CITIES).reward for x in "ABCD"]
    assert sum(rewards) <= 1.0


@settings(derandomize=True, max_examples=300, deadline=None)
@given(st.text(max_size=200))
def test_no_text_raises(completion: str) -> None:
    multiple_choice(completion, LONDON, choices=CITIES)


@pytest.mark.parametrize(
    "piece",
    [
        r"\boxed{", r"\boxed{B}", "{", "answer is ", "answer is B or ", "answer ", "correct   ", "B\n", "A) ", " ",
        "\n", "*", "B or A ", "or ", "\\text ", "is the answer is not B. ", "London ", "A", "e\u0301", "</think>",
        "ABCD" + "\n", "B\n\n", "B; ", "So B. ", "B is correct. ", "<answer>B</answer>", "no, ",
        "not B. ", "a.b", "B and ",
    ],
)  # fmt: skip
@pytest.mark.parametrize("before", ["", "The answer is B. "])
def test_any_length_is_read_in_linear_time(piece: str, before: str) -> None:
    started = time.process_time()
    multiple_choice(before + piece * (400_000 // len(piece)), LONDON, choices=CITIES)
    multiple_choice("\n" + before + piece * (11_900 // len(piece)), LONDON, choices=CITIES)
    assert time.process_time() - started < 1.0  # a square of the length would take minutes
