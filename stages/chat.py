"""A conversation with a model, for a look at what it says."""

from pathlib import Path

from transformers.utils.logging import disable_progress_bar

from data_contracts.stage_configs import SamplingConfig
from stages.checkpoint import load_model, load_tokenizer
from stages.handoff import encode, stop_token_ids
from stages.sampling import sample_completions


class Conversation:
    """Keeps the turns; each reply is sampled with the whole conversation before it."""

    def __init__(self, directory: Path, temperature: float, max_tokens: int) -> None:
        disable_progress_bar()
        self._tokenizer = load_tokenizer(directory)
        self._stops = stop_token_ids(directory, self._tokenizer)
        self._model = load_model(directory).eval()
        self._config = SamplingConfig(temperature=temperature, max_completion_length=max_tokens)
        self._messages: list[dict[str, str]] = []

    def reply(self, text: str) -> str:
        """The model's next turn."""
        self._messages.append({"role": "user", "content": text})
        prompt = encode(self._tokenizer, self._messages, prompt=True)
        seed = len(self._messages)
        (batch,) = sample_completions(self._model, self._tokenizer, [prompt], self._config, self._stops, seed)
        self._messages.append({"role": "assistant", "content": batch[0].text})
        return batch[0].text
