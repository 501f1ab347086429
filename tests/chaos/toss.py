"""The smallest recipe with a stage of every kind: the coin of the pipeline's tests, called in two steps a stage."""

from pathlib import Path

from tests.pipeline.coin import calls, tosses, write_jsonl

NAME = "toss"
STAGES = ("base", "sft", "audit", "check", "preferences", "dpo", "recheck", "band", "grpo")
"""In an order in which each needs nothing of those after it."""

_YAML = """\
name: toss
seed: 3
base: {build: tiny-qwen3}
datasets:
  tosses: {path: tosses.jsonl}
  calls: {path: calls.jsonl, verifier: exact_number}
stages:
  sft: {kind: sft, start: base, rows: [tosses], learning_rate: 2e-2, steps: 2, global_batch: 16, max_length: 32}
  audit: {kind: audit, rows: [calls]}
  check: {kind: verify, start: sft, rows: [audit], samples: 8, max_completion_length: 2}
  preferences: {kind: pairs, rows: [check]}
  dpo:
    {kind: dpo, start: sft, rows: [preferences], beta: 5, learning_rate: 1e-4, steps: 2, global_batch: 4,
     max_length: 32}
  recheck: {kind: verify, start: dpo, rows: [audit], samples: 8, max_completion_length: 2}
  band: {kind: select, rows: [recheck], pass_rate: [0.01, 0.99]}
  grpo:
    {kind: grpo, start: dpo, rows: [band], learning_rate: 1e-3, steps: 2, prompts_per_step: 2, group_size: 2,
     max_prompt_length: 16, max_completion_length: 2}
run: {threads: 1}
"""


def write_toss(folder: Path) -> Path:
    """The recipe and its files in `folder`; returns the recipe's path."""
    write_jsonl(folder / "tosses.jsonl", tosses(64))
    write_jsonl(folder / "calls.jsonl", calls(range(12)))
    recipe = folder / f"{NAME}.yaml"
    recipe.write_text(_YAML)
    return recipe
