"""The embedded base model: a small, randomly initialised Qwen3 with a character tokenizer.

It exists so that the whole pipeline can really run anywhere: no hub, no GPU, seconds to build.
"""

import string
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

SPECIAL = ("<|pad|>", "<|unknown|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>")
ALPHABET = " \n" + string.digits + string.ascii_letters + string.punctuation

CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{%- if message.role == 'assistant' -%}"
    "<|assistant|>{% generation %}{{ message.content }}<|end|>{% endgeneration %}"
    "{%- else -%}<|{{ message.role }}|>{{ message.content }}<|end|>{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}<|assistant|>{%- endif -%}"
)
"""Each message between its role's token and `<|end|>`; the assistant's part is marked for the loss mask."""


def build_tokenizer() -> PreTrainedTokenizerFast:
    """One token per printable ASCII character, newline and space; everything else is unknown."""
    vocabulary = {token: position for position, token in enumerate((*SPECIAL, *ALPHABET))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<|unknown|>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<|pad|>",
        eos_token="<|end|>",
        unk_token="<|unknown|>",
        additional_special_tokens=list(SPECIAL[3:]),
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
        model_max_length=512,
    )


def build_tiny_model(seed: int, output: Path) -> None:
    """Write tokenizer and weights; the same seed gives the same bytes."""
    tokenizer = build_tokenizer()
    pad: Any = tokenizer.pad_token_id
    end: Any = tokenizer.eos_token_id
    torch.manual_seed(seed)
    model = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=len(tokenizer),
            hidden_size=128,
            intermediate_size=384,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=4,
            head_dim=32,
            max_position_embeddings=512,
            tie_word_embeddings=True,
            initializer_range=0.08,  # about 1/sqrt(hidden); the default 0.02 is made for wide models
            pad_token_id=pad,
            eos_token_id=end,
            bos_token_id=None,
            dtype="float32",
        )
    )
    model.save_pretrained(output)
    tokenizer.save_pretrained(output)
