"""What a flow hands to a stage's process and what comes back: files and plain values only."""

from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, Field

from data_contracts.alarms import Alarm
from data_contracts.model_verifiers import JudgeSettings, RewardModelSettings
from data_contracts.rows import RowKind
from data_contracts.stage_configs import AnyConfig, RunSettings
from data_contracts.vocabulary import Config

INTERRUPTED_EXIT = 75
"""Exit code of a stage that stopped on request, its checkpoint written."""


class RowsInput(Config):
    """A Parquet file of rows, keyed by its dataset version's fingerprint."""

    name: str
    kind: RowKind
    path: Path
    fingerprint: str
    weight: float = 1.0


class ModelInput(Config):
    """A directory with safetensors weights, tokenizer and chat template. Never written into."""

    name: str
    path: Path
    fingerprint: str


class StageJob(Config):
    """One execution of one stage."""

    name: str
    config: AnyConfig
    seed: int
    start: ModelInput | None = None
    base: ModelInput | None = None
    """The pipeline's first model, whose tokenizer and chat template every later one must share."""

    adapter_base: ModelInput | None = None
    """The weights below the start's adapter, for a stage that continues that adapter."""

    rows: tuple[RowsInput, ...] = ()
    compare_with: tuple[RowsInput, ...] = ()
    verifiers: dict[str, str | RewardModelSettings | JudgeSettings] = Field(default_factory=dict)
    """Verifiers that the recipe adds, by name: where their record is, or which model they ask."""

    work_dir: Path
    """Scratch of this execution: progress, log, trainer checkpoints, and `output` once finished."""

    reference_cache_dir: Path
    """Reference log-probabilities, keyed by weights and rows, shared between executions."""

    run: RunSettings
    accelerators: tuple[int, ...] = ()
    """Indices of the GPUs leased for this execution."""

    @property
    def output_dir(self) -> Path:
        return self.work_dir / "output"

    @property
    def checkpoints_dir(self) -> Path:
        """`checkpoint-STEP` folders, each of them whole: an interrupted training continues from the newest."""
        return self.work_dir / "checkpoints"

    @property
    def unfinished_checkpoints_dir(self) -> Path:
        """Where a checkpoint is written before it gets its place."""
        return self.checkpoints_dir / ".writing"

    @property
    def training_rows_path(self) -> Path:
        """Which rows of which input reached the trainer, written by stages that train."""
        return self.work_dir / "training_rows.parquet"

    @property
    def rollouts_dir(self) -> Path:
        """What the policy wrote while it was trained, with its verdicts: a Parquet file a round of sampling."""
        return self.work_dir / "rollouts"

    @property
    def report_path(self) -> Path:
        """All that a stage found out, as JSON, where it has more to say than numbers."""
        return self.work_dir / "report.json"

    @property
    def progress_path(self) -> Path:
        return self.work_dir / "progress.jsonl"

    @property
    def log_path(self) -> Path:
        return self.work_dir / "stage.log"

    @property
    def result_path(self) -> Path:
        return self.work_dir / "result.json"

    @property
    def error_path(self) -> Path:
        return self.work_dir / "error.json"


class Report(Config):
    """What a stage measured; a loss may well be nan, and must arrive as that."""

    model_config = ConfigDict(allow_inf_nan=True, ser_json_inf_nan="constants")


class StageResult(Report):
    """What a finished stage says of its output."""

    output: Literal["model", "rows"]
    fingerprint: str
    """Content: weights, tokenizer and chat template, or rows and their order."""

    metrics: dict[str, float]
    notes: tuple[str, ...] = ()
    """Sentences for people: what was dropped, and how often."""


class Progress(Report):
    """One line of a stage's progress file."""

    seconds: float
    """Since the stage began."""

    step: int
    total: int
    unit: Literal["step", "completion", "row"] = "step"
    metrics: dict[str, float] = Field(default_factory=dict)
    alarms: tuple[Alarm, ...] = ()
    is_repeated: bool = False
    """Whether it tells what an earlier process of the stage told, before it was interrupted."""
