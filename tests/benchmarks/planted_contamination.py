"""`python -m tests.benchmarks.planted_contamination`: what each kind of match finds of problems planted on purpose.

Clean training rows and evaluation problems are made of invented words, so that no row resembles a problem unless it
was planted. With BURNISH_REAL_DATA the same table follows for MATH-500 planted in the training rows of GSM8K.
"""

import argparse
import json
import os
import random
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
from rich.console import Console
from rich.table import Table

from stages.contamination import Decontamination, EvaluationText, Kind
from stages.decontaminate import find_contamination

REAL_DATA = Path(os.environ.get("BURNISH_REAL_DATA", Path(__file__).parents[3] / "shared" / "data"))
KINDS: tuple[Kind, ...] = ("exact", "8-gram", "13-gram", "near", "template")

_SYLLABLES = [
    "ka",
    "lo",
    "mi",
    "ren",
    "tu",
    "shi",
    "per",
    "on",
    "ta",
    "gel",
    "vor",
    "in",
    "es",
    "al",
    "quo",
    "ba",
]
_SMALL_WORDS = ["the", "of", "and", "has", "how", "many", "in", "each", "is", "a", "what", "more"]
_WORD = re.compile(r"[A-Za-z]+")
_NUMBER = re.compile(r"\d+")

Plant = Callable[[random.Random, str], str]


def invented_text(rng: random.Random, num_words: int) -> str:
    """Sentences of invented and of small English words, with a number now and then."""
    words: list[str] = []
    for place in range(num_words):
        kind = rng.random()
        if kind < 0.1:
            words.append(str(rng.randrange(2, 900)))
        elif kind < 0.4:
            words.append(rng.choice(_SMALL_WORDS))
        else:
            words.append("".join(rng.choice(_SYLLABLES) for _ in range(rng.randrange(2, 4))))
        if place % 11 == 10:
            words[-1] += "."
    return " ".join(words).capitalize() + "?"


def verbatim(rng: random.Random, problem: str) -> str:
    """As it is, with an instruction before and an answer after it."""
    return f"Solve this.\n{problem}\nIt is {rng.randrange(99)}."


def other_surface(rng: random.Random, problem: str) -> str:
    """Other case, punctuation and white space."""
    words = [word.upper() if rng.random() < 0.5 else word for word in problem.split()]
    return "  ".join(
        word + rng.choice(["", "", ",", ";", " …"]) if word[-1:].isalpha() else word for word in words
    )


def embedded(rng: random.Random, problem: str) -> str:
    """In the middle of a long text."""
    return f"{invented_text(rng, 200)} {problem} {invented_text(rng, 200)}"


def reworded(rng: random.Random, problem: str) -> str:
    """One word in twelve replaced, one in thirty left out, one in thirty after its neighbour; numbers as they are."""
    words = problem.split()
    for place in range(len(words)):
        kind = rng.random()
        if not _WORD.fullmatch(words[place]):
            continue
        if kind < 1 / 12:
            words[place] = invented_text(rng, 1).strip("?")
        elif kind < 1 / 12 + 1 / 30:
            words[place] = ""
        elif kind < 1 / 12 + 2 / 30 and place and words[place - 1]:
            words[place - 1], words[place] = words[place], words[place - 1]
    return " ".join(word for word in words if word)


def renumbered(rng: random.Random, problem: str) -> str:
    """Every number another one."""
    return _NUMBER.sub(lambda found: str(int(found.group()[:6]) + rng.randrange(1, 50)), problem)


PLANTS: dict[str, Plant] = {
    plant.__name__: plant for plant in (verbatim, other_surface, embedded, reworded, renumbered)
}


def invented(num_clean: int, num_problems: int, seed: int) -> tuple[list[str], list[str]]:
    """Clean rows, and problems of 14 to 60 words."""
    rng = random.Random(seed)
    clean = [invented_text(rng, rng.randrange(20, 250)) for _ in range(num_clean)]
    return clean, [invented_text(rng, rng.randrange(14, 60)) for _ in range(num_problems)]


def real() -> tuple[list[str], list[str]]:
    """GSM8K's training rows, and MATH-500's problems."""
    rows = [json.loads(line) for line in (REAL_DATA / "gsm8k" / "train.jsonl").open(encoding="utf-8")]
    problems = [
        json.loads(line)["problem"] for line in (REAL_DATA / "math500" / "test.jsonl").open(encoding="utf-8")
    ]
    return [f"{row['question']}\n{row['answer']}" for row in rows], problems


def measure(clean: Sequence[str], problems: Sequence[str], seed: int) -> dict[str, dict[str, float]]:
    """By kind of match and `counted`: recall of each kind of plant, and how many clean rows are hits (`clean`)."""
    rng = random.Random(seed)
    planted = [(name, number) for name in PLANTS for number in range(len(problems))]
    rows = [*clean, *(PLANTS[name](rng, problems[number]) for name, number in planted)]
    evaluation = [EvaluationText("planted", number, problem) for number, problem in enumerate(problems)]
    hits = find_contamination(pa.array(rows), evaluation, Decontamination())
    table: dict[str, dict[str, float]] = {}
    for label in [*KINDS, "counted"]:
        own = [hit for hit in hits if (hit.is_counted if label == "counted" else hit.kind == label)]
        pairs = {(hit.training_row, hit.evaluation_row) for hit in own}
        found = [
            name for place, (name, number) in enumerate(planted) if (len(clean) + place, number) in pairs
        ]
        table[label] = {name: found.count(name) / len(problems) for name in PLANTS}
        table[label]["clean"] = float(len({row for row, _ in pairs if row < len(clean)}))
    return table


def print_table(title: str, measured: dict[str, dict[str, float]]) -> None:
    """Recall in percent, and clean rows flagged."""
    table = Table("kind", *PLANTS, "clean rows flagged", title=title)
    for kind, row in measured.items():
        table.add_row(kind, *(f"{row[name]:.1%}" for name in PLANTS), f"{row['clean']:.0f}")
    Console(width=120).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.planted_contamination", description=__doc__
    )
    parser.add_argument("--seed", type=int, default=1)
    seed: int = parser.parse_args().seed
    print_table("1,000 invented problems in 20,000 clean rows", measure(*invented(20_000, 1_000, seed), seed))
    if REAL_DATA.is_dir():
        print_table("MATH-500 in GSM8K's 7,473 training rows", measure(*real(), seed))


if __name__ == "__main__":
    main()
