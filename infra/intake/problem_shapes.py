"""The shapes of problems: public sets whose answers a verifier can check, and files already in our columns."""

import pyarrow as pa
import pyarrow.types as pt

from data_contracts.rows import RowKind
from infra.intake.column_types import (
    as_messages,
    has_text,
    has_turns,
    holds_json,
    is_list,
    is_scalar,
    is_text,
    json_of,
    quoted,
    turn,
)
from infra.intake.shape import Shape


def _ours(schema: pa.Schema) -> dict[str, str] | None:
    prompt = as_messages(schema, "prompt", "user")
    if prompt is None or not _has_scalar(schema, "ground_truth"):
        return None
    columns = {"prompt": prompt, "ground_truth": _text(schema, "ground_truth")}
    for name in ("problem_id", "verifier"):
        if _has_scalar(schema, name):
            columns[name] = _text(schema, name)
    if "arguments" in schema.names:
        columns["arguments"] = _arguments(schema.field("arguments"))
    return columns


def _gsm8k(schema: pa.Schema) -> dict[str, str] | None:
    if not has_text(schema, "question", "answer"):
        return None
    final = r"""regexp_extract("answer", '####\s*([^\n]*?)\s*$', 1)"""
    return {
        "prompt": _asked("question"),
        "ground_truth": f"replace({final}, ',', '')",
        "verifier": "'gsm8k'",
    }


def _verl(schema: pa.Schema) -> dict[str, str] | None:
    prompt = as_messages(schema, "prompt", "user")
    if prompt is None or "reward_model" not in schema.names:
        return None
    rewarded = schema.field("reward_model").type
    if not pt.is_struct(rewarded) or rewarded.get_field_index("ground_truth") < 0:
        return None
    truth = '"reward_model"."ground_truth"'
    return {
        "prompt": quoted("prompt") if has_turns(schema, "prompt") else prompt,
        "ground_truth": truth if is_text(rewarded.field("ground_truth").type) else f"{truth}::varchar",
        "verifier": "'math'",
    }


def _math500(schema: pa.Schema) -> dict[str, str] | None:
    if not has_text(schema, "problem", "solution", "answer"):
        return None
    columns = {
        "prompt": _asked("problem"),
        "ground_truth": quoted("answer"),
        "verifier": "'math'",
    }
    if has_text(schema, "unique_id"):
        columns["problem_id"] = quoted("unique_id")
    return columns


def _ifeval(schema: pa.Schema) -> dict[str, str] | None:
    if not has_text(schema, "prompt") or not {"key", "instruction_id_list", "kwargs"} <= set(schema.names):
        return None
    kwargs = schema.field("kwargs")
    if not is_list(kwargs.type) and not is_text(kwargs.type):
        return None
    return {
        "problem_id": _text(schema, "key"),
        "prompt": _asked("prompt"),
        "ground_truth": "''",
        "verifier": "'ifeval'",
        "arguments": _object(schema, "instruction_id_list", "kwargs"),
    }


def _humaneval(schema: pa.Schema) -> dict[str, str] | None:
    if not has_text(schema, "task_id", "prompt", "entry_point", "canonical_solution", "test"):
        return None
    return {
        "problem_id": quoted("task_id"),
        "prompt": _asked("prompt"),
        "ground_truth": quoted("canonical_solution"),
        "verifier": "'code'",
        "arguments": _object(schema, "prompt", "entry_point", "test"),
    }


def _mbpp(schema: pa.Schema) -> dict[str, str] | None:
    """The prompt names the tests, as in the paper (Austin et al. 2021): nothing else gives the function's name."""
    if not has_text(schema, "text", "code") or not {"task_id", "test_list"} <= set(schema.names):
        return None
    tests = 'array_to_string("test_list", chr(10))'
    asked = f"\"text\" || chr(10) || chr(10) || 'Your code should pass these tests:' || chr(10) || {tests}"
    given = [name for name in ("test_list", "test_setup_code", "challenge_test_list") if name in schema.names]
    return {
        "problem_id": _text(schema, "task_id"),
        "prompt": f"[{turn('user', asked)}]",
        "ground_truth": quoted("code"),
        "verifier": "'code'",
        "arguments": _object(schema, *given),
    }


def _scheduling(schema: pa.Schema) -> dict[str, str] | None:
    wanted = {"events", "priority_events", "optimal_score"}
    if not has_text(schema, "prompt") or not wanted <= set(schema.names):
        return None
    return {
        "prompt": _asked("prompt"),
        "ground_truth": _text(schema, "optimal_score"),
        "verifier": "'schedule'",
        "arguments": _object(schema, "events", "priority_events"),
    }


def _asked(name: str) -> str:
    return f"[{turn('user', quoted(name))}]"


def _has_scalar(schema: pa.Schema, name: str) -> bool:
    return name in schema.names and is_scalar(schema.field(name).type)


def _text(schema: pa.Schema, name: str) -> str:
    return quoted(name) if is_text(schema.field(name).type) else f"{quoted(name)}::varchar"


def _arguments(field: pa.Field) -> str:
    return (
        quoted(field.name) if is_text(field.type) else f"{json_of(quoted(field.name), field.type)}::varchar"
    )


def _object(schema: pa.Schema, *names: str) -> str:
    """The named columns as one JSON object, in this order."""
    pairs = ", ".join(f"'{name}', {_json_value(schema.field(name))}" for name in names)
    return f"json_object({pairs})::varchar"


def _json_value(field: pa.Field) -> str:
    if holds_json(field) or (is_text(field.type) and field.name == "kwargs"):
        return f"{quoted(field.name)}::json"
    return quoted(field.name) if is_text(field.type) else json_of(quoted(field.name), field.type)


PROBLEM_SHAPES = (
    Shape(
        "event scheduling",
        RowKind.problems,
        "events, priority_events, optimal_score, prompt",
        _scheduling,
    ),
    Shape(
        "HumanEval",
        RowKind.problems,
        "task_id, prompt, entry_point, canonical_solution, test",
        _humaneval,
    ),
    Shape("MBPP", RowKind.problems, "task_id, text, code, test_list", _mbpp),
    Shape("IFEval", RowKind.problems, "key, prompt, instruction_id_list, kwargs", _ifeval),
    Shape("verl", RowKind.problems, "prompt, reward_model: {ground_truth}", _verl),
    Shape("MATH-500", RowKind.problems, "problem, solution, answer", _math500),
    Shape(
        "problems",
        RowKind.problems,
        "prompt, ground_truth [, verifier, arguments, source, problem_id]",
        _ours,
    ),
    Shape("GSM8K", RowKind.problems, "question, answer", _gsm8k),
)
