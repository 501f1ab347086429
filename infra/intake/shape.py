"""A shape: what a known layout of columns looks like, and how its columns become ours."""

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa

from data_contracts.rows import RowKind


@dataclass(frozen=True, slots=True)
class Shape:
    """One layout that public data sets use."""

    name: str
    kind: RowKind
    looks: str
    """Its columns, for a person whose file has others."""

    read: Callable[[pa.Schema], dict[str, str] | None]
    """Our columns as SQL over the file's, each of which it writes in double quotes; None for another shape."""
