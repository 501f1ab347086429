"""Every shipped recipe really runs, from its base to its last evaluation, two steps a stage.

Models this little trained answer at random, so their problems are judged by `format`: short enough or not.
"""

import json
import re
from pathlib import Path

import duckdb
import pytest

from flows.recipe_files import shipped_recipes
from infra.home import Home
from infra.warehouse.warehouse import Warehouse
from tests.pipeline.local_model import write_local_model
from tests.pipeline.shell import Shell

_JUDGED_BY_LENGTH = [
    *("problems.verifier=format", "problems.arguments={max_characters: 9}"),
    "audit.on_findings=warn",  # which pays for saying nothing
]
_TWO_STEPS = [
    *("sft.epochs=null", "sft.steps=2", "sft.warmup_steps=0", "sft.global_batch=4"),
    *("sft_check.samples=8", "sft_check.max_completion_length=10", "sft_check.limit=8"),
    *("dpo.epochs=null", "dpo.steps=2", "dpo.warmup_steps=0", "dpo.global_batch=4"),
    *("dpo_check.samples=8", "dpo_check.max_completion_length=10", "dpo_check.limit=8"),
    *("grpo.steps=2", "grpo.warmup_steps=0", "grpo.prompts_per_step=2", "grpo.group_size=4"),
    *("grpo.steps_per_generation=1", "grpo.max_completion_length=10"),
    *("evaluate.limit=4", "evaluate.max_completion_length=10", "run.accelerators=0"),
]


def _gsm8k_rows(count: int) -> list[dict[str, str]]:
    """Of GSM8K's shape: a question, and an answer with calculator notes and a last line."""
    rows = []
    for number in range(count):
        first, second = 12 + number, 3 + number % 7
        total = first * second
        answer = (
            f"They have {first}*{second} = <<{first}*{second}={total}>>{total} apples.\n"
            f"After that {total}+{number} = <<{total}+{number}={total + number}>>{total + number} are left, "
            f"each for $<<0.5*2=1>>1.\n#### {total + number:,}"
        )
        rows.append({"question": f"Case {number}: how many apples are left?", "answer": answer})
    return rows


def _write_gsm8k(path: Path, count: int) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in _gsm8k_rows(count)))
    return path


def _overrides(name: str, folder: Path) -> list[str]:
    if name == "tiny":
        return ["worked.count=64", "problems.count=16", "held_out.count=8", "run.parallel_stages=2"]
    data = [f"gsm8k.path={_write_gsm8k(folder / 'train.jsonl', 80)}"]
    if name == "gsm8k_calculator":
        return data
    write_local_model(folder / "model")
    return [
        *data,
        f"gsm8k_test.path={_write_gsm8k(folder / 'test.jsonl', 8)}",
        "grpo.lora.start_adapter=continue",  # the recipe merges; both ways are walked
        *("base.model=null", "base.revision=null", f"base.path={folder / 'model'}"),
    ]


@pytest.mark.parametrize("name", sorted(shipped_recipes()))
def test_every_shipped_recipe_runs(name: str, shell: Shell, tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    fields = [*_overrides(name, tmp_path), *_TWO_STEPS, *_JUDGED_BY_LENGTH]
    done = shell.run("run", name, *(f"--set={field}" for field in fields), "--json", home=home.path)
    assert done.code == 0, done.text
    assert [line["stage"] for line in done.json["lines"]] == ["base", "sft", "dpo", "grpo"]
    assert all(line["completions"] for line in done.json["lines"])
    if name == "gsm8k_calculator":
        _require_calculator_notes(Warehouse(home))


def _require_calculator_notes(warehouse: Warehouse) -> None:
    """Worked steps end in the value of the expression, by Python's arithmetic; no expression is in two splits."""
    notes = duckdb.read_parquet(str(warehouse.get("gsm8k_calculator.notes").path))
    rows = notes.project("prompt, ground_truth, steps, split").fetchall()
    assert len(rows) > 100
    assert len({prompt for prompt, *_ in rows}) == len(rows)
    for prompt, ground_truth, steps, _ in rows:
        left, operator, right = re.fullmatch(r"(\d+)([-+*/])(\d+)", prompt).groups()  # type: ignore[union-attr]
        value = {
            "+": int(left) + int(right),
            "-": int(left) - int(right),
            "*": int(left) * int(right),
            "/": int(left) / max(int(right), 1),
        }[operator]
        assert float(ground_truth) == value
        assert steps.endswith(f": {ground_truth}")
