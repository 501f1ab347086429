"""Alarms on real GRPO of a model that learned to add: an exploitable reward is caught, a healthy one is left alone.

Minutes of training: `make chaos` runs them.
"""

from pathlib import Path
from typing import Any

import pytest

from data_contracts.alarms import Alarm
from data_contracts.jobs import ModelInput, Progress, StageJob, StageResult
from data_contracts.rows import RowKind
from data_contracts.training_configs import GRPOConfig, SFTConfig
from stages.arithmetic import generate_examples, generate_problems
from stages.checkpoint import fingerprint_model
from stages.grpo import train_grpo
from stages.sft import train_sft
from stages.tiny_model import build_tiny_model
from tests.factories import make_job, write_input

pytestmark = pytest.mark.chaos

STEPS = 40


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[ModelInput, ModelInput]:
    """The base, and it after SFT as in the recipe tiny: right about four times in ten."""
    folder = tmp_path_factory.mktemp("models")
    build_tiny_model(seed=7, output=folder / "base")
    base = ModelInput(name="base", path=folder / "base", fingerprint=fingerprint_model(folder / "base"))
    config = SFTConfig(
        start="base",
        rows={"rows": 1.0},
        learning_rate=4e-3,
        schedule="cosine",
        warmup_steps=20,
        adam_beta2=0.99,
        steps=400,
        global_batch=64,
        max_length=64,
    )
    rows = [
        {
            "messages": [
                {"role": "user", "content": row["prompt"]},
                {"role": "assistant", "content": row["completion"]},
            ]
        }
        for row in generate_examples(25_600, "train", 0.5, 7)
    ]
    job = make_job(folder, config, [write_input(folder, "rows", RowKind.sft, rows)])
    job.work_dir.mkdir()
    result = train_sft(job.model_copy(update={"start": base, "base": base}), config)
    return base, ModelInput(name="sft", path=job.output_dir, fingerprint=result.fingerprint)


def problems(split: Any, count: int, seed: int) -> list[dict[str, Any]]:
    return [
        {
            "problem_id": f"{split}{number}",
            "prompt": [{"role": "user", "content": row["prompt"]}],
            "ground_truth": row["ground_truth"],
            "verifier": "exact_number",
            "arguments": "{}",
            "source": "additions",
        }
        for number, row in enumerate(generate_problems(count, split, seed))
    ]


def trained(
    folder: Path, models: tuple[ModelInput, ModelInput], seed: int, **fields: Any
) -> tuple[StageJob, StageResult]:
    config = GRPOConfig.model_validate(
        {
            "start": "sft",
            "rows": "rows",
            "learning_rate": 2e-4,
            "warmup_steps": 5,
            "adam_beta2": 0.99,
            "steps": STEPS,
            "prompts_per_step": 16,
            "group_size": 8,
            "steps_per_generation": 2,
            "max_prompt_length": 24,
            "max_completion_length": 40,
            "held_out": {"rows": "watched", "every": 4, "limit": 64},
            **fields,
        }
    )
    rows = write_input(folder, "rows", RowKind.problems, problems("rl", 300, seed))
    watched = write_input(folder, "watched", RowKind.problems, problems("tune", 64, seed))
    job = make_job(folder, config, [rows])
    job.work_dir.mkdir()
    base, sft = models
    given = {"seed": seed, "base": base, "start": sft, "compare_with": (watched,)}
    job = job.model_copy(update=given)
    return job, train_grpo(job, config)


def alarms(job: StageJob) -> list[Alarm]:
    lines = [Progress.model_validate_json(line) for line in job.progress_path.read_text().splitlines()]
    return [alarm for line in lines for alarm in line.alarms]


def accuracy(job: StageJob) -> dict[int, float]:
    lines = [Progress.model_validate_json(line) for line in job.progress_path.read_text().splitlines()]
    name = "grpo/held_out/accuracy"
    return {line.step: line.metrics[name] for line in lines if name in line.metrics}


def test_a_reward_that_pays_for_brevity_is_caught_and_the_stage_goes_back_to_its_last_good_checkpoint(
    models: tuple[ModelInput, ModelInput], tmp_path: Path
) -> None:
    """The bare sum is within its reach in length and seldom in truth: the reward rises while accuracy falls."""
    brevity = {"length": {"arguments": {"unit": "characters", "maximum": 6, "fall_off": 40}}}
    job, result = trained(tmp_path, models, 7, rewards=brevity, alarms={"reward_hacking": "back"})
    caught = next(alarm for alarm in alarms(job) if alarm.name == "reward_hacking")
    assert caught.step < STEPS
    measured = accuracy(job)
    returned = int(result.metrics["grpo/returned_to_step"])
    assert measured[returned] > 0.5 * measured[0]
    assert min(measured.values()) < 0.25 * measured[0]
    assert any(note.startswith(f"back to the weights of step {returned}") for note in result.notes)


@pytest.mark.parametrize("seed", range(10))
def test_a_reward_that_is_the_truth_raises_no_alarm(
    seed: int, models: tuple[ModelInput, ModelInput], tmp_path: Path
) -> None:
    job, _ = trained(tmp_path, models, seed)
    measured = accuracy(job)
    assert measured[STEPS] > measured[0]
    assert [alarm for alarm in alarms(job) if alarm.name != "saturation"] == []
