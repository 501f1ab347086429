"""Lineage and withdrawal on a small world made by hand: every count here was worked out on paper.

Three pipelines (a, b, c) read the same ten conversations. Pipeline a goes on: four problems, two rollouts each,
pairs from the two problems with mixed verdicts, DPO on them; the same two problems selected, GRPO on them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data_contracts.rows import RowKind
from flows.lineage.impact import Impact, Selection, Wanted, assess, select
from flows.lineage.models import find_model
from flows.lineage.withdrawal import (
    withdraw,
)
from infra.home import Home
from infra.ledger import Ledger
from infra.records import Execution, Input, Role
from infra.warehouse.warehouse import Warehouse

Rows = list[dict[str, Any]]


WORKED: Rows = [
    {
        "messages": [{"role": "user", "content": f"{n}"}, {"role": "assistant", "content": "!"}],
        "source": "site",
    }
    for n in range(10)
]


PROBLEMS: Rows = [{"problem_id": f"p{n}", "ground_truth": str(n), "source": "exam"} for n in range(4)]


REWARDS = {"p0": (1.0, 0.0), "p1": (1.0, 1.0), "p2": (0.0, 0.0), "p3": (0.25, 1.0)}


ROLLOUTS: Rows = [
    {"problem_id": problem, "completion": f"{problem} try {n}", "reward": reward}
    for problem, rewards in REWARDS.items()
    for n, reward in enumerate(rewards)
]


PAIRS: Rows = [
    {
        "problem_id": "p0",
        "prompt": [{"role": "user", "content": "0"}],
        "chosen": "p0 try 0",
        "rejected": "p0 try 1",
    },
    {
        "problem_id": "p3",
        "prompt": [{"role": "user", "content": "3"}],
        "chosen": "p3 try 1",
        "rejected": "p3 try 0",
    },
    {"problem_id": "", "prompt": [{"role": "user", "content": "x"}], "chosen": "better", "rejected": "worse"},
]


PREFERRED: Rows = [
    {
        "prompt": [{"role": "user", "content": "x"}],
        "chosen": "better",
        "rejected": "worse",
        "source": "people",
    }
]


BAND: Rows = [{"problem_id": "p0", "pass_rate": 0.5}, {"problem_id": "p3", "pass_rate": 0.5}]


@dataclass
class World:
    home: Home
    ledger: Ledger
    warehouse: Warehouse

    def publish(self, name: str, kind: RowKind, rows: Rows) -> int:
        return self.warehouse.publish(name, kind, pa.Table.from_pylist(rows), "key").version

    def record(
        self, pipeline: str, stage: str, kind: str, given: Sequence[Input] = (), **changes: Any
    ) -> Input:
        """A finished stage, as an input of the next one."""
        is_model = kind in ("base", "sft", "dpo", "grpo")
        fields: dict[str, Any] = {
            "run_id": "run",
            "pipeline": pipeline,
            "stage": stage,
            "kind": kind,
            "key": f"{pipeline} {stage}",
            "input_key": f"{pipeline}-{stage}-input",
            "identity": {"config": {"pass_rate": [0.1, 0.9]}, "of": [pipeline, stage]},
            "inputs": tuple(given),
            "output": "model" if is_model else "rows",
            "fingerprint": f"{pipeline} {stage} content",
            "name": f"{pipeline}.{stage}",
            "version": 1,
            "result": {"metrics": {}, "notes": []},
            "environment": {},
            "seconds": 1.0,
            "ended": 0.0,
        }
        execution = Execution(**fields | changes)
        self.ledger.record(execution)
        return Input(stage, "rows", execution.name, execution.version, execution.fingerprint, 1.0)

    def train(
        self,
        pipeline: str,
        stage: str,
        kind: str,
        given: Sequence[Input],
        rows: Sequence[tuple[int, int, int]],
    ) -> Input:
        """A trained model; `rows`: (input, row, times)."""
        columns = zip(
            ("input", "row", "times"), (np.int16, np.int64, np.int32), zip(*rows, strict=True), strict=True
        )
        table = pa.table({name: np.array(values, kind_) for name, kind_, values in columns})
        pq.write_table(table, self.home.lineage_dir / f"{pipeline}-{stage}-input.parquet")
        metrics = {f"{kind}/passes": 0.5, f"{kind}/rows_drawn": 5.0}
        return self.record(pipeline, stage, kind, given, result={"metrics": metrics, "notes": []})

    def hash_of(self, reference: str, row: int) -> str:
        return self.warehouse.reader.hashes(self.warehouse.get(reference))[row].tobytes().hex()

    def select(self, **wanted: str) -> Selection:
        return select(self.warehouse, Wanted(**wanted))

    def assess(self, **wanted: str) -> Impact:
        return assess(self.home, self.ledger, self.warehouse, self.select(**wanted))

    def withdraw(self, **wanted: str) -> int:
        impact = self.assess(**wanted)
        return withdraw(self.ledger, self.warehouse, self.select(**wanted), impact, "they asked")

    def made(self, model: str) -> Execution:
        return find_model(self.ledger, model, lambda name: {"champion": 1})

    def run(self, pipeline: str, stages: Sequence[str]) -> None:
        run = self.ledger.begin_run(pipeline, {}, 1, 0.0)
        for stage in stages:
            self.ledger.set_stage(run, stage, "kind", f"{pipeline} {stage}", "done")


def as_role(role: Role, given: Input, weight: float = 1.0) -> Input:
    return Input(given.node, role, given.name, given.version, given.fingerprint, weight)


def build(home: Home) -> None:
    world = World(home, Ledger(home.ledger_path), Warehouse(home))
    everybody = [(0, row, 1) for row in range(10)]
    for pipeline in "abc":
        world.publish(f"{pipeline}.worked", RowKind.sft, WORKED)
        worked = world.record(pipeline, "worked", "dataset")
        base = world.record(pipeline, "base", "base")
        rows = everybody if pipeline != "c" else everybody[:7]  # c drops the last three: too long
        sft = world.train(pipeline, "sft", "sft", [as_role("start", base), worked], rows)
        world.run(pipeline, ["worked", "base", "sft"])
        if pipeline == "a":
            _go_on(world, sft)


def _go_on(world: World, sft: Input) -> None:
    for stage, kind, rows in [
        ("problems", RowKind.problems, PROBLEMS),
        ("check", RowKind.rollouts, ROLLOUTS),
        ("people", RowKind.pairs, PREFERRED),
        ("preferences", RowKind.pairs, PAIRS),
        ("band", RowKind.problems, BAND),
    ]:
        world.publish(f"a.{stage}", kind, rows)
    problems = world.record("a", "problems", "dataset")
    people = world.record("a", "people", "dataset")
    verdicts = {"eval/accuracy": 0.5, "eval/problems": 4.0, "eval/completions": 8.0}
    check = world.record(
        "a", "check", "verify", [as_role("start", sft), problems], result={"metrics": verdicts, "notes": []}
    )
    counts = {"pairs/pairs": 3.0, "pairs/on_policy": 2.0}
    preferences = world.record(
        "a", "preferences", "pairs", [check, people], result={"metrics": counts, "notes": []}
    )
    dpo = world.train(
        "a", "dpo", "dpo", [as_role("start", sft), as_role("rows", preferences, 2.0)], [(0, 0, 2), (0, 2, 2)]
    )
    parts = {"select/below": 1.0, "select/in_band": 2.0, "select/above": 1.0}
    band = world.record("a", "band", "select", [check], result={"metrics": parts, "notes": []})
    world.train("a", "grpo", "grpo", [as_role("start", dpo), band], [(0, 0, 1), (0, 1, 1)])
    stages = ["worked", "problems", "people", "base", "sft", "check", "preferences", "dpo", "band", "grpo"]
    world.run("a", stages)
