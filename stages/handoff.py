"""Checks at the hand-over from one stage to the next, before compute is spent. Each has an error of its own."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import GenerationConfig, PreTrainedTokenizerBase

from data_contracts.errors import (
    EndOfSequenceError,
    FirstLossError,
    LossMaskError,
    ReferenceMismatchError,
    TemplateMismatchError,
)
from stages.checkpoint import load_tokenizer

IGNORED = -100
"""The label of a token the loss does not touch."""

_PROBE: list[dict[str, str]] = [
    {"role": "user", "content": "What is 2 + 2?"},
    {"role": "assistant", "content": "2 + 2 = 4"},
]


def require_same_template(base: Path, start: Path) -> PreTrainedTokenizerBase:
    """The start's tokenizer, proven to render and encode as the base's does."""
    ours, parents = load_tokenizer(start), load_tokenizer(base)
    for what, found, expected in [
        ("vocabulary", ours.get_vocab(), parents.get_vocab()),
        ("chat template", ours.chat_template, parents.chat_template),
        ("end-of-sequence token", ours.eos_token, parents.eos_token),
        ("rendering of a conversation", encode(ours, _PROBE), encode(parents, _PROBE)),
    ]:
        if found != expected:
            raise TemplateMismatchError(
                f"The {what} of {start} differs from the base model's.",
                "one tokenizer and chat template through the whole pipeline",
                "Start from a model of this pipeline, or make this one's tokenizer the base's.",
            )
    return ours


def encode(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Mapping[str, str]], *, prompt: bool = False
) -> list[int]:
    """Token ids of a conversation; with `prompt`, up to where the assistant begins."""
    return encode_all(tokenizer, [messages], prompt=prompt)[0]


def encode_all(
    tokenizer: PreTrainedTokenizerBase,
    conversations: Sequence[Sequence[Mapping[str, str]]],
    *,
    prompt: bool = False,
) -> list[list[int]]:
    """Token ids of each conversation, tokenized in one batch."""
    plain = [[dict(message) for message in messages] for messages in conversations]
    encoded: Any = tokenizer.apply_chat_template(
        plain, tokenize=True, add_generation_prompt=prompt, return_dict=True
    )
    return encoded["input_ids"]


def stop_token_ids(path: Path, tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """Tokens that end generation, by the model's generation config, else the tokenizer's."""
    ids: Any = None
    if (path / "generation_config.json").is_file():
        ids = GenerationConfig.from_pretrained(path).eos_token_id
    if ids is None:
        ids = tokenizer.eos_token_id
    return set(ids) if isinstance(ids, list) else {ids} if ids is not None else set()


def require_end_of_sequence(path: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    """A rendered completion ends in a token that stops generation (white space may follow)."""
    stops = stop_token_ids(path, tokenizer)
    ids = encode(tokenizer, _PROBE)
    while ids and ids[-1] not in stops and not str(tokenizer.decode([ids[-1]])).strip():
        ids.pop()
    if not ids or ids[-1] not in stops:
        found = tokenizer.decode(ids[-1:]) if ids else "nothing"
        raise EndOfSequenceError(
            f"The chat template of {path} ends a completion with {found!r}.",
            f"a token that stops generation: {sorted(tokenizer.decode([i]) for i in stops)}",
            "A model trained so would never stop. Fix the template or generation_config.eos_token_id.",
        )


def require_loss_mask(
    tokenizer: PreTrainedTokenizerBase,
    input_ids: Sequence[int],
    labels: Sequence[int],
    completions: Sequence[str],
    stops: set[int],
) -> None:
    """The labelled tokens are the completions, each with the token that stops it, and nothing else."""
    labelled = [token for token, label in zip(input_ids, labels, strict=True) if label != IGNORED]
    text = "".join(str(tokenizer.decode(labelled, skip_special_tokens=True)).split())
    expected = "".join("".join(completions).split())
    foreign = [token for token in labelled if token in tokenizer.all_special_ids and token not in stops]
    if text != expected or foreign:
        raise LossMaskError(
            f"The loss would touch {_shown(str(tokenizer.decode(labelled)))}.",
            f"the completions and nothing else: {_shown(''.join(completions))}",
            "Use prompt/completion rows, or a chat template with {% generation %} round the assistant's part.",
        )
    if (found := sum(token in stops for token in labelled)) != len(completions):
        raise LossMaskError(
            f"The loss touches {found} tokens that stop generation, in {len(completions)} completions.",
            "one for each completion, or the model never learns to stop",
            "Put the end-of-sequence token inside {% generation %} of the chat template.",
        )


def require_first_loss(loss: float) -> None:
    """DPO begins at ln 2: the policy is still the reference, so every margin is zero."""
    if not abs(loss - math.log(2)) <= 1e-3:
        raise FirstLossError(
            f"DPO's loss before the first update is {loss:.6f}.",
            f"ln 2 = {math.log(2):.6f} within 0.001",
            "Policy and reference disagree: check dropout, precision and the reference log-probabilities.",
        )


def require_reference(reference: str, start: str) -> None:
    """The reference's weights are those the stage starts from, by content fingerprint."""
    if reference != start:
        raise ReferenceMismatchError(
            f"The reference model has content {reference}.",
            f"the start's content {start}",
            "A directory was changed while in use; run the parent stage again with --force.",
        )


def _shown(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:79] + "…")
