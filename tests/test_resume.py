"""An interrupted stage that continues ends with the bytes of one that was not interrupted."""

import contextlib
import gc
import json
import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from transformers import Trainer

from data_contracts.errors import Interrupted, StageError
from data_contracts.jobs import ModelInput, Progress, StageJob, StageResult
from data_contracts.rows import RowKind
from data_contracts.stage_configs import RunSettings
from data_contracts.training_configs import DPOConfig, GRPOConfig, LoRA, SFTConfig
from infra import stage_processes
from infra.stage_processes import run_stage, start_fork_server
from stages import child, durable, trainer_checkpoints, training
from stages.checkpoint import fingerprint_model
from stages.tiny_model import build_tiny_model
from stages.trainer_checkpoints import is_due
from tests.factories import make_job, write_input

SUMS = [(number, 3 * number + 1) for number in range(10, 18)]
LENGTHS = {"max_prompt_length": 64, "max_completion_length": 8}


@pytest.fixture(scope="module", autouse=True)
def fork_server() -> None:
    start_fork_server(child.PRELOAD)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> ModelInput:
    path = tmp_path_factory.mktemp("models") / "base"
    build_tiny_model(seed=1, output=path)
    return ModelInput(name="base", path=path, fingerprint=fingerprint_model(path))


# A stage in a process of its own, which ends itself where it is told to


@dataclass(frozen=True, slots=True)
class Hook:
    """Where a process sends itself a signal: at the beginning of an update, or inside a checkpoint."""

    sent: signal.Signals | None = None
    step: int | None = None
    point: str | None = None


def _recording(hook: Hook, document: str) -> None:
    """The stage, with every batch noted that reaches the loss, and logs that fall between checkpoints."""
    job = StageJob.model_validate_json(document)
    gc.freeze()  # a Trainer collects garbage first: half a second over all modules there are
    training._LOGS_PER_STAGE = 3
    trains = Trainer.training_step
    batches = (job.work_dir / "batches.jsonl").open("a", buffering=1)
    batches.write("a process\n")

    def recorded(self: Any, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Any:
        step = self.state.global_step
        ids = (
            [row["problem_id"] for row in inputs]
            if isinstance(inputs, list)
            else inputs["input_ids"].tolist()
        )
        batches.write(json.dumps([step, ids]) + "\n")
        if hook.sent and step == hook.step:
            os.kill(os.getpid(), hook.sent)
        return trains(self, model, inputs, num_items_in_batch)

    Trainer.training_step = recorded
    if hook.point:
        POINTS[hook.point][0]()
    child.run(document)


def _die_in_third_save(owner: Any, name: str) -> None:
    """This function's first call since the third checkpoint was begun is the process's last."""
    saves, original, saving = [0], getattr(owner, name), Trainer._save_checkpoint

    def counted(*args: Any) -> None:
        saves[0] += 1
        saving(*args)

    def dying(*args: Any, **kwargs: Any) -> Any:
        if saves[0] == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*args, **kwargs)

    Trainer._save_checkpoint = counted
    setattr(owner, name, dying)


def _die_half_way_removing() -> None:
    def half(path: Path) -> None:
        if path.name == "removed":
            (path / "trainer_state.json").unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        whole(path)

    whole = shutil.rmtree
    trainer_checkpoints.shutil.rmtree = half  # pyright: ignore[reportAttributeAccessIssue]


POINTS: dict[str, tuple[Callable[[], None], list[int]]] = {
    "weights written, no optimizer": (
        lambda: _die_in_third_save(Trainer, "_save_optimizer_and_scheduler"),
        [1, 2],
    ),
    "no random states yet": (lambda: _die_in_third_save(Trainer, "_save_rng_state"), [3, 4]),
    "the Trainer's part written, not ours": (lambda: _die_in_third_save(Path, "write_text"), [5, 6]),
    "written, not on the disk": (lambda: _die_in_third_save(durable, "_sync"), [7, 8]),
    "on the disk, not in its place": (lambda: _die_in_third_save(Path, "replace"), [9, 10]),
    "in its place, an older one beside it": (lambda: _die_in_third_save(Path, "rename"), [11, 12, 13]),
    "an older one half removed": (_die_half_way_removing, [12, 13, 14]),
}
"""Inside the third checkpoint of a process (the first of the last), and which ones are left whole."""


@dataclass(slots=True)
class Ran:
    """What a stage's processes left, one after the other."""

    job: StageJob
    reports: list[Progress]
    result: StageResult | None = None

    def process(self, hook: Hook, **run: Any) -> None:
        seen: list[Progress] = []
        settings = RunSettings.model_validate(self.job.run.model_dump() | run)
        job = self.job.model_copy(update={"run": settings})
        ends = {
            None: contextlib.nullcontext(),
            signal.SIGTERM: pytest.raises(Interrupted),
            signal.SIGKILL: pytest.raises(StageError, match="killed by SIGKILL"),
        }
        with ends[hook.sent]:
            self.result = run_stage(
                partial(_recording, hook), job, on_progress=seen.append, should_stop=lambda: False
            )
        if seen:
            self.reports = [it for it in self.reports if it.step < seen[0].step] + seen

    def checkpoints(self) -> list[int]:
        return sorted(int(path.name.split("-")[1]) for path in self.job.checkpoints_dir.glob("checkpoint-*"))

    def files(self) -> dict[str, bytes]:
        folder = self.job.output_dir
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.safetensors")}

    def verdicts(self) -> int:
        """Asked for since the stage began, as its last checkpoint has it."""
        last = self.job.checkpoints_dir / f"checkpoint-{self.checkpoints()[-1]}"
        return json.loads((last / "carried.json").read_text())["verdicts_asked"]

    def batches(self) -> list[Any]:
        """What was drawn, update by update: a process that continues takes back what was drawn beyond."""
        drawn: list[Any] = []
        for process in (self.job.work_dir / "batches.jsonl").read_text().split("a process\n")[1:]:
            later = [json.loads(line) for line in process.splitlines()]
            drawn = [batch for batch in drawn if not later or batch[0] < later[0][0]] + later
        return drawn

    def metrics(self) -> dict[str, float]:
        assert self.result
        return _timeless(self.result.metrics)

    def history(self) -> list[tuple[int, dict[str, float]]]:
        """Without the summary that a Trainer logs whenever it stops."""
        logs = [(it.step, _timeless(it.metrics)) for it in self.reports]
        return [log for log in logs if any(name.endswith("/loss") for name in log[1])]

    def rollouts(self) -> list[dict[str, Any]]:
        return [
            row for file in sorted(self.job.rollouts_dir.glob("*")) for row in pq.read_table(file).to_pylist()
        ]


def _timeless(metrics: dict[str, float]) -> dict[str, float]:
    of_the_machine = ("second", "time", "memory")
    kept = {
        name: value for name, value in metrics.items() if not any(each in name for each in of_the_machine)
    }
    return dict(sorted(kept.items()))


def _sft(**fields: Any) -> SFTConfig:
    """Batches of three of eight rows: three updates a pass, the last one smaller."""
    given = {"start": "base", "rows": "rows", "learning_rate": 1e-2, "steps": 8, "global_batch": 3}
    return SFTConfig.model_validate(given | {"max_length": 64} | fields)


def _dpo(**fields: Any) -> DPOConfig:
    given = {"start": "base", "rows": "rows", "learning_rate": 1e-3, "steps": 8, "global_batch": 3}
    return DPOConfig.model_validate(given | {"max_length": 64} | fields)


def _grpo(**fields: Any) -> GRPOConfig:
    given = {"start": "base", "rows": "rows", "learning_rate": 1e-3, "steps": 8, "group_size": 4}
    return GRPOConfig.model_validate(given | LENGTHS | fields)


def _rows(kind: str) -> list[dict[str, Any]]:
    prompts = [[{"role": "user", "content": f"{a}+{b}"}] for a, b in SUMS]
    if kind == "sft":
        return [
            {"messages": [*prompt, {"role": "assistant", "content": f"that is {a + b}"}]}
            for prompt, (a, b) in zip(prompts, SUMS, strict=True)
        ]
    if kind == "dpo":
        return [
            {"prompt": prompt, "chosen": f"{a + b}", "rejected": f"{a} and {b}"}
            for prompt, (a, b) in zip(prompts, SUMS, strict=True)
        ]
    return [
        {
            "problem_id": prompt[0]["content"],
            "prompt": prompt,
            "ground_truth": "",
            "verifier": "format",
            "arguments": json.dumps({"max_characters": 7}),
            "source": "sums",
        }
        for prompt in prompts
    ]


_KINDS = {"sft": RowKind.sft, "dpo": RowKind.pairs, "grpo": RowKind.problems}


def _ran(folder: Path, config: Any, base: ModelInput) -> Ran:
    folder.mkdir()
    given = write_input(folder, "rows", _KINDS[config.kind], _rows(config.kind))
    run = RunSettings(threads=1, micro_batch=1 if config.kind != "grpo" else 4)
    job = make_job(folder, config, [given])
    return Ran(job.model_copy(update={"start": base, "base": base, "run": run}), [])


@dataclass(frozen=True, slots=True)
class Case:
    """A training, and the updates at whose beginning its first process is killed and its second stopped."""

    config: Any
    killed: int
    stopped: int
    saved: list[int]
    """Checkpoints that the kill leaves, one every three updates or, of GRPO, at the end of its round."""

    continued: int
    """Where the third process begins."""


CASES = {
    "sft": Case(_sft(), killed=4, stopped=4, saved=[3], continued=5),
    "sft, packed, of an adapter with dropout": Case(
        _sft(packing=True, global_batch=2, lora=LoRA(rank=4, alpha=8, dropout=0.2)),
        killed=7,
        stopped=6,
        saved=[3, 6],
        continued=7,
    ),
    "dpo": Case(_dpo(), killed=4, stopped=6, saved=[3], continued=7),
    "grpo": Case(_grpo(prompts_per_step=2, steps=10), killed=5, stopped=7, saved=[3], continued=8),
    "grpo, several updates a round": Case(
        _grpo(prompts_per_step=2, steps=16, steps_per_generation=2, num_iterations=2, beta=0.1),
        killed=7,
        stopped=9,
        saved=[4],
        continued=12,
    ),
}
"""Every kill and stop but one lies beyond the first pass over the rows or inside a round."""


_SHORT = ("sft", "grpo, several updates a round")
"""Cases of `make test`; the others run with `make chaos`."""


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=name, marks=() if name in _SHORT else pytest.mark.chaos)
        for name, case in CASES.items()
    ],
)
def test_killed_stopped_and_continued_is_as_if_never_interrupted(
    case: Case, base: ModelInput, tmp_path: Path
) -> None:
    whole, parts = (_ran(tmp_path / name, case.config, base) for name in ("whole", "parts"))
    parts.process(Hook(signal.SIGKILL, case.killed), checkpoint_steps=3)
    assert parts.checkpoints() == case.saved
    parts.process(Hook(signal.SIGTERM, case.stopped), checkpoint_steps=100)
    assert parts.checkpoints()[-1] == case.continued
    assert parts.verdicts() == len(parts.rollouts())
    parts.process(Hook(), checkpoint_steps=100)
    whole.job = whole.job.model_copy(update={"reference_cache_dir": parts.job.reference_cache_dir})
    whole.process(Hook())
    assert whole.checkpoints() == []
    assert whole.result and parts.result
    assert parts.files() == whole.files()
    assert parts.result.fingerprint == whole.result.fingerprint
    assert parts.batches() == whole.batches()
    assert repr(parts.metrics()) == repr(whole.metrics()), "nan is to equal nan"
    assert repr(parts.history()) == repr(whole.history())
    assert parts.rollouts() == whole.rollouts()
    assert parts.result.notes == whole.result.notes


@pytest.fixture(scope="module")
def short(base: ModelInput, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Four updates without an interruption."""
    ran = _ran(tmp_path_factory.mktemp("whole") / "short", _sft(steps=4), base)
    ran.process(Hook())
    return ran


@pytest.mark.chaos
def test_a_checkpoint_half_written_or_half_removed_is_none(base: ModelInput, tmp_path: Path) -> None:
    """Seven processes, each killed inside a checkpoint, and an eighth that finishes."""
    whole, parts = (_ran(tmp_path / name, _sft(steps=16), base) for name in ("whole", "parts"))
    for point, (_, left) in POINTS.items():
        parts.process(Hook(signal.SIGKILL, point=point), checkpoint_steps=1)
        assert parts.checkpoints() == left, point
    parts.process(Hook())
    whole.process(Hook())
    assert parts.files() == whole.files()
    assert parts.batches() == whole.batches()
    assert repr(parts.history()) == repr(whole.history())


def test_the_minutes_count_too_and_only_the_last_are_kept_and_none_is_written_at_the_end(
    base: ModelInput, tmp_path: Path
) -> None:
    """A thousandth of a second is over after every update."""
    ran = _ran(tmp_path / "often", _sft(steps=4), base)
    ran.process(Hook(), checkpoint_minutes=1e-5, keep_checkpoints=1)
    assert ran.checkpoints() == [3]


def test_other_threads_continue_and_the_result_says_so(short: Ran, base: ModelInput, tmp_path: Path) -> None:
    """It is said once more after a second interruption, between which nothing changed."""
    ran = _ran(tmp_path / "threads", _sft(steps=4), base)
    ran.process(Hook(signal.SIGTERM, 0))
    ran.process(Hook(signal.SIGTERM, 2), threads=2)
    ran.process(Hook(), threads=2)
    assert ran.result and short.result
    assert ran.result.notes == (
        "continued after step 1 with threads 2 instead of 1: the last bits of the weights may differ",
    )
    assert ran.batches() == short.batches()
    assert ran.result.metrics["sft/loss"] == pytest.approx(short.result.metrics["sft/loss"], rel=1e-3)


def test_a_checkpoint_of_other_inputs_is_left_behind(short: Ran, base: ModelInput, tmp_path: Path) -> None:
    """The key of a stage names its inputs, not their content: what made them may have run again."""
    ran = _ran(tmp_path / "other", _sft(steps=4), base)
    rows = ran.job.rows[0].model_copy(update={"fingerprint": "what these rows were before"})
    before = Ran(ran.job.model_copy(update={"rows": (rows,)}), [])
    before.process(Hook(signal.SIGTERM, 2))
    assert ran.checkpoints() == [3]
    ran.process(Hook())
    assert ran.batches() == short.batches()
    assert ran.files() == short.files()


@pytest.mark.parametrize(
    ("steps", "seconds", "done", "expected"),
    [
        (None, 89.9, 10**6, False),
        (None, 90.0, 1, True),
        (5, 0.0, 4, False),
        (5, 0.0, 5, True),
        (5, 90.0, 1, True),
    ],
)
def test_a_checkpoint_is_due_after_the_minutes_or_the_updates(
    steps: int | None, seconds: float, done: int, *, expected: bool
) -> None:
    run = RunSettings(checkpoint_minutes=1.5, checkpoint_steps=steps)
    assert is_due(run, seconds, done) == expected


def test_a_stage_that_writes_its_checkpoint_is_given_more_time_to_stop(
    base: ModelInput, tmp_path: Path
) -> None:
    job = _ran(tmp_path / "stopped", _sft(), base).job
    job.unfinished_checkpoints_dir.mkdir(parents=True)
    (job.unfinished_checkpoints_dir / "README.md").touch()
    assert stage_processes._patience(job) == stage_processes.STOP_SECONDS
    (job.unfinished_checkpoints_dir / "checkpoint-3").mkdir()
    assert stage_processes._patience(job) == stage_processes.SAVE_SECONDS
