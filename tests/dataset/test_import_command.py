"""`burnish data import` as a person types it: what becomes a version, what is quarantined, what a kill leaves."""

import gzip
import json
import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from flows.cli.app import execute
from flows.data import imports
from infra.ledger import Ledger
from infra.warehouse.integrity import find_damage
from tests.dataset.terminal import Terminal, chat, problem


def test_every_row_is_accepted_or_quarantined_with_file_line_and_reason(terminal: Terminal) -> None:
    path = terminal.write("rows.jsonl", [chat("a"), chat(" "), chat("b", "c")])
    with path.open("a") as file:
        file.write("no json\n")
    report = terminal.json("import", "chats", path)
    assert (report["read"], report["accepted"], report["quarantined"]) == (4, 2, 2)
    assert [row["messages"][0]["content"] for row in terminal.rows("chats@1")] == ["a", "b"]
    bad = terminal.json("quarantine", "chats")["rows"]
    places = sorted((row["file"], row["line"], row["reason"]) for row in bad)
    assert places == [
        (str(path), 2, "turn 1 is empty"),
        (str(path), 4, "malformed JSON: expecting value (column 1)"),
    ]
    assert "turn 1 is empty" in terminal.type("quarantine", "chats")


def test_the_mapping_is_shown_and_a_dry_run_makes_nothing(terminal: Terminal) -> None:
    path = terminal.write("rows.jsonl", [{"instruction": "i", "input": "", "output": "o", "stars": 3}])
    printed = terminal.type("import", "alpaca", path, "--dry-run")
    assert "Read as Alpaca (sft)" in printed
    assert "Not kept: stars" in printed
    assert terminal.warehouse.versions() == []


def test_the_same_rows_make_no_new_version_and_other_rows_the_next(terminal: Terminal) -> None:
    path = terminal.write("rows.jsonl", [chat("a")])
    terminal.type("import", "chats", path)
    assert "The same rows as chats@1" in terminal.type("import", "chats", path)
    terminal.write("rows.jsonl", [chat("a"), chat("b")])
    assert terminal.json("import", "chats", path)["version"] == "chats@2"
    executions = Ledger(terminal.home.ledger_path).find_by_output("chats", 1)
    assert [execution.kind for execution in executions] == ["import"]


def test_an_unknown_shape_is_explained_and_map_reads_it(terminal: Terminal) -> None:
    path = terminal.write("rows.jsonl", [{"ask": "1+1", "reply": " 2 "}])
    printed = terminal.type("import", "own", path, code=2)
    assert "ask: string" in printed and "--map" in printed
    terminal.type("import", "own", path, "--map", "prompt=ask", "--map", "completion=trim(reply)")
    assert terminal.rows("own") == [{**chat("1+1", "2"), "source": "own"}]
    assert "is no mapping" in terminal.type("import", "own", path, "--map", "prompt", code=2)


def test_a_ground_truth_that_its_verifier_rejects_is_quarantined(terminal: Terminal) -> None:
    path = terminal.write("rows.jsonl", [problem("1+1", "2"), problem("1+2", "three")])
    report = terminal.json("import", "sums", path)
    assert report["accepted"] == 1
    assert [row["line"] for row in terminal.json("quarantine", "sums")["rows"]] == [2]
    assert terminal.json("import", "sums", path, "--no-prove")["accepted"] == 2


def test_an_unknown_verifier_of_a_row_is_quarantined(terminal: Terminal) -> None:
    path = terminal.write("rows.jsonl", [problem("1+1", "2"), {**problem("1+2", "3"), "verifier": "exakt"}])
    terminal.type("import", "sums", path)
    (bad,) = terminal.json("quarantine", "sums")["rows"]
    assert "There is no verifier named 'exakt'" in bad["reason"]


def test_no_good_row_at_all_makes_no_version_and_keeps_the_rows(terminal: Terminal) -> None:
    path = terminal.write("rows.jsonl", [chat(""), chat(" ")])
    assert "No row of chats keeps its contract" in terminal.type("import", "chats", path, code=2)
    assert terminal.warehouse.versions() == []
    assert len(terminal.json("quarantine", "chats")["rows"]) == 2


def test_corrected_rows_join_the_newest_version_and_the_rest_stays(terminal: Terminal) -> None:
    path = terminal.write("rows.jsonl", [chat("a"), chat("", "b"), chat("c", "")])
    terminal.type("import", "chats", path)
    terminal.type("quarantine", "chats", "--export", "bad.jsonl")
    lines = [json.loads(line) for line in Path("bad.jsonl").read_text().splitlines()]
    lines[0]["row"]["messages"][0]["content"] = "corrected"
    terminal.write("bad.jsonl", lines)
    report = terminal.json("quarantine", "chats", "--fix", "--source", "bad.jsonl")
    assert (report["version"], report["accepted"], report["quarantined"]) == ("chats@2", 1, 1)
    assert [row["messages"][0]["content"] for row in terminal.rows("chats@2")] == ["a", "corrected"]
    (left,) = terminal.json("quarantine", "chats")["rows"]
    assert (left["file"], left["line"], left["reason"]) == (str(path), 3, "turn 2 is empty")


def test_a_mapping_can_readmit_quarantined_rows(terminal: Terminal) -> None:
    path = terminal.write("rows.jsonl", [problem("1+1", "2"), problem("1+2", "is 3 or 4, say 3x")])
    terminal.type("import", "sums", path, "--map", "ground_truth=ground_truth")
    report = terminal.json(
        "quarantine", "sums", "--fix", "--map", "ground_truth=regexp_extract(ground_truth, '[0-9]+')"
    )
    assert (report["accepted"], report["quarantined"]) == (1, 0)
    assert [row["ground_truth"] for row in terminal.rows("sums@2")] == ["2", "3"]
    assert "No row of sums is in quarantine" in terminal.type("quarantine", "sums")


def test_globs_compression_and_queries_are_sources(terminal: Terminal) -> None:
    (terminal.folder / "a.jsonl.gz").write_bytes(gzip.compress(json.dumps(chat("a")).encode()))
    pq.write_table(pa.Table.from_pylist([chat("b", stars=5), chat("c", stars=1)]), "b.parquet")
    assert terminal.json("import", "one", "*.jsonl.gz")["accepted"] == 1
    terminal.type("import", "two", "select * from 'b.parquet' where stars > 3")
    assert [row["messages"][0]["content"] for row in terminal.rows("two")] == ["b"]
    assert "The query fails" in terminal.type("import", "three", "select * from 'c.parquet'", code=2)


def test_a_wrong_verifier_or_arguments_are_refused_before_any_row(terminal: Terminal) -> None:
    path = terminal.write("rows.jsonl", [{"prompt": "1+1", "ground_truth": "2"}])
    assert "no verifier named 'nope'" in terminal.type("import", "a", path, "--verifier", "nope", code=2)
    command = ("import", "a", path, "--verifier", "exact_number", "--arguments", "{")
    assert "do not fit" in terminal.type(*command, code=2)
    assert terminal.warehouse.versions() == []
    assert "holds no tokenizer" in terminal.type(
        *("import", "a", path, "--verifier", "exact_number", "--model", terminal.folder, "--max-tokens", "9"),
        code=2,
    )


def test_a_fix_gives_the_text_back_as_it_stood_and_each_import_its_own_verifier(terminal: Terminal) -> None:
    text = "a\u2028b\u0085c"
    for name, verifier, prompt in (("1", "exact_number", text), ("2", "math", "q")):
        rows = [{"prompt": prompt, "ground_truth": ""}, {"prompt": f"good {name}", "ground_truth": "4"}]
        terminal.type("import", "sums", terminal.write(f"{name}.jsonl", rows), "--verifier", verifier)
    terminal.type("quarantine", "sums", "--export", "bad.jsonl")
    lines = [json.loads(line) for line in Path("bad.jsonl").read_text().split("\n") if line]
    for line in lines:
        line["row"]["ground_truth"] = "7"
    Path("bad.jsonl").write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    assert terminal.json("quarantine", "sums", "--fix", "--source", "bad.jsonl")["accepted"] == 2
    fixed = {row["prompt"][0]["content"]: row["verifier"] for row in terminal.rows("sums")[1:]}
    assert fixed == {text: "exact_number", "q": "math"}


def test_a_kill_in_an_import_leaves_the_old_state_and_the_rerun_converges(terminal: Terminal) -> None:
    first = terminal.write("first.jsonl", [chat(f"{n}") for n in range(50)])
    terminal.type("import", "chats", first)
    second = terminal.write("second.jsonl", [*(chat(f"{n}") for n in range(49)), chat(""), chat("new")])
    for point in ("import_batches", "Quarantines.add", "record_version", "asdict"):
        child = multiprocessing.get_context("fork").Process(target=_die_importing, args=(second, point))
        child.start()
        child.join()
        assert child.exitcode == -signal.SIGKILL
        versions = terminal.warehouse.versions()
        assert find_damage(terminal.home, terminal.warehouse.catalog, versions, True, lambda *_: None) == []
        assert len(terminal.rows("chats@1")) == 50
    report = terminal.json("import", "chats", second)
    assert report["version"] == "chats@2"
    assert [row["line"] for row in terminal.json("quarantine", "chats")["rows"]] == [50]
    assert [e.version for e in Ledger(terminal.home.ledger_path).find_by_stage("data", "chats")] == [2, 1]
    terminal.type("gc", "--apply")
    assert list(terminal.home.path.rglob(".*.tmp")) == []


def _die_importing(source: Path, point: str) -> None:
    owner: Any = imports
    *parents, name = point.split(".")
    for parent in parents:
        owner = getattr(owner, parent)

    def die(*_: Any, **__: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(owner, name, die)
    execute(["data", "import", "chats", str(source)])
    os._exit(0)


def test_imports_of_several_processes_wait_their_turn(terminal: Terminal) -> None:
    paths = [terminal.write(f"{n}.jsonl", [chat(f"{n} {row}") for row in range(40)]) for n in range(4)]
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=_import_quietly, args=(path,)) for path in paths]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0] * 4
    versions = terminal.warehouse.versions("chats")
    assert [version.version for version in versions] == [1, 2, 3, 4]
    first = {terminal.rows(str(version))[0]["messages"][0]["content"] for version in versions}
    assert first == {f"{n} 0" for n in range(4)}
    assert len(Ledger(terminal.home.ledger_path).find_by_stage("data", "chats")) == 4


def _import_quietly(path: Path) -> None:
    os._exit(execute(["data", "import", "chats", str(path), "--json"]))
