"""Small things made by hand that several tests need: a recipe, finished executions, a stage's job."""

import functools
import time
from collections.abc import Iterable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from data_contracts.jobs import RowsInput, StageJob
from data_contracts.rows import RowKind
from data_contracts.stage_configs import AnyConfig, RunSettings
from flows.code_identity import PROJECT, Code, SourceFile, read_source
from flows.nodes import Node
from flows.plan import Plan
from flows.recipe import Recipe
from flows.recipe_files import check_recipe
from flows.sources import Sources, file_sha256
from flows.stored import output_path
from infra.home import Home
from infra.ledger import Ledger
from infra.records import Execution, Input, Role
from infra.warehouse.row_hashes import RowHasher, columns_text, fingerprint_of

_DOCUMENT: dict[str, Any] = {
    "name": "small",
    "seed": 7,
    "base": {"build": "tiny-qwen3"},
    "datasets": {
        "worked": {"generate": "arithmetic", "count": 64, "worked": 0.5},
        "problems": {"generate": "arithmetic", "count": 32, "split": "rl"},
    },
    "stages": {
        "sft": {"kind": "sft", "start": "base", "rows": ["worked"], "steps": 2, "global_batch": 8},
        "check": {"kind": "verify", "start": "sft", "rows": ["problems"], "samples": 4},
        "preferences": {"kind": "pairs", "rows": ["check"]},
        "dpo": {"kind": "dpo", "start": "sft", "rows": ["preferences"], "steps": 2, "global_batch": 4},
    },
}


REFUSED_GATE: Mapping[str, Any] = {
    "metrics": {},
    "notes": [],
    "judged_by": [],
    "kind": "raw",
    "gate": {
        "passed": False,
        "sentence": "refused: no better",
        "candidate": "sft",
        "baseline": "base",
        "checks": [],
    },
    "suite": "s",
    "candidate_fingerprint": "c",
}
"""What the ledger keeps of a gate that refused."""


def make_document(**sections: Any) -> dict[str, Any]:
    """A small recipe's document: sft -> check -> preferences -> dpo. `sections` replace its top-level keys."""
    return deepcopy(_DOCUMENT) | sections


def make_recipe(changes: Mapping[str, Any] | None = None) -> Recipe:
    """The small recipe, with changes by dotted place: `{"stages.dpo.beta": 4}`."""
    document = make_document()
    for place, value in (changes or {}).items():
        *parents, last = place.split(".")
        target = document
        for parent in parents:
            target = target.setdefault(parent, {})
        target[last] = value
    return check_recipe(document, "test")


def make_execution(node: Node, pipeline: str = "small", **changes: Any) -> Execution:
    """A finished execution of `node`, its content named after its key."""
    fields: dict[str, Any] = {
        "run_id": "run-1",
        "pipeline": pipeline,
        "stage": node.name,
        "kind": node.kind,
        "key": node.key,
        "input_key": f"input-{node.key}",
        "identity": node.identity,
        "inputs": (),
        "output": "model" if node.makes_model else "rows",
        "fingerprint": f"content-{node.key}",
        "name": f"{pipeline}.{node.name}",
        "version": 1,
        "result": {"metrics": {}, "notes": [], "judged_by": []},
        "environment": {},
        "seconds": 1.5,
        "ended": time.time(),
    }
    return Execution(**fields | changes)


def _version(name: str, version: int) -> Execution:
    """Its content is its name."""
    return Execution(
        run_id="",
        pipeline="data",
        stage=name,
        kind="import",
        key="",
        input_key="",
        identity={},
        inputs=(),
        output="rows",
        fingerprint=f"content of {name} {version}",
        name=name,
        version=version,
        result={},
        environment={},
        seconds=0.0,
        ended=0.0,
    )


def read_source_once(path: Path) -> SourceFile:
    """The project's files are parsed once: only what a test writes changes while tests run."""
    return _read_ours(path) if path.is_relative_to(PROJECT) else read_source(path)


_read_ours = functools.cache(read_source)

SOURCES = Sources(
    code=Code(read_source_once),
    file_digest=file_sha256,
    find_version=_version,
    champion=lambda model: None,
    withdrawn=lambda identity: [],
    accepted=lambda code: code,
)
"""Files are read; the content of a version is its name."""


def finish(
    plan: Plan, home: Home, ledger: Ledger, stages: Iterable[str] | None = None, **changes: Any
) -> dict[str, Execution]:
    """Pretend that a run made these stages (all of them): their outputs are on disk and in the ledger."""
    made: dict[str, Execution] = {}
    for step in plan.steps:
        if stages is None or step.node.name in stages:
            node = step.node
            given = {parent: made[parent] for parent in node.parents if parent in made}
            fields: dict[str, Any] = {"inputs": _inputs(node, given), **changes}
            if len(given) == len(node.parents):
                fields["input_key"] = node.input_key(given)
            execution = make_execution(node, **fields)
            output = output_path(home, execution)
            if node.makes_model:
                output.mkdir(exist_ok=True)
                output /= "model.safetensors"
            output.touch()
            ledger.note_code(node.code_parts)
            ledger.record(execution)
            made[node.name] = execution
    return made


def _inputs(node: Node, given: Mapping[str, Execution]) -> tuple[Input, ...]:
    weights: dict[tuple[Role, str], float] = {}
    if node.start:
        weights["start", node.start] = 1.0
    weights |= {("rows", name): weight for name, weight in node.rows.items()}
    weights |= {("compare", name): 1.0 for name in node.compare_with}
    return tuple(
        Input(name, role, given[name].name, given[name].version, given[name].fingerprint, weight)
        for (role, name), weight in weights.items()
        if name in given
    )


def make_job(folder: Path, config: AnyConfig, rows: Iterable[RowsInput] = (), seed: int = 0) -> StageJob:
    """A stage's job that works below `folder`."""
    return StageJob(
        name=config.kind,
        config=config,
        seed=seed,
        rows=tuple(rows),
        work_dir=folder / "work",
        reference_cache_dir=folder / "cache",
        run=RunSettings(),
    )


def write_input(
    folder: Path, name: str, kind: RowKind, rows: list[dict[str, Any]], *, weight: float = 1.0
) -> RowsInput:
    """Rows as the Parquet file a stage is given."""
    path = folder / f"{name}.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    return RowsInput(name=name, kind=kind, path=path, fingerprint=f"content of {name}", weight=weight)


def fingerprint_rows(rows: pa.Table) -> str:
    """The fingerprint a version with these rows has, whatever batches they are published in."""
    hasher = RowHasher()
    try:
        return fingerprint_of(columns_text(rows.schema), [hasher.hash_rows(rows)])
    finally:
        hasher.close()
