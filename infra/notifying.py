"""Sends a message to those whom a recipe's `run: {notify: …}` names: webhook, e-mail, command.

A message that cannot be sent changes nothing for whoever sent it: what went wrong comes back as sentences. No
address is ever in them, since an address may hold a token.
"""

import contextlib
import html
import json
import logging
import subprocess
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any

import httpx

from data_contracts.notify_config import Notify

_SECONDS = 30.0
"""For each of them to take the message."""


class _NotSentError(Exception):
    """In words that name no secret."""


def send(notify: Notify, message: Mapping[str, Any], environment: Mapping[str, str]) -> list[str]:
    """Tell all of them; a sentence for each that could not be told."""
    ways: list[tuple[str, Callable[[], None]]] = []
    if webhook := notify.webhook:
        ways.append((f"The webhook {webhook}", lambda: _post(_address(webhook, environment), message)))
    if email := notify.email:
        ways.append((f"The e-mail {email}", lambda: _mail(_address(email, environment), message)))
    if command := notify.command:
        ways.append((f"The command {command[0]}", lambda: _run(command, message, environment)))
    failures: list[str] = []
    for what, tell in ways:
        try:
            tell()
        except _NotSentError as error:
            failures.append(f"{what} was not told: {error}.")
        except Exception as error:  # noqa: BLE001 - whatever it is, the run's result stands; its text may hold the address
            failures.append(f"{what} was not told: {type(error).__name__}.")
    return failures


def _address(secret: str, environment: Mapping[str, str]) -> str:
    where, _, name = secret.partition(":")
    if where == "file":
        try:
            return Path(name).read_text().strip()
        except OSError as error:
            raise _NotSentError(f"the file cannot be read ({error.strerror})") from error
    if not environment.get(name):
        raise _NotSentError("the variable is not set where the run took place")
    return environment[name].strip()


def _post(url: str, message: Mapping[str, Any]) -> None:
    """Redirects are not followed: the message is for this address and no other. What it answers is not read."""
    body = json.dumps({**message, "text": _for_chat(message["text"])})
    headers = {"Content-Type": "application/json"}
    try:
        with (
            _unlogged("httpx"),
            httpx.stream("POST", url, content=body, headers=headers, timeout=_SECONDS) as response,
        ):
            if not response.is_success:
                raise _NotSentError(f"it answered with status {response.status_code}")
    except httpx.TimeoutException as error:
        raise _NotSentError(f"it did not answer within {_SECONDS:g} s") from error


def _for_chat(text: str) -> str:
    """As Slack wants it (https://docs.slack.dev/messaging/formatting-message-text): rows and completions are in
    it, which could call everybody (`<!channel>`, `@here`) or hide an address behind other words."""
    return html.escape(text, quote=False).replace("@", "@\u200b")


def _mail(address: str, message: Mapping[str, Any]) -> None:
    import apprise

    if not address.startswith(("mailto://", "mailtos://")):
        raise _NotSentError("the address does not begin with mailto:// or mailtos://")
    with _unlogged("apprise"):
        mail = apprise.Apprise()
        if not mail.add(address):
            raise _NotSentError("apprise cannot read the address")
        if not mail.notify(
            title=message["title"], body=message["text"], body_format=apprise.NotifyFormat.TEXT
        ):
            raise _NotSentError("the mail server did not take it")


def _run(command: tuple[str, ...], message: Mapping[str, Any], environment: Mapping[str, str]) -> None:
    try:
        ended = subprocess.run(  # noqa: S603 - the recipe's own argument list, and no shell
            command,
            input=f"{json.dumps(message)}\n".encode(),
            env=dict(environment),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise _NotSentError(f"it did not end within {_SECONDS:g} s") from error
    except OSError as error:
        raise _NotSentError(f"it cannot be started ({error.strerror})") from error
    if ended.returncode != 0:
        raise _NotSentError(f"it ended with exit code {ended.returncode}")


@contextlib.contextmanager
def _unlogged(library: str) -> Generator[None]:
    """It logs the whole address."""
    logger = logging.getLogger(library)
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before
