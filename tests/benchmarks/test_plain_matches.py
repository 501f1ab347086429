"""The benchmark is fair only while both sides do the same work: the plain scripts say what the recipe says.

Each script's settings are compared with what Burnish really hands to TRL, to generation and to scipy.
"""

import argparse
import importlib
import json
import random
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM
from trl import SFTTrainer

from data_contracts.jobs import ModelInput, RowsInput, StageJob
from data_contracts.rows import RowKind
from data_contracts.stage_configs import AnyConfig, PairsConfig, SamplingConfig, SelectConfig, VerifyConfig
from data_contracts.training_configs import DPOConfig, GRPOConfig, SFTConfig
from data_contracts.verdict import PosedProblem
from flows.graph import make_nodes
from flows.recipe import Recipe
from flows.recipe_files import find_recipe, read_recipe
from stages import comparison, dpo, grpo
from stages.arithmetic import generate_examples, generate_problems
from stages.checkpoint import fingerprint_model, load_tokenizer, model_files
from stages.handoff import encode
from stages.sampling import sample_completions
from stages.sft import train_sft
from stages.tiny_model import build_tiny_model, build_tokenizer
from stages.verifiers.exact_number import exact_number
from tests.benchmarks.plain import arithmetic, build, evaluate, reward, run, sample
from tests.factories import SOURCES, make_job, write_input

_CHAT = [
    {"role": "system", "content": "Add!"},
    {"role": "user", "content": "347+285"},
    {"role": "assistant", "content": "7+5=12, 4+8+1=13, 3+2+1=6: 632 \u00e9\n{}~"},
]

_HOW_AND_WHERE = {
    "output_dir",
    "logging_dir",
    "logging_steps",  # more often on Burnish's side
    "logging_nan_inf_filter",  # and a loss that is no number is logged as what it is
    "data_seed",  # without one the sampler takes the seed, which is what Burnish names
    "remove_unused_columns",  # the columns that are left decide, and GRPO's default keeps all
    "reward_weights",  # of the only reward
}
"""Fields of TRL's configs that decide no result."""


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return read_recipe(find_recipe("tiny"))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    build_tiny_model(7, folder)
    return folder


@pytest.fixture
def arguments(recipe: Recipe, tmp_path: Path) -> dict[str, argparse.Namespace]:
    """What each step's script is called with, defaults filled in."""
    return {
        step.name: _script(step).make_parser().parse_args(step.arguments)
        for step in run.pipeline(tmp_path, recipe.seed)
    }


def _script(step: run.Step) -> ModuleType:
    return importlib.import_module(f"{run.__package__}.{step.script}")


def test_the_steps_are_the_recipes_nodes(recipe: Recipe, arguments: dict[str, argparse.Namespace]) -> None:
    nodes = make_nodes(recipe, SOURCES)
    made = {n.name for n in nodes if n.kind not in ("dataset", "audit")}
    assert set(arguments) - {"data", "comparison"} == made


def test_every_step_reads_what_earlier_ones_wrote(recipe: Recipe, tmp_path: Path) -> None:
    written = {tmp_path / f"{split}.jsonl" for split in ("train", "rl", "test")}
    for step in run.pipeline(tmp_path, recipe.seed)[1:]:
        paths = [Path(text) for text in step.arguments if text.startswith(str(tmp_path))]
        output = Path(step.arguments[step.arguments.index("--output") + 1])
        assert set(paths) - {output} <= written, step
        written.add(output)


def test_each_step_has_the_recipes_seed(recipe: Recipe, arguments: dict[str, argparse.Namespace]) -> None:
    seeds = {name: args.seed for name, args in arguments.items() if "seed" in args}
    assert set(arguments) - set(seeds) == {"band"}
    assert set(seeds.values()) == {recipe.seed}


@pytest.mark.parametrize("seed", [7, 12345])
def test_the_rows_are_the_same(recipe: Recipe, arguments: dict[str, argparse.Namespace], seed: int) -> None:
    data = arguments["data"]
    worked, problems, held_out = (recipe.datasets[n] for n in ("worked", "problems", "held_out"))
    assert (data.train, data.worked) == (worked.count, worked.worked)
    assert (data.rl, data.test) == (problems.count, held_out.count)
    assert (worked.split, problems.split, held_out.split) == ("train", "rl", "test")
    ours = [
        [_message("user", row["prompt"]), _message("assistant", row["completion"])]
        for row in generate_examples(data.train, "train", data.worked, seed)
    ]
    assert [
        [*r["prompt"], *r["completion"]] for r in arithmetic.sft_rows(data.train, data.worked, seed)
    ] == ours
    for count, split in ((data.rl, "rl"), (data.test, "test")):
        assert arithmetic.problem_rows(count, split, seed) == [
            {"prompt": [_message("user", row["prompt"])], "ground_truth": row["ground_truth"]}
            for row in generate_problems(count, split, seed)
        ]


def test_the_base_model_is_the_same_to_the_last_bit(base: Path, tmp_path: Path) -> None:
    tokenizer = build.build_tokenizer()
    build.build_model(tokenizer, seed=7).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    assert [file.name for file in model_files(tmp_path)] == [file.name for file in model_files(base)]
    assert fingerprint_model(tmp_path) == fingerprint_model(base)


@pytest.mark.parametrize("is_prompt", [False, True])
def test_a_chat_becomes_the_same_tokens(*, is_prompt: bool) -> None:
    chat = _CHAT[:2] if is_prompt else _CHAT
    assert encode(build.build_tokenizer(), chat, prompt=is_prompt) == encode(
        build_tokenizer(), chat, prompt=is_prompt
    )


def test_no_row_is_too_long_for_burnish_to_keep(recipe: Recipe) -> None:
    """The plain scripts drop none, so the recipe's limits must not either."""
    tokenizer = build.build_tokenizer()
    prompt = [_message("user", "999+999")]
    longest = [*prompt, _message("assistant", arithmetic.worked_steps(999, 999))]
    sampled = [*prompt, _message("assistant", "9" * 40)]  # as many tokens as are sampled at most
    trained, preferred, rewarded = (recipe.stages[name] for name in ("sft", "dpo", "grpo"))
    assert isinstance(trained, SFTConfig) and isinstance(preferred, DPOConfig)
    assert isinstance(rewarded, GRPOConfig)
    assert len(encode(tokenizer, longest)) <= trained.max_length
    assert len(encode(tokenizer, sampled)) <= preferred.max_length
    assert len(encode(tokenizer, prompt, prompt=True)) <= rewarded.max_prompt_length


class _Reached(Exception):  # noqa: N818
    """The trainer was about to be made."""


@pytest.mark.parametrize(
    ("stage", "trainer", "train", "kind"),
    [
        ("sft", "SFTTrainer", train_sft, RowKind.sft),
        ("dpo", "_CachedReferenceTrainer", dpo.train_dpo, RowKind.pairs),
        ("grpo", "GRPOTrainer", grpo.train_grpo, RowKind.problems),
    ],
)
def test_trl_is_given_the_same_settings(
    *,
    recipe: Recipe,
    arguments: dict[str, argparse.Namespace],
    base: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stage: str,
    trainer: str,
    train: Callable[[StageJob, Any], object],
    kind: RowKind,
) -> None:
    given: dict[str, Any] = {}

    def stop(**parts: Any) -> None:
        given.update(parts)
        raise _Reached

    monkeypatch.setattr(train.__module__ + f".{trainer}", stop)
    rows = write_input(tmp_path, "rows", kind, [_row(kind, position) for position in range(96)])
    with pytest.raises(_Reached):
        train(_job(tmp_path, recipe.stages[stage], base, rows, recipe.seed), recipe.stages[stage])

    script = importlib.import_module(f"{run.__package__}.{stage}")
    ours, theirs = given["args"].to_dict(), script.make_config(arguments[stage]).to_dict()
    if stage == "dpo":  # 96 pairs, one epoch: Burnish says it in steps
        assert (ours.pop("max_steps"), theirs.pop("max_steps")) == (96 // arguments["dpo"].batch_size, -1)
        assert (ours.pop("num_train_epochs"), theirs.pop("num_train_epochs")) == (3.0, 1)
    different = {name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)}
    if stage == "sft":  # Burnish tokenizes itself: see the next test
        different -= {"completion_only_loss", "dataset_kwargs"}
    assert different - _HOW_AND_WHERE == set()
    assert type(given["args"]) is type(script.make_config(arguments[stage]))


def test_sft_is_given_the_tokens_and_labels_that_trl_makes(
    recipe: Recipe,
    arguments: dict[str, argparse.Namespace],
    base: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given: dict[str, Any] = {}

    def stop(**parts: Any) -> None:
        given.update(parts)
        raise _Reached

    conversations = [_row(RowKind.sft, position)["messages"] for position in range(96)]
    rows = write_input(tmp_path, "rows", RowKind.sft, [{"messages": chat} for chat in conversations])
    job = _job(tmp_path, recipe.stages["sft"], base, rows, recipe.seed)
    monkeypatch.setattr("stages.sft.SFTTrainer", stop)
    config: Any = recipe.stages["sft"]
    with pytest.raises(_Reached):
        train_sft(job, config)
    script = importlib.import_module(f"{run.__package__}.sft")
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(base, dtype="float32"),
        processing_class=load_tokenizer(base),
        train_dataset=Dataset.from_list(
            [{"prompt": chat[:-1], "completion": chat[-1:]} for chat in conversations]
        ),
        args=script.make_config(arguments["sft"]),
    )
    theirs: Any = trainer.train_dataset
    for column in ("input_ids", "labels"):
        assert list(given["train_dataset"][column]) == list(theirs[column])


def _job(folder: Path, config: AnyConfig, base: Path, rows: RowsInput, seed: int) -> StageJob:
    model = ModelInput(name="base", path=base, fingerprint=fingerprint_model(base))
    job = make_job(folder, config, [rows], seed).model_copy(update={"start": model, "base": model})
    job.work_dir.mkdir()
    return job


def _row(kind: RowKind, position: int) -> dict[str, Any]:
    prompt = [_message("user", f"{100 + position}+100")]
    truth = str(200 + position)
    if kind is RowKind.sft:
        return {"messages": [*prompt, _message("assistant", truth)]}
    if kind is RowKind.pairs:
        return {"prompt": prompt, "chosen": truth, "rejected": "0"}
    return {
        "problem_id": truth,
        "prompt": prompt,
        "ground_truth": truth,
        "verifier": "exact_number",
        "arguments": "{}",
        "source": "sums",
    }


def _message(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def test_models_are_sampled_with_the_same_settings(
    recipe: Recipe, arguments: dict[str, argparse.Namespace]
) -> None:
    verify: dict[str, SamplingConfig] = {
        node.name: node.config
        for node in make_nodes(recipe, SOURCES)
        if isinstance(node.config, VerifyConfig)
    }
    for name, config in verify.items():
        args = arguments[name]
        assert args.samples == config.samples, name
        assert args.temperature == config.temperature, name
        assert args.max_new_tokens == config.max_completion_length, name
        assert args.batch_size == config.batch, name
        assert (config.top_p, config.limit, config.dtype) == (1.0, None, "float32"), name
        is_evaluation = name.endswith(".evaluate")
        assert Path(args.data).stem == ("test" if is_evaluation else "rl")
        assert Path(args.model).name == name.removesuffix(".evaluate").removesuffix("_check")


def test_the_same_seed_draws_the_same_completions(base: Path) -> None:
    tokenizer = load_tokenizer(base)
    model = AutoModelForCausalLM.from_pretrained(base, dtype="float32").eval()
    prompts = [[_message("user", text)] for text in ("1+1", "347+285", "12+3")]
    config = SamplingConfig(samples=2, max_completion_length=8)
    ids = [encode(tokenizer, prompt, prompt=True) for prompt in prompts]
    assert tokenizer.eos_token_id is not None
    (ours,) = sample_completions(model, tokenizer, ids, config, {tokenizer.eos_token_id}, seed=3)
    torch.manual_seed(3)
    twice = [prompt for prompt in prompts for _ in range(2)]
    theirs = sample.sample_completions(model, tokenizer, twice, 1.0, max_new_tokens=8, batch_size=512)
    assert [completion.text for completion in ours] == theirs
    assert len(set(theirs)) > 1


def test_rewards_are_the_same_for_what_a_model_may_write() -> None:
    rng = random.Random(0)
    pieces = (
        "6",
        "32",
        "632",
        "=632",
        "00",
        "+",
        "-",
        "*",
        "/",
        "=",
        ", ",
        ",",
        ": ",
        ":",
        " ",
        "a",
        ".",
        "(",
    )
    right = 0
    for _ in range(20_000):
        text = "".join(rng.choices(pieces, k=rng.randint(0, 7)))
        verdict = exact_number(text, PosedProblem("", "632")).reward
        assert reward.exact_number(text, "632") == verdict, text
        right += verdict == 1.0
    assert right > 1000


def test_pairs_and_the_band_have_the_same_thresholds(
    recipe: Recipe, arguments: dict[str, argparse.Namespace]
) -> None:
    preferences, band = recipe.stages["preferences"], recipe.stages["band"]
    assert isinstance(preferences, PairsConfig) and isinstance(band, SelectConfig)
    assert arguments["preferences"].min_margin == preferences.min_margin
    assert preferences.pairs_per_prompt == 1
    assert tuple(arguments["band"].pass_rate) == band.pass_rate


def test_models_are_compared_by_the_same_statistics(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    before, after = (rng.binomial(1, share, (50, 4)).astype(float) for share in (0.4, 0.55))
    theirs = evaluate.compare(before, after, seed=7)
    by_problem = [{f"{i:03}": list(row) for i, row in enumerate(rewards)} for rewards in (before, after)]
    ours = comparison.paired_comparison(*by_problem, seed=7)
    assert theirs == {
        "change": pytest.approx(ours.difference),
        "low": pytest.approx(ours.low),
        "high": pytest.approx(ours.high),
        "p_value": pytest.approx(ours.p_value),
    }
    path = tmp_path / "grpo.evaluate.jsonl"
    path.write_text("".join(json.dumps({"rewards": list(row)}) + "\n" for row in after))
    summary = evaluate.summary(evaluate.read_rewards(path))
    low, high = comparison.wilson_interval(int(after.sum()), after.size)
    at_4 = np.mean([comparison.pass_at_k(4, int(row.sum()), 4) for row in after])
    assert (summary["low"], summary["high"], summary["pass@4"]) == pytest.approx((low, high, at_4))
