"""GRPO with verifiable rewards: sample groups of completions, verify them, follow the better ones."""

from typing import Any

import numpy as np
from datasets import Dataset
from trl.trainer.grpo_config import GRPOConfig as TRLConfig

from data_contracts.batches import micro_batch_size, rows_per_step, tokens_per_row
from data_contracts.errors import StageError
from data_contracts.jobs import StageJob, StageResult
from data_contracts.training_configs import GRPOConfig
from stages.distance import DistanceFromStart
from stages.grpo_trainer import GRPOTrainer
from stages.handoff import (
    encode_all,
    require_end_of_sequence,
    require_same_template,
    stop_token_ids,
)
from stages.held_out import HeldOut
from stages.looks import Looks, Measure, looks_every
from stages.mixed_rows import read_mixed_rows, write_training_rows
from stages.progress import ProgressCallback, ProgressFile
from stages.rewards import VerifiedReward
from stages.trainer_checkpoints import Checkpoints
from stages.training import (
    drawn_counts,
    dropped_note,
    load_policy,
    new_adapter,
    require_enough_rows,
    save_trained,
    train,
    trainer_arguments,
)
from stages.verdicts import VerdictCounter
from stages.verifiers.pool import shared_pool
from stages.watching import Watching

_COLUMNS = ["problem_id", "prompt", "ground_truth", "verifier", "arguments", "source"]


def train_grpo(job: StageJob, config: GRPOConfig) -> StageResult:
    """Train `job.start` on problems with TRL's GRPOTrainer; rewards come from verifiers."""
    assert job.start is not None and job.base is not None
    tokenizer = require_same_template(job.base.path, job.start.path)
    require_end_of_sequence(job.start.path, tokenizer)
    mixed = read_mixed_rows(job.rows, _COLUMNS, job.seed)
    problems = Dataset(mixed.table).to_list()
    prompts = encode_all(tokenizer, [problem["prompt"] for problem in problems], prompt=True)
    fits = np.array([len(ids) <= config.max_prompt_length for ids in prompts])
    kept = [problem for problem, is_kept in zip(problems, fits, strict=True) if is_kept]
    write_training_rows(job, mixed, fits)
    too_long = f"problems with prompts over {config.max_prompt_length} tokens"
    notes = dropped_note(len(problems) - len(kept), len(problems), too_long)
    if absent := sorted(config.source_weights.keys() - {problem["source"] for problem in kept}):
        notes.append(f"source_weights names {', '.join(absent)}, which no problem comes from")
    prompts_per_round = config.prompts_per_step * config.steps_per_generation
    require_enough_rows(len(kept), prompts_per_round, "problems", notes)
    micro_batch = micro_batch_size(rows_per_step(config), tokens_per_row(config), job.run)
    accumulation = rows_per_step(config) // micro_batch
    counter = VerdictCounter(shared_pool(job.verifiers, job.run.sandbox))
    reward = VerifiedReward(
        config,
        counter,
        job.rollouts_dir,
        job.start.fingerprint,
        stop_token_ids(job.start.path, tokenizer),
    )
    progress = ProgressCallback(ProgressFile(job.progress_path), "grpo")
    trainer = GRPOTrainer(
        model=load_policy(job, config),
        reward_funcs=[reward],
        args=TRLConfig(
            **trainer_arguments(job, config, config.steps),
            per_device_train_batch_size=micro_batch,
            gradient_accumulation_steps=accumulation,
            steps_per_generation=config.steps_per_generation * accumulation,
            num_generations=config.group_size,
            num_iterations=config.num_iterations,
            beta=config.beta,
            epsilon=config.epsilon_low,
            epsilon_high=config.epsilon_high,
            scale_rewards=config.scale_rewards,
            loss_type=config.loss,
            temperature=config.temperature,
            top_p=config.top_p,
            max_completion_length=config.max_completion_length,
            mask_truncated_completions=config.mask_truncated,
            remove_unused_columns=False,
            **_sampler_arguments(config),
        ),
        train_dataset=Dataset.from_list(kept),
        processing_class=tokenizer,
        peft_config=new_adapter(config.lora),
        callbacks=[progress],
    )
    measures: dict[str, Measure] = (
        {} if config.beta else {"distance": DistanceFromStart(trainer, job, config)}
    )
    if config.held_out:
        measures["held_out"] = HeldOut(job, config, tokenizer, counter)
    every = looks_every(config.steps, config.held_out.every if config.held_out else None)
    trainer.add_callback(Looks(trainer, every, measures, progress))
    round_steps = config.steps_per_generation * config.num_iterations
    watching = Watching(trainer, job, config, progress, every)
    notes += train(
        trainer,
        Checkpoints(trainer, job, watching, round_steps=round_steps, verdicts=counter),
    )
    counter.require_few_failures()
    notes += counter.notes()
    if _learned_nothing(trainer):
        notes.append("no group ever had two different rewards, so nothing was learned: see `burnish samples`")
    # Each round draws its prompts once and feeds as many updates as it has micro-rounds and iterations.
    drawn = trainer.state.global_step * config.prompts_per_step // config.num_iterations
    counts = {
        "grpo/problems": float(len(kept)),
        "grpo/without_verdict": counter.share_failed,
        **drawn_counts("grpo", drawn, len(kept)),
    }
    return save_trained(trainer, job, progress, counts, notes)


def _learned_nothing(trainer: GRPOTrainer) -> bool:
    """Every logged step had only groups whose completions all earned the same: all advantages were zero."""
    shares = [
        log["frac_reward_zero_std"] for log in trainer.state.log_history if "frac_reward_zero_std" in log
    ]
    return bool(shares) and min(shares) == 1


def _sampler_arguments(config: GRPOConfig) -> dict[str, Any]:
    if config.sampler == "transformers":
        return {}
    from importlib.util import find_spec

    if find_spec("vllm") is None:
        raise StageError(
            "sampler: vllm, but vLLM is not installed.",
            "an installed vLLM, or sampler: transformers",
            "pip install vllm, or --set STAGE.sampler=transformers.",
        )
    return {"use_vllm": True, "vllm_mode": "colocate"}
