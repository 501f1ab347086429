"""Who is told how runs end: `run: {notify: …}` of a recipe. Part of no identity.

An address may hold a token, and a recipe is written to the ledger, to MLflow and to Prefect. So a recipe only says
where the address is found when something is to be sent: in an environment variable, or in a file.
"""

import re
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import AfterValidator, Field, model_validator

from data_contracts.vocabulary import Config

Event: TypeAlias = Literal["failure", "refusal", "promotion", "alarm", "success"]

_SECRET = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*|file:/.+")


def is_place(value: str) -> bool:
    """Whether it says where an address is, and is none itself."""
    return _SECRET.fullmatch(value) is not None


def _names_its_place(value: str) -> str:
    if not is_place(value):
        raise ValueError(
            "this is no place of an address. Addresses hold tokens, so none stands here itself: put it into an "
            "environment variable and write env:NAME, or into a file and write file:/ABSOLUTE/PATH"
        )
    return value


Secret: TypeAlias = Annotated[
    str, AfterValidator(_names_its_place), Field(json_schema_extra={"pattern": f"^({_SECRET.pattern})$"})
]
"""`env:NAME` or `file:/absolute/path`: where a secret is, never the secret itself."""


class Notify(Config):
    """Who is told, and of what."""

    webhook: Secret | None = None
    """An http(s) address that takes a POST of the message as JSON. Its `text` is what Slack and Mattermost show."""

    email: Secret | None = None
    """An apprise address, such as `mailtos://user:password@smtp.example.org?to=team@example.org`."""

    command: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """A program and its arguments, run without a shell. It reads the message as JSON from its standard input."""

    on: tuple[Event, ...] = ("failure", "refusal", "promotion", "alarm")
    """A run failed or was lost, a gate refused, a model became champion, a training did what its policy says of an
    alarm; and `success`, every other end.

    A deployment that fails again for the same reason is told of once a week, and once when it is well again."""

    @model_validator(mode="after")
    def _somebody_is_told(self) -> Self:
        if self.webhook is None and self.email is None and self.command is None:
            raise ValueError("notify needs a webhook, an email or a command")
        return self
