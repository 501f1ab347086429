"""The training stages on the tiny model, a few steps each: what reaches the loss, and what is handed on."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file  # pyright: ignore[reportUnknownVariableType]

from data_contracts.errors import ReferenceMismatchError, StageError
from data_contracts.jobs import ModelInput, StageJob, StageResult
from data_contracts.rows import RowKind
from data_contracts.stage_configs import RunSettings
from data_contracts.training_configs import DPOConfig, GRPOConfig, LoRA, SFTConfig
from stages.checkpoint import fingerprint_model, load_model, load_tokenizer
from stages.dpo import train_dpo
from stages.grpo import train_grpo
from stages.handoff import encode
from stages.sft import train_sft
from stages.tiny_model import build_tiny_model
from tests.factories import make_job, write_input

Weights = dict[str, NDArray[np.float32]]

SUMS = [(number, 3 * number + 1) for number in range(10, 18)]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> ModelInput:
    path = tmp_path_factory.mktemp("models") / "base"
    build_tiny_model(seed=1, output=path)
    return ModelInput(name="base", path=path, fingerprint=fingerprint_model(path))


def _messages(a: int, b: int) -> list[dict[str, str]]:
    return [{"role": "user", "content": f"{a}+{b}"}, {"role": "assistant", "content": f"that is {a + b}"}]


def _job(folder: Path, config: Any, base: ModelInput, **changes: Any) -> StageJob:
    folder.mkdir(parents=True)
    if isinstance(config, SFTConfig):
        kind, rows = RowKind.sft, [{"messages": _messages(a, b)} for a, b in SUMS]
    elif isinstance(config, DPOConfig):
        kind = RowKind.pairs
        rows = [
            {"prompt": _messages(a, b)[:1], "chosen": f"{a + b}", "rejected": f"{a} and {b}"} for a, b in SUMS
        ]
    else:
        kind = RowKind.problems
        rows = _problems({"max_characters": 11})
    job = make_job(folder, config, [write_input(folder, "rows", kind, rows)])
    job.work_dir.mkdir()
    return job.model_copy(update={"start": base, "base": base} | changes)


def _problems(condition: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "problem_id": f"{a}+{b}",
            "prompt": _messages(a, b)[:1],
            "ground_truth": "",
            "verifier": "format",
            "arguments": json.dumps(condition),
            "source": "sums",
        }
        for a, b in SUMS
    ]


def _made(job: StageJob, result: StageResult) -> ModelInput:
    return ModelInput(name=job.name, path=job.output_dir, fingerprint=result.fingerprint)


def _weights(path: Path) -> Weights:
    return load_file(path / "model.safetensors")


def _sft(**fields: Any) -> SFTConfig:
    given = {"start": "base", "rows": "rows", "learning_rate": 1e-2, "steps": 2, "global_batch": 8}
    return SFTConfig(**given | {"max_length": 64} | fields)


def _dpo(**fields: Any) -> DPOConfig:
    given = {"start": "base", "rows": "rows", "learning_rate": 1e-3, "steps": 2, "global_batch": 8}
    return DPOConfig(**given | {"max_length": 64} | fields)


def _grpo(**fields: Any) -> GRPOConfig:
    given = {"start": "base", "rows": "rows", "learning_rate": 1e-3, "steps": 1, "prompts_per_step": 4}
    lengths = {"group_size": 4, "max_prompt_length": 64, "max_completion_length": 12}
    return GRPOConfig(**given | lengths | fields)


# The batch


@pytest.mark.parametrize(
    ("train", "config"), [(train_sft, _sft()), (train_dpo, _dpo()), (train_grpo, _grpo())], ids=lambda x: ""
)
def test_the_micro_batch_does_not_decide_the_weights(
    train: Callable[[StageJob, Any], StageResult], config: Any, base: ModelInput, tmp_path: Path
) -> None:
    weights: list[Weights] = []
    for micro_batch in (8, 2):
        job = _job(tmp_path / str(micro_batch), config, base, run=RunSettings(micro_batch=micro_batch))
        train(job, config)
        weights.append(_weights(job.output_dir))
    before = _weights(base.path)
    moved = max(np.abs(weights[0][name] - before[name]).max() for name in before)
    apart = max(np.abs(weights[0][name] - weights[1][name]).max() for name in before)
    assert moved > 1e-3
    assert apart < 0.01 * moved


def test_packed_rows_do_not_see_each_other(base: ModelInput, tmp_path: Path) -> None:
    """The same tokens in one batch, packed or not, have the same loss and gradient."""
    found: list[tuple[float, float]] = []
    for packing in (False, True):
        config = _sft(steps=1, packing=packing, global_batch=3 if packing else 8)
        job = _job(tmp_path / str(packing), config, base)
        metrics = train_sft(job, config).metrics
        assert metrics["sft/sequences"] == config.global_batch
        found.append((metrics["sft/loss"], metrics["sft/grad_norm"]))
    assert found[1] == pytest.approx(found[0], rel=1e-5)


def test_every_turn_of_the_assistant_is_learned_and_no_other(base: ModelInput, tmp_path: Path) -> None:
    """After enough steps on one conversation the model repeats both of its turns."""
    chat = [*_messages(1, 2), *_messages(3, 4)]
    config = _sft(steps=60, global_batch=1, learning_rate=3e-3)
    job = _job(tmp_path / "job", config, base)
    job = job.model_copy(update={"rows": (write_input(tmp_path, "chat", RowKind.sft, [{"messages": chat}]),)})
    train_sft(job, config)
    tokenizer = load_tokenizer(job.output_dir)
    model: Any = load_model(job.output_dir).eval()
    for turn in (1, 3):
        prompt = encode(tokenizer, chat[:turn], prompt=True)
        said = model.generate(torch.tensor([prompt]), max_new_tokens=20, do_sample=False)[0, len(prompt) :]
        assert tokenizer.decode(said, skip_special_tokens=True) == chat[turn]["content"]


# Rows that cannot be trained on


def test_rows_too_long_or_with_special_tokens_are_dropped_and_counted(
    base: ModelInput, tmp_path: Path
) -> None:
    config = _sft()
    job = _job(tmp_path / "job", config, base)
    rows = [_messages(a, b) for a, b in SUMS]
    rows += [
        [rows[0][0], {"role": "assistant", "content": "so 1<|end|>2"}],
        [{"role": "user", "content": "<|assistant|>"}, rows[0][1]],
        [rows[0][0], {"role": "assistant", "content": "1" * 80}],
    ]
    given = write_input(tmp_path, "rows", RowKind.sft, [{"messages": chat} for chat in rows])
    result = train_sft(job.model_copy(update={"rows": (given,)}), config)
    assert result.metrics["sft/rows"] == len(SUMS)
    assert result.notes == (
        "1 of 11 conversations longer than 64 tokens dropped",
        "2 of 11 conversations with a special token in their text dropped",
    )


def test_rows_of_a_pass_end_with_a_smaller_batch(base: ModelInput, tmp_path: Path) -> None:
    """Eight rows in batches of three are three updates a pass, so four draw 8 + 3 rows."""
    config = _sft(steps=4, global_batch=3)
    job = _job(tmp_path / "job", config, base)
    metrics = train_sft(job, config).metrics
    assert (metrics["sft/rows_drawn"], metrics["sft/passes"]) == (11, 11 / 8)
    assert metrics["sft/num_tokens"] == pytest.approx(11 / 8 * _num_tokens(base), rel=0.05)
    assert pq.read_table(job.training_rows_path).to_pylist() == [
        {"input": 0, "row": row, "times": 1} for row in range(8)
    ]


def _num_tokens(base: ModelInput) -> int:
    tokenizer = load_tokenizer(base.path)
    return sum(len(encode(tokenizer, _messages(a, b))) for a, b in SUMS)


def test_too_few_rows_are_refused_with_what_became_of_the_others(base: ModelInput, tmp_path: Path) -> None:
    config = _sft(max_length=3)
    with pytest.raises(
        StageError, match=r"0 conversations are left.*; 8 of 8 .* longer than 3 tokens dropped"
    ):
        train_sft(_job(tmp_path / "job", config, base), config)


def test_grpo_says_when_no_reward_ever_differed(base: ModelInput, tmp_path: Path) -> None:
    config = _grpo()
    for number, (condition, notes) in enumerate([({"contains": ["z" * 20]}, 1), ({"max_characters": 11}, 0)]):
        job = _job(tmp_path / str(number), config, base)
        given = write_input(tmp_path, f"rows{number}", RowKind.problems, _problems(condition))
        result = train_grpo(job.model_copy(update={"rows": (given,)}), config)
        assert ["nothing was learned" in note for note in result.notes] == [True] * notes


# Adapters


@pytest.fixture(scope="module")
def adapted(base: ModelInput, tmp_path_factory: pytest.TempPathFactory) -> ModelInput:
    """The base after SFT of an adapter."""
    config = _sft(lora=LoRA(rank=4, alpha=8))
    job = _job(tmp_path_factory.mktemp("models") / "sft", config, base)
    return _made(job, train_sft(job, config))


_LAYER = "model.layers.0.self_attn.q_proj"


def _low_rank(model: ModelInput) -> NDArray[np.float32]:
    """What the adapter adds to one matrix: alpha / rank * B A."""
    adapter: Weights = load_file(model.path / "adapter" / "adapter_model.safetensors")
    a, b = (adapter[f"base_model.model.{_LAYER}.lora_{side}.weight"] for side in "AB")
    assert a.shape[0] == b.shape[1] == 4
    return 8 / 4 * b @ a


def _require_sum(base: ModelInput, model: ModelInput) -> None:
    before, after = (_weights(it.path)[f"{_LAYER}.weight"] for it in (base, model))
    np.testing.assert_allclose(after, before + _low_rank(model), atol=1e-6)
    assert np.abs(after - before).max() > 1e-4


def test_an_adapter_is_handed_on_beside_its_merged_weights(base: ModelInput, adapted: ModelInput) -> None:
    _require_sum(base, adapted)
    config = json.loads((adapted.path / "adapter" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == base.fingerprint
    assert sorted(file.name for file in (adapted.path / "adapter").iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]


def _dpo_job(folder: Path, base: ModelInput, start: ModelInput, choice: str) -> tuple[StageJob, DPOConfig]:
    config = _dpo(start="sft", lora={"rank": 4, "alpha": 8, "start_adapter": choice})
    job = _job(folder, config, base, start=start)
    return job.model_copy(update={"adapter_base": base if choice == "continue" else None}), config


def test_an_adapter_that_is_continued_stays_on_the_weights_below_it(
    base: ModelInput, adapted: ModelInput, tmp_path: Path
) -> None:
    job, config = _dpo_job(tmp_path / "job", base, adapted, "continue")
    trained = _made(job, train_dpo(job, config))
    _require_sum(base, trained)
    assert 0 < np.abs(_low_rank(trained) - _low_rank(adapted)).max() < np.abs(_low_rank(adapted)).max()


def test_a_new_adapter_begins_on_the_merged_weights(
    base: ModelInput, adapted: ModelInput, tmp_path: Path
) -> None:
    job, config = _dpo_job(tmp_path / "job", base, adapted, "merge")
    _require_sum(adapted, _made(job, train_dpo(job, config)))


@pytest.mark.parametrize("choice", ["merge", "continue"])
def test_the_reference_is_the_start_with_its_adapter(
    choice: str, base: ModelInput, adapted: ModelInput, tmp_path: Path
) -> None:
    """The cached log-probabilities of the first pair, against a plain forward pass of the start's weights."""
    job, config = _dpo_job(tmp_path / "job", base, adapted, choice)
    result = train_dpo(job, config)
    assert result.metrics["dpo/first_loss"] == pytest.approx(np.log(2), abs=1e-4)
    (cache,) = job.reference_cache_dir.glob("*.parquet")
    prompt = _messages(*SUMS[0])[:1]
    for column, text in (
        ("ref_chosen_logps", f"{sum(SUMS[0])}"),
        ("ref_rejected_logps", f"{SUMS[0][0]} and {SUMS[0][1]}"),
    ):
        expected = _log_probability(adapted.path, prompt, text)
        assert pq.read_table(cache)[column][0].as_py() == pytest.approx(expected, abs=1e-3)


def _log_probability(path: Path, prompt: list[dict[str, str]], text: str) -> float:
    """Of the completion and its end, summed."""
    tokenizer = load_tokenizer(path)
    begin = len(encode(tokenizer, prompt, prompt=True))
    ids = torch.tensor([encode(tokenizer, [*prompt, {"role": "assistant", "content": text}])])
    model: Any = load_model(path)
    with torch.no_grad():
        log_probs = model(ids).logits[0, :-1].log_softmax(-1)
    return float(log_probs.gather(1, ids[0, 1:, None])[begin - 1 :].sum())


def test_grpo_continues_an_adapter_too(base: ModelInput, adapted: ModelInput, tmp_path: Path) -> None:
    config = _grpo(lora={"rank": 4, "alpha": 8, "start_adapter": "continue"}, beta=0.1)
    job = _job(tmp_path / "job", config, base, start=adapted, adapter_base=base)
    result = train_grpo(job, config)
    _require_sum(base, _made(job, result))
    assert result.metrics["grpo/kl"] == pytest.approx(0, abs=1e-6), "the reference must be the start"


def test_an_adapter_is_not_continued_on_other_weights_than_its_own(
    base: ModelInput, adapted: ModelInput, tmp_path: Path
) -> None:
    job, config = _dpo_job(tmp_path / "job", base, adapted, "continue")
    other = base.model_copy(update={"fingerprint": "another"})
    with pytest.raises(ReferenceMismatchError, match="has content"):
        train_dpo(job.model_copy(update={"adapter_base": other}), config)


def test_a_start_without_an_adapter_cannot_be_continued(base: ModelInput, tmp_path: Path) -> None:
    job, config = _dpo_job(tmp_path / "job", base, base, "continue")
    with pytest.raises(StageError, match="holds no adapter to continue"):
        train_dpo(job, config)
