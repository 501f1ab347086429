"""A home with five versions of one model, made by hand, and the verdicts on four of them; nothing is promoted.

40 problems, one completion each. Right are
    sft/1   the first 10
    sft/2   the first 25            15 more than sft/1: exact McNemar, 0 of 15 discordant, p = 2 * 0.5^15
    sft/3   26, of which 4 others   3 of 7 discordant against sft/2, p = 1
    sft/4   the first 38            13 more than sft/2
    sft/5   never evaluated, and its recipe has no evaluation either
"""

import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from data_contracts.rows import RowKind
from infra.home import Home, open_home
from infra.ledger import Ledger
from infra.records import DONE, Execution, Input
from infra.registry import ModelRegistry
from infra.warehouse.warehouse import Warehouse
from tests.upkeep.finished_home import write_model

MODEL = "small.sft"
NUM_PROBLEMS = 40
RIGHT = {1: set(range(10)), 2: set(range(25)), 3: {*range(22), 30, 31, 32, 33}, 4: set(range(38))}
HOSTILE = "[bold red]\x1b[2Jevil[/]"
DOCUMENT: dict[str, Any] = {
    "name": "small",
    "stages": {"sft": {"kind": "sft"}},
    "evaluate": {"rows": ["held_out"]},
}


def make_home(path: Path) -> Home:
    home = open_home(path)
    ledger = Ledger(home.ledger_path)
    registry = ModelRegistry(home.mlflow_uri, home.mlflow_artifacts_dir)
    published = Warehouse(home).publish("small.worked", RowKind.sft, _worked(), "key-worked")
    rows = Input("worked", "rows", "small.worked", 1, published.fingerprint, 1.0)
    base = _model(home, ledger, registry, "base", 0, ())
    start = Input("base", "start", "small.base", 1, base.fingerprint, 1.0)
    for number in range(1, 6):
        made = _model(home, ledger, registry, "sft", number, (start, replace(start, role="base"), rows))
        if number in RIGHT:
            evaluate(home, ledger, made, RIGHT[number])
    return home


def evaluate(home: Home, ledger: Ledger, made: Execution, right: Iterable[int]) -> Execution:
    """Store verdicts on a model, as its evaluation leaves them."""
    wanted = set(right)
    table = pa.Table.from_pylist([_rollout(number, number in wanted) for number in range(NUM_PROBLEMS)])
    key = f"key-verdicts-{made.version}-{len(wanted)}"
    published = Warehouse(home).publish("small.sft.evaluate", RowKind.rollouts, table, key)
    accuracy = len(wanted) / NUM_PROBLEMS
    verdicts = Execution(
        run_id=made.run_id,
        pipeline="small",
        stage="sft.evaluate",
        kind="verify",
        key=key,
        input_key=f"input-{key}",
        identity={
            "config": {"kind": "verify", "samples": 1, "temperature": 0.0},
            "seed": 7,
            "start": made.key,
            "base": "key-base",
            "rows": [["key-held-out", 1.0]],
            "compare_with": [],
            "sources": {},
            "code": {"stages.verify": "code"},
            "verifiers": {"exact_match": "code-of-exact-match", "unused": "other code"},
        },
        inputs=(
            Input("sft", "start", made.name, made.version, made.fingerprint, 1.0),
            Input("held_out", "rows", "small.held_out", 1, "content-held-out", 1.0),
        ),
        output="rows",
        fingerprint=published.fingerprint,
        name="small.sft.evaluate",
        version=published.version,
        result={
            "metrics": {
                "eval/accuracy": accuracy,
                "eval/accuracy_low": accuracy - 0.1,
                "eval/accuracy_high": accuracy + 0.1,
                "eval/problems": float(NUM_PROBLEMS),
                "eval/completions": float(NUM_PROBLEMS),
            },
            "notes": [],
            "verifiers": ["exact_match"],
            "judged_by": ["exact_match"],
        },
        environment={},
        seconds=1.0,
        ended=time.time(),
    )
    ledger.record(verdicts)
    return verdicts


def _model(
    home: Home, ledger: Ledger, registry: ModelRegistry, stage: str, number: int, inputs: tuple[Input, ...]
) -> Execution:
    run = ledger.begin_run("small", DOCUMENT if number != 5 else without_evaluation(), 1, 0.0)
    scratch = home.models_dir / "scratch"
    content = write_model(scratch, float(number))
    folder = scratch.rename(home.models_dir / content)
    parent = registry.start_pipeline_run("small", run, "name: small")
    child = registry.start_stage_run(parent, "small", stage, f"key-{stage}-{number}", {})
    version = registry.register_model(child, f"small.{stage}", folder, f"key-{stage}-{number}", {})
    for each in (child, parent):
        registry.finish_run(each, "FINISHED")
    made = Execution(
        run_id=run,
        pipeline="small",
        stage=stage,
        kind=stage,
        key=f"key-{stage}-{number}",
        input_key=f"input-{stage}-{number}",
        identity={"config": {"learning_rate": 0.01, "global_batch": 128, "steps": 2}, "seed": 7, "code": {}},
        inputs=inputs,
        output="model",
        fingerprint=content,
        name=f"small.{stage}",
        version=version,
        result={"metrics": {}, "notes": [], "judged_by": []},
        environment={},
        seconds=1.0,
        ended=time.time(),
    )
    ledger.record(made)
    ledger.set_stage(run, stage, stage, made.key, DONE)
    lines = [{"stage": "sft", "model": f"small.sft/{min(number, 4)}"}] if number else []
    ledger.end_run(run, DONE, {"lines": lines})
    return made


def without_evaluation() -> dict[str, Any]:
    return {name: value for name, value in DOCUMENT.items() if name != "evaluate"}


def _worked() -> pa.Table:
    message = [{"role": "user", "content": "1+1"}, {"role": "assistant", "content": "2"}]
    return pa.table({"messages": [message, message]})


def _rollout(number: int, is_right: bool) -> dict[str, Any]:
    return {
        "problem_id": f"p{number}",
        "sample": 0,
        "prompt": [{"role": "user", "content": f"{number}+0 {HOSTILE}"}],
        "ground_truth": str(number),
        "verifier": "exact_match",
        "arguments": "{}",
        "source": "sums",
        "completion": f"{number if is_right else 'no idea'} {HOSTILE}",
        "completion_ids": [1, 2],
        "finished": True,
        "reward": 1.0 if is_right else 0.0,
        "reason": "exact match" if is_right else f"not {number}",
        "parts": "{}",
        "model": "content",
        "temperature": 0.0,
        "top_p": 1.0,
    }
