"""A recipe: everything that decides one pipeline's result, as frozen, checked values.

`stages:` maps a name to a stage; `start:` and `rows:` are the only edges between them.
"""

import re
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Annotated, Any, Self

from pydantic import Discriminator, Field, Tag, model_validator

from data_contracts.gates import CHAMPION, START, GateConfig, GateQuestions, metric_of
from data_contracts.model_verifiers import JudgeSettings, RewardModelSettings
from data_contracts.stage_configs import (
    MODEL_KINDS,
    REGISTERED,
    BaseModelConfig,
    EvaluateConfig,
    RunSettings,
    StageConfig,
)
from data_contracts.training_configs import GRPOConfig, LoRA, TrainingConfig
from data_contracts.vocabulary import Config, Name, Rows, Seed
from flows.dataset_config import GENERATED_VERIFIER, DatasetConfig
from flows.verifier_parts import known_parts

VerifierPlace = Annotated[str, Field(pattern=r"^.+:[A-Za-z_][A-Za-z0-9_]*$")]


def _form_of_verifier(value: Any) -> str | None:
    if isinstance(value, str):
        return "place"
    return value.get("kind") if isinstance(value, dict) else getattr(value, "kind", None)


AddedVerifier = Annotated[
    Annotated[VerifierPlace, Tag("place")]
    | Annotated[RewardModelSettings, Tag("reward_model")]
    | Annotated[JudgeSettings, Tag("judge")],
    Discriminator(
        _form_of_verifier,
        custom_error_type="verifier",
        custom_error_message="a verifier is package.module:RECORD, file.py:RECORD, or a model that is asked: "
        "{kind: reward_model, …} or {kind: judge, …}",
    ),
]
"""Of three forms, told apart before they are read, so that a mistake is told once."""


class Recipe(Config):
    """Everything that decides one pipeline's result, and `run`, which decides nothing."""

    name: Name
    seed: Seed = 0
    base: BaseModelConfig
    datasets: dict[Name, DatasetConfig] = Field(min_length=1)
    stages: dict[Name, Annotated[StageConfig, Field()]] = Field(min_length=1)
    evaluate: EvaluateConfig | None = None
    verifiers: dict[Name, AddedVerifier] = Field(default_factory=dict)
    """Verifiers that the recipe adds: your own, as `package.module:RECORD` or `file.py:RECORD` relative to the
    recipe's folder; or a model that is asked, `{kind: reward_model, …}` or `{kind: judge, …}`."""

    promotion: GateQuestions | None = None
    """What a model has to show against the champion before it is promoted."""

    run: RunSettings = RunSettings()

    @model_validator(mode="after")
    def _edges_lead_somewhere(self) -> Self:
        twice = sorted(set(self.datasets) & set(self.stages) | {"base"} & {*self.datasets, *self.stages})
        if twice:
            raise ValueError(f"{', '.join(twice)} names two things; a name means one dataset or stage")
        for name, dataset in self.datasets.items():
            for source in dataset.rows:
                self._require_known(f"datasets.{name}.rows", source, list(self.datasets))
        models = ["base", *(n for n, s in self.stages.items() if s.kind in MODEL_KINDS)]
        tables = [
            *self.datasets,
            *(n for n, s in self.stages.items() if s.kind not in (*MODEL_KINDS, "gate")),
        ]
        for name, stage in self.stages.items():
            start: str | None = getattr(stage, "start", None)
            if start is not None and not is_registered(start):
                self._require_known(f"stages.{name}.start", start, models)
            if isinstance(stage, GateConfig):
                self._require_comparable(name, stage, models)
                self._require_samples(f"stages.{name}", stage)
                self._require_parts(f"stages.{name}", stage)
                continue
            for source in stage.rows:
                self._require_known(f"stages.{name}.rows", source, tables)
            if isinstance(stage, GRPOConfig) and stage.held_out:
                self._require_held_out(f"stages.{name}.held_out", stage, stage.held_out.rows, tables)
        if self.evaluate:
            for source in self.evaluate.rows:
                self._require_known("evaluate.rows", source, tables)
        if self.promotion:
            self._require_samples("promotion", self.promotion)
            self._require_parts("promotion", self.promotion)
        return self

    def _require_comparable(self, name: str, gate: GateConfig, models: Sequence[str]) -> None:
        if self.evaluate is None:
            raise ValueError(
                f"stages.{name} judges by the recipe's evaluation, and there is no evaluate section; "
                "add evaluate: {rows: [HELD_OUT], samples: 4}"
            )
        if gate.against not in (START, CHAMPION) and not is_registered(gate.against):
            self._require_known(f"stages.{name}.against", gate.against, [START, CHAMPION, *models])
        has_no_start = gate.start == "base" or is_registered(gate.start)
        if gate.against == gate.start or (has_no_start and gate.against == START):
            raise ValueError(
                f"stages.{name} compares {gate.start} with itself or with nothing; change against"
            )

    def _require_held_out(
        self, place: str, stage: GRPOConfig, held_out: Sequence[str], tables: Sequence[str]
    ) -> None:
        for source in held_out:
            self._require_known(f"{place}.rows", source, tables)
            for use, taken in (
                ("it trains on", stage.rows),
                ("the evaluation measures with", self._evaluated),
            ):
                if source in taken:
                    raise ValueError(f"{place}.rows names {source}, which {use}; give problems of their own")

    @property
    def _evaluated(self) -> Rows:
        return self.evaluate.rows if self.evaluate else {}

    def _require_samples(self, place: str, questions: GateQuestions) -> None:
        samples = self.evaluate.samples if self.evaluate else None
        for metric in questions.metrics:
            _, _, k = metric_of(metric)[0].partition("@")
            if k and samples is not None and int(k) > samples:
                raise ValueError(
                    f"{place} asks for {metric}, and evaluate.samples is {samples}; "
                    "draw more samples or ask for a smaller K"
                )

    def _require_parts(self, place: str, questions: GateQuestions) -> None:
        """Rows that Burnish makes itself name no verifier of their own, so what their verdicts have is known."""
        rows = [self.datasets.get(name) for name in (self.evaluate.rows if self.evaluate else ())]
        made = [each for each in rows if each is not None and each.generate]
        known = known_parts((each.verifier or GENERATED_VERIFIER, each.arguments) for each in made)
        if known is None or not made or made != rows:
            return
        for metric in questions.metrics:
            part = metric_of(metric)[0].partition("part.")[2]
            if part and part not in known:
                raise ValueError(
                    f"{place} asks for {metric}, and no verdict of the evaluation has that part; "
                    f"{nearest(part, sorted(known))}Known: {', '.join(sorted(known)) or 'none'}"
                )

    @model_validator(mode="after")
    def _adapters_are_merged_or_continued(self) -> Self:
        for name, stage in self.stages.items():
            if isinstance(stage, TrainingConfig) and stage.lora is not None:
                start = self.stages.get(stage.start)
                below = start.lora if isinstance(start, TrainingConfig) else None
                _require_adapter_choice(f"stages.{name}.lora", stage.lora, stage.start, below)
        return self

    @staticmethod
    def _require_known(place: str, name: str, known: Sequence[str]) -> None:
        if name not in known:
            raise ValueError(
                f"{place} names {name!r}, which is not there. {nearest(name, known)}Known: {', '.join(known)}"
            )


def is_registered(start: str) -> bool:
    """Whether a stage's start is a version of the registry, `models:/NAME/VERSION`."""
    return re.fullmatch(REGISTERED, start) is not None


def registered_version(start: str) -> tuple[str, int]:
    """Name and version of such a start."""
    name, _, version = start.removeprefix("models:/").rpartition("/")
    return name, int(version)


def _require_adapter_choice(place: str, lora: LoRA, start: str, below: LoRA | None) -> None:
    if below is None and lora.start_adapter is not None:
        raise ValueError(
            f"{place}.start_adapter is {lora.start_adapter}, but {start} was trained without LoRA; leave it out"
        )
    if below is not None and lora.start_adapter is None:
        raise ValueError(
            f"{place}: {start} was trained with LoRA too; say start_adapter: merge (a new adapter on its merged "
            f"weights) or start_adapter: continue (its own adapter, trained further)"
        )
    if below is not None and lora.start_adapter == "continue":
        for field in ("rank", "alpha", "targets"):
            ours, theirs = getattr(lora, field), getattr(below, field)
            if ours != theirs:
                raise ValueError(
                    f"{place} continues the adapter of {start}: {field} is {ours}, there {theirs}"
                )


def nearest(name: str, known: Sequence[str]) -> str:
    """A sentence that names the known name most like this one, or nothing."""
    close = get_close_matches(name, known, n=1, cutoff=0.5)
    return f"Did you mean {close[0]!r}? " if close else ""
