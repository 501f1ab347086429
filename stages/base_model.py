"""The pipeline's first model: built, or brought in from a local directory or the hub."""

import shutil
from pathlib import Path

from data_contracts.errors import StageError
from data_contracts.jobs import StageJob, StageResult
from data_contracts.stage_configs import BaseModelConfig
from stages.checkpoint import fingerprint_model, keep_model_files, load_model, load_tokenizer, model_files
from stages.tiny_model import build_tiny_model


def make_base(job: StageJob, config: BaseModelConfig) -> StageResult:
    """Write the base model as a directory of our own and prove that it loads and can chat."""
    output = job.output_dir
    output.mkdir(parents=True)
    if config.build:
        build_tiny_model(job.seed, output)
    elif config.path:
        _copy(Path(config.path), output)
    else:
        _copy(_download(config), output)
    keep_model_files(output)
    load_tokenizer(output)
    model = load_model(output)
    return StageResult(
        output="model",
        fingerprint=fingerprint_model(output),
        metrics={"base/parameters": float(model.num_parameters())},
    )


def _copy(source: Path, output: Path) -> None:
    files = model_files(source)
    if not any(file.name.endswith(".safetensors") for file in files):
        raise StageError(
            f"{source} holds no safetensors weights (found: {', '.join(f.name for f in files) or 'nothing'}).",
            "model.safetensors",
            "Save the model with model.save_pretrained(DIR); pickled weights are never loaded.",
        )
    for file in files:
        shutil.copy2(file, output / file.name)


def _download(config: BaseModelConfig) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    assert config.model is not None
    try:
        return Path(
            snapshot_download(
                config.model,
                revision=config.revision,
                allow_patterns=[
                    "*.safetensors",
                    "*.safetensors.index.json",
                    "*.json",
                    "*.jinja",
                    "*.txt",
                    "*.model",
                ],
            )
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise StageError(
            f"The hub model {config.model} at {config.revision} cannot be fetched: {error}",
            "a reachable hub, or the model in its local cache",
            "Without network: base: {path: DIR} with a downloaded model.",
        ) from error
