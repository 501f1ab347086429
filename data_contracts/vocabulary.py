"""Words that recipes are made of: names, weights, and the frozen config every other one derives from."""

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


class Config(BaseModel):
    """Frozen, strict about unknown keys, and without numbers that have no canonical form."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def _as_weights(value: Any) -> Any:
    """`[a, b]` and `a` are short for `{a: 1, b: 1}`."""
    if isinstance(value, str):
        return {value: 1.0}
    if isinstance(value, list):
        repeated = {str(name) for name in value if value.count(name) > 1}
        if repeated:
            raise ValueError(f"{sorted(repeated)} named twice; give a weight instead: {{name: 2}}")
        return dict.fromkeys(value, 1.0)
    return value


Weight = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Rows: TypeAlias = Annotated[
    dict[str, Weight], BeforeValidator(_as_weights), Field(min_length=1, validate_default=True)
]
"""Names of datasets or of stages whose output is rows, each with a weight.

A weight says how often a source is used in one pass: 0.5 takes a seeded half, 2 takes each row twice
(open-instruct's dataset mixer has the same meaning)."""

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=48)]
PositiveInt = Annotated[int, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
DType: TypeAlias = Literal["float32", "bfloat16"]
Sampler: TypeAlias = Literal["transformers", "vllm"]
