"""A home with a finished run of three models and its verdicts, made by hand: real plan, rows, curves, and hostile text.

20 problems from two sources, two completions each. Right are, of 40 completions
    base    none
    sft     the 16 of problems 0-7        (two of two)
    grpo    the 28 of problems 2-15       (0 and 1 are lost, 8-15 are gained, 16-19 are always wrong)
The problems with even numbers come from `sums`, the others from `<i>odd</i>`.
"""

import json
import math
import time
from collections.abc import Collection, Iterable, Mapping
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from data_contracts.rows import RowKind
from flows.nodes import Node
from flows.plan import make_plan
from flows.recipe import Recipe
from flows.stored import output_path
from infra.home import Home, open_home
from infra.ledger import Ledger
from infra.records import DONE, Execution
from infra.warehouse.warehouse import Warehouse
from stages.comparison import paired_comparison
from stages.verify import ROLLOUT_SCHEMA, summarise
from tests.factories import finish, make_recipe

NUM_PROBLEMS = 20
SAMPLES = 2
RIGHT: Mapping[str, Collection[int]] = {"base": (), "sft": range(8), "grpo": range(2, 16)}
HOSTILE = "</pre><script>window.hacked = 1</script><img src=x onerror='hacked=1'>\x1b[2J\u202e\x00{{ 7 * 7 }}"
ODD_SOURCE = "<i>odd</i>"
STAGES: dict[str, Any] = {
    "sft": {"kind": "sft", "start": "base", "rows": ["worked"], "steps": 2, "global_batch": 8},
    "audit": {"kind": "audit", "rows": ["problems"]},
    "grpo": {"kind": "grpo", "start": "sft", "rows": ["audit"], "steps": 120, "rewards": {"problem": 1.0}},
}
ALARM = {
    "step": 60,
    "since": 40,
    "name": "entropy_collapse",
    "reason": "entropy fell from 1.2 to 0.05 <b>within</b> 20 steps",
    "response": "note",
    "metric": "grpo/entropy",
}


def recipe(**changes: Any) -> Recipe:
    return make_recipe(
        {"stages": deepcopy(STAGES), "evaluate": {"rows": ["problems"], "samples": SAMPLES}, **changes}
    )


def make_home(path: Path) -> Home:
    home = open_home(path)
    run(home, recipe())
    return home


def run(home: Home, wanted: Recipe, stages: Iterable[str] | None = None, state: str = DONE) -> str:
    """Pretend that a run of the recipe made these stages (all of them) and ended so; returns its id."""
    ledger = Ledger(home.ledger_path)
    plan = make_plan(wanted, home, ledger)
    run_id = ledger.begin_run(wanted.name, wanted.model_dump(mode="json"), pid=1, pid_started=0.0)
    names = [step.node.name for step in plan.steps if stages is None or step.node.name in stages]
    known = {name: found for name in names if (found := ledger.find_by_key(plan[name].node.key))}
    made = finish(plan, home, ledger, [name for name in names if name not in known], run_id=run_id)
    for empty in [output_path(home, each) for each in made.values() if each.output == "rows"]:
        empty.unlink()
    for name in names:
        node = plan[name].node
        if name in known:
            ledger.set_stage(run_id, name, node.kind, node.key, "reused", f"small.{name} v1")
            continue
        ledger.set_stage(run_id, name, node.kind, node.key, "running")
        _fill(home, ledger, node, made[name])
        ledger.set_stage(run_id, name, node.kind, node.key, DONE, f"made {name} {HOSTILE}")
    for step in plan.steps:
        if step.node.name not in names:
            ledger.set_stage(run_id, step.node.name, step.node.kind, step.node.key, "waiting")
    folder = home.logs_dir / run_id
    folder.mkdir()
    if "grpo" in made:
        (folder / "grpo.progress.jsonl").write_text("".join(f"{line}\n" for line in progress(120)))
    if "audit" in made:
        (folder / "audit.json").write_text(json.dumps(AUDIT))
    ledger.end_run(run_id, state, None)
    return run_id


def progress(steps: int) -> Iterable[str]:
    """What a GRPO stage reports: a spike of the gradient at step 50, a value that is no number, and an alarm."""
    for step in range(1, steps + 1):
        metrics = {
            "grpo/reward": 1 - math.exp(-step / 40),
            "grpo/reward/exact_match": 0.5,
            "grpo/reward/<b>format</b>\x1b": 0.25,
            "grpo/entropy": 1.2 * math.exp(-step / 30),
            "grpo/grad_norm": 500.0 if step == 50 else 1.0,
            "grpo/loss": math.nan if step == 70 else 0.1,
            "grpo/num_tokens": 100.0 * step,
            "grpo/held_out/accuracy": 0.5,
            "grpo/held_out/accuracy_low": 0.4,
            "grpo/held_out/accuracy_high": 0.6,
        }
        line = {"seconds": float(step), "step": step, "total": steps, "unit": "step", "metrics": metrics}
        yield json.dumps(line | ({"alarms": [ALARM]} if step == 60 else {}))


def _share(count: int, of: int) -> dict[str, Any]:
    return {"count": count, "of": of, "low": 0.0, "high": 0.1}


AUDIT: dict[str, Any] = {
    "problems": NUM_PROBLEMS,
    "blocks": [f"the reward pays nonsense {HOSTILE}"],
    "notes": [],
    "verifiers": [
        {
            "verifier": "exact_match",
            "faults": _share(0, 20),
            "false_negatives": _share(3, 40),
            "false_positives": _share(0, 40),
            "failures": _share(0, 80),
            "repeated": {"changed": _share(0, 20), "examples": []},
            "policies": [{"policy": "say nothing", "problems": 20, "reward": 0.125, "metric": 0.0}],
        }
    ],
}


def rollouts(
    right: Collection[int], num_problems: int = NUM_PROBLEMS, samples: int = SAMPLES
) -> list[dict[str, Any]]:
    """What a verify stage keeps of a model that is right on these problems."""
    return [
        {
            "problem_id": f"p{number:06}",
            "sample": sample,
            "prompt": [{"role": "user", "content": f"{number}+0 {HOSTILE}"}],
            "ground_truth": f"{number}",
            "verifier": "exact_match",
            "arguments": "{}",
            "source": ODD_SOURCE if number % 2 else "sums",
            "completion": f"{number if number in right else 'no idea'} {HOSTILE} "
            + "word " * 200 * (number == 19),
            "completion_ids": [1, 2, 3],
            "finished": True,
            "reward": float(number in right),
            "reason": "exact match" if number in right else f"answered no, expected {number}",
            "parts": '{"format": 1.0}',
            "model": "content",
            "temperature": 1.0,
            "top_p": 1.0,
        }
        for number in range(num_problems)
        for sample in range(samples)
    ]


def _fill(home: Home, ledger: Ledger, node: Node, made: Execution) -> None:
    """Real rows and metrics in the place of the empty file that `finish` left."""
    warehouse, model = Warehouse(home), made.stage.removesuffix(".evaluate")
    if made.stage.endswith(".evaluate"):
        rows = rollouts(RIGHT[model])
        metrics = summarise(rows, SAMPLES) | _changes(model)
        table, kind = pa.Table.from_pylist(rows, schema=ROLLOUT_SCHEMA), RowKind.rollouts
    elif made.kind == "dataset":
        metrics, (table, kind) = {"data/rows": 2.0}, _dataset(made.stage)
    else:
        metrics = {f"{made.kind}/num_tokens": 12_000.0}
        ledger.record(replace(made, result={**made.result, "metrics": metrics}, ended=time.time()))
        return
    published = warehouse.publish(made.name, kind, table, node.key)
    ledger.record(
        replace(
            made,
            fingerprint=published.fingerprint,
            version=published.version,
            result={**made.result, "metrics": metrics, "kind": kind.value, "verifiers": ["exact_match"]},
            ended=time.time(),
        )
    )


def _dataset(name: str) -> tuple[pa.Table, RowKind]:
    if name == "worked":
        message = [{"role": "user", "content": f"1+1 {HOSTILE}"}, {"role": "assistant", "content": "2"}]
        return pa.table({"messages": [message, message], "source": ["a", "b"]}), RowKind.sft
    names = ("problem_id", "prompt", "ground_truth", "verifier", "arguments", "source")
    problems = [{each: row[each] for each in names} for row in rollouts((), samples=1)]
    return pa.Table.from_pylist(problems), RowKind.problems


def _changes(model: str) -> dict[str, float]:
    """Against the models it was trained from, nearest first."""
    names = list(RIGHT)
    found: dict[str, float] = {}
    for other in reversed(names[: names.index(model)]):
        now, was = ({f"{n}": [float(n in RIGHT[m])] for n in range(NUM_PROBLEMS)} for m in (model, other))
        compared = paired_comparison(was, now, 0)
        prefix = f"eval/vs/{other}.evaluate"
        found |= {
            f"{prefix}/change": compared.difference,
            f"{prefix}/change_low": compared.low,
            f"{prefix}/change_high": compared.high,
            f"{prefix}/p_value": compared.p_value,
        }
    return found
