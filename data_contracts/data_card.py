"""What a data card says of a dataset: how much there is, how long, how repetitive, how skewed, and from where.

After "Datasheets for Datasets" (Gebru et al., arXiv 1803.09010) and Hugging Face's dataset cards, restricted to what
can be counted or what the importer knows; warnings name what a policy could exploit.
"""

from datetime import datetime
from typing import Literal, Self

from pydantic import Field

from data_contracts.mixtures import Mixture
from data_contracts.rows import Row, RowKind

QUANTILES = (5, 50, 95, 99)
_NUM_BINS = 12
_LONGER_SHARE = 0.6
_GUESSED_SHARE = 0.1


class Bin(Row):
    """Values from `low` to `high`, both included."""

    low: int
    high: int
    count: int


class Distribution(Row):
    """Of whole numbers. A quantile is the smallest value that at least this share of them does not exceed."""

    part: str
    """What was measured: `row` (all of its texts), `prompt`, `completion`, `chosen`, `ground_truth`, ..."""

    unit: Literal["characters", "words"]
    """Words are runs without ASCII white space, so languages written without spaces have few."""

    count: int
    mean: float
    p5: int
    p50: int
    p95: int
    p99: int
    max: int
    bins: tuple[Bin, ...]
    """About twelve of equal width in log scale, from the smallest value to the largest."""

    @classmethod
    def of(cls, part: str, unit: Literal["characters", "words"], counts: dict[int, int]) -> Self:
        """From how often each value occurs; at least one does."""
        total = sum(counts.values())
        return cls(
            part=part,
            unit=unit,
            count=total,
            mean=sum(value * count for value, count in counts.items()) / total,
            max=max(counts),
            bins=log_bins(counts),
            **{f"p{percent}": quantile(counts, percent) for percent in QUANTILES},
        )


class Count(Row):
    """How many rows have a value."""

    value: str
    """At most its first 200 characters."""

    rows: int


class Counts(Row):
    """The values of a column, most frequent first."""

    distinct: int
    top: tuple[Count, ...]
    """At most ten; equals in alphabetical order."""


class PairFacts(Row):
    """Length bias: DPO on pairs whose chosen completions are longer learns to be long (arXiv 2310.03716)."""

    chosen_longer: int
    equal: int
    """Pairs whose chosen completion has more characters than, or as many as, the rejected one."""

    mean_difference: float
    """Characters, chosen minus rejected."""


class ProblemFacts(Row):
    """What decides verdicts."""

    verifiers: Counts
    ground_truths: Counts
    conflicting_prompts: int
    """Prompts that occur with more than one ground truth: one of them is wrong."""


class Provenance(Row):
    """Where the rows come from, as told by whoever imported or made them."""

    origin: str = ""
    licence: str = ""
    imported_at: datetime | None = None
    mapping: dict[str, str] = Field(default_factory=dict)
    """Column of the row kind -> the source's column or expression it was read from."""

    quarantine: dict[str, int] = Field(default_factory=dict)
    """Reason -> rows refused for it."""

    parents: tuple[str, ...] = ()
    """`name@version` of the datasets it was made from."""

    mixture: Mixture | None = None


class DataCard(Row):
    """One dataset version, described."""

    kind: RowKind
    rows: int
    text_bytes: int
    """UTF-8 bytes of the texts, keys and metadata not counted."""

    nulls: dict[str, int]
    """Column -> rows without a value."""

    lengths: tuple[Distribution, ...]
    turns: dict[int, int]
    """Number of messages (of the prompt, where the completion is a column of its own) -> rows."""

    with_system_prompt: int
    sources: Counts | None
    duplicate_rows: int
    """Rows whose texts, case ignored, stand in an earlier row."""

    repeated_prompts: int | None
    """Rows whose prompt, case ignored, stands in an earlier row. None where rows have no prompt."""

    pairs: PairFacts | None
    problems: ProblemFacts | None
    scripts: dict[str, float]
    """Unicode script -> share of letters. It hints at languages and cannot tell those of one script apart."""

    sampled_rows: int
    """Rows that words and scripts were measured on: all of a small dataset, an even sample of a large one."""

    provenance: Provenance

    def warnings(self) -> tuple[str, ...]:
        """What deserves a look before training."""
        return tuple(_pair_warnings(self.pairs, self.rows) + _problem_warnings(self.problems, self.rows))


def quantile(counts: dict[int, int], percent: int) -> int:
    """The smallest value that at least `percent` % of the values do not exceed."""
    total, below = sum(counts.values()), 0
    for value in sorted(counts):
        below += counts[value]
        if 100 * below >= percent * total:
            return value
    raise ValueError("no values")


def log_bins(counts: dict[int, int]) -> tuple[Bin, ...]:
    """About twelve bins of whole numbers, equally wide in log scale; zeros fall into the first."""
    low, high = max(min(counts), 1), max(max(counts), 1)
    edges = sorted(
        {round(low * (high / low) ** (step / _NUM_BINS)) for step in range(1, _NUM_BINS)} - {low, high}
    )
    starts, ends = [min(counts), *(edge + 1 for edge in edges)], [*edges, high]
    in_bins = [0] * len(starts)
    place = 0
    for value in sorted(counts):
        while value > ends[place]:
            place += 1
        in_bins[place] += counts[value]
    return tuple(Bin(low=s, high=e, count=n) for s, e, n in zip(starts, ends, in_bins, strict=True))


def _pair_warnings(pairs: PairFacts | None, rows: int) -> list[str]:
    if pairs is None or (differing := rows - pairs.equal) == 0:
        return []
    share = pairs.chosen_longer / differing
    if _LONGER_SHARE > share > 1 - _LONGER_SHARE:
        return []
    side = "longer" if share > 0.5 else "shorter"
    percent = 100 * max(share, 1 - share)
    return [
        f"chosen is {side} in {percent:.0f} % of the pairs that differ in length"
        f" ({pairs.mean_difference:+,.0f} characters on average): DPO may learn length; use a length-normalized loss"
    ]


def _problem_warnings(problems: ProblemFacts | None, rows: int) -> list[str]:
    if problems is None:
        return []
    warnings = [
        f"{100 * most.rows / rows:.0f} % of the problems have the ground truth {most.value!r}: a policy can guess it"
        for most in problems.ground_truths.top[:1]
        if most.rows >= _GUESSED_SHARE * rows
    ]
    if problems.conflicting_prompts:
        warnings.append(
            f"{problems.conflicting_prompts:,} prompts have more than one ground truth: at least one of them is wrong"
        )
    return warnings
