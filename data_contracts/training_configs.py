"""Configs of the stages that train: SFT, DPO and GRPO. A default is a vetted value with its source.

Everything here decides a result and is part of a stage's identity.
"""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from data_contracts.alarms import AlarmPolicy
from data_contracts.rewards import Combination, Rewards, RewardTerm
from data_contracts.vocabulary import Config, DType, PositiveInt, Rows, Sampler, Seed

Share = Annotated[float, Field(gt=0, le=1)]


class LoRA(Config):
    """Train a low-rank adapter instead of all weights (arXiv 2106.09685)."""

    rank: PositiveInt = 16
    alpha: PositiveInt = 32
    dropout: float = Field(default=0.0, ge=0, lt=1)
    targets: tuple[str, ...] | Literal["all-linear"] = "all-linear"
    start_adapter: Literal["merge", "continue"] | None = None
    """Required where the start was trained with LoRA itself. `merge`: a new adapter on the start's merged
    weights. `continue`: the start's own adapter, trained further on the weights below it. Either way the
    reference model is the start, and every stage hands on both merged weights and its adapter."""


class TrainingConfig(Config):
    """What SFT, DPO and GRPO share."""

    start: str
    """The model to start from: `base`, a training stage, or a registered version, `models:/tiny.dpo/3`."""

    rows: Rows
    learning_rate: float = Field(gt=0)
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    warmup_steps: int = Field(default=0, ge=0)
    weight_decay: float = Field(default=0.0, ge=0)
    adam_beta2: float = Field(default=0.999, gt=0, lt=1)
    max_grad_norm: float = Field(default=1.0, gt=0)
    lora: LoRA | None = None
    dtype: DType = "float32"
    """Precision of the forward and backward pass; weights are kept as the start has them."""

    seed: Seed | None = None
    """Of this stage alone; the recipe's where it is left out."""

    alarms: AlarmPolicy = AlarmPolicy()
    """What is done where training goes wrong."""

    @model_validator(mode="after")
    def _alarms_fit(self) -> Self:
        self.alarms.require_fits(getattr(self, "kind"))  # noqa: B009 - of every subclass
        return self

    @model_validator(mode="after")
    def _warm_up_ends(self) -> Self:
        steps = getattr(self, "steps", None)
        if steps is not None and self.warmup_steps >= steps:
            raise ValueError(
                f"warmup_steps = {self.warmup_steps} leaves nothing of steps = {steps}; "
                f"use at most {steps - 1}"
            )
        return self


class EpochTrainingConfig(TrainingConfig):
    """Training over rows: a length in steps or in passes over the rows, never both."""

    global_batch: PositiveInt
    steps: PositiveInt | None = None
    epochs: float | None = Field(default=None, gt=0)
    max_length: PositiveInt
    """Tokens of prompt plus completion. Longer rows are dropped and counted, never cut."""

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if (self.steps is None) == (self.epochs is None):
            given = "neither" if self.steps is None else "both"
            raise ValueError(f"give steps or epochs, one of them; found {given}")
        return self


class SFTConfig(EpochTrainingConfig):
    """Supervised fine-tuning: loss on the assistant's turns only."""

    kind: Literal["sft"] = "sft"
    learning_rate: float = Field(default=5e-6, gt=0)
    """Tülu 3 8B's value; a small model from scratch wants about 1e-3."""

    global_batch: PositiveInt = 128
    max_length: PositiveInt = 4096
    packing: bool = False
    """Fill sequences of `max_length` with several rows, which do not see each other. `global_batch` and
    `epochs` then count sequences."""


class DPOConfig(EpochTrainingConfig):
    """Direct preference optimization against the model the stage starts from."""

    kind: Literal["dpo"] = "dpo"
    loss: Literal["sigmoid_norm", "sigmoid"] = "sigmoid_norm"
    """`sigmoid_norm` is length-normalized DPO (Tülu 3, arXiv 2411.15124, equation 6)."""

    beta: float = Field(default=5.0, gt=0)
    """Tülu 3's ablation: 5 best, 2 ten points lower, 10 two lower. Plain `sigmoid` wants about 0.1."""

    learning_rate: float = Field(default=5e-7, gt=0)
    global_batch: PositiveInt = 128
    max_length: PositiveInt = 2048

    @model_validator(mode="after")
    def _beta_fits_the_loss(self) -> Self:
        if self.loss == "sigmoid_norm" and self.beta < 1:
            raise ValueError(
                f"beta = {self.beta} is made for summed log-probabilities; sigmoid_norm averages them per "
                f"token, so the same pull needs beta >= 1 (Tülu 3 uses 5)"
            )
        return self


def _as_names(value: object) -> object:
    return (value,) if isinstance(value, str) else value


class HeldOutConfig(Config):
    """A look at the truth while a reward is trained on: problems the policy never trains on, by a stricter metric.

    A completion is right where its verifier gives full reward and the policy ended it itself.
    """

    rows: Annotated[tuple[str, ...], BeforeValidator(_as_names), Field(min_length=1)]
    """Problems, of no use for training or for the final evaluation."""

    every: PositiveInt | None = None
    """Optimizer updates between two looks; a tenth of the stage where it is left out."""

    limit: PositiveInt = 128
    """At most this many problems, the same ones at every look."""

    temperature: float = Field(default=1.0, ge=0)
    """0 is greedy decoding."""

    verifier: str | None = None
    """Another than the one each problem names: the strictest there is for the task."""


class GRPOConfig(TrainingConfig):
    """Group-relative policy optimization with verifiable rewards.

    Defaults follow OLMo 3: no KL term, clip-higher, advantages not divided by the group's standard
    deviation, loss averaged over tokens.
    """

    kind: Literal["grpo"] = "grpo"
    rewards: Rewards = Field(default={"problem": RewardTerm()})
    """Verifiers with their weights. `problem` means the verifier each problem names."""

    combine: Combination = "gate"
    """How several rewards become one, which stays in [0, 1]. `gate`: their weighted mean where the first is
    full, else 0, so that no format is paid for without a right answer."""

    source_weights: dict[str, Share] = Field(default_factory=dict)
    """What a full reward is worth by the problem's source, at most 1 (the default)."""

    learning_rate: float = Field(default=1e-6, gt=0)
    schedule: Literal["linear", "cosine", "constant"] = "constant"
    steps: PositiveInt
    """Optimizer updates."""

    prompts_per_step: PositiveInt = 64
    group_size: int = Field(default=8, ge=2)
    """Completions sampled per prompt. One alone has no group to be compared with."""

    steps_per_generation: PositiveInt = 1
    """Optimizer updates fed by one round of sampling; more are cheaper and further off-policy."""

    num_iterations: PositiveInt = 1
    """Passes over each sampled batch (the mu of the GRPO paper, arXiv 2402.03300)."""

    beta: float = Field(default=0.0, ge=0)
    """Weight of the KL term to the model the stage starts from."""

    epsilon_low: float = Field(default=0.2, gt=0)
    epsilon_high: float = Field(default=0.272, gt=0)
    scale_rewards: Literal["none", "group", "batch"] = "none"
    loss: Literal["dapo", "grpo", "dr_grpo", "bnpo"] = "dapo"
    """`dapo` averages over the tokens of the whole step (arXiv 2503.14476)."""

    temperature: float = Field(default=1.0, gt=0)
    top_p: float = Field(default=1.0, gt=0, le=1)
    max_prompt_length: PositiveInt = 2048
    """Tokens. Problems with longer prompts are dropped and counted."""

    max_completion_length: PositiveInt = 2048
    """Tokens."""

    mask_truncated: bool = False
    """Leave completions that hit the token limit out of the loss."""

    sampler: Sampler = "transformers"
    held_out: HeldOutConfig | None = None
    """Without it nobody sees whether a rising reward is a better model."""

    @model_validator(mode="after")
    def _rounds_fit(self) -> Self:
        updates = self.steps_per_generation * self.num_iterations
        if self.steps % updates:
            raise ValueError(
                f"steps = {self.steps} is not a whole number of sampling rounds: each round feeds "
                f"steps_per_generation * num_iterations = {self.steps_per_generation} * "
                f"{self.num_iterations} = {updates} updates; use {self.steps - self.steps % updates or updates}"
            )
        return self
