"""The hand-over between stages: each check passes on the tiny model and fails on one really broken."""

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.numpy import load_file, save_file  # pyright: ignore[reportUnknownVariableType]
from tokenizers import normalizers
from transformers import PreTrainedTokenizerFast

from data_contracts.errors import (
    EndOfSequenceError,
    FirstLossError,
    LossMaskError,
    ReferenceMismatchError,
    StageError,
    TemplateMismatchError,
)
from stages.checkpoint import fingerprint_model, load_tokenizer
from stages.handoff import (
    IGNORED,
    encode,
    require_end_of_sequence,
    require_first_loss,
    require_loss_mask,
    require_reference,
    require_same_template,
    stop_token_ids,
)
from stages.tiny_model import CHAT_TEMPLATE, build_tiny_model, build_tokenizer

END = build_tokenizer().convert_tokens_to_ids("<|end|>")
TokenizerChange = Callable[[PreTrainedTokenizerFast], None]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model as a directory. Not to be changed."""
    path = tmp_path_factory.mktemp("base") / "model"
    build_tiny_model(seed=1, output=path)
    return path


@pytest.fixture
def changed(base: Path, tmp_path: Path) -> Callable[[TokenizerChange], Path]:
    """A copy of the base with another tokenizer."""

    def changed(change: TokenizerChange) -> Path:
        path = shutil.copytree(base, tmp_path / "start")
        (path / "chat_template.jinja").unlink(missing_ok=True)
        tokenizer = build_tokenizer()
        change(tokenizer)
        tokenizer.save_pretrained(path)
        return path

    return changed


def _set_template(template: str | None) -> TokenizerChange:
    return lambda tokenizer: setattr(tokenizer, "chat_template", template)


# Template


def test_a_model_of_the_pipeline_shares_the_bases_template(base: Path, tmp_path: Path) -> None:
    start = shutil.copytree(base, tmp_path / "start")
    assert require_same_template(base, start).chat_template == CHAT_TEMPLATE


BROKEN: dict[str, tuple[TokenizerChange, str]] = {
    "another template": (
        _set_template(CHAT_TEMPLATE.replace("<|user|>", "<|system|>") + " "),
        "chat template",
    ),
    "another token": (lambda tokenizer: tokenizer.add_tokens(["<|tool|>"]), "vocabulary"),  # pyright: ignore[reportArgumentType]
    "another end": (
        lambda tokenizer: setattr(tokenizer, "eos_token", "<|user|>"),
        "end-of-sequence token",
    ),
    "another reading of the same text": (
        lambda tokenizer: setattr(tokenizer.backend_tokenizer, "normalizer", normalizers.Lowercase()),
        "rendering of a conversation",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_tokenizer_that_differs_from_the_bases_is_named_by_its_difference(
    case: str, base: Path, changed: Callable[[TokenizerChange], Path]
) -> None:
    change, what = BROKEN[case]
    with pytest.raises(TemplateMismatchError, match=f"The {what} of"):
        require_same_template(base, changed(change))


def test_a_tokenizer_without_a_template_cannot_chat(
    base: Path, changed: Callable[[TokenizerChange], Path]
) -> None:
    with pytest.raises(StageError, match="has no chat template"):
        require_same_template(base, changed(_set_template(None)))


# End of sequence


def test_the_tiny_models_completions_end_in_what_stops_it(base: Path) -> None:
    assert stop_token_ids(base, load_tokenizer(base)) == {END}
    require_end_of_sequence(base, load_tokenizer(base))


def test_white_space_may_follow_the_end(changed: Callable[[TokenizerChange], Path]) -> None:
    path = changed(_set_template(CHAT_TEMPLATE + "\n\n "))
    require_end_of_sequence(path, load_tokenizer(path))


@pytest.mark.parametrize(
    ("template", "found"),
    [
        (
            CHAT_TEMPLATE.replace("{{ message.content }}<|end|>{% endgen", "{{ message.content }}{% endgen"),
            "'4'",
        ),
        (CHAT_TEMPLATE + "<|system|>", "'<|system|>'"),
    ],
    ids=["end left out", "something after the end"],
)
def test_a_template_that_does_not_end_in_the_stop_token_is_refused(
    template: str, found: str, changed: Callable[[TokenizerChange], Path]
) -> None:
    assert template != CHAT_TEMPLATE
    path = changed(_set_template(template))
    with pytest.raises(EndOfSequenceError) as caught:
        require_end_of_sequence(path, load_tokenizer(path))
    assert f"ends a completion with {found}" in str(caught.value)
    assert "<|end|>" in caught.value.expected


@pytest.mark.parametrize(("stops", "is_fine"), [([3, END], True), ([3, 4], False), (None, True)])
def test_the_generation_config_says_what_stops_and_else_the_tokenizer(
    stops: list[int] | None, is_fine: bool, base: Path, tmp_path: Path
) -> None:
    path = shutil.copytree(base, tmp_path / "start")
    config = json.loads((path / "generation_config.json").read_text()) | {"eos_token_id": stops}
    (path / "generation_config.json").write_text(json.dumps(config))
    if is_fine:
        require_end_of_sequence(path, load_tokenizer(path))
    else:
        with pytest.raises(EndOfSequenceError):
            require_end_of_sequence(path, load_tokenizer(path))


# Loss mask

CHAT = [
    {"role": "user", "content": "1+2"},
    {"role": "assistant", "content": "it is 3"},
    {"role": "user", "content": "2+2"},
    {"role": "assistant", "content": "it is 4"},
]


def _labels(is_labelled: Callable[[str, int], bool]) -> tuple[list[int], list[int]]:
    """Ids of `CHAT`, each labelled or not by its turn's role and its place in the turn, the role's token first."""
    tokenizer = build_tokenizer()
    ids, labels = [], []
    for message in CHAT:
        turn = tokenizer.encode(f"<|{message['role']}|>{message['content']}<|end|>")
        ids += turn
        labels += [
            token if is_labelled(message["role"], place) else IGNORED for place, token in enumerate(turn)
        ]
    assert ids == encode(tokenizer, CHAT)
    return ids, labels


def _check(is_labelled: Callable[[str, int], bool]) -> None:
    ids, labels = _labels(is_labelled)
    completions = [message["content"] for message in CHAT if message["role"] == "assistant"]
    require_loss_mask(build_tokenizer(), ids, labels, completions, {END})


def test_a_mask_over_the_completions_and_their_ends_is_right() -> None:
    _check(lambda role, place: role == "assistant" and place >= 1)


@pytest.mark.parametrize(
    ("is_labelled", "message"),
    [
        (lambda role, place: place >= 1, "would touch '1+2<|end|>it is 3<|end|>"),
        (lambda role, place: role == "user", "would touch '<|user|>1+2<|end|>"),
        (lambda role, place: role == "assistant" and place >= 2, "would touch 't is 3<|end|>t is 4<|end|>"),
        (lambda role, place: False, "would touch ''"),
        (lambda role, place: role == "assistant" and 1 <= place <= 7, "0 tokens that stop generation"),
        (lambda role, place: role == "assistant", "would touch '<|assistant|>it is 3<|end|>"),
    ],
    ids=["prompt too", "prompt alone", "first token left out", "nothing", "ends left out", "role tokens too"],
)
def test_a_mask_over_anything_else_is_refused(is_labelled: Callable[[str, int], bool], message: str) -> None:
    with pytest.raises(LossMaskError) as caught:
        _check(is_labelled)
    assert message in str(caught.value)


def test_the_mask_of_one_turn_is_refused_when_there_are_two() -> None:
    ids, labels = _labels(lambda role, place: role == "assistant" and place >= 1)
    first_turn = len(encode(build_tokenizer(), CHAT[:2]))
    labels[first_turn:] = [IGNORED] * (len(ids) - first_turn)
    with pytest.raises(LossMaskError, match=r"would touch 'it is 3<.end.>'"):
        require_loss_mask(build_tokenizer(), ids, labels, ["it is 3", "it is 4"], {END})


# DPO


@pytest.mark.parametrize("loss", [math.log(2), 0.6931, 0.6940, 0.6922])
def test_dpo_may_begin_within_a_thousandth_of_ln_2(loss: float) -> None:
    require_first_loss(loss)


@pytest.mark.parametrize("loss", [0.6942, 0.6921, 0.0, 5.0, math.nan, math.inf])
def test_dpo_may_not_begin_anywhere_else(loss: float) -> None:
    with pytest.raises(FirstLossError, match=r"ln 2 = 0\.693147"):
        require_first_loss(loss)


def test_the_reference_is_the_start_until_one_weight_differs(base: Path, tmp_path: Path) -> None:
    reference = shutil.copytree(base, tmp_path / "reference")
    require_reference(fingerprint_model(reference), fingerprint_model(base))
    weights = load_file(reference / "model.safetensors")
    next(iter(weights.values())).flat[0] += 1e-3
    save_file(weights, reference / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ReferenceMismatchError, match="A directory was changed while in use"):
        require_reference(fingerprint_model(reference), fingerprint_model(base))


def test_where_and_by_what_a_model_was_written_is_not_its_content(base: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(base, tmp_path / "copy")
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(
        json.dumps(config | {"transformers_version": "0", "_name_or_path": "/x"})
    )
    (copy / "training_args.bin").write_bytes(b"a pickle")
    assert fingerprint_model(copy) == fingerprint_model(base)


def test_a_seed_gives_the_same_model_and_another_seed_another(base: Path, tmp_path: Path) -> None:
    for seed in (1, 2):
        build_tiny_model(seed, tmp_path / str(seed))
    assert fingerprint_model(tmp_path / "1") == fingerprint_model(base)
    assert fingerprint_model(tmp_path / "2") != fingerprint_model(base)
