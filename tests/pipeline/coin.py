"""A recipe whose every step has something to do after seconds of training: calling a coin.

SFT shows completions of which half are `1`, half `0`, so a model samples both; the verifier wants `1`. Verdicts
are mixed from the first model on, and DPO and GRPO have a mode to prefer, with no number faked.
"""

import json
import random
from collections.abc import Iterable, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

NAME = "coin"
DATASETS = ("tosses", "calls", "held_out")
MODELS = ("base", "sft", "dpo", "grpo")
ROW_STAGES = ("audit", "sft_check", "preferences", "dpo_check", "band")
EVALUATIONS = tuple(f"{model}.evaluate" for model in MODELS)
NODES = (*DATASETS, *MODELS, *ROW_STAGES, *EVALUATIONS)
NUM_HELD_OUT, NUM_SAMPLES = 12, 4

_YAML = """\
# Calls a coin.
name: coin
seed: 3
base: {build: tiny-qwen3}
datasets:
  tosses: {path: tosses.jsonl}
  calls: {path: calls.jsonl, verifier: exact_number}
  held_out: {path: held_out.parquet, verifier: exact_number}
stages:
  sft: {kind: sft, start: base, rows: [tosses], learning_rate: 4e-3, steps: 8, global_batch: 16, max_length: 32}
  audit: {kind: audit, rows: [calls]}
  sft_check: {kind: verify, start: sft, rows: [audit], samples: 8, max_completion_length: 3}
  preferences: {kind: pairs, rows: [sft_check]}
  dpo:
    {kind: dpo, start: sft, rows: [preferences], beta: 5, learning_rate: 1e-4, epochs: 1, global_batch: 8,
     max_length: 32}
  dpo_check: {kind: verify, start: dpo, rows: [audit], samples: 4, max_completion_length: 3}
  band: {kind: select, rows: [dpo_check], pass_rate: [0.1, 0.9]}
  grpo:
    {kind: grpo, start: dpo, rows: [band], learning_rate: 1e-3, steps: 2, prompts_per_step: 4, group_size: 4,
     max_prompt_length: 16, max_completion_length: 3}
evaluate: {rows: [held_out], samples: 4, max_completion_length: 3}
"""


def write_coin(folder: Path) -> Path:
    """The recipe and its files in `folder`; returns the recipe's path."""
    write_jsonl(folder / "tosses.jsonl", tosses(160))
    write_jsonl(folder / "calls.jsonl", calls(range(16)))
    pq.write_table(pa.Table.from_pylist(calls(range(100, 100 + NUM_HELD_OUT))), folder / "held_out.parquet")
    recipe = folder / "coin.yaml"
    recipe.write_text(_YAML)
    return recipe


def write_jsonl(path: Path, rows: Iterable[Mapping[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def tosses(count: int) -> list[dict[str, str]]:
    """Prompts with one of the two completions."""
    coin = random.Random(0)
    return [{"prompt": f"toss {number}", "completion": str(coin.randint(0, 1))} for number in range(count)]


def calls(numbers: range) -> list[dict[str, str]]:
    """Prompts with the one ground truth."""
    return [{"prompt": f"toss {number}", "ground_truth": "1"} for number in numbers]
