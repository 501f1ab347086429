"""What a training logged over its steps: for each metric, its points in order."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

Point: TypeAlias = tuple[int, float]
"""A step and the value logged at it, which may be nan or infinite."""

History: TypeAlias = Mapping[str, Sequence[Point]]
"""Points by the metric's name as logged, such as `grpo/reward`; steps ascend, and need not be the same for two
metrics."""
