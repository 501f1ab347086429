"""Data cards: every number by hand on small tables, and against plain Python on random ones."""

import json
import os
import random
import re
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from io import StringIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from data_contracts.data_card import (
    Count,
    Counts,
    DataCard,
    Distribution,
    PairFacts,
    ProblemFacts,
    Provenance,
    log_bins,
    quantile,
)
from data_contracts.errors import DataError
from data_contracts.mixtures import Mixture, MixtureSource
from data_contracts.rows import RowKind
from flows.card_view import card_view, one_line, text_histogram
from infra.data_card import make_card

REAL_DATA = Path(os.environ.get("BURNISH_REAL_DATA", Path(__file__).parents[2].parent / "shared" / "data"))
MESSAGES = pa.list_(pa.struct({"role": pa.string(), "content": pa.string()}))
SFT = pa.schema({"messages": MESSAGES, "source": pa.string()})
PAIRS = pa.schema({"prompt": MESSAGES, "chosen": pa.string(), "rejected": pa.string(), "source": pa.string()})
PROBLEMS = pa.schema(
    {"prompt": MESSAGES, "ground_truth": pa.string(), "verifier": pa.string(), "source": pa.string()}
)


def _chat(*turns: str) -> list[dict[str, str]]:
    """`user: hello` and the like."""
    return [dict(zip(("role", "content"), turn.split(": ", 1), strict=True)) for turn in turns]


def _card(kind: RowKind, schema: pa.Schema, rows: Sequence[tuple[Any, ...]]) -> DataCard:
    dicts = [dict(zip(schema.names, row, strict=True)) for row in rows]
    return make_card(kind, pa.Table.from_pylist(dicts, schema=schema))


def _lengths(card: DataCard, part: str, unit: str) -> Distribution:
    (found,) = [lengths for lengths in card.lengths if (lengths.part, lengths.unit) == (part, unit)]
    return found


def _shown(card: DataCard, title: str = "mine@1") -> str:
    screen = StringIO()
    Console(file=screen, width=140).print(card_view(title, card))
    return screen.getvalue()


def test_the_card_of_three_conversations() -> None:
    """Lengths by hand. `é` is one character and two bytes; `\\n` separates words."""
    card = _card(
        RowKind.sft,
        SFT,
        [
            (_chat("user: one two", "assistant: three"), "a"),
            (_chat("system: be\nkind", "user: hé", "assistant: ho", "user: x", "assistant: y z"), "b"),
            (_chat("user: ONE two", "assistant: Three"), None),
        ],
    )
    assert (card.rows, card.text_bytes) == (3, 12 + 16 + 12)
    assert card.nulls == {"messages": 0, "source": 1}
    assert card.turns == {2: 2, 5: 1}
    assert card.with_system_prompt == 1
    assert card.sources == Counts(distinct=2, top=(Count(value="a", rows=1), Count(value="b", rows=1)))
    assert (card.duplicate_rows, card.repeated_prompts, card.sampled_rows) == (1, 1, 3)
    prompt = _lengths(card, "prompt", "characters")
    assert (prompt.count, prompt.p5, prompt.p50, prompt.p99, prompt.max) == (3, 7, 7, 10, 10)
    assert prompt.mean == 8
    assert [_lengths(card, part, "words").max for part in ("prompt", "completion", "row")] == [4, 3, 7]
    assert card.scripts == {"Latin": 1.0}


def test_the_card_of_pairs_shows_length_bias() -> None:
    """Differences +3, +3, 0, -1: three of four differ, two of those are longer, the mean is 1.25."""
    texts = [("long", "1"), ("text", "2"), ("ab", "cd"), ("a", "bc")]
    card = _card(
        RowKind.pairs, PAIRS, [(_chat("user: p"), chosen, rejected, "s") for chosen, rejected in texts]
    )
    assert card.pairs == PairFacts(chosen_longer=2, equal=1, mean_difference=1.25)
    assert (card.duplicate_rows, card.repeated_prompts) == (0, 3)
    (warning,) = card.warnings()
    assert "longer in 67 % of the pairs that differ in length (+1 characters" in warning


@pytest.mark.parametrize(("longer", "is_warned"), [(60, True), (59, False), (41, False), (40, True)])
def test_length_bias_is_warned_of_from_sixty_percent_on_either_side(longer: int, is_warned: bool) -> None:
    texts = [("aa", "b")] * longer + [("a", "bb")] * (100 - longer)
    card = _card(RowKind.pairs, PAIRS, [(_chat("user: p"), *sides, "s") for sides in texts])
    assert bool(card.warnings()) is is_warned


def test_the_card_of_problems_shows_what_a_policy_could_guess() -> None:
    answers = ["7", "7", "7", "8", "9"]
    prompts = ["a", "b", "c", "d", "D"]
    card = _card(
        RowKind.problems,
        PROBLEMS,
        [(_chat(f"user: {p}"), a, "exact_number", "s") for p, a in zip(prompts, answers, strict=True)],
    )
    sevens = Counts(
        distinct=3, top=(Count(value="7", rows=3), Count(value="8", rows=1), Count(value="9", rows=1))
    )
    assert card.problems == ProblemFacts(
        verifiers=Counts(distinct=1, top=(Count(value="exact_number", rows=5),)),
        ground_truths=sevens,
        conflicting_prompts=1,
    )
    assert (card.duplicate_rows, card.repeated_prompts) == (0, 1)
    guess, conflict = card.warnings()
    assert "60 % of the problems have the ground truth '7'" in guess
    assert conflict.startswith("1 prompts have more than one ground truth")


def test_problems_without_ground_truths_are_counted_not_guessed() -> None:
    card = _card(RowKind.problems, PROBLEMS, [(_chat("user: p"), None, None, "s")])
    assert card.nulls["ground_truth"] == 1
    assert card.warnings() == ()


def test_long_ground_truths_with_a_common_beginning_are_different() -> None:
    truths = ["x" * 300 + ending for ending in ("a", "b", "b")]
    card = _card(RowKind.problems, PROBLEMS, [(_chat("user: p"), truth, "v", "s") for truth in truths])
    assert card.problems is not None
    assert card.problems.ground_truths.distinct == 2
    assert card.problems.ground_truths.top[0] == Count(value="x" * 200, rows=2)


def test_scripts_are_shares_of_letters() -> None:
    """10 letters: 4 Latin (é among them), 3 Cyrillic, 2 Han, 1 Georgian, which is not listed. 12 + 3.0 = 15."""
    card = _card(RowKind.sft, SFT, [(_chat("user: abcé 12", "assistant: мир 数学 ა"), "s")])
    assert card.scripts == {"Latin": 0.4, "Cyrillic": 0.3, "Han": 0.2, "other": 0.1}


def test_the_columns_of_raw_rows_are_described_whatever_their_names() -> None:
    hostile = 'c1"; drop table tally; --'
    table = pa.table({hostile: ["ab", None, "ab"], "key": [1, 2, 1], "row": ["x", "y", "x"]})
    card = make_card(RowKind.raw, table)
    assert card.nulls == {hostile: 1, "key": 0, "row": 0}
    assert (card.duplicate_rows, card.repeated_prompts, card.turns) == (1, None, {})
    assert _lengths(card, hostile, "characters").count == 2
    assert card.text_bytes == 7


def test_raw_rows_without_text_have_a_card() -> None:
    card = make_card(RowKind.raw, pa.table({"number": [1, 1, 2]}))
    assert (card.rows, card.text_bytes, card.duplicate_rows, card.scripts) == (3, 0, 1, {})
    assert "3 raw rows, 0 B of text" in _shown(card)


def test_no_rows_have_no_card() -> None:
    with pytest.raises(DataError, match="no rows to describe"):
        make_card(RowKind.sft, SFT.empty_table())


def _random_rows(source: random.Random, num_rows: int) -> list[dict[str, Any]]:
    words = ["a", "Bc", "数学", "é é", "", " \n ", "word" * 9, "\x00", "x\ty"]
    return [
        {
            "messages": [
                {
                    "role": source.choice(["system", "user", "assistant"]),
                    "content": " ".join(source.choices(words, k=5)),
                }
                for _ in range(source.randint(1, 5))
            ],
            "source": source.choice(["s", "t", None]),
        }
        for _ in range(num_rows)
    ]


def test_random_conversations_agree_with_plain_python() -> None:
    for seed in range(5):
        rows = _random_rows(random.Random(seed), 200)
        card = make_card(RowKind.sft, pa.Table.from_pylist(rows, schema=SFT))
        messages = [row["messages"] for row in rows]
        texts = [[m["content"] for m in turns] for turns in messages]
        sides = [
            [[m["content"] for m in ms if (m["role"] == "assistant") is is_completion] for ms in messages]
            for is_completion in (False, True)
        ]
        assert card.text_bytes == sum(len(text.encode()) for row in texts for text in row)
        assert card.turns == dict(sorted(Counter(map(len, texts)).items()))
        assert card.with_system_prompt == sum(any(m["role"] == "system" for m in ms) for ms in messages)
        for part, lists in zip(("row", "prompt", "completion"), (texts, *sides), strict=True):
            present = [row for row in lists if row]
            characters = np.array([sum(map(len, row)) for row in present])
            words = np.array([len(re.findall(r"[^ \t\n\r\f]+", " ".join(row))) for row in present])
            for unit, lengths in (("characters", characters), ("words", words)):
                found = _lengths(card, part, unit)
                quantiles = np.quantile(lengths, [0.05, 0.5, 0.95, 0.99], method="inverted_cdf").tolist()
                assert [found.p5, found.p50, found.p95, found.p99] == quantiles
                assert (found.count, found.max) == (len(lengths), lengths.max())
                assert found.mean == pytest.approx(lengths.mean(), rel=1e-12)
        distinct = {tuple(tuple(t.lower() for t in side[n]) for side in sides) for n in range(len(rows))}
        assert card.duplicate_rows == len(rows) - len(distinct)


@given(
    st.dictionaries(st.integers(0, 5000), st.integers(1, 9), min_size=1, max_size=40),
    st.integers(1, 100),
)
def test_bins_hold_every_value_once_and_quantiles_agree_with_numpy(
    counts: dict[int, int], percent: int
) -> None:
    bins = log_bins(counts)
    assert len(bins) <= 12
    assert all(before.high + 1 == after.low for before, after in pairwise(bins))
    for bin_ in bins:
        assert bin_.count == sum(count for value, count in counts.items() if bin_.low <= value <= bin_.high)
    assert sum(bin_.count for bin_ in bins) == sum(counts.values())
    values = sorted(value for value, count in counts.items() for _ in range(count))
    assert quantile(counts, percent) == values[-(-percent * len(values) // 100) - 1]


def test_bins_of_a_thousandfold_range_grow_by_the_same_factor() -> None:
    """Factor 1000^(1/12) = 1.778: 1.78, 3.16, 5.62, 10, ... as whole numbers."""
    assert [bin_.high for bin_ in log_bins({1: 1, 1000: 1})] == [
        2,
        3,
        6,
        10,
        18,
        32,
        56,
        100,
        178,
        316,
        562,
        1000,
    ]


def test_a_large_dataset_is_sampled_evenly_and_the_same_however_it_comes() -> None:
    """Every fourth row of 25,000 is sampled; half of the rows have one word, half have three."""
    rows = [
        {"messages": _chat("user: a", f"assistant: {'b b b' if n % 2 else 'b'}"), "source": "s"}
        for n in range(25_000)
    ]
    table = pa.Table.from_pylist(rows, schema=SFT)
    whole = make_card(RowKind.sft, table)
    pieces = make_card(RowKind.sft, (table.slice(start, 3_333) for start in range(0, 25_000, 3_333)))
    assert whole == pieces
    assert abs(whole.sampled_rows - 25_000 / 4) <= 2
    assert _lengths(whole, "completion", "words").mean == pytest.approx(2, abs=0.01)
    assert _lengths(whole, "completion", "characters").mean == 3
    assert f"a sample of {whole.sampled_rows:,} rows" in _shown(whole)


def test_a_card_survives_json() -> None:
    mixture = Mixture(sources=(MixtureSource(dataset="a@1", weight=0.5),))
    card = make_card(
        RowKind.sft,
        pa.Table.from_pylist([{"messages": _chat("user: a", "assistant: b"), "source": "s"}], schema=SFT),
        Provenance(origin="a.jsonl", imported_at=datetime(2026, 1, 2, 3, 4, tzinfo=UTC), mixture=mixture),
    )
    assert DataCard.model_validate_json(card.model_dump_json()) == card


def test_the_view_shows_where_rows_come_from() -> None:
    mixture = Mixture(
        sources=(MixtureSource(dataset="a@1", weight=0.5), MixtureSource(dataset="b@2")), seed=3
    )
    card = _card(RowKind.sft, SFT, [(_chat("user: a", "assistant: b"), "s")] * 4).model_copy(
        update={
            "provenance": Provenance(
                origin="chat.jsonl",
                licence="MIT",
                quarantine={"no assistant turn": 1200, "empty turn": 3},
                mapping={"prompt": "question"},
                parents=("a@1", "b@2"),
                mixture=mixture,
            )
        }
    )
    shown = _shown(card)
    for fact in (
        "mine@1  4 sft rows, 8 B of text",
        "3 (75 %) rows repeat an earlier one",
        "1,203 rows: no assistant turn 1,200, empty turn 3",
        "prompt ← question",
        "a@1 × 0.5, b@2 × 1, seed 3",
    ):
        assert fact in shown


def test_hostile_text_reaches_the_screen_escaped() -> None:
    """An escape sequence, rich's markup, a bidirectional override and a line break, wherever text is shown."""
    hostile = "\x1b[2J[red]\u202ex\n"
    rows = [(_chat("user: p"), hostile, hostile, hostile)] * 2
    card = _card(RowKind.problems, PROBLEMS, rows).model_copy(
        update={"provenance": Provenance(origin=hostile, licence=hostile, parents=(hostile,))}
    )
    shown = _shown(card, hostile)
    assert not re.search("[\x1b\u202e]", shown)
    assert shown.count("\\x1b[2J[red]") >= 6
    assert one_line(hostile) == "\\x1b[2J[red]\\x202ex "


def test_histograms_show_every_count_that_is_not_zero() -> None:
    assert text_histogram([0, 1, 50, 51, 100]) == " ▁▄▅█"
    assert text_histogram([]) == ""


@pytest.mark.skipif(not (REAL_DATA / "gsm8k").is_dir(), reason="BURNISH_REAL_DATA has no gsm8k")
def test_the_card_of_gsm8k() -> None:
    """Facts of the published set: 7,473 problems, none twice, in English."""
    lines = (REAL_DATA / "gsm8k" / "train.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    chats = [(_chat(f"user: {row['question']}", f"assistant: {row['answer']}"), "gsm8k") for row in rows]
    card = _card(RowKind.sft, SFT, chats)
    assert (card.rows, card.duplicate_rows, card.repeated_prompts) == (7473, 0, 0)
    assert card.scripts["Latin"] > 0.999
    assert _lengths(card, "prompt", "characters").max == max(len(row["question"]) for row in rows)
    assert card.warnings() == ()
