"""Sample completions of prompts from a model, batch by batch, reproducibly.

The draws of one batch follow from the seed and the batch's position alone, so the same model, prompts and
settings give the same completions.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from data_contracts.errors import StageError
from data_contracts.stage_configs import SamplingConfig


@dataclass(frozen=True, slots=True)
class Sample:
    """One completion."""

    prompt: int
    """Position of its prompt."""

    number: int
    """Which of the prompt's completions, from 0."""

    text: str
    token_ids: tuple[int, ...]
    """As sampled, up to and with the token that stopped it."""

    finished: bool


def sample_completions(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[list[int]],
    config: SamplingConfig,
    stops: set[int],
    seed: int,
) -> Iterator[list[Sample]]:
    """Yield the completions of each batch, prompts in order and all samples of a prompt together."""
    wanted = [(p, n) for p in range(len(prompts)) for n in range(config.samples)]
    for begin in range(0, len(wanted), config.batch):
        batch = wanted[begin : begin + config.batch]
        torch.manual_seed(seed + begin)
        generated = _generate(model, tokenizer, [prompts[p] for p, _ in batch], config, stops)
        yield [
            _cut(tokenizer, ids, stops, prompt, number)
            for (prompt, number), ids in zip(batch, generated, strict=True)
        ]


def sample_with_vllm(
    path: str,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[list[int]],
    config: SamplingConfig,
    stops: set[int],
    seed: int,
) -> Iterator[list[Sample]]:
    """The same through vLLM, which batches by itself. Raises StageError where it is not installed."""
    try:
        from vllm import LLM, SamplingParams  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise StageError(
            "sampler: vllm, but vLLM is not installed.",
            "an installed vLLM, or sampler: transformers",
            "pip install vllm, or --set STAGE.sampler=transformers.",
        ) from error
    llm: Any = LLM(path, dtype=config.dtype, seed=seed)
    settings = SamplingParams(
        n=config.samples,
        temperature=config.temperature,
        top_p=config.top_p,
        max_tokens=config.max_completion_length,
        stop_token_ids=sorted(stops),
        seed=seed,
    )
    for begin in range(0, len(prompts), config.batch):
        batch = [{"prompt_token_ids": ids} for ids in prompts[begin : begin + config.batch]]
        outputs: Any = llm.generate(batch, settings, use_tqdm=False)
        yield [
            _cut(tokenizer, list(choice.token_ids), stops, begin + position, number)
            for position, output in enumerate(outputs)
            for number, choice in enumerate(output.outputs)
        ]


@torch.inference_mode()
def _generate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[list[int]],
    config: SamplingConfig,
    stops: set[int],
) -> list[list[int]]:
    width = max(map(len, prompts))
    pad = tokenizer.pad_token_id
    ids = torch.tensor([[pad] * (width - len(p)) + p for p in prompts], device=model.device)
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=model.device)
    how: dict[str, Any] = {"do_sample": False}
    if config.temperature > 0:
        how = {"do_sample": True, "temperature": config.temperature, "top_p": config.top_p, "top_k": 0}
    output: Any = model.generate(  # pyright: ignore[reportCallIssue]
        input_ids=ids,
        attention_mask=mask,
        max_new_tokens=config.max_completion_length,
        eos_token_id=sorted(stops),
        pad_token_id=pad,
        **how,
    )
    return output[:, width:].tolist()


def _cut(
    tokenizer: PreTrainedTokenizerBase, ids: list[int], stops: set[int], prompt: int, number: int
) -> Sample:
    end = next((position for position, token in enumerate(ids) if token in stops), None)
    kept = ids if end is None else ids[: end + 1]
    text = str(tokenizer.decode(kept, skip_special_tokens=True))
    return Sample(prompt, number, text, tuple(kept), end is not None)
