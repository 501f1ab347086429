"""What the two verifiers that ask a model must be told: which model, and what it may cost.

Settings come from the recipe or the environment, never from a row, and are read without loading torch or httpx.
"""

import ipaddress
from pathlib import Path
from typing import Literal, Self, TypeAlias
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from data_contracts.vocabulary import Config


class RewardModelSettings(Config):
    """Which model, and how its score becomes a reward."""

    kind: Literal["reward_model"] = "reward_model"
    model: str = Field(min_length=1)
    """A directory, relative to the recipe's folder, or a name on the Hugging Face hub."""

    revision: str | None = Field(default=None, pattern=r"^[0-9a-f]{40}$")
    """The commit on the hub; required there, as a name or branch may change its weights."""

    scale: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    shift: float = Field(default=0.0, allow_inf_nan=False)
    batch_size: int = Field(default=8, gt=0)
    max_tokens: int = Field(default=4096, gt=0)
    """Of prompt and completion. Longer ones get reward 0: whoever reads a part can be told anything in the rest."""

    @model_validator(mode="after")
    def _names_one_checkpoint(self) -> Self:
        if Path(self.model).is_dir() == (self.revision is not None):
            raise ValueError("a directory has no revision; a model of the hub needs one")
        return self


class JudgeSettings(Config):
    """Which judge, and what it may cost."""

    kind: Literal["judge"] = "judge"
    url: str
    """Of the chat completions endpoint. https, or http on this machine."""

    model: str = Field(min_length=1)
    rubric: str = Field(min_length=1)
    """What earns a high score, in words."""

    api_key_variable: str | None = Field(default=None, min_length=1)
    """The environment variable that holds the key; None for a server without one."""

    cache: Path | None = None
    """A SQLite file, relative to the recipe's folder; None keeps verdicts for this process only."""

    max_calls: int = Field(gt=0)
    """Of one stage, each time it runs; calls that fail and calls again count."""

    max_total_tokens: int = Field(gt=0)
    """Of requests and replies together. The calls under way when it is crossed, at most 8, are the last."""

    max_seconds_per_call: float = Field(default=60.0, gt=0, allow_inf_nan=False)
    """From the connection to the last byte. Also the longest wait that a busy server may ask for."""

    max_characters: int = Field(default=20_000, gt=0)
    """Of a completion; longer ones get reward 0 unread."""

    @model_validator(mode="after")
    def _keeps_secrets(self) -> Self:
        parts = urlsplit(self.url)
        is_here = parts.hostname == "localhost" or _is_loopback(parts.hostname or "")
        if not parts.hostname or not (parts.scheme == "https" or (parts.scheme == "http" and is_here)):
            raise ValueError("url needs https, or http on this machine")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError(
                "url holds no user, password or query: name the key's variable in api_key_variable"
            )
        return self


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


ModelVerifier: TypeAlias = RewardModelSettings | JudgeSettings
COSTS = frozenset({"cache", "max_calls", "max_total_tokens", "max_seconds_per_call", "batch_size"})
"""Settings that decide what a verdict costs and not what it is."""
