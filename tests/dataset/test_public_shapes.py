"""Public files of many shapes, read in full."""

import gzip
import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra.intake.checks import check_rows
from infra.intake.mapping import apply_mapping
from infra.intake.schedule_checks import check_schedule, schedule_findings
from infra.intake.shapes import custom_mapping
from tests.dataset.mapped_rows import DEFAULTS, JSON_TEXT

DATA = Path(os.environ.get("BURNISH_REAL_DATA", Path(__file__).parents[3] / "shared/data"))


# Real data


def read_rows(name: str) -> pa.Table:
    path = DATA / name
    if not DATA.is_dir():
        pytest.skip(f"{DATA} (BURNISH_REAL_DATA) does not exist")
    if path.suffix == ".parquet":
        return pq.read_table(path)
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
        rows = [json.loads(line) for line in lines]
    if "kwargs" not in rows[0]:
        return pa.Table.from_pylist(rows)
    table = pa.Table.from_pylist([{**row, "kwargs": json.dumps(row["kwargs"])} for row in rows])
    place = table.schema.get_field_index("kwargs")
    return table.cast(table.schema.set(place, table.schema.field(place).with_metadata(JSON_TEXT)))


REAL = {
    "gsm8k/train.jsonl": ("GSM8K", 7473, 0),
    "gsm8k/test.jsonl": ("GSM8K", 1319, 0),
    "math_train/train.parquet": ("verl", 7500, 2),
    "math_train/test.parquet": ("verl", 5000, 0),
    "math_train/dapo17k_train.parquet": ("verl", 17398, 0),
    "math500/test.jsonl": ("MATH-500", 500, 0),
    "ifeval/input_data.jsonl": ("IFEval", 541, 0),
    "humaneval/HumanEval.jsonl.gz": ("HumanEval", 164, 0),
    "mbpp/mbpp.jsonl": ("MBPP", 974, 0),
    "events_scheduling/train.jsonl": ("event scheduling", 500, 0),
    "events_scheduling/test.jsonl": ("event scheduling", 100, 0),
}


@pytest.mark.parametrize("name", REAL)
def test_every_public_set_is_read_in_full(name: str) -> None:
    """Two of MATH's rows have an empty ground truth (their answer was never found in the solution)."""
    table = read_rows(name)
    shape, rows, empty = REAL[name]
    mapping = custom_mapping(table.schema, None, {})
    made = apply_mapping(mapping, table, DEFAULTS)
    reasons = check_rows(mapping.kind, made).drop_null().to_pylist()
    assert (mapping.shape, made.num_rows, reasons) == (shape, rows, ["ground_truth is empty"] * empty)
    assert len(set(made["problem_id"].to_pylist())) == rows


def test_gsm8ks_ground_truths_are_what_follows_the_mark() -> None:
    table = read_rows("gsm8k/train.jsonl")
    made = apply_mapping(custom_mapping(table.schema, None, {}), table, DEFAULTS)
    expected = [answer.split("####")[1].strip().replace(",", "") for answer in table["answer"].to_pylist()]
    assert made["ground_truth"].to_pylist() == expected
    assert made["prompt"][0].as_py()[0]["content"].startswith("Natalia sold clips to 48 of her friends")
    assert expected[0] == "72"


def test_ifevals_arguments_are_the_files_own() -> None:
    table = read_rows("ifeval/input_data.jsonl")
    made = apply_mapping(custom_mapping(table.schema, None, {}), table, DEFAULTS).to_pylist()
    for given, row in zip(table.to_pylist(), made, strict=True):
        kwargs = json.loads(given["kwargs"])
        expected = {"instruction_id_list": given["instruction_id_list"], "kwargs": kwargs}
        assert json.loads(row["arguments"]) == expected
    assert json.loads(made[0]["arguments"])["kwargs"][2] == {"relation": "at least", "num_words": 300}


def test_the_known_defects_of_the_schedules_are_found() -> None:
    counts = dict.fromkeys(["late", "touching", "equal"], 0)
    for name, late in (("train", 4), ("test", 0)):
        table = read_rows(f"events_scheduling/{name}.jsonl")
        made = apply_mapping(custom_mapping(table.schema, None, {}), table, DEFAULTS)
        errors = schedule_findings(made).errors.drop_null().to_pylist()
        assert len(errors) == late and all("past 24:00" in error for error in errors)
        for arguments in made["arguments"].to_pylist():
            _, warnings = check_schedule(arguments)
            counts["touching"] += any("when another starts" in warning for warning in warnings)
            counts["equal"] += any("several events" in warning for warning in warnings)
        counts["late"] += len(errors)
    assert counts == {"late": 4, "touching": 4, "equal": 16}
