"""Configs of a mix and of a held-out split: all that decides which rows they take, so a version can record it.

A weight means what it means in a recipe's `rows:`, a multiple of the source's own rows (0.5 half of them, 2.5
every row twice and half of them once more), until `total` is given: then weights are shares of that total.
"""

from typing import Self

from pydantic import Field, model_validator

from data_contracts.errors import DataError
from data_contracts.vocabulary import Config, PositiveInt


class MixtureSource(Config):
    """One dataset version of a mix."""

    dataset: str = Field(pattern=r"^[^@\s]+@[^@\s]+$", max_length=200)
    """`name@version`. The draw depends on the name alone, so a new version keeps the choice among old rows."""

    weight: float = 1.0
    """Multiple of the source's rows, or its share of `total`. 0 leaves the source out."""

    cap: int | None = None
    """At most this many rows. What a cap takes from a share goes to the other sources."""

    seed: int | None = None
    """Decides which rows are drawn; the mixture's seed by default."""


class Mixture(Config):
    """The recipe of a mix. Raises DataError for weights, caps or a total that no rows could satisfy."""

    sources: tuple[MixtureSource, ...]
    total: int | None = None
    """Rows of the whole mix; weights are shares of it."""

    upsample: bool = False
    """Whether a share of `total` may repeat a source that has too few rows."""

    seed: int = 0
    """Decides the order of the mix, and the draw of every source without a seed of its own."""

    @model_validator(mode="after")
    def _can_be_mixed(self) -> Self:
        names = [source.dataset for source in self.sources]
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            raise DataError(
                f"The mix names {', '.join(repeated)} more than once.",
                "every dataset once",
                "Give it a larger weight instead.",
            )
        if negative := [
            f"{source.dataset}: {source.weight:g}" for source in self.sources if source.weight < 0
        ]:
            raise DataError(
                f"The mix has the weight {', '.join(negative)}.", "0 or more", "Correct the weight."
            )
        if not any(source.weight for source in self.sources):
            raise DataError(
                "No source of the mix has a weight above 0." if names else "The mix has no sources.",
                "at least one source that gives rows",
                "Add a source, or give one a weight.",
            )
        if capped := [
            f"{source.dataset}: {source.cap}" for source in self.sources if _is_below_one(source.cap)
        ]:
            raise DataError(
                f"The mix has the cap {', '.join(capped)}.",
                "at least 1 row",
                "Use weight 0 to leave a source out.",
            )
        if _is_below_one(self.total):
            raise DataError(f"The mix has the total {self.total}.", "at least 1 row", "Correct the total.")
        return self


class HeldOutSplit(Config):
    """How many rows are held out, and of which groups: a group is never on both sides."""

    group_by: str
    """The column whose equal values stay together: a problem's id, a prompt's text."""

    stratify_by: str | None = None
    """The column whose values all give their share of held-out rows: a source, a level."""

    fraction: float | None = Field(default=None, gt=0, lt=1)
    count: PositiveInt | None = None
    """Rows to hold out, unless given as `fraction`."""

    seed: int = 0

    @model_validator(mode="after")
    def _one_size(self) -> Self:
        if (self.fraction is None) == (self.count is None):
            raise DataError(
                f"The split has {'neither a' if self.count is None else 'both a'} fraction "
                f"{'nor' if self.count is None else 'and'} a count.",
                "one of them: a fraction such as 0.1, or a count of rows",
                "Give --fraction or --count.",
            )
        return self


def _is_below_one(rows: int | None) -> bool:
    return rows is not None and rows < 1
