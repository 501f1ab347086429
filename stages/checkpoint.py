"""Model directories: weights in safetensors, tokenizer, chat template. Read, written and fingerprinted here.

The files are an allow-list: a Trainer also leaves pickles (`training_args.bin`, optimizer state) in its
directories, and those never become part of a model.
"""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import torch
from peft import PeftConfig, PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from data_contracts.canonical import FINGERPRINT_LENGTH, canonical_json
from data_contracts.errors import StageError

_ALLOWED = (".safetensors", ".safetensors.index.json", ".json", ".jinja", ".txt", ".model")
_CONFIGS = ("config.json", "generation_config.json", "tokenizer_config.json", "adapter_config.json")
_VOLATILE = ("_name_or_path", "transformers_version", "torch_dtype", "peft_version")
"""Keys of config files that say where or by what a file was written, not what the model is."""

ADAPTER = "adapter"
"""Folder of a model directory: the LoRA adapter whose merged weights the directory holds."""

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def load_tokenizer(path: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a model directory. Raises StageError when it cannot be used for chat."""
    tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True)
    if not tokenizer.chat_template:
        raise StageError(
            f"The tokenizer in {path} has no chat template.",
            "a chat template, which turns messages into tokens",
            "Add one: tokenizer.chat_template = ...; tokenizer.save_pretrained(DIR).",
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_model(path: Path, dtype: str = "float32") -> PreTrainedModel:
    """Causal language model of a directory, weights as `dtype`. Only safetensors are read."""
    return AutoModelForCausalLM.from_pretrained(
        path, dtype=_DTYPES[dtype], use_safetensors=True, local_files_only=True
    )


def stored_dtype(path: Path) -> torch.dtype:
    """The precision a model's weights are kept in, by its config."""
    config = json.loads((path / "config.json").read_text())
    name = config.get("dtype") or config.get("torch_dtype") or "float32"
    return getattr(torch, str(name))  # a torch dtype is an attribute of the module and nothing else names it


def save_model(model: PreTrainedModel, start: Path, output: Path) -> None:
    """Write weights in the precision of `start`, and the tokenizer files of `start` as they are."""
    as_stored: Any = model.to(dtype=stored_dtype(start))  # pyright: ignore[reportCallIssue]
    as_stored.save_pretrained(output)
    keep_model_files(output)
    for file in model_files(start):
        target = output / file.name
        if not target.exists() and not file.name.startswith("model"):
            shutil.copy2(file, target)


def save_adapter(model: PeftModel, below: str, output: Path) -> None:
    """Write the adapter in training beside its merged weights; `below` is the content it was trained on."""
    config: Any = model.peft_config["default"]
    config.base_model_name_or_path = below
    if not isinstance(config.target_modules, str):
        config.target_modules = sorted(config.target_modules)  # a set's order differs between processes
    folder = output / ADAPTER
    model.save_pretrained(str(folder), selected_adapters=["default"], save_embedding_layers=False)
    keep_model_files(folder)


def load_adapter(model: PreTrainedModel, start: Path, dropout: float) -> PeftModel:
    """`model` under the adapter of `start`, to be trained further. Raises StageError when there is none."""
    folder = start / ADAPTER
    if not folder.is_dir():
        raise StageError(
            f"{start} holds no adapter to continue.",
            f"{ADAPTER}/adapter_model.safetensors beside the merged weights",
            "Run the parent stage again with --force, or say lora.start_adapter: merge.",
        )
    config = PeftConfig.from_pretrained(str(folder))
    config.lora_dropout = dropout  # pyright: ignore[reportAttributeAccessIssue]
    return PeftModel.from_pretrained(model, str(folder), is_trainable=True, config=config)


def model_files(path: Path) -> list[Path]:
    """The files that are the model, by the allow-list, in name order."""
    return sorted(file for file in path.iterdir() if file.is_file() and file.name.endswith(_ALLOWED))


def keep_model_files(path: Path) -> None:
    """Remove everything from a fresh directory that the allow-list does not name."""
    kept = set(model_files(path))
    for file in path.iterdir():
        if file.is_file() and file not in kept:
            file.unlink()


def fingerprint_model(path: Path) -> str:
    """Content of weights, tokenizer, chat template, configs and adapter, as hexadecimal digits."""
    digest = hashlib.sha256()
    adapter = path / ADAPTER
    for file in [*model_files(path), *(model_files(adapter) if adapter.is_dir() else [])]:
        digest.update(file.relative_to(path).as_posix().encode() + b"\0")
        if file.name in _CONFIGS:
            content = {k: v for k, v in _read_json(file).items() if k not in _VOLATILE}
            digest.update(canonical_json(content).encode())
        else:
            with file.open("rb") as handle:
                digest.update(hashlib.file_digest(handle, "sha256").digest())
    return digest.hexdigest()[:FINGERPRINT_LENGTH]


def _read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())
