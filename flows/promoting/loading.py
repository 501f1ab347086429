"""How a version is loaded, as the Python of its card: from MLflow, or from an exported directory."""

import json
from collections.abc import Iterable, Sequence
from typing import Literal

from flows.lineage.models import reference_of
from flows.promoting.markdown import block, code
from flows.stored import output_path
from infra.home import Home
from infra.records import Execution

Form = Literal["model", "adapter"]
"""Whole weights, or a LoRA adapter that goes on top of others."""

ADAPTER = "adapter"
"""Folder of a model directory: the adapter whose merged weights the directory holds."""


def loading_section(home: Home, made: Execution, behind: Sequence[Execution], form: Form) -> str:
    """Python that gives `model` and `tokenizer`, and a sentence."""
    below = content_below(home, made)
    if form == "adapter" and below is not None:
        lines, told = (
            _adapter_lines(below, behind),
            f"It goes on {_named(below, behind)}, and on no other weights.",
        )
    else:
        lines, told = _model_lines(made), "An exported directory is loaded the same way, by its path."
        if below is not None:
            told += f" The LoRA adapter that was merged into it is in {code(ADAPTER)}; it goes on "
            told += f"{_named(below, behind)}."
    return "\n\n".join(["## How to load it", block("python", "\n".join(lines)), told])


def content_below(home: Home, made: Execution) -> str | None:
    """Content of the weights that a version's LoRA adapter goes on; None for a version without one."""
    config = output_path(home, made) / ADAPTER / "adapter_config.json"
    return json.loads(config.read_text())["base_model_name_or_path"] if config.is_file() else None


def hub_base(behind: Iterable[Execution]) -> tuple[str, str] | None:
    """Hub id and commit of the model everything began with; None for one of another origin."""
    for each in behind:
        config = each.identity.get("config", {})
        if each.kind == "base" and config.get("model"):
            return config["model"], config["revision"]
    return None


def _model_lines(made: Execution) -> list[str]:
    return [
        "import mlflow  # MLFLOW_TRACKING_URI says where it is registered",
        "from transformers import AutoModelForCausalLM, AutoTokenizer",
        "",
        f"directory = mlflow.artifacts.download_artifacts({json.dumps(f'models:/{reference_of(made)}')})",
        "tokenizer = AutoTokenizer.from_pretrained(directory)",
        "model = AutoModelForCausalLM.from_pretrained(directory, use_safetensors=True)",
    ]


def _adapter_lines(below: str, behind: Sequence[Execution]) -> list[str]:
    base = hub_base(each for each in behind if each.fingerprint == below)
    named = f'"DIRECTORY OF {_reference(below, behind)}"'
    if base is not None:
        named = f"{json.dumps(base[0])}, revision={json.dumps(base[1])}"
    return [
        "from peft import PeftModel",
        "from transformers import AutoModelForCausalLM, AutoTokenizer",
        "",
        'directory = "."  # of this file',
        "tokenizer = AutoTokenizer.from_pretrained(directory)",
        f"below = AutoModelForCausalLM.from_pretrained({named}, use_safetensors=True)",
        "model = PeftModel.from_pretrained(below, directory)",
    ]


def _named(content: str, behind: Sequence[Execution]) -> str:
    return f"{code(_reference(content, behind))} (content {code(content)})"


def _reference(content: str, behind: Sequence[Execution]) -> str:
    """`name/version` of the weights with this content."""
    found = (each for each in behind if each.output == "model" and each.fingerprint == content)
    return next((reference_of(each) for each in found), "the weights it was trained on")
