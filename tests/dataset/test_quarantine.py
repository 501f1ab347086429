"""The quarantine keeps rows whole, and a fix takes each of them out once, whatever comes between."""

import json
import multiprocessing
import os
import random
import shutil
import signal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import feather

from data_contracts.errors import DataError
from flows.cli.app import execute
from flows.data import fixing
from infra.intake.batches import SourceFile
from infra.intake.reading import read_batches
from infra.ledger import Ledger
from infra.warehouse.publishing import Publisher
from infra.warehouse.quarantine import BadRow, Quarantines, QuarantineWriter
from tests.dataset.terminal import Row, Terminal

TURNS = "messages=[{role: 'user', content: question}, {role: 'assistant', content: %s}]"
ANSWER, OTHER, EMPTY = TURNS % "answer", TURNS % "alt", TURNS % "''"


def _questions(good: int, bad: int, prefix: str = "") -> list[Row]:
    """Bad rows have no answer, but an alternative one."""
    return [
        {"question": f"{prefix}q{number}", "answer": "yes" if number < good else "", "alt": f"alt {number}"}
        for number in range(good + bad)
    ]


def _import_questions(terminal: Terminal, name: str, rows: list[Row], code: int = 0) -> Any:
    path = terminal.write(name, rows)
    return terminal.type(
        "import", "qa", path, "--kind", "sft", "--map", ANSWER, "--map", "alt=alt", code=code
    )


@pytest.fixture(scope="module")
def asked_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("asked")
    (folder / "qa.jsonl").write_text("".join(json.dumps(row) + "\n" for row in _questions(20, 5)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BURNISH_HOME", str(folder / "home"))
        given = ["qa", str(folder / "qa.jsonl"), "--kind", "sft", "--map", ANSWER, "--map", "alt=alt"]
        assert execute(["data", "import", *given]) == 0
    return folder / "home"


@pytest.fixture
def asked(asked_home: Path, terminal: Terminal) -> Terminal:
    """`qa@1` has twenty questions, and five are in quarantine."""
    shutil.copytree(asked_home, terminal.home.path, dirs_exist_ok=True)
    return terminal


def _prompts(terminal: Terminal, reference: str) -> list[str]:
    return [row["messages"][0]["content"] for row in terminal.rows(reference)]


def _left(terminal: Terminal, name: str = "qa") -> list[Row]:
    return terminal.json("quarantine", name, "--limit", 1000)["rows"]


def _die(*_: Any, **__: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _die_fixing(owner: Any, point: str) -> None:
    setattr(owner, point, _die)
    execute(["data", "quarantine", "qa", "--fix", "--map", OTHER])
    os._exit(0)


def _kill_a_fix(owner: Any, point: str) -> None:
    child = multiprocessing.get_context("fork").Process(target=_die_fixing, args=(owner, point))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL


@pytest.mark.parametrize(
    ("owner", "point", "is_fixed"),
    [
        (fixing, "choose_mapping", False),
        (fixing, "import_batches", False),
        (Publisher, "publish", False),
        (Quarantines, "_insert", False),
        (fixing, "record_version", True),
    ],
)
def test_a_fix_killed_at_any_instant_took_all_rows_or_none(
    terminal: Terminal, owner: Any, point: str, is_fixed: bool
) -> None:
    _import_questions(terminal, "qa.jsonl", [*_questions(20, 5), {"question": "", "answer": "x", "alt": "x"}])
    _kill_a_fix(owner, point)
    assert len(_left(terminal)) == (1 if is_fixed else 6)
    terminal.type("quarantine", "qa", "--fix", "--map", TURNS % "alt || '!'", code=2 if is_fixed else 0)
    assert _prompts(terminal, "qa@2") == [f"q{number}" for number in range(25)]
    assert [version.version for version in terminal.warehouse.versions("qa")] == [1, 2]
    assert [row["line"] for row in _left(terminal)] == [26]
    recorded = Ledger(terminal.home.ledger_path).find_by_stage("data", "qa")
    assert [(execution.version, execution.kind) for execution in recorded] == [(2, "fix"), (1, "import")]
    assert [given.version for given in recorded[0].inputs] == [1]
    terminal.type("gc", "--apply")
    assert [path.suffix for path in terminal.home.quarantine_dir.iterdir()] == [".parquet"]


@pytest.mark.parametrize("point", ["import_batches", "record_version"])
def test_an_import_between_a_killed_fix_and_the_next_repeats_no_row(asked: Terminal, point: str) -> None:
    _kill_a_fix(fixing, point)
    _import_questions(asked, "bad.jsonl", _questions(0, 2, "late "), code=2)
    asked.type("quarantine", "qa", "--fix", "--map", OTHER)
    assert _prompts(asked, "qa") == [*(f"q{number}" for number in range(25)), "late q0", "late q1"]


def test_an_import_repeated_after_a_fix_brings_no_row_back(terminal: Terminal) -> None:
    _import_questions(terminal, "qa.jsonl", [*_questions(20, 5), {"question": "", "answer": "x", "alt": "x"}])
    terminal.type("quarantine", "qa", "--fix", "--map", OTHER)
    assert "fixed before: qa@2" in _import_questions(terminal, "qa.jsonl", _read("qa.jsonl"))
    assert [row["line"] for row in _left(terminal)] == [26]
    assert "turn … is empty" in terminal.type("quarantine", "qa", "--fix", "--map", ANSWER, code=2)
    assert len(terminal.rows("qa")) == 25
    terminal.type("import", "qa", "qa.jsonl", "--kind", "sft", "--map", TURNS % "upper(answer)")
    assert [row["line"] for row in _left(terminal)] == [26, 21, 22, 23, 24, 25, 26]


def _read(name: str) -> list[Row]:
    return [json.loads(line) for line in Path(name).read_text().splitlines()]


@pytest.mark.parametrize(
    ("own_map", "code"), [(EMPTY, 2), (TURNS % "case when question = 'q20' then 'x' else '' end", 2)]
)
def test_of_two_fixes_at_once_each_row_is_taken_by_one(
    asked: Terminal, monkeypatch: pytest.MonkeyPatch, own_map: str, code: int
) -> None:
    run = fixing.import_batches

    def overtaken(*arguments: Any) -> Any:
        monkeypatch.setattr(fixing, "import_batches", run)
        assert execute(["data", "quarantine", "qa", "--fix", "--map", OTHER]) == 0
        return run(*arguments)

    monkeypatch.setattr(fixing, "import_batches", overtaken)
    asked.type("quarantine", "qa", "--fix", "--map", own_map, code=code)
    assert _left(asked) == []
    assert _prompts(asked, "qa") == [f"q{number}" for number in range(25)]


def test_a_quarantine_gives_way_once(terminal: Terminal) -> None:
    store = Quarantines(terminal.home, terminal.warehouse.catalog)
    first, rest = QuarantineWriter(terminal.home), QuarantineWriter(terminal.home)
    first.add([BadRow("a", 1, "bad", "{}"), BadRow("a", 2, "bad", "{}")])
    rest.add([BadRow("a", 2, "bad", "{}")])
    store.add("qa", None, first, {})
    (old,) = store.of("qa")
    changes = [store.replacement([(old, rest)]), store.replacement([(old, QuarantineWriter(terminal.home))])]
    with terminal.warehouse.catalog.change() as db:
        changes[0](db)
    with pytest.raises(DataError, match="meanwhile"), terminal.warehouse.catalog.change() as db:
        changes[1](db)
    (left,) = store.of("qa")
    assert [row.line for row in store.rows(left)] == [2]


def test_rows_that_cannot_be_tried_stay_and_the_others_are_tried(terminal: Terminal) -> None:
    path = terminal.write("garbage.jsonl", _questions(100, 0, "other "))
    path.write_text(path.read_text() + "no json\n{broken\n")
    other = terminal.write("other.jsonl", [{"frage": "f", "answer": ""}, {"frage": "g", "answer": "h"}])
    terminal.type("import", "qa", path, "--kind", "sft", "--map", ANSWER, "--map", "alt=alt")
    terminal.type("import", "qa", other, "--kind", "sft", "--map", ANSWER.replace("question", "frage"))
    _import_questions(terminal, "qa.jsonl", _questions(20, 5))
    report = terminal.json("quarantine", "qa", "--fix", "--map", OTHER)
    assert (report["read"], report["accepted"], report["quarantined"]) == (8, 5, 3)
    assert sum(report["reasons"].values()) == 3
    assert _prompts(terminal, "qa") == [f"q{number}" for number in range(25)]
    assert sorted(row["row"] for row in _left(terminal)) == sorted(
        ["no json", "{broken", json.dumps({"frage": "f", "answer": ""})]
    )
    assert not list(terminal.home.work_dir.iterdir())
    assert not [file for file in terminal.home.quarantine_dir.iterdir() if file.name.startswith(".")]


def test_when_no_row_can_be_tried_the_source_is_named_and_no_file_of_the_home(terminal: Terminal) -> None:
    path = terminal.write("garbage.jsonl", _questions(1, 0))
    path.write_text(path.read_text() + "no json\n")
    terminal.type("import", "qa", path, "--kind", "sft", "--map", ANSWER)
    printed = terminal.type("quarantine", "qa", "--fix", "--map", OTHER, code=2)
    assert "garbage.jsonl is a JSON object" in printed and str(terminal.home.path) not in printed


def _with_turns(number: int) -> Row:
    turns = [{"role": "user", "content": f"q{number}"}, {"role": "assistant", "content": "from turns"}]
    messages = [
        {"role": "user", "content": f"q{number}"},
        {"role": "assistant", "content": "" if number % 7 else "a"},
    ]
    return {"messages": messages, "turns": turns, "note": {"deep": [number, None]}, "score": number / 4}


def _written(folder: Path, suffix: str, rows: list[Row]) -> Path:
    path, table = folder / f"rows.{suffix}", pa.Table.from_pylist(rows)
    if suffix == "parquet":
        pq.write_table(table, path, row_group_size=9)
    elif suffix == "arrow":
        feather.write_feather(table, str(path), compression="zstd", chunksize=9)
    elif suffix == "json":
        path.write_text(json.dumps(rows, indent=1))
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("suffix", ["jsonl", "json", "parquet", "arrow"])
def test_a_bad_row_is_kept_with_all_columns_and_can_be_fixed_from_any_of_them(
    terminal: Terminal, suffix: str
) -> None:
    rows = [_with_turns(number) for number in range(50)]
    path = _written(terminal.folder, suffix, rows)
    terminal.type("import", "qa", path, "--map", "messages=messages")
    bad = [row for number, row in enumerate(rows) if number % 7]
    assert [json.loads(row["row"]) for row in _left(terminal)] == bad
    terminal.type("quarantine", "qa", "--fix", "--map", "messages=turns")
    assert [row["messages"] for row in terminal.rows("qa")[8:]] == [row["turns"] for row in bad]


def test_a_bad_row_of_a_query_or_of_csv_is_kept_with_all_columns(terminal: Terminal) -> None:
    terminal.write("rows.jsonl", _questions(1, 2))
    query = "select * from 'rows.jsonl' order by question"
    terminal.type("import", "qa", query, "--kind", "sft", "--map", ANSWER)
    assert [json.loads(row["row"]) for row in _left(terminal)] == _questions(1, 2)[1:]
    Path("rows.csv").write_bytes(b'question,answer,alt\nq0,yes,\nq1,,"two\nlines \xff"\n')
    terminal.type("import", "table", "rows.csv", "--kind", "sft", "--map", ANSWER)
    (row,) = _left(terminal, "table")
    assert json.loads(row["row"]) == {"question": "q1", "answer": None, "alt": "two\nlines \\xff"}


def test_a_bad_json_line_is_kept_to_the_letter(terminal: Terminal) -> None:
    bad = '{"question": "q", "answer": "",  "alt": "a", "n": 1.50, "big": 1e400, "\\u00e9": "\\u00e9"}'
    good = json.dumps(_questions(1, 0)[0])
    for lines in (f"{good}\n{bad}\n{good}", f"{good}\r\n{bad}\r\n", f"not json\n\n{good}\n{bad}"):
        path = terminal.folder / "rows.jsonl"
        path.write_bytes(lines.encode())
        terminal.type("import", "qa", path, "--kind", "sft", "--map", ANSWER)
        assert bad in [row["row"] for row in _left(terminal)]


def test_whole_rows_of_parquet_are_those_of_the_file(tmp_path: Path) -> None:
    dice = random.Random(7)
    for trial in range(20):
        count = dice.randrange(1, 200)
        table = pa.table({"a": [f"a{n}" for n in range(count)], "b": list(range(count))})
        path = tmp_path / f"{trial}.parquet"
        pq.write_table(table, path, row_group_size=dice.randrange(1, 60))
        seen = 0
        for batch in read_batches([SourceFile(str(path), "parquet", None)], pa.schema([("a", pa.string())])):
            lines = sorted(dice.sample(batch.lines.to_pylist(), dice.randrange(1, batch.rows.num_rows + 1)))
            assert [json.loads(text) for text in batch.whole(lines)] == [
                {"a": f"a{line - 1}", "b": line - 1} for line in lines
            ]
            seen += batch.rows.num_rows
        assert seen == count


NO_ROWS: list[Any] = ["   ", "", "\ufeff", "\u2003", "\x0b", "a\nb", None, [], 7, "null", "{}"]


def test_corrections_that_are_no_rows_leave_the_rows_where_they_are(terminal: Terminal) -> None:
    _import_questions(terminal, "qa.jsonl", _questions(20, len(NO_ROWS) + 4))
    before = _left(terminal)
    terminal.type("quarantine", "qa", "--export", "bad.jsonl")
    lines = _read("bad.jsonl")
    for line, row in zip(lines, NO_ROWS, strict=False):
        line["row"] = row
    lines[len(NO_ROWS)]["row"]["answer"] = "corrected"
    terminal.write("bad.jsonl", lines)
    report = terminal.json("quarantine", "qa", "--fix", "--source", "bad.jsonl")
    assert (report["read"], report["accepted"], report["quarantined"]) == (15, 1, 14)
    assert _left(terminal) == [*before[:11], *before[12:]]


@pytest.mark.parametrize(
    "place", [{"number": -3}, {"number": 5}, {"number": 1.0}, {"number": True}, {"quarantine": 1}]
)
def test_a_correction_names_a_row_exactly(asked: Terminal, place: Row) -> None:
    asked.type("quarantine", "qa", "--export", "bad.jsonl")
    lines = _read("bad.jsonl")
    asked.write("bad.jsonl", [lines[0] | place, *lines[2:]])
    assert "line 1: this is none of the quarantined rows" in asked.type(
        "quarantine", "qa", "--fix", "--source", "bad.jsonl", code=2
    )
    assert len(_left(asked)) == 5


@pytest.mark.parametrize("given", [("--map", ANSWER), ("--source", "bad.jsonl")])
def test_a_correction_without_fix_is_refused_and_says_what_to_type(terminal: Terminal, given: Any) -> None:
    _import_questions(terminal, "qa.jsonl", _questions(1, 1))
    assert "burnish data quarantine qa --fix " + given[0] in terminal.type("quarantine", "qa", *given, code=2)


def test_a_fix_that_emptied_the_quarantine_and_was_killed_is_noted_by_the_next(asked: Terminal) -> None:
    _kill_a_fix(fixing, "record_version")
    printed = asked.type("quarantine", "qa", "--fix", "--map", OTHER, code=2)
    assert "No row of qa is in quarantine" in printed
    recorded = Ledger(asked.home.ledger_path).find_by_stage("data", "qa")
    assert [(execution.version, execution.kind) for execution in recorded] == [(2, "fix"), (1, "import")]


def test_a_mapping_of_a_fix_may_name_a_column_that_all_bad_rows_lack(terminal: Terminal) -> None:
    path = terminal.write("rows.jsonl", [{"question": "a", "answer": "b"}, {"question": "c"}])
    terminal.type("import", "qa", path, "--kind", "sft", "--map", ANSWER)
    terminal.type("quarantine", "qa", "--fix", "--map", TURNS % "coalesce(answer, 'none')")
    assert [row["messages"][1]["content"] for row in terminal.rows("qa")] == ["b", "none"]
