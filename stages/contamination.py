"""What contamination is: a training row that holds an evaluation problem, and the evidence for saying so.

| kind | a training row is a hit when | source |
|---|---|---|
| exact | it holds the whole problem, word by word | |
| 8-gram | one row's matching 8-grams cover half of the problem's words | Tülu 3, arXiv 2411.15124, section 3.2 |
| 13-gram | it shares any 13-gram that is not boilerplate | GPT-3, arXiv 2005.14165, appendix C |
| near | it holds most of the problem's word 3-grams close together | containment: Broder 1997 |
| template | it holds the problem with other numbers | |

Words are those of `words`: punctuation, case and white space do not count. A phrase that many problems share, or
many different training prompts, is boilerplate: it never makes a hit by itself (of 114 flags of plain 13-grams in
one public corpus 88 were such false positives: marin-community/marin issue 6852).
"""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["exact", "8-gram", "13-gram", "near", "template"]
Spans = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class EvaluationText:
    """One problem that no training row may hold."""

    name: str
    """Of its evaluation set: an instruction that most prompts of a set begin or end with is not compared."""

    row: int
    prompt: str
    ground_truth: str = ""


@dataclass(frozen=True, slots=True)
class Decontamination:
    """What to look for, and what a person has judged harmless."""

    methods: tuple[Kind, ...] = ("exact", "8-gram", "13-gram", "near", "template")

    counted: frozenset[Kind] = frozenset({"exact", "8-gram", "near"})
    """Kinds that count as contamination; the others are listed for a person to judge."""

    count_other_numbers: bool = False
    """Whether a hit counts although the row lacks a number of the problem: the same story, another problem."""

    least_coverage: float = 0.5
    """8-gram: share of the problem's words, boilerplate and all, and of those that are not boilerplate."""

    least_containment: float = 0.5
    """near: share of the problem's 3-grams that no more than `common_problems` problems have."""

    least_template: float = 0.8
    """template: as `least_coverage`, once numbers are replaced by a placeholder."""

    common_problems: int = 3
    """An n-gram in more different problems than this is boilerplate of the evaluation."""

    common_rows: int = 10
    """An n-gram in more different training prompts than this (GPT-3's limit), copies of a problem apart, too."""

    allowed_problems: frozenset[tuple[str, int]] = frozenset()
    """Evaluation set and row, whatever row matches."""

    allowed_pairs: frozenset[tuple[int, str, int]] = frozenset()
    """Training row, evaluation set and row."""

    harmless_texts: tuple[str, ...] = ()
    """Their n-grams are boilerplate: famous quotes, standard formulas, instructions."""


@dataclass(frozen=True, slots=True)
class Contamination:
    """One training row and one evaluation problem, side by side."""

    training_row: int
    evaluation_name: str
    evaluation_row: int
    kind: Kind
    score: float
    """Share of the problem found in the row, in (0, 1]."""

    training_spans: Spans
    """Half-open ranges of characters of the row's text that match, in order, apart from each other."""

    evaluation_spans: Spans
    """The same of the problem's prompt."""

    ground_truth_found: bool
    """The row also holds the ground truth, outside of the matching spans. Weak evidence when it is a small number."""

    numbers_agree: bool
    """Every number of the problem stands in the row as often."""

    is_counted: bool
