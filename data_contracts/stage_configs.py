"""Configs of the stages that sample, pair and select, of the base model, and the union of all kinds.

Everything but `RunSettings` decides a result and is part of a stage's identity; `RunSettings` (devices,
processes, micro-batch) never reaches a key.
"""

from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from data_contracts.audit_config import AuditConfig
from data_contracts.gates import GateConfig
from data_contracts.notify_config import Notify
from data_contracts.training_configs import DPOConfig, GRPOConfig, SFTConfig
from data_contracts.vocabulary import Config, DType, Fraction, PositiveInt, Rows, Sampler, Seed


class SamplingConfig(Config):
    """How completions are drawn."""

    samples: PositiveInt = 1
    """Completions per problem."""

    temperature: float = Field(default=1.0, ge=0)
    """0 is greedy decoding."""

    top_p: float = Field(default=1.0, gt=0, le=1)
    max_completion_length: PositiveInt = 2048
    """Tokens."""

    limit: PositiveInt | None = None
    """At most this many problems, the same ones whatever the model (seeded by the recipe)."""

    batch: PositiveInt = 512
    """Completions generated together. Part of the result: random draws follow their order."""

    sampler: Sampler = "transformers"
    dtype: DType = "float32"
    seed: Seed | None = None
    """Of this stage alone; the recipe's where it is left out."""

    @model_validator(mode="after")
    def _greedy_repeats_itself(self) -> Self:
        if self.temperature == 0 and self.samples > 1:
            raise ValueError(
                f"temperature 0 draws the same completion {self.samples} times; use samples: 1 or a temperature"
            )
        return self


class VerifyConfig(SamplingConfig):
    """Sample completions of problems and give each its verdict."""

    kind: Literal["verify"] = "verify"
    start: str
    rows: Rows
    compare_with: tuple[str, ...] = ()
    """Earlier verify stages over the same problems, compared pairwise problem by problem."""


class EvaluateConfig(SamplingConfig):
    """Run for the base and every training stage, as verify stages named `<stage>.evaluate`."""

    rows: Rows


class PairsConfig(Config):
    """Preference pairs: verified completions of one prompt, better against worse."""

    kind: Literal["pairs"] = "pairs"
    rows: Rows
    """Verify stages (on-policy) and preference datasets (off-policy), by weight."""

    min_margin: float = Field(default=0.5, gt=0, le=1)
    """Smallest difference in reward between chosen and rejected."""

    pairs_per_prompt: PositiveInt = 1
    max_completion_length: PositiveInt | None = None
    """Tokens. Pairs that are equal within this length are dropped: training would see a tie."""

    seed: Seed | None = None
    """Of this stage alone; the recipe's where it is left out."""


class SelectConfig(Config):
    """Problems whose pass rate lies in a band: neither hopeless nor already solved."""

    kind: Literal["select"] = "select"
    rows: Rows
    pass_rate: tuple[Fraction, Fraction] = (0.1, 0.9)
    """Lowest and highest share of right completions, both included."""

    @model_validator(mode="after")
    def _is_a_band(self) -> Self:
        low, high = self.pass_rate
        if low > high:
            raise ValueError(f"pass_rate [{low}, {high}] is upside down; write [{high}, {low}]")
        return self


REGISTERED = r"^models:/[a-z][a-z0-9_.]*/[1-9][0-9]{0,8}$"
"""A version of the registry."""


class BaseModelConfig(Config):
    """Where the pipeline's first model comes from: exactly one of `build`, `model`, `path`, `version`."""

    kind: Literal["base"] = "base"
    build: Literal["tiny-qwen3"] | None = None
    """A small, randomly initialised model with a character tokenizer, made from the recipe's seed."""

    model: str | None = None
    """A Hugging Face hub id."""

    revision: str | None = None
    """The commit of the hub model: without it the same recipe could start from other weights."""

    path: str | None = None
    """A local Hugging Face directory with safetensors weights."""

    version: str | None = Field(default=None, pattern=REGISTERED)
    """A version of this home as it stands, `models:/NAME/VERSION`: nothing new is registered."""

    trust_remote_code: Literal[False] = False

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        given = [name for name in ("build", "model", "path", "version") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"give one of build, model, path, version; found {' and '.join(given) or 'none'}"
            )
        if (self.model is None) != (self.revision is None):
            raise ValueError("a hub model needs both model and revision (a commit hash), nothing else does")
        return self


class RegisteredModelConfig(Config):
    """A version of the registry that a stage starts from, `models:/NAME/VERSION`."""

    kind: Literal["registered"] = "registered"
    reference: str


StageConfig: TypeAlias = Annotated[
    SFTConfig | DPOConfig | GRPOConfig | VerifyConfig | PairsConfig | SelectConfig | AuditConfig | GateConfig,
    Field(discriminator="kind"),
]
AnyConfig: TypeAlias = Annotated[
    SFTConfig
    | DPOConfig
    | GRPOConfig
    | VerifyConfig
    | PairsConfig
    | SelectConfig
    | AuditConfig
    | GateConfig
    | BaseModelConfig
    | RegisteredModelConfig,
    Field(discriminator="kind"),
]
MODEL_KINDS = ("base", "sft", "dpo", "grpo")
"""Kinds whose output is a model; every other kind makes rows."""


Containment: TypeAlias = Literal["strong", "limited"]


class RunSettings(Config):
    """How a recipe is run on this machine. Never part of identity."""

    accelerators: int = Field(default=0, ge=0)
    """GPUs a training stage uses; 0 is the CPU."""

    processes: Literal[1] = 1
    micro_batch: PositiveInt | Literal["auto"] = "auto"
    """Rows per forward and backward pass. The losses are normalized over the global batch."""

    parallel_stages: PositiveInt = 1
    """Stages that may compute side by side."""

    sandbox: Containment = "strong"
    """What programs that a model wrote run in: bubblewrap or user namespaces, or, where there are none and you
    say so, processes with limits of resources only."""

    threads: PositiveInt | None = None
    """CPU threads of one stage; by default all cores, shared among parallel stages."""

    checkpoint_minutes: float = Field(default=10, gt=0)
    """Training writes a checkpoint once it has lasted this long since the last. Young's optimum (CACM 17, 1974),
    sqrt(2 * cost of a checkpoint * time between failures), is 10 minutes for 10 seconds and 5 hours."""

    checkpoint_steps: PositiveInt | None = None
    """And after so many updates since the last, whichever comes first; GRPO waits for the end of its sampling
    round."""

    keep_checkpoints: PositiveInt = 2
    """The newest, until the stage is finished."""

    notify: Notify | None = None
    """Who is told how a run ended."""
