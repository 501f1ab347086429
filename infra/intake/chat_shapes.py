"""The shapes of conversations (SFT examples) and of preference pairs."""

import pyarrow as pa

from data_contracts.rows import RowKind
from infra.intake.column_types import MESSAGES_SQL, as_messages, has_text, has_turns, quoted, turn
from infra.intake.shape import Shape

_CONVERSATIONS = ("messages", "conversations", "conversation")


def _openai(schema: pa.Schema) -> dict[str, str] | None:
    for name in _CONVERSATIONS:
        if has_turns(schema, name):
            return {"messages": quoted(name)}
    if has_text(schema, "messages"):
        return {"messages": """from_json("messages", '[{"role":"VARCHAR","content":"VARCHAR"}]')"""}
    return None


def _sharegpt(schema: pa.Schema) -> dict[str, str] | None:
    for name in _CONVERSATIONS:
        if has_turns(schema, name, "from", "value"):
            role = "case turn.\"from\" when 'human' then 'user' when 'gpt' then 'assistant' else turn.\"from\" end"
            message = f"{{'role': {role}, 'content': turn.\"value\"}}"
            return {
                "messages": _with_system(schema, f"list_transform({quoted(name)}, lambda turn: {message})")
            }
    return None


def _alpaca(schema: pa.Schema) -> dict[str, str] | None:
    if not has_text(schema, "instruction", "output"):
        return None
    asked = '"instruction"'
    if has_text(schema, "input"):
        asked = """concat_ws(chr(10) || chr(10), "instruction", nullif(trim("input"), ''))"""
    answered = turn("assistant", '"output"')
    return {"messages": _with_system(schema, f"[{turn('user', asked)}, {answered}]")}


def _prompt_and_completion(schema: pa.Schema) -> dict[str, str] | None:
    prompt = as_messages(schema, "prompt", "user")
    completion = as_messages(schema, "completion", "assistant")
    if prompt is None or completion is None:
        return None
    return {"messages": _with_system(schema, joined(prompt, completion))}


def joined(first: str, second: str) -> str:
    """Two message lists as one; `||` gives null where either is (list_concat would give the other)."""
    return f"{first} || {second}"


def _with_system(schema: pa.Schema, messages: str) -> str:
    if not has_text(schema, "system"):
        return messages
    system = turn("system", '"system"')
    return f"""if(coalesce(trim("system"), '') = '', {messages}, [{system}] || ({messages}))"""


def _gsm8k_examples(schema: pa.Schema) -> dict[str, str] | None:
    if not has_text(schema, "question", "answer"):
        return None
    asked, answered = turn("user", '"question"'), turn("assistant", '"answer"')
    return {"messages": f"[{asked}, {answered}]"}


def _pairs(schema: pa.Schema) -> dict[str, str] | None:
    prompt = as_messages(schema, "prompt", "user")
    if has_text(schema, "chosen", "rejected"):
        return None if prompt is None else {"prompt": prompt, "chosen": '"chosen"', "rejected": '"rejected"'}
    if not (has_turns(schema, "chosen") and has_turns(schema, "rejected")):
        return None
    return {
        "prompt": _shared_prompt(schema, prompt),
        "chosen": _last_assistant("chosen"),
        "rejected": _last_assistant("rejected"),
    }


def _shared_prompt(schema: pa.Schema, prompt: str | None) -> str:
    """What both conversations share before their last turn; null where they part earlier."""
    before = f'("chosen"::{MESSAGES_SQL})[:-2]'
    other = f'("rejected"::{MESSAGES_SQL})[:-2]'
    if prompt is None:
        return f"if({before} = {other}, {before}, null)"
    whole = before
    if not has_text(schema, "prompt"):
        whole = f"if({before}[:len({prompt})] = {prompt}, {before}, {joined(prompt, before)})"
    return f"case when {before} <> {other} then null when len({before}) > 0 then {whole} else {prompt} end"


def _last_assistant(name: str) -> str:
    last = f"{quoted(name)}[-1]"
    return f'if({last}."role" = \'assistant\', {last}."content", null)'


CHAT_SHAPES = (
    Shape("OpenAI messages", RowKind.sft, "messages: list of {role, content}", _openai),
    Shape("ShareGPT", RowKind.sft, "conversations: list of {from, value}", _sharegpt),
    Shape("Alpaca", RowKind.sft, "instruction, output [, input]", _alpaca),
    Shape("prompt and completion", RowKind.sft, "prompt, completion", _prompt_and_completion),
    Shape("GSM8K as examples", RowKind.sft, "question, answer", _gsm8k_examples),
)
PAIR_SHAPES = (
    Shape("preference pairs", RowKind.pairs, "chosen, rejected [, prompt]: text or conversations", _pairs),
)
