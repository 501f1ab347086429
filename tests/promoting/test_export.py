"""What `burnish export` writes is the registered model, loads by itself, and takes nobody's place.

base/1  the tiny model      sft/1  a LoRA adapter merged into it      sft/2  the same, its files damaged later
"""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import ModelCard
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from infra.home import Home, open_home
from infra.ledger import Ledger
from infra.records import Execution, Input, Withdrawal
from infra.registry import ModelRegistry
from stages.checkpoint import fingerprint_model, load_model, save_adapter, save_model
from stages.tiny_model import build_tiny_model
from tests.promoting.conftest import Burnish

FILES = {"config.json", "generation_config.json", "model.safetensors", "README.md"}
TOKENIZER = {"tokenizer.json", "tokenizer_config.json", "chat_template.jinja"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_SQLALCHEMYSTORE_POOLCLASS", "NullPool")
        yield _make_home(tmp_path_factory.mktemp("exported") / "home")


@pytest.fixture
def home(made: Home) -> Home:
    """In place of the judged one."""
    return made


def _make_home(path: Path) -> Home:
    home = open_home(path)
    scratch = home.models_dir / "scratch"
    build_tiny_model(7, scratch)
    base = _register(home, "base", scratch, ())
    torch.manual_seed(0)
    start = home.models_dir / base.fingerprint
    for _ in range(2):
        wanted = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")
        model: Any = get_peft_model(load_model(start), wanted)
        for name, weights in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(weights, std=0.1)
        save_adapter(model, base.fingerprint, scratch)
        save_model(model.merge_and_unload(), start, scratch)
        _register(home, "sft", scratch, (Input("base", "start", "small.base", 1, base.fingerprint, 1.0),))
    return home


def _register(home: Home, stage: str, scratch: Path, inputs: tuple[Input, ...]) -> Execution:
    ledger, registry = Ledger(home.ledger_path), ModelRegistry(home.mlflow_uri, home.mlflow_artifacts_dir)
    content = fingerprint_model(scratch)
    folder = scratch.rename(home.models_dir / content)
    run = registry.start_pipeline_run("small", content, "name: small")
    version = registry.register_model(run, f"small.{stage}", folder, f"key-{content}", {})
    execution = Execution(
        run_id="run-1",
        pipeline="small",
        stage=stage,
        kind=stage,
        key=f"key-{content}",
        input_key=f"input-{content}",
        identity={"config": {"build": "tiny-qwen3"} if stage == "base" else {"steps": 2}, "seed": 7},
        inputs=inputs,
        output="model",
        fingerprint=content,
        name=f"small.{stage}",
        version=version,
        result={"metrics": {}, "notes": [], "judged_by": []},
        environment={},
        seconds=1.0,
        ended=time.time(),
    )
    ledger.record(execution)
    return execution


def registered(home: Home, reference: str) -> Path:
    return ModelRegistry(home.mlflow_uri, home.mlflow_artifacts_dir).model_directory(reference)


def logits(model: Any, directory: Path) -> torch.Tensor:
    tokenizer: Any = AutoTokenizer.from_pretrained(directory)
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "12+34"}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    with torch.inference_mode():
        return model(**prompt).logits


def whole(directory: Path, **options: Any) -> Any:
    return AutoModelForCausalLM.from_pretrained(directory, use_safetensors=True, **options)


def names(directory: Path) -> set[str]:
    return {file.name for file in directory.iterdir()}


def test_an_exported_model_is_the_registered_one(home: Home, burnish: Burnish, tmp_path: Path) -> None:
    target = tmp_path / "served"
    done = burnish("export", "small.sft/1", str(target))
    assert done.code == 0
    assert f"small.sft/1 is in {target}: weights, the LoRA adapter merged into them, tokenizer" in done.text
    assert names(target) == FILES | TOKENIZER
    source = registered(home, "small.sft/1")
    assert torch.equal(logits(whole(target), target), logits(whole(source), source))
    assert not torch.equal(
        logits(whole(target), target), logits(whole(registered(home, "small.base/1")), target)
    )
    read = ModelCard((target / "README.md").read_text())
    assert (read.data.get("library_name"), read.data.get("model_name")) == ("transformers", "small.sft/1")
    assert "The LoRA adapter that was merged into it is in `adapter`; it goes on `small.base/1`" in read.text
    assert list(tmp_path.iterdir()) == [target]


def test_another_precision_is_the_registered_weights_rounded(
    home: Home, burnish: Burnish, tmp_path: Path
) -> None:
    assert burnish("export", "small.sft/1", str(tmp_path / "half"), "--dtype", "bfloat16").code == 0
    assert names(tmp_path / "half") == FILES | TOKENIZER
    found = load_file(tmp_path / "half" / "model.safetensors")
    expected = load_file(registered(home, "small.sft/1") / "model.safetensors")
    assert found.keys() == expected.keys()
    for name, weights in found.items():
        assert torch.equal(weights, expected[name].to(torch.bfloat16))
    assert whole(tmp_path / "half").dtype == torch.bfloat16


def test_an_exported_adapter_on_the_weights_its_card_names_is_the_registered_model(
    home: Home, burnish: Burnish, tmp_path: Path
) -> None:
    target = tmp_path / "adapter"
    assert burnish("export", "small.sft/1", str(target), "--adapter").code == 0
    assert names(target) == TOKENIZER | {
        *("adapter_config.json", "adapter_model.safetensors", "generation_config.json", "README.md")
    }
    read = ModelCard((target / "README.md").read_text())
    assert read.data.get("library_name") == "peft"
    assert "It goes on `small.base/1`" in read.text
    source = registered(home, "small.sft/1")
    model = PeftModel.from_pretrained(whole(registered(home, "small.base/1")), str(target))
    torch.testing.assert_close(logits(model, target), logits(whole(source), source), rtol=1e-4, atol=1e-4)


def test_what_cannot_be_exported_is_told_and_leaves_nothing(burnish: Burnish, tmp_path: Path) -> None:
    for arguments, told in {
        ("small.base/1", "--adapter"): "This model has no adapter: it was trained without LoRA.",
        (
            "small.sft/1",
            "--adapter",
            "--dtype",
            "bfloat16",
        ): "--adapter and --dtype bfloat16 exclude each other.",
        ("small.nothing",): "There is no model 'small.nothing'.",
        ("small.sft@champion",): "small.sft has no alias 'champion'. Expected: a version by its number",
    }.items():
        model, *options = arguments
        done = burnish("export", model, str(tmp_path / "new"), *options)
        assert done.code != 0
        assert told in done.text
    missing = burnish("export", "small.base/1", str(tmp_path / "no" / "new"))
    assert (missing.code, "does not exist" in missing.text) == (2, True)
    unnamable = burnish("export", "small.base/1", str(tmp_path / ("n" * 300)))
    assert (unnamable.code, "cannot be written: File name too long" in unnamable.text) == (2, True)
    assert list(tmp_path.iterdir()) == []


def test_nothing_of_a_persons_is_written_over(
    burnish: Burnish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty, own, link = tmp_path / "empty", tmp_path / "own", tmp_path / "link"
    empty.mkdir()
    own.mkdir()
    (own / "README.md").write_text("mine")
    (own / "thesis.tex").write_text("mine")
    link.symlink_to(empty)
    for directory in (own, own / "thesis.tex", link):
        for force in ((), ("--force",)):
            done = burnish("export", "small.base/1", str(directory), *force)
            assert (done.code, "a new or empty directory" in done.text) == (2, True)
    assert {file.name: file.read_text() for file in own.iterdir()} == {
        "README.md": "mine",
        "thesis.tex": "mine",
    }
    with monkeypatch.context() as patch:
        patch.chdir(empty)
        assert burnish("export", "small.base/1", ".").code == 2
    assert burnish("export", "small.base/1", str(empty)).code == 0
    assert "--force replaces an earlier export" in burnish("export", "small.base/1", str(empty)).text
    (empty / "config.json").unlink()
    assert burnish("export", "small.base/1", str(empty), "--force").code == 0
    assert names(empty) == FILES | TOKENIZER
    assert names(tmp_path) == {"empty", "own", "link"}


def test_models_that_may_not_be_promoted_are_not_exported(
    home: Home, burnish: Burnish, tmp_path: Path
) -> None:
    ledger = Ledger(home.ledger_path)
    ledger.withdraw(Withdrawal(1.0, "source forum", "forum", b"", "ann", "licence", (), ("small.base/1",)))
    withdrawn = burnish("export", "small.base/1", str(tmp_path / "new"))
    assert (withdrawn.code, "saw rows that were withdrawn" in withdrawn.text) == (1, True)
    ledger.withdraw(Withdrawal(2.0, "source forum", None, b"", "ann", "", (), (), undoes=1))
    kept = home.models_dir / fingerprint_model(registered(home, "small.sft/2")) / "model.safetensors"
    before = kept.read_bytes()
    kept.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
    damaged = burnish("export", "small.sft/2", str(tmp_path / "new"))
    assert (damaged.code, "has other content than its run made" in damaged.text) == (1, True)
    assert list(tmp_path.iterdir()) == []
