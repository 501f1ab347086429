"""Duplicates: which row stays, which goes and why, against brute force over all pairs."""

import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.deduplicate import Duplicates, NamedTexts, find_duplicates
from stages.near_pairs import bands_for
from stages.words import read_words

PROJECT = Path(__file__).parents[2]


def named(name: str, *texts: str | None) -> NamedTexts:
    return NamedTexts(name, pa.array(texts, pa.string()))


def removed(found: Duplicates) -> list[tuple[object, ...]]:
    return [
        (row["source"], row["row"], row["duplicate_of_source"], row["duplicate_of_row"], row["kind"])
        for row in found.removed.to_pylist()
    ]


def jaccard(left: str, right: str) -> float:
    """Over 5-grams of space-separated words, by Python's sets."""

    def shingles(text: str) -> set[tuple[str, ...]]:
        words = text.split()
        return {tuple(words[i : i + 5]) for i in range(max(1, len(words) - 4))}

    a, b = shingles(left), shingles(right)
    return len(a & b) / len(a | b)


def random_texts(rng: random.Random, count: int, num_words: int, vocabulary: int = 2000) -> list[str]:
    return [
        " ".join(f"w{chr(97 + rng.randrange(26))}{_letters(rng, vocabulary)}" for _ in range(num_words))
        for _ in range(count)
    ]


def _letters(rng: random.Random, below: int) -> str:
    number, letters = rng.randrange(below), ""
    while number:
        number, digit = divmod(number, 26)
        letters += chr(97 + digit)
    return letters


def edited(rng: random.Random, text: str, edits: int) -> str:
    words = text.split()
    for place in rng.sample(range(len(words)), edits):
        words[place] = "edit" + _letters(rng, 10**6)
    return " ".join(words)


def test_the_first_source_keeps_its_row_and_the_report_says_what_each_other_row_repeats():
    found = find_duplicates(
        [named("first", "a", "Two  Words"), named("second", "b", "two words", "b", "A")], "exact"
    )
    assert found.keep["first"].tolist() == [True, True]
    assert found.keep["second"].tolist() == [True, False, False, False]
    assert removed(found) == [
        ("second", 1, "first", 1, "exact"),
        ("second", 2, "second", 0, "exact"),
        ("second", 3, "first", 0, "exact"),
    ]
    assert found.removed["similarity"].to_pylist() == [1.0, 1.0, 1.0]


def test_exact_ignores_case_white_space_and_composition_but_not_signs_brackets_or_superscripts():
    same = find_duplicates(
        [named("s", "Caf\u00e9 au lait", "  cafe\u0301\tAU\nlait ", "STRASSE", "straße")], "exact"
    )
    assert same.keep["s"].tolist() == [True, False, True, False]
    different = find_duplicates(
        [named("s", "(a + b)c", "a + (b)c", "a - (b)c", "x²", "x2", "3", "-3")], "exact"
    )
    assert different.keep["s"].all()


def test_a_changed_operator_or_number_makes_another_short_problem_and_punctuation_does_not():
    texts = [
        "What is 3 + 4 * 5 today?",
        "What is 3 - 4 * 5 today?",
        "What is 3 + 4 * 6 today?",
        "What is: 3+4*5, today",
    ]
    found = find_duplicates([named("s", *texts)], "near")
    assert found.keep["s"].tolist() == [True, True, True, False]


def test_clusters_come_largest_first_and_count_their_rows():
    base = "one long enough sentence of exactly ten words is here"
    found = find_duplicates([named("s", "x y", base, "X  Y", base, base.upper(), base + "!")], "near")
    assert found.clusters.to_pylist() == [
        {"cluster": 0, "source": "s", "row": 1, "size": 4, "exact": 2},
        {"cluster": 1, "source": "s", "row": 0, "size": 2, "exact": 1},
    ]
    assert found.removed["cluster"].to_pylist() == [1, 0, 0, 0]
    assert found.removed["kind"].to_pylist() == ["exact", "exact", "exact", "near"]


def test_near_finds_what_brute_force_over_all_pairs_finds():
    rng = random.Random(5)
    texts = random_texts(rng, 120, 60)
    texts += [edited(rng, rng.choice(texts), rng.choice([1, 2, 4])) for _ in range(180)]
    order = list(range(len(texts)))
    rng.shuffle(order)
    texts = [texts[i] for i in order]
    found = find_duplicates([named("s", *texts)], "near", threshold=0.8, boilerplate_share=1.0)

    leader = list(range(len(texts)))
    for right in range(len(texts)):
        for left in range(right):
            if jaccard(texts[left], texts[right]) >= 0.8:
                old, new = max(leader[left], leader[right]), min(leader[left], leader[right])
                leader = [new if member == old else member for member in leader]
    expected = [row == first for row, first in enumerate(leader)]
    missed = int((np.array(expected) != found.keep["s"]).sum())
    assert missed <= 2, "bands may miss one pair in a hundred at the threshold, and far fewer above it"
    for row in found.removed.to_pylist():
        assert row["similarity"] == pytest.approx(jaccard(texts[row["row"]], texts[row["duplicate_of_row"]]))


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.lists(st.text(max_size=30), max_size=12), st.sampled_from(["exact", "near"]))
def test_any_text_keeps_one_row_of_each_group_and_every_removed_row_repeats_a_kept_one(
    texts: list[str], method
):
    texts = [text.encode("utf-8", "ignore").decode() for text in texts]
    found = find_duplicates([named("s", *texts)], method)
    assert found.keep["s"].sum() + found.removed.num_rows == len(texts)
    for row in found.removed.to_pylist():
        assert found.keep["s"][row["duplicate_of_row"]] and row["duplicate_of_row"] < row["row"]
    again = find_duplicates(
        [named("s", *(text for text, kept in zip(texts, found.keep["s"], strict=True) if kept))], method
    )
    assert again.removed.num_rows == 0, "what was kept has no duplicates left"


def test_rows_below_the_threshold_stay_whatever_they_share():
    rng = random.Random(1)
    similarities: list[float] = []
    for text in random_texts(rng, 60, 50):
        other = edited(rng, text, rng.choice([1, 2, 3]))
        similarities.append(jaccard(text, other))
        if similarities[-1] < 0.8:
            assert find_duplicates([named("s", text, other)], "near", threshold=0.8).keep["s"].all()
    assert sum(0.5 < similarity < 0.8 for similarity in similarities) > 20


def test_a_template_that_many_rows_share_does_not_make_them_duplicates():
    rng = random.Random(2)
    template = " ".join(random_texts(rng, 1, 150))
    contents = random_texts(rng, 400, 15)
    texts = [f"{template} {content}" for content in contents] + [f"{template} {contents[7]} indeed"]
    found = find_duplicates([named("s", *texts)], "near")
    assert removed(found) == [("s", 400, "s", 7, "near")]
    assert found.num_boilerplate >= 140
    everything = find_duplicates([named("s", *texts)], "near", boilerplate_share=1.0)
    assert everything.keep["s"].sum() == 1, "by plain Jaccard all rows of the template are one cluster"


def test_a_large_cluster_of_near_copies_is_one_cluster():
    rng = random.Random(3)
    base = random_texts(rng, 1, 200)[0]
    texts = [edited(rng, base, 1) for _ in range(1500)]
    found = find_duplicates([named("s", *texts)], "near", boilerplate_share=1.0)
    assert found.keep["s"].sum() == 1 and found.clusters["size"].to_pylist() == [1500]


def test_texts_shorter_than_a_shingle_and_texts_without_words_work():
    found = find_duplicates(
        [named("s", "", None, "hi", "Hi!", "...", "hello there", "!!", "Hello, there")], "near"
    )
    assert found.keep["s"].tolist() == [True, False, True, False, True, True, True, False]
    assert find_duplicates([], "near").removed.num_rows == 0
    assert find_duplicates([named("s")], "near").keep["s"].tolist() == []


def test_words_know_their_place_in_the_original_text():
    text = "The \ufb01rst cafe\u0301: x\u00b2 \u2212 3.5, 中文 a\u200bb --- STRASSE"
    words = read_words(["ignored before", text])
    own = slice(words.offsets[1], words.offsets[2])
    found = [text[start:end] for start, end in zip(words.starts[own], words.ends[own], strict=True)]
    assert found == [
        "The",
        "\ufb01rst",
        "cafe",
        "x",
        "\u00b2",
        "\u2212",
        "3",
        "5",
        "中",
        "文",
        "a\u200bb",
        "---",
        "STRASSE",
    ]
    plain = read_words(["the first CAFÉ x2-3 5 中文 ab - straße"])
    assert words.hashes[own].tolist() == plain.hashes.tolist()


def test_different_words_have_different_hashes():
    vocabulary = {_letters(random.Random(seed), 10**9) for seed in range(20000)}
    assert len(set(read_words([" ".join(vocabulary)]).hashes.tolist())) == len(vocabulary)


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.8, 0.9, 0.95, 1.0])
def test_bands_propose_a_pair_at_the_threshold_99_times_in_a_hundred(threshold: float):
    bands, rows = bands_for(threshold)
    assert 1 - (1 - threshold**rows) ** bands >= 0.99 and bands * rows <= 128


_SCRIPT = """
import random, pyarrow as pa
from stages.deduplicate import NamedTexts, find_duplicates
rng = random.Random(4)
texts = [" ".join(rng.choice("abcdefghij") * rng.randrange(1, 4) for _ in range(30)) for _ in range(300)]
texts += [text + " end" for text in texts]
found = find_duplicates([NamedTexts("s", pa.array(texts))], "near", seed=3)
print(found.removed.to_pylist(), found.clusters.to_pylist())
"""


def test_hash_seed_and_number_of_threads_change_nothing():
    outputs = {
        subprocess.run(
            [sys.executable, "-c", _SCRIPT],
            cwd=PROJECT,
            env=os.environ
            | {"PYTHONHASHSEED": seed, "RAYON_NUM_THREADS": threads, "OMP_NUM_THREADS": threads},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed, threads in [("1", "1"), ("2", "4")]
    }
    assert len(outputs) == 1 and "near" in outputs.pop()


def test_progress_ends_at_the_total_and_never_falls():
    seen: list[tuple[int, int]] = []
    find_duplicates(
        [named("s", *random_texts(random.Random(0), 50, 10))], "near", on_progress=lambda *p: seen.append(p)
    )
    assert seen[-1] == (150, 150) and seen == sorted(seen)
