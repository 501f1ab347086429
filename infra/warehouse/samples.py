"""Completions with their verdicts, as a person looks for them: by verdict, problem or text, or where two models differ.

What is looked for may be anything, so it travels as a parameter; a search is for text as it stands, in any case.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import duckdb

from data_contracts.errors import NotFoundError

_SOUGHT = """($problem is null or problem_id = $problem)
  and ($search is null or contains(lower(concat_ws(' ', {texts})), lower($search)))"""
_PROMPT = "array_to_string([message.content for message in prompt], ' ')"

_COMPLETIONS = f"""
select problem_id, sample, prompt[-1].content as prompt, completion, reward, reason, ground_truth, parts
from read_parquet($path)
where ($is_right is null or (reward = 1.0) = $is_right) and {_SOUGHT.format(texts=f"{_PROMPT}, completion")}
limit $limit
"""

_MODEL = """
select problem_id, prompt, ground_truth, verifier, arguments, min(file_row_number) as place,
       count(*) as num_samples, count(*) filter (where reward = 1.0) as num_right,
       case when 2 * num_right = num_samples then arg_min(reward = 1.0, sample) else 2 * num_right > num_samples end
           as is_right,
       arg_min({{completion: completion, reward: reward, reason: reason, parts: parts}}, sample)
           filter (where reward = 1.0) as right_one,
       arg_min({{completion: completion, reward: reward, reason: reason, parts: parts}}, sample)
           filter (where reward is distinct from 1.0) as wrong_one
from read_parquet({path}, file_row_number = true)
group by problem_id, prompt, ground_truth, verifier, arguments
"""

_FLIPPED = f"""
with was as ({_MODEL.format(path="$before")}), now as ({_MODEL.format(path="$after")}),
flipped as (
    select problem_id, prompt, ground_truth, now.place, now.is_right,
           was.num_right as num_right_before, was.num_samples as num_before,
           now.num_right as num_right_after, now.num_samples as num_after,
           if(was.is_right, was.right_one, was.wrong_one) as before,
           if(now.is_right, now.right_one, now.wrong_one) as after
    from was join now using (problem_id, prompt, ground_truth, verifier, arguments)
    where was.is_right != now.is_right
)
select problem_id, prompt[-1].content as prompt, ground_truth, is_right,
       num_right_before, num_before, num_right_after, num_after, before, after,
       count(*) over () as num_flipped, count(*) filter (where is_right) over () as num_gained
from flipped
where ($is_right is null or is_right = $is_right)
  and {_SOUGHT.format(texts=f"{_PROMPT}, before.completion, after.completion")}
order by place
limit $limit
"""


@dataclass(frozen=True, slots=True)
class Sought:
    """Which completions are wanted; None for any."""

    is_right: bool | None = None
    """Whether the reward is full; of two models, that of the second."""

    problem: str | None = None
    """The problem's id."""

    search: str | None = None
    """Text in the prompt or in the completion."""


def completions(rollouts: Path, sought: Sought, limit: int) -> list[dict[str, Any]]:
    """Of a file of rollouts, in order: prompt (its last message), completion, reward, reason, parts (JSON).

    Raises NotFoundError where the file is gone.
    """
    _require_there(rollouts)
    return _rows(_COMPLETIONS, {"path": str(rollouts), "limit": limit, **asdict(sought)})


def flipped(before: Path, after: Path, sought: Sought, limit: int) -> list[dict[str, Any]]:
    """Problems of two files of rollouts that one model gets right and the other wrong, in the second file's order.

    A model gets a problem right where most of its samples are right, of equally many where the first is. `before`
    and `after` are the first completion with that verdict; `num_flipped` and `num_gained` count beyond the limit.
    """
    _require_there(before, after)
    paths = {"before": str(before), "after": str(after)}
    return _rows(_FLIPPED, {**paths, "limit": limit, **asdict(sought)})


def _require_there(*paths: Path) -> None:
    for path in paths:
        if not path.is_file():
            raise NotFoundError(f"The completions are gone: {path} is missing.", "", "Run again.")


def _rows(query: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
    with duckdb.connect(":memory:") as db:
        return db.sql(query, params=parameters).to_arrow_table().to_pylist()
