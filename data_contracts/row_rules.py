"""The rules a row must keep, as sentences: each function gives the first one that a row breaks, or None.

Rules look at turns in their order, then at the row as a whole, so a row's first reason never changes. The
contracts in `rows` and the bulk checks of imports both ask here, which is why they cannot disagree.
"""

import re
from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json

BLANK = (
    "\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680"
    + "".join(map(chr, range(0x2000, 0x2010)))
    + "\u2028\u2029\u202f\u205f\u2060\u3000\ufeff"
)
"""Unicode's white space, and the characters that print nothing at all: a text of only these is empty."""

WITH_GROUND_TRUTH = frozenset(
    {"exact_match", "exact_number", "gsm8k", "math", "multiple_choice", "schedule", "schedule_original"}
)
"""Verifiers that judge nothing without one. The others judge by their arguments, or may."""

_DAMAGED = re.compile(r"[\ud800-\udfff\ufffd]")
TEMPLATE_TOKEN = re.compile(
    r"<\|[A-Za-z0-9_][A-Za-z0-9_ ]{0,38}[A-Za-z0-9_]\|>"  # ChatML, Llama 3, Phi: <|im_start|>
    r"|<｜[^｜<>\s]{2,40}｜>"  # DeepSeek: <｜User｜>
    r"|<(?:start|end)_of_turn>"  # Gemma
    r"|\[/?INST\]|<</?SYS>>"  # Llama 2, Mistral
)
"""What only a chat template may write: in a turn, it would let content forge turns.

A space beside a bar is no token, so that F#'s `f <| x |> g` passes; neither is the single letter of `<|a|>`.
Text *about* templates is caught too: it cannot be told from a leak, and tokenizers would not try.
"""

_AFTER: dict[str | None, tuple[str, ...]] = {
    None: ("system", "user"),
    "system": ("user",),
    "user": ("assistant",),
    "assistant": ("user",),
}
"""The roles that may follow a role; None stands before the first turn."""

_ROLES = ("system", "user", "assistant")


def sft_fault(row: Mapping[str, Any]) -> str | None:
    """Why this is no SFT example."""
    return conversation_fault(row.get("messages"), "messages", last="assistant")


def pair_fault(row: Mapping[str, Any]) -> str | None:
    """Why this is no preference pair."""
    chosen, rejected = row.get("chosen"), row.get("rejected")
    fault = (
        conversation_fault(row.get("prompt"), "prompt", last="user")
        or _prefixed("chosen", _text_fault(chosen))
        or _prefixed("rejected", _text_fault(rejected))
    )
    if fault:
        return fault
    assert isinstance(chosen, str) and isinstance(rejected, str)
    return "chosen equals rejected" if chosen.strip(BLANK) == rejected.strip(BLANK) else None


def problem_fault(row: Mapping[str, Any]) -> str | None:
    """Why this is no problem."""
    return (
        conversation_fault(row.get("prompt"), "prompt", last="user")
        or _prefixed("verifier", _presence_fault(row.get("verifier")))
        or _ground_truth_fault(row.get("ground_truth"), row.get("verifier"))
        or arguments_fault(row.get("arguments", "{}"))
        or _prefixed("problem_id", _presence_fault(row.get("problem_id")))
        or _prefixed("source", _presence_fault(row.get("source")))
    )


def conversation_fault(turns: Any, column: str, last: str) -> str | None:
    """An optional system turn, then user and assistant in turn, up to one of role `last`."""
    if not turns:
        return f"{column} is missing"
    if not isinstance(turns, list | tuple):
        return f"{column} is no list of turns"
    previous: str | None = None
    for number, turn in enumerate(turns, 1):
        where = f"turn {number}" if column == "messages" else f"{column} turn {number}"
        role, content = _role_and_content(turn)
        if fault := _role_fault(role, previous):
            return f"{where}: {fault}"
        if fault := _text_fault(content):
            return f"{where} {fault}"
        previous = role
    return None if previous == last else f"{column}: the last turn has role {previous}, not {last}"


def arguments_fault(arguments: Any) -> str | None:
    """A verifier's arguments: the text of one JSON object, read as strictly as verifiers read it."""
    if arguments is None:
        return "arguments is missing"
    try:
        is_object = isinstance(from_json(arguments, allow_inf_nan=False), dict)
    except (ValueError, TypeError):
        is_object = False
    return None if is_object else "arguments is not a JSON object"


def template_token(text: str) -> str | None:
    """The first chat-template token in a text, or None.

    `<s>` and `</s>` are also HTML's strikethrough: they count only at the very start or end, and only where
    no partner inside the text makes them a pair.
    """
    if "<" not in text and "[" not in text:
        return None
    if found := TEMPLATE_TOKEN.search(text):
        return found.group()
    body = text.strip(BLANK)
    if body.startswith("<s>") and body.find("</s>") in (-1, len(body) - 4):
        return "<s>"
    if body.endswith("</s>") and body.rfind("<s>") in (-1, 0):
        return "</s>"
    return None


def _role_and_content(turn: Any) -> tuple[Any, Any]:
    if isinstance(turn, Mapping):
        return turn.get("role"), turn.get("content")
    return (None, None) if turn is None else (turn.role, turn.content)


def _role_fault(role: Any, previous: str | None) -> str | None:
    if role is None:
        return "role is missing"
    if role not in _ROLES:
        return f"role {ascii(role)[:30]} is not one of {', '.join(_ROLES)}"
    if role in _AFTER[previous]:
        return None
    return f"role {role} follows {previous}" if previous else f"role {role} begins the conversation"


def _text_fault(text: Any) -> str | None:
    fault = _presence_fault(text) or _damage(text)
    if fault:
        return fault
    token = template_token(text)
    return f"holds the template token {token}" if token else None


def _presence_fault(text: Any) -> str | None:
    if text is None:
        return "is missing"
    if not isinstance(text, str):
        return "is not text"
    return None if text.strip(BLANK) else "is empty"


def _damage(text: str) -> str | None:
    if "\0" in text:
        return "holds a NUL character"
    return "holds a replacement character: text was damaged" if _DAMAGED.search(text) else None


def _ground_truth_fault(text: Any, verifier: str | None) -> str | None:
    fault = _presence_fault(text)
    if fault == "is empty" and verifier not in WITH_GROUND_TRUTH:
        return None
    return _prefixed("ground_truth", fault or _damage(text))


def _prefixed(column: str, fault: str | None) -> str | None:
    return f"{column} {fault}" if fault else None
