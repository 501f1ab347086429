"""Where the rows of a recipe's dataset come from."""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from data_contracts.rows import RowKind
from data_contracts.vocabulary import Config, Fraction, PositiveInt

GENERATED_VERIFIER = "exact_number"
"""Of problems that Burnish makes, where a recipe names none."""


class DatasetConfig(Config):
    """Where a dataset's rows come from: exactly one of `path`, `version`, `hub`, `generate`, `sql`."""

    kind: RowKind | None = None
    """Recognised from the columns when left out. `raw` keeps a source as it is, for `sql` to read."""

    path: str | None = None
    """A JSONL, JSON, Parquet, CSV or Arrow file (also .gz, .zst), relative to the recipe's folder."""

    version: str | None = Field(default=None, pattern=r"^[a-z][a-z0-9_.]*@[1-9][0-9]*$")
    """A dataset version of this home, `name@3`, as `burnish data` makes them: checked when it was imported."""

    hub: str | None = None
    """A Hugging Face dataset id."""

    hub_config: str | None = None
    hub_revision: str | None = None
    hub_split: str = "train"

    generate: Literal["arithmetic"] | None = None
    """Problems made by Burnish itself."""

    count: PositiveInt | None = None
    split: Literal["train", "rl", "tune", "test"] = "train"
    worked: Fraction | None = None
    """Share of generated SFT rows that show their steps; the others give the bare result."""

    sql: str | None = None
    """A query over the datasets named in `rows`."""

    rows: tuple[str, ...] = ()
    verifier: str | None = None
    """Of problems whose rows name none."""

    arguments: dict[str, Any] = Field(default_factory=dict)
    """Keyword arguments of that verifier."""

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        given = [
            name for name in ("path", "version", "hub", "generate", "sql") if getattr(self, name) is not None
        ]
        if len(given) != 1:
            raise ValueError(
                f"give one of path, version, hub, generate, sql; found {' and '.join(given) or 'none'}"
            )
        if self.generate and self.count is None:
            raise ValueError("generate needs count, the number of rows to make")
        if (self.hub is None) != (self.hub_revision is None):
            raise ValueError("a hub dataset needs hub and hub_revision (a commit hash), nothing else does")
        if self.sql and not self.rows:
            raise ValueError("sql needs rows, the datasets it reads")
        return self
