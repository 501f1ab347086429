"""`burnish data …` as a person types it: what it prints, what it keeps, how it refuses."""

import gzip
import json
import multiprocessing
import os
import shlex
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import load_from_disk

from flows.cli.app import execute
from flows.data import exports, imports
from flows.data.loading import load_dataset
from flows.nodes import Node, make_nodes
from infra.home import open_home
from infra.ledger import Ledger
from infra.records import Input
from infra.warehouse.integrity import find_damage
from infra.warehouse.warehouse import Warehouse
from tests.factories import SOURCES, make_execution, make_recipe

Row = dict[str, Any]


class Terminal:
    """Types commands into one home."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self._capsys = folder, capsys
        self.home = open_home(folder / "home")
        self.warehouse = Warehouse(self.home)

    def type(self, *arguments: Any, code: int = 0) -> str:
        """Everything printed, standard error included."""
        found = execute(["data", *map(str, arguments)])
        printed = self._capsys.readouterr()
        assert found == code, printed
        return printed.out + printed.err

    def json(self, *arguments: Any, code: int = 0) -> Any:
        found = execute(["data", *map(str, arguments), "--json"])
        printed = self._capsys.readouterr()
        assert found == code, printed
        return json.loads(printed.out)

    def write(self, name: str, rows: list[Row]) -> Path:
        path = self.folder / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    def rows(self, reference: str) -> list[Row]:
        return self.warehouse.reader.read(self.warehouse.get(reference)).to_pylist()


@pytest.fixture
def terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    monkeypatch.setenv("BURNISH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    return Terminal(tmp_path, capsys)


@pytest.fixture(scope="module")
def home_of_one_row(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("one_row")
    (folder / "rows.jsonl").write_text(json.dumps(_chat("a")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BURNISH_HOME", str(folder / "home"))
        assert execute(["data", "import", "d", str(folder / "rows.jsonl")]) == 0
    return folder


@pytest.fixture
def one_row(
    home_of_one_row: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Terminal:
    """For commands that make nothing: `d@1`, one conversation."""
    monkeypatch.setenv("BURNISH_HOME", str(home_of_one_row / "home"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(home_of_one_row)
    return Terminal(home_of_one_row, capsys)


def _chat(prompt: str, completion: str = "yes", **more: Any) -> Row:
    turns = [{"role": "user", "content": prompt}, {"role": "assistant", "content": completion}]
    return {"messages": turns, **more}


def _problem(prompt: str, ground_truth: str, **more: Any) -> Row:
    return {"prompt": prompt, "ground_truth": ground_truth, "verifier": "exact_number", **more}


def test_every_row_is_accepted_or_quarantined_with_file_line_and_reason(terminal: Terminal) -> None:
    path = terminal.write("rows.jsonl", [_chat("a"), _chat(" "), _chat("b", "c")])
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
    path = terminal.write("rows.jsonl", [_chat("a")])
    terminal.type("import", "chats", path)
    assert "The same rows as chats@1" in terminal.type("import", "chats", path)
    terminal.write("rows.jsonl", [_chat("a"), _chat("b")])
    assert terminal.json("import", "chats", path)["version"] == "chats@2"
    executions = Ledger(terminal.home.ledger_path).find_by_output("chats", 1)
    assert [execution.kind for execution in executions] == ["import"]


def test_an_unknown_shape_is_explained_and_map_reads_it(terminal: Terminal) -> None:
    path = terminal.write("rows.jsonl", [{"ask": "1+1", "reply": " 2 "}])
    printed = terminal.type("import", "own", path, code=2)
    assert "ask: string" in printed and "--map" in printed
    terminal.type("import", "own", path, "--map", "prompt=ask", "--map", "completion=trim(reply)")
    assert terminal.rows("own") == [{**_chat("1+1", "2"), "source": "own"}]
    assert "is no mapping" in terminal.type("import", "own", path, "--map", "prompt", code=2)


def test_a_ground_truth_that_its_verifier_rejects_is_quarantined(terminal: Terminal) -> None:
    path = terminal.write("rows.jsonl", [_problem("1+1", "2"), _problem("1+2", "three")])
    report = terminal.json("import", "sums", path)
    assert report["accepted"] == 1
    assert [row["line"] for row in terminal.json("quarantine", "sums")["rows"]] == [2]
    assert terminal.json("import", "sums", path, "--no-prove")["accepted"] == 2


def test_an_unknown_verifier_of_a_row_is_quarantined(terminal: Terminal) -> None:
    path = terminal.write("rows.jsonl", [_problem("1+1", "2"), {**_problem("1+2", "3"), "verifier": "exakt"}])
    terminal.type("import", "sums", path)
    (bad,) = terminal.json("quarantine", "sums")["rows"]
    assert "There is no verifier named 'exakt'" in bad["reason"]


def test_no_good_row_at_all_makes_no_version_and_keeps_the_rows(terminal: Terminal) -> None:
    path = terminal.write("rows.jsonl", [_chat(""), _chat(" ")])
    assert "No row of chats keeps its contract" in terminal.type("import", "chats", path, code=2)
    assert terminal.warehouse.versions() == []
    assert len(terminal.json("quarantine", "chats")["rows"]) == 2


def test_corrected_rows_join_the_newest_version_and_the_rest_stays(terminal: Terminal) -> None:
    path = terminal.write("rows.jsonl", [_chat("a"), _chat("", "b"), _chat("c", "")])
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
    path = terminal.write("rows.jsonl", [_problem("1+1", "2"), _problem("1+2", "is 3 or 4, say 3x")])
    terminal.type("import", "sums", path, "--map", "ground_truth=ground_truth")
    report = terminal.json(
        "quarantine", "sums", "--fix", "--map", "ground_truth=regexp_extract(ground_truth, '[0-9]+')"
    )
    assert (report["accepted"], report["quarantined"]) == (1, 0)
    assert [row["ground_truth"] for row in terminal.rows("sums@2")] == ["2", "3"]
    assert "No row of sums is in quarantine" in terminal.type("quarantine", "sums")


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".parquet", ".arrow", ""])
def test_what_is_exported_imports_as_the_same_version(terminal: Terminal, suffix: str) -> None:
    rows = [_chat(f"é {number}", id=str(number)) for number in range(300)]
    terminal.type("import", "chats", terminal.write("rows.jsonl", rows))
    terminal.type("export", "chats", f"out{suffix}")
    version = terminal.warehouse.get("chats")
    if suffix == "":
        assert load_from_disk("out").to_list() == terminal.rows("chats")
    report = terminal.json("import", "again", f"out{suffix}", "--map", "id=id")
    assert (report["fingerprint"], report["quarantined"]) == (version.fingerprint, 0)
    assert "exists already" in terminal.type("export", "chats", f"out{suffix}", code=2)


def test_a_version_loads_as_a_dataset_with_its_own_fingerprint(terminal: Terminal) -> None:
    terminal.type("import", "chats", terminal.write("rows.jsonl", [_chat("a"), _chat("b")]))
    loaded = load_dataset("chats@1", prove=True)
    assert loaded.to_list() == terminal.rows("chats@1")
    assert loaded._fingerprint == terminal.warehouse.get("chats@1").fingerprint


def test_loading_withdrawn_rows_warns(terminal: Terminal) -> None:
    rows = [_chat("a") | {"source": "forum"}, _chat("b") | {"source": "web"}]
    terminal.type("import", "chats", terminal.write("rows.jsonl", rows))
    terminal.type("withdraw", "--source", "forum", "--because", "asked for", "--yes")
    with pytest.warns(UserWarning, match="1 rows of chats@1 are withdrawn"):
        assert len(load_dataset("chats@1")) == 2


def test_globs_compression_and_queries_are_sources(terminal: Terminal) -> None:
    (terminal.folder / "a.jsonl.gz").write_bytes(gzip.compress(json.dumps(_chat("a")).encode()))
    pq.write_table(pa.Table.from_pylist([_chat("b", stars=5), _chat("c", stars=1)]), "b.parquet")
    assert terminal.json("import", "one", "*.jsonl.gz")["accepted"] == 1
    terminal.type("import", "two", "select * from 'b.parquet' where stars > 3")
    assert [row["messages"][0]["content"] for row in terminal.rows("two")] == ["b"]
    assert "The query fails" in terminal.type("import", "three", "select * from 'c.parquet'", code=2)


def test_a_mix_is_the_same_anywhere_and_records_its_recipe(terminal: Terminal, tmp_path: Path) -> None:
    terminal.type("import", "a", terminal.write("a.jsonl", [_chat(f"a{n}") for n in range(40)]))
    terminal.type("import", "b", terminal.write("b.jsonl", [_chat(f"b{n}") for n in range(20)]))
    first = terminal.json("mix", "train", "a@1=0.5", "b=2.5", "--seed", 3)
    assert first["rows"] == {"a@1": 20, "b@1": 50}
    assert (
        terminal.json("mix", "again", "a=0.5", "b@1=2.5", "--seed", 3)["fingerprint"] == first["fingerprint"]
    )
    assert first["fingerprint"] == "6be653e541cc169a6c6da02ed6122435"
    origin = terminal.warehouse.get("train").origin
    assert origin["mixture"]["sources"][1] == {"dataset": "b@1", "weight": 2.5, "cap": None, "seed": None}
    assert "b@1" in terminal.type("card", "train")
    assert "weight is nan" in terminal.type("mix", "x", "a=nan", code=2)
    assert "The mix would have" in terminal.type("mix", "x", "a=1e300", code=2)
    assert "is none of the sources" in terminal.type("mix", "x", "a@1", "--cap", "c=3", code=2)
    printed = terminal.type("mix", "x", "a=0", "b@1=1", "--total", "30", code=2)
    assert "b@1 has 20 rows and would give 30" in printed


def test_a_split_keeps_the_rows_of_a_prompt_on_one_side(terminal: Terminal) -> None:
    rows = [_chat(f"prompt {n % 25}", f"completion {n}") for n in range(100)]
    terminal.type("import", "chats", terminal.write("rows.jsonl", rows))
    counts = terminal.json("split", "chats", "train", "test", "--fraction", "0.2")
    assert counts == {"train@1": 80, "test@1": 20}
    sides = [{row["messages"][0]["content"] for row in terminal.rows(name)} for name in ("train", "test")]
    assert sides[0].isdisjoint(sides[1])


def test_repeated_rows_leave_by_priority(terminal: Terminal) -> None:
    terminal.type("import", "first", terminal.write("a.jsonl", [_chat("one"), _chat("two")]))
    terminal.type(
        "import", "second", terminal.write("b.jsonl", [_chat("TWO "), _chat("three"), _chat("three")])
    )
    assert terminal.json("dedupe", "clean", "first", "second", "--method", "exact")["removed"]["exact"] == 2
    prompts = [row["messages"][0]["content"] for row in terminal.rows("clean")]
    assert prompts == ["one", "two", "three"]
    terminal.type("dedupe", "new", "second", "--against", "first", "--method", "exact")
    assert [row["messages"][0]["content"] for row in terminal.rows("new")] == ["three"]


PROBLEM = "A farmer keeps 14 brown hens and 23 white hens; each lays 3 eggs a week. How many eggs are laid in 5 weeks?"


def test_contaminated_rows_leave_and_are_shown_side_by_side(terminal: Terminal) -> None:
    rows = [_chat("What is the capital of France, and why?"), _chat(f"Please solve: {PROBLEM}", "555")]
    terminal.type("import", "chats", terminal.write("a.jsonl", rows))
    terminal.type("import", "held", terminal.write("b.jsonl", [_problem(PROBLEM, "555")]))
    command = ("decontaminate", "clean", "chats", "--against", "held")
    assert "nothing was made" in terminal.type(*command, "--fail-above", "0.1", code=1)
    assert [str(version) for version in terminal.warehouse.versions("clean")] == []
    found = terminal.json(*command, "--report", "report.json")
    assert (found["contaminated_rows"], found["version"]) == (1, "clean@1")
    first = next(hit for hit in found["findings"] if hit["kind"] == "exact")
    assert (first["row"], first["evaluation"], first["evaluation_row"]) == (1, "held@1", 0)
    ((start, end),) = first["spans"]
    assert first["text"][start:end].endswith("laid in 5 weeks")
    assert json.loads(Path("report.json").read_text())["findings"] == found["findings"]
    assert len(terminal.rows("clean")) == 1
    Path("harmless.json").write_text(json.dumps({"problems": [["held@1", 0]]}))
    assert terminal.json(*command, "--allow", "harmless.json")["contaminated_rows"] == 0
    Path("harmless.json").write_text("[]")
    assert "cannot be read as an allow list" in terminal.type(*command, "--allow", "harmless.json", code=2)


def test_what_a_model_a_run_or_a_tag_needs_is_never_collected(terminal: Terminal) -> None:
    for number in range(4):
        terminal.type("import", "chats", terminal.write("rows.jsonl", [_chat(f"{number}")]))
    terminal.type("tag", "chats@1", "golden")
    node = _sft_node()
    used = terminal.warehouse.get("chats@2")
    Ledger(terminal.home.ledger_path).record(
        make_execution(
            node, inputs=(Input("worked", "rows", used.name, used.version, used.fingerprint, 1.0),)
        )
    )
    assert terminal.json("gc", "--keep", 1)["versions"] == ["chats@3"]
    assert [str(version) for version in terminal.warehouse.versions()] == [f"chats@{n}" for n in (1, 2, 3, 4)]
    found = terminal.json("gc", "--keep", 1, "--apply")
    assert (found["versions"], len(found["files"])) == (["chats@3"], 2)
    assert [str(version) for version in terminal.warehouse.versions()] == ["chats@1", "chats@2", "chats@4"]
    assert "3 versions are as they were published" in terminal.type("verify", "--rows")


def test_damage_is_an_exit_code_and_a_table(terminal: Terminal) -> None:
    terminal.type("import", "chats", terminal.write("rows.jsonl", [_chat("a")]))
    path = terminal.warehouse.get("chats").path
    path.write_bytes(path.read_bytes()[:-1])
    assert "was changed" in terminal.type("verify", code=1)
    assert terminal.json("verify", code=1)["damage"][0]["versions"] == ["chats@1"]
    assert "was changed" in terminal.type("export", "chats", "out.jsonl", code=2)
    assert not Path("out.jsonl").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("import", "Chats", "x.jsonl"), "is no name for a dataset"),
        (("import", "tiny.worked", "x.jsonl"), "is no name for a dataset"),
        (("import", "chats", "missing.jsonl"), "does not exist"),
        (("import", "chats", "*.parquet"), "No file matches"),
        (("import", "chats", "hub:no-slash"), "is no hub dataset"),
        (("show", "chats"), "No dataset chats"),
        (("show", "chats@x@y"), "No dataset chats"),
        (("log", "chats"), "No dataset chats"),
        (("quarantine", "chats"), "No dataset chats"),
        (("tag", "chats", "golden"), "No dataset chats"),
        (("verify", "chats"), "No dataset chats"),
        (("mix", "train"), "has no sources"),
        (("mix", "train", "a=x"), "is no NAME@VERSION=WEIGHT"),
        (("diff", "a", "b"), "No dataset a"),
        (("show", "chats@"), "names no version"),
        (("import", "chats", ""), "The source is empty"),
        (("split", "a", "b", "b", "--count", "1"), "would mix up their versions"),
        (("split", "a", "a", "b", "--count", "1"), "would mix up their versions"),
        (("split", "a", "b", "c", "--fraction", "2"), "fraction is 2.0"),
        (("dedupe", "a"), "No version to compare is named"),
        (("decontaminate", "a", "b", "--against", "c", "--fail-above", "nan"), "--fail-above is nan"),
        (("import", "q", "select 1 as a, 2 as a"), "gives a more than once"),
    ],
)
def test_a_mistake_is_explained_without_a_stack_trace(
    terminal: Terminal, arguments: tuple[str, ...], message: str
) -> None:
    printed = terminal.type(*arguments, code=2)
    assert message in printed
    assert "Traceback" not in printed


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


def test_hostile_text_reaches_the_terminal_escaped(terminal: Terminal) -> None:
    path = terminal.write("rows.jsonl", [{"\x1b[31mEVIL\x07": 1}])
    printed = terminal.type("import", "a", path, code=2)
    assert "EVIL" in printed and "\x1b" not in printed and "\x07" not in printed
    terminal.type(
        "import", "b", terminal.write("b.jsonl", [_chat("[red]\x1b]0;x\x07[/nothing]", "")]), code=2
    )
    assert "\x1b" not in terminal.type("quarantine", "b")


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


def test_a_damaged_quarantine_is_found_and_a_damaged_card_made_again(terminal: Terminal) -> None:
    terminal.type("import", "chats", terminal.write("rows.jsonl", [_chat("a"), _chat("")]))
    card = terminal.type("card", "chats")
    (path,) = terminal.home.cards_dir.iterdir()
    path.write_text("{")
    assert terminal.type("card", "chats") == card
    (path,) = terminal.home.quarantine_dir.iterdir()
    content = bytearray(path.read_bytes())
    content[27] ^= 1
    path.write_bytes(content)
    assert "was changed" in terminal.type("verify", code=1)
    assert "was changed" in terminal.type("quarantine", "chats", code=2)


def test_a_missing_or_damaged_ledger_is_named(terminal: Terminal) -> None:
    terminal.type("import", "chats", terminal.write("rows.jsonl", [_chat("a")]))
    path = terminal.home.ledger_path
    Ledger(path).require_sound()
    for log in path.parent.glob("ledger.db-*"):
        log.unlink()
    path.write_bytes(b"no database" * 1000)
    assert "ledger.db cannot be used" in terminal.type("verify", code=2)
    for other in path.parent.glob("ledger.db*"):
        other.unlink()
    assert "is missing" in terminal.type("list", code=2)


def test_a_kill_in_an_import_leaves_the_old_state_and_the_rerun_converges(terminal: Terminal) -> None:
    first = terminal.write("first.jsonl", [_chat(f"{n}") for n in range(50)])
    terminal.type("import", "chats", first)
    second = terminal.write("second.jsonl", [*(_chat(f"{n}") for n in range(49)), _chat(""), _chat("new")])
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
    paths = [terminal.write(f"{n}.jsonl", [_chat(f"{n} {row}") for row in range(40)]) for n in range(4)]
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


def _sft_node() -> Node:
    return next(node for node in make_nodes(make_recipe(), SOURCES) if node.name == "sft")


@pytest.fixture
def own_environment() -> Iterator[None]:
    """`withdraw` sets variables for MLflow."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.mark.usefixtures("own_environment")
@pytest.mark.parametrize("method", ["exact", "near"])
def test_a_withdrawn_copy_does_not_take_the_permitted_ones_along(terminal: Terminal, method: str) -> None:
    long = [f"{number} " + " ".join(f"word{number}x{place}" for place in range(9)) for number in range(5)]
    rows = [_chat(text, source=source) for text in long for source in ("forum", "web")]
    rows += [_chat(long[4], source="web")]
    terminal.type("import", "p", terminal.write("p.jsonl", rows))
    terminal.type("withdraw", "--source", "forum", "--because", "x", "--yes")
    found = terminal.json("dedupe", "u", "p", "--method", method)
    kept = terminal.rows("u")
    assert [(row["messages"][0]["content"], row["source"]) for row in kept] == [
        (text, "web") for text in long
    ]
    assert found["removed"] == {"exact": 1, "near": 0}
    (cluster,) = found["clusters"]
    assert (cluster["source"], cluster["row"], cluster["size"]) == ("p@1", 9, 2)


@pytest.mark.usefixtures("own_environment")
def test_withdrawn_rows_of_a_prior_version_keep_nothing_out(terminal: Terminal) -> None:
    terminal.type("import", "old", terminal.write("a.jsonl", [_chat(t, source="forum") for t in "ab"]))
    terminal.type("import", "new", terminal.write("b.jsonl", [_chat(t, source="web") for t in "ac"]))
    terminal.type("withdraw", "--source", "forum", "--because", "x", "--yes")
    terminal.type("dedupe", "u", "new", "--against", "old", "--method", "exact")
    assert [row["messages"][0]["content"] for row in terminal.rows("u")] == ["a", "c"]


def test_a_source_named_twice_is_deduplicated_once(terminal: Terminal) -> None:
    terminal.type("import", "d", terminal.write("a.jsonl", [_chat(text) for text in "aab"]))
    terminal.type("dedupe", "u", "d", "d@1", "--method", "exact")
    assert [row["messages"][0]["content"] for row in terminal.rows("u")] == ["a", "b"]


@pytest.mark.usefixtures("own_environment")
def test_a_split_counts_the_rows_that_may_be_used(terminal: Terminal) -> None:
    rows = [_chat(f"{n}", source="forum" if n % 2 else "web", key=f"{n}") for n in range(100)]
    maps = [option for name in ("messages", "source", "key") for option in ("--map", f"{name}={name}")]
    terminal.type("import", "d", terminal.write("d.jsonl", rows), *maps)
    terminal.type("withdraw", "--source", "forum", "--because", "x", "--yes")
    for group_by in ("prompt", "key"):
        command = ("split", "d", f"{group_by}_tr", f"{group_by}_te", "--count", 20, "--group-by", group_by)
        assert terminal.json(*command) == {f"{group_by}_tr@1": 30, f"{group_by}_te@1": 20}
        keys = [row["key"] for side in ("tr", "te") for row in terminal.rows(f"{group_by}_{side}")]
        assert sorted(map(int, keys)) == list(range(0, 100, 2))


def test_json_gives_every_character_as_it_is_stored(terminal: Terminal) -> None:
    text = "say :smile: now [bold]x[/] [/nothing] \x1b[31m \u202e 20 %"
    terminal.type("import", "em", terminal.write("em.jsonl", [_chat(text, "ok :heart:")]))
    (row,) = terminal.json("show", "em")["rows"]
    assert row["messages"] == _chat(text, "ok :heart:")["messages"]
    printed = terminal.type("show", "em")
    assert "say :smile: now [bold]x[/] [/nothing] \\x1b[31m \\x202e 20 %" in printed


_HOSTILE_NAMES = (
    "[/x].jsonl",
    "[red]a.jsonl",
    "a\x1b[31mb.jsonl",
    "a\u202eb.jsonl",
    "a:smile:b.jsonl",
    "a\rb.jsonl",
)


def _as_shown(text: str) -> str:
    return text.replace("\x1b", "\\x1b").replace("\u202e", "\\x202e").replace("\r", "\\x0d")


@pytest.mark.parametrize("name", _HOSTILE_NAMES)
def test_the_name_of_a_file_acts_on_no_terminal(terminal: Terminal, name: str) -> None:
    Path("[").mkdir()
    path = terminal.write(f"[/{name.lstrip('[/')}" if name.startswith("[/") else name, [_chat("a")])
    source = path.relative_to(terminal.folder)
    terminal.type("import", "mk", source)
    for command in (("list",), ("log", "mk"), ("card", "mk"), ("export", "mk", f"{source}.copy.parquet")):
        printed = terminal.type(*command)
        assert not set(printed) & set("\x1b\u202e\r"), command
        if command[0] != "card":
            assert _as_shown(str(source)) in printed, command


@pytest.mark.usefixtures("own_environment")
def test_what_a_withdrawal_names_acts_on_no_terminal(terminal: Terminal) -> None:
    hostile = "\x1b]0;x\x07[red]:smile:\u202e"
    terminal.type("import", "d", terminal.write("d.jsonl", [_chat("a", source=hostile)]))
    printed = terminal.type("withdraw", "--source", hostile, "--because", hostile, "--yes")
    printed += terminal.type("withdraw", "--source", hostile, "--because", "other", "--yes")
    printed += terminal.type("withdraw", "--undo", 1, "--because", "granted")
    assert not set(printed) & set("\x1b\x07\u202e")
    assert "Withdrawal 1 (source \\x1b]0;x\\x07[red]:smile:\\x202e) is ended." in printed


@pytest.mark.parametrize(
    "arguments",
    [("import", "a", "b.jsonl", "--kind", "\x1b[31m[/x]"), ("list", "--\x1b[31mno[/x]"), ("\x1b[31m[/x]",)],
)
def test_a_mistake_is_quoted_and_not_obeyed(terminal: Terminal, arguments: tuple[str, ...]) -> None:
    printed = terminal.type(*arguments, code=2)
    assert "\x1b" not in printed
    assert "\\x1b[31m" in printed and "[/x]" in printed


@pytest.mark.usefixtures("own_environment")
def test_another_reason_for_a_withdrawal_is_kept(terminal: Terminal) -> None:
    terminal.type("import", "d", terminal.write("d.jsonl", [_chat("a", source="web")]))
    command = ("withdraw", "--source", "web", "--yes", "--because")
    terminal.type(*command, "licence")
    for _ in range(2):
        printed = terminal.type(*command, "its author asked")
    assert "because licence; the reason given now is kept beside it" in printed
    ledger = Ledger(terminal.home.ledger_path)
    assert [decision.reason for decision in ledger.decisions()] == ["its author asked", "licence"]
    assert len(ledger.withdrawals()) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("mix", "m", "d=0.5", "d=2"), "d is named more than once"),
        (("mix", "m", "d", "d"), "d is named more than once"),
        (("mix", "m", "d", "d@1"), "d@1 more than once"),
        (("mix", "m", "d", "--cap", "d=1", "--cap", "d=2"), "d is named more than once"),
        (("mix", "m", "d", "--cap", "d=nan"), "is no NAME=ROWS"),
        (("mix", "m", "d", "--source-seed", "d=1.5"), "is no NAME=SEED"),
        (("mix", "m", "d@0001-01-01"), "names no version"),
        (("show", "d@0001-01-01"), "names no version"),
        (("show", f"d@{'9' * 5000}"), "No dataset d@9"),
        (("log", "\udcff"), "is not UTF-8"),
        (("import", "e", "rows.jsonl", "--licence", "\udcff"), "is not UTF-8"),
        (("withdraw", "--source", "web", "--because", "\udcff", "--yes"), "is not UTF-8"),
        (("mix", "m", "d@2999-12-31"), "means a time that has not come"),
        (("mix", "m", "d=1e308"), "more than 500,000,000 rows"),
        (("mix", "m", "d=nan"), "weight is nan.\nExpected: a finite number"),
        (("mix", "m", "d=abc"), "Expected: a number after the ="),
        (("mix", "m", "d=1_0"), "is no NAME@VERSION=WEIGHT"),
        (("mix", "m", "d=２"), "is no NAME@VERSION=WEIGHT"),
        (("mix", "m", "d@1", "--cap", "d=1"), "Name it as among the sources"),
        (("mix", "m", "d", "--cap", "d=1.5"), "Expected: a whole number after the ="),
        (("mix", "m", "d", "--seed", "1.5"), "Invalid value for --seed: '1.5' is no whole number"),
        (("mix", "m", "d", "--total", "1.0"), "'1.0' is no whole number"),
        (("mix", "m", "d", "--total", "1e2"), "'1e2' is no whole number"),
        (("show", "d", "--rows", "0x2"), "'0x2' is no whole number"),
        (("show", "d", "--rows", "0"), "Must be >= 1"),
        (("show", "d", "--at", "1"), "--at is 1, and d@1 has 1 rows.\nExpected: 0 to 0"),
        (("dedupe", "u", "d", "--threshold", "0_1"), "'0_1' is no number"),
        (("show", ""), "names no dataset"),
        (("show", "@1"), "names no dataset"),
        (("show",), "VERSION is missing.\nSee `burnish data show --help`."),
        (("decontaminate", "c", "d"), "--against requires an argument"),
        (("split", "d", "a", "b"), "has neither a fraction nor a count"),
        (("split", "d", "a", "b", "--count", "1", "--fraction", "0.5"), "has both a fraction and a count"),
        (
            ("split", "d", "a", "b", "--count", "1", "--group-by", "nope"),
            "no column nope.\nExpected: one of messages",
        ),
        (
            ("split", "d", "a", "b", "--count", "1", "--stratify-by", "nope"),
            "no column nope.\nExpected: one of messages",
        ),
        (("dedupe", "u", "d", "--against", "d"), "No row of d@1 is left for u"),
        (("impact", "--source", "nope"), "No version holds a row of the source nope"),
        (("dedupe", "u", "d", "--threshold", "nan"), "--threshold is nan"),
        (("dedupe", "u", "d", "--threshold", "0"), "--threshold is 0.0"),
        (("dedupe", "u", "d", "--threshold", "1.5"), "--threshold is 1.5"),
        (("export", "d", "a" * 300 + ".jsonl"), "cannot be written: File name too long"),
        (("export", "d", "a" * 300 + "/b.jsonl"), "cannot be written: File name too long"),
        (("export", "d", "/proc/d.jsonl"), "cannot be written"),
        (("export", "d", "d.csv"), "has the suffix '.csv'"),
    ],
)
def test_a_mistake_about_a_version_that_is_there_is_explained_and_makes_nothing(
    one_row: Terminal, arguments: tuple[str, ...], message: str
) -> None:
    printed = one_row.type(*arguments, code=2)
    assert message in printed
    assert "Traceback" not in printed
    assert [str(version) for version in one_row.warehouse.versions()] == ["d@1"]


@pytest.mark.parametrize("target", ["d.jsonl", "d.jsonl.gz", "d.parquet", "d.arrow", "folder"])
def test_an_export_that_fails_or_is_killed_leaves_nothing_for_long(terminal: Terminal, target: str) -> None:
    terminal.type("import", "d", terminal.write("rows.jsonl", [_chat(f"{n}") for n in range(9)]))
    (Path("out") / "mine").mkdir(parents=True)
    Path("out/.1.2.tmp").write_text("another program's")
    kept = sorted(path.name for path in Path("out").iterdir())
    process = multiprocessing.get_context("spawn").Process(target=_die_exporting, args=(f"out/{target}",))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert len(list(Path("out").iterdir())) == 3
    (segment,) = terminal.home.rows_dir.glob("*.parquet")
    whole = segment.read_bytes()
    segment.write_bytes(whole[: len(whole) // 2])
    terminal.type("export", "d", f"out/{target}", code=2)
    assert sorted(path.name for path in Path("out").iterdir()) == kept
    segment.write_bytes(whole)
    terminal.type("export", "d", f"out/{target}")
    assert sorted(path.name for path in Path("out").iterdir()) == sorted([*kept, target])


def _die_exporting(target: str) -> None:
    """Killed when all is written and nothing has its name yet."""
    Path.rename = lambda self, target: os.kill(os.getpid(), signal.SIGKILL)
    warehouse = Warehouse(open_home(Path(os.environ["BURNISH_HOME"])))
    exports.export_version(warehouse, warehouse.get("d"), Path(target), lambda done, total: None)


def test_a_reader_of_json_that_has_seen_enough_is_no_error(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal.type("import", "d", terminal.write("d.jsonl", [_chat("a" * 100_000)]))
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as pipe:
        monkeypatch.setattr("sys.stdout", pipe)
        assert execute(["data", "show", "d", "--json"]) == 0


def test_a_report_is_refused_before_the_work_where_none_can_be_written(one_row: Terminal) -> None:
    Path("folder").mkdir()
    before = sorted(one_row.folder.iterdir())
    for report in ("/nope/x.json", "folder", "/proc/x.json"):
        command = ("decontaminate", "c", "nothing_to_search", "--against", "d", "--report", report)
        assert f"{report} cannot be written" in one_row.type(*command, code=2)
    assert sorted(one_row.folder.iterdir()) == before


@pytest.mark.parametrize(
    ("allowed", "message"),
    [
        ("{", "Invalid JSON"),
        ('{"rows": []}', "rows is none of its fields."),
        ('{"texts": [3]}', "texts.0 is 3."),
        ("\xff", "utf-8"),
    ],
)
def test_an_allow_list_that_is_none_says_where(one_row: Terminal, allowed: str, message: str) -> None:
    Path("allow.json").write_text(allowed, "latin-1")
    printed = one_row.type("decontaminate", "c", "d", "--against", "d", "--allow", "allow.json", code=2)
    assert "cannot be read as an allow list" in printed and message in printed


def test_the_table_of_findings_says_how_many_rows_count(terminal: Terminal) -> None:
    other = PROBLEM.replace("5 weeks", "6 weeks")
    terminal.type("import", "d", terminal.write("d.jsonl", [_problem(other, "7"), _problem(PROBLEM, "8")]))
    terminal.type("import", "held", terminal.write("h.jsonl", [_problem(PROBLEM, "8")]))
    terminal.type("decontaminate", "c", "d", "--against", "held", "--report", "r.json")
    found = json.loads(Path("r.json").read_text())
    assert (found["rows_by_kind"]["8-gram"], found["counted_rows_by_kind"]["8-gram"]) == (2, 1)
    printed = terminal.type("decontaminate", "c", "d", "--against", "held")
    (line,) = [line for line in printed.splitlines() if line.startswith("\u2502 8-gram")]
    assert [cell.strip() for cell in line.strip("\u2502").split("\u2502")] == ["8-gram", "2", "1"]
    assert "c@1: 1 rows, 1 contaminated rows removed. It was there already." in printed


@pytest.mark.usefixtures("own_environment")
def test_rows_of_a_version_that_are_withdrawn_are_told_wherever_it_is_read(terminal: Terminal) -> None:
    terminal.type("import", "d", terminal.write("d.jsonl", [_chat(t, source=s) for t, s in ("aw", "bf")]))
    for command in (("show", "d"), ("card", "d"), ("export", "d", "before.jsonl")):
        assert "withdrawn" not in terminal.type(*command)
    printed = terminal.type("withdraw", "--source", "f", "--because", "x", "--yes")
    assert printed.endswith("Withdrawal 1 is in force.\n")
    shown = terminal.type("show", "d")
    assert "d@1: 2 sft rows, 1 of them withdrawn" in shown
    assert "withdrawn row 1 " in shown and "withdrawn row 0 " not in shown
    assert "! 1 (50 %) rows are withdrawn" in terminal.type("card", "d")
    assert "1 of them are withdrawn: a version never changes" in terminal.type("export", "d", "after.jsonl")
    assert [terminal.json(command, "d")["withdrawn"] for command in ("show", "card")] == [1, 1]


def test_rows_that_were_there_already_and_a_tag_that_moves_are_told(terminal: Terminal) -> None:
    terminal.type("import", "d", terminal.write("d.jsonl", [_chat(f"{n}") for n in range(9)]))
    assert "already" not in terminal.type("mix", "m", "d", "--seed", 1)
    assert "already" not in terminal.type("mix", "m", "d", "--seed", 2)
    assert "It was there already; the newest is m@2." in terminal.type("mix", "m", "d", "--seed", 1)
    for _ in range(2):
        assert "until now" not in terminal.type("tag", "m@1", "golden")
    assert "m@2 is m@golden, which was m@1 until now." in terminal.type("tag", "m@2", "golden")


def test_the_readme_can_be_typed_as_it_stands(terminal: Terminal) -> None:
    readme = Path(__file__).parents[2] / "README.md"
    block = readme.read_text().split("## Datasets")[1].split("```")[1]
    for folder in ("raw", "gsm8k"):
        Path(folder).mkdir()
    chats = "".join(json.dumps(_chat(text)) + "\n" for text in ("a", "b", "b", PROBLEM, ""))
    Path("raw/a.jsonl.gz").write_bytes(gzip.compress(chats.encode()))
    terminal.write("maths.jsonl", [_chat("1+1", "2"), _chat("1+2", "3")])
    terminal.write("gsm8k/test.jsonl", [{"question": PROBLEM, "answer": "5 * 111\n#### 555"}])
    for line in block.strip().splitlines():
        program, *arguments = shlex.split(line, comments=True)
        assert program.endswith("burnish")
        assert execute(arguments) == 0, line
    assert len(terminal.rows("train")) == 3
