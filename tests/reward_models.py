"""A reward model of a few thousand weights, built here."""

from pathlib import Path
from typing import Any

import torch
from transformers import Qwen3Config, Qwen3ForSequenceClassification

from stages.tiny_model import build_tokenizer


def write_reward_model(folder: Path, num_labels: int = 1, **tokenizer_changes: Any) -> Path:
    """A checkpoint that scores chats of the tiny model's tokenizer; returns its folder."""
    tokenizer = build_tokenizer()
    for name, value in tokenizer_changes.items():
        setattr(tokenizer, name, value)
    torch.manual_seed(3)
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_key_value_heads=1,
        head_dim=8,
        num_labels=num_labels,
        pad_token_id=build_tokenizer().pad_token_id,
        initializer_range=0.5,
    )
    Qwen3ForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
