"""A trained reward model as a verifier: a sequence-classification checkpoint with one output.

    reward = sigmoid(scale * (score - shift))

which, for a model trained on preference pairs (Bradley-Terry), at scale 1 is the model's probability that the
completion beats one of score `shift`. Only safetensors are read and no code of the checkpoint runs.

Scores are computed in float32 and rewards rounded to six decimals. On one machine the same calls give the same
verdicts; other batches, thread counts or machines can move a reward by a rounding.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from data_contracts.errors import DataError, RecipeError, StageError
from data_contracts.model_verifiers import RewardModelSettings
from data_contracts.verdict import PosedProblem, Verdict
from stages.verifiers.reading import after_thinking, shortened

_DECIMALS = 6


@dataclass(frozen=True, slots=True)
class _Loaded:
    tokenizer: Any
    model: Any
    control_tokens: tuple[str, ...]


class RewardModel:
    """Loads its checkpoint when it is first asked. Raises RecipeError for one that cannot score.

    One thread at a time may use it.
    """

    def __init__(self, settings: RewardModelSettings) -> None:
        self._settings = settings

    def __call__(self, completion: str, problem: PosedProblem) -> Verdict:
        """Raises DataError for a prompt that cannot be rendered, StageError for a score that is no number."""
        scored = self.score_all([problem.prompt], [completion])[0]
        if not isinstance(scored, Verdict):
            raise scored
        return scored

    def score_all(
        self, prompts: Sequence[str], completions: Sequence[str]
    ) -> list[Verdict | DataError | StageError]:
        """A verdict for each completion, read without its thinking, or the error that `__call__` would raise."""
        verdicts: dict[int, Verdict | DataError | StageError] = {}
        rendered: list[tuple[int, list[int]]] = []
        for position, (prompt, completion) in enumerate(zip(prompts, completions, strict=True)):
            answer = after_thinking(completion).strip()
            if (forged := self._control_token_in(prompt)) is not None:
                verdicts[position] = DataError(
                    f"A prompt holds {forged}, a control token of the reward model: {shortened(prompt)!r}.",
                    "plain text",
                    "Drop the row.",
                )
                continue
            fault = self._fault(answer)
            ids = [] if fault else self._ids(prompt, answer)
            if fault or len(ids) > self._settings.max_tokens:
                verdicts[position] = Verdict(
                    0.0, fault or f"{len(ids):,} tokens, more than the model may read"
                )
            else:
                rendered.append((position, ids))
        rendered.sort(key=lambda item: len(item[1]))
        for start in range(0, len(rendered), self._settings.batch_size):
            batch = rendered[start : start + self._settings.batch_size]
            scores = self._scores([ids for _, ids in batch])
            verdicts |= {
                position: self._verdict(score) for (position, _), score in zip(batch, scores, strict=True)
            }
        return [verdicts[position] for position in range(len(completions))]

    @cached_property
    def _loaded(self) -> _Loaded:
        name, revision = self._settings.model, self._settings.revision
        where: Any = {"revision": revision, "local_files_only": revision is None, "trust_remote_code": False}
        try:
            tokenizer: Any = AutoTokenizer.from_pretrained(name, **where)
            loaded: Any = AutoModelForSequenceClassification.from_pretrained(
                name, use_safetensors=True, dtype=torch.float32, output_loading_info=True, **where
            )
        except (OSError, ValueError) as error:
            raise RecipeError(
                f"The reward model {name} cannot be loaded: {error}",
                "a checkpoint for sequence classification with safetensors and a tokenizer",
                "Correct `model` and `revision` of the verifier.",
            ) from error
        model, report = loaded
        faults = {
            f"no weights for {sorted(report['missing_keys'])}": report["missing_keys"],
            f"{model.config.num_labels} outputs": model.config.num_labels != 1,
            "no chat template": not tokenizer.chat_template,
            "no pad token": tokenizer.pad_token_id is None,
        }
        if found := [fault for fault, is_there in faults.items() if is_there]:
            raise RecipeError(
                f"The checkpoint {name} has {', '.join(found)}.",
                "one output, trained, with a chat template and a pad token",
                "Name a reward model for sequence classification.",
            )
        model.config.pad_token_id = tokenizer.pad_token_id
        tokenizer.padding_side = "right"
        control = {str(added) for added in tokenizer.added_tokens_decoder.values() if added.special}
        return _Loaded(tokenizer, model.eval(), tuple(sorted(control)))

    def _fault(self, answer: str) -> str | None:
        if not answer:
            return "no answer after the thinking"
        return "holds a control token of the reward model" if self._control_token_in(answer) else None

    def _control_token_in(self, text: str) -> str | None:
        """With one of the template, text could end its turn and speak for someone else."""
        return next((token for token in self._loaded.control_tokens if token in text), None)

    def _ids(self, prompt: str, answer: str) -> list[int]:
        tokenizer = self._loaded.tokenizer
        messages = [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
        text: str = tokenizer.apply_chat_template(messages, tokenize=False)
        readable = text.encode(errors="replace").decode()  # a tokenizer takes no half of a surrogate pair
        return tokenizer(readable, add_special_tokens=False)["input_ids"]

    @torch.inference_mode()
    def _scores(self, sequences: list[list[int]]) -> list[float]:
        batch = self._loaded.tokenizer.pad({"input_ids": sequences}, return_tensors="pt")
        logits: torch.Tensor = self._loaded.model(**batch).logits
        return logits[:, 0].tolist()

    def _verdict(self, score: float) -> Verdict | StageError:
        if not math.isfinite(score):
            return StageError(f"The reward model {self._settings.model} gave {score}.", "a number")
        # tanh, since the exponential of a sigmoid overflows
        reward = 0.5 + 0.5 * math.tanh(0.5 * self._settings.scale * (score - self._settings.shift))
        return Verdict(round(reward, _DECIMALS), f"the reward model's score is {score:.4f}", {"score": score})
