"""Write a model directory for others: whole weights in any precision, or the LoRA adapter alone.

Weights in the stored precision are copied byte for byte, so what is exported is what was registered.
"""

import shutil
from pathlib import Path

from transformers import GenerationConfig
from transformers.utils.logging import disable_progress_bar

from data_contracts.errors import StageError
from data_contracts.vocabulary import DType
from stages.checkpoint import ADAPTER, load_model, load_tokenizer, model_files
from stages.handoff import stop_token_ids

_WEIGHTS = (".safetensors", ".safetensors.index.json")


def export_model(source: Path, target: Path, dtype: DType | None) -> None:
    """Merged weights, tokenizer, chat template and generation config into the empty directory `target`."""
    disable_progress_bar()
    if dtype is not None:
        load_model(source, dtype).save_pretrained(target)
    for file in model_files(source):
        if not (target / file.name).exists() and not (dtype and file.name.endswith(_WEIGHTS)):
            shutil.copyfile(file, target / file.name)
    _require_generation_config(source, target)


def export_adapter(source: Path, target: Path) -> None:
    """The adapter as it was trained, tokenizer, chat template and generation config into the empty `target`.

    Raises StageError for a model that was trained without LoRA.
    """
    if not (source / ADAPTER).is_dir():
        raise StageError(
            "This model has no adapter: it was trained without LoRA.",
            "a model whose stage has `lora:`",
            "Leave --adapter out: the whole weights are exported.",
        )
    for file in model_files(source / ADAPTER):
        shutil.copyfile(file, target / file.name)
    for file in model_files(source):
        if not file.name.endswith(_WEIGHTS) and file.name != "config.json":
            shutil.copyfile(file, target / file.name)
    _require_generation_config(source, target)


def _require_generation_config(source: Path, target: Path) -> None:
    """Generation ends where it ends here, also for a model that came without such a file."""
    file = target / "generation_config.json"
    if not file.exists():
        tokenizer = load_tokenizer(source)
        stops = sorted(stop_token_ids(source, tokenizer))
        GenerationConfig(eos_token_id=stops, pad_token_id=tokenizer.pad_token_id).save_pretrained(target)
