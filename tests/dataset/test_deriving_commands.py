"""Versions made of versions by a command: mix, split, dedupe, decontaminate."""

import gzip
import json
import shlex
from pathlib import Path

import pytest

from flows.cli.app import execute
from tests.dataset.terminal import PROBLEM, Terminal, chat, problem


def test_a_mix_is_the_same_anywhere_and_records_its_recipe(terminal: Terminal, tmp_path: Path) -> None:
    terminal.type("import", "a", terminal.write("a.jsonl", [chat(f"a{n}") for n in range(40)]))
    terminal.type("import", "b", terminal.write("b.jsonl", [chat(f"b{n}") for n in range(20)]))
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
    rows = [chat(f"prompt {n % 25}", f"completion {n}") for n in range(100)]
    terminal.type("import", "chats", terminal.write("rows.jsonl", rows))
    counts = terminal.json("split", "chats", "train", "test", "--fraction", "0.2")
    assert counts == {"train@1": 80, "test@1": 20}
    sides = [{row["messages"][0]["content"] for row in terminal.rows(name)} for name in ("train", "test")]
    assert sides[0].isdisjoint(sides[1])


def test_repeated_rows_leave_by_priority(terminal: Terminal) -> None:
    terminal.type("import", "first", terminal.write("a.jsonl", [chat("one"), chat("two")]))
    terminal.type("import", "second", terminal.write("b.jsonl", [chat("TWO "), chat("three"), chat("three")]))
    assert terminal.json("dedupe", "clean", "first", "second", "--method", "exact")["removed"]["exact"] == 2
    prompts = [row["messages"][0]["content"] for row in terminal.rows("clean")]
    assert prompts == ["one", "two", "three"]
    terminal.type("dedupe", "new", "second", "--against", "first", "--method", "exact")
    assert [row["messages"][0]["content"] for row in terminal.rows("new")] == ["three"]


def test_contaminated_rows_leave_and_are_shown_side_by_side(terminal: Terminal) -> None:
    rows = [chat("What is the capital of France, and why?"), chat(f"Please solve: {PROBLEM}", "555")]
    terminal.type("import", "chats", terminal.write("a.jsonl", rows))
    terminal.type("import", "held", terminal.write("b.jsonl", [problem(PROBLEM, "555")]))
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


@pytest.mark.usefixtures("own_environment")
@pytest.mark.parametrize("method", ["exact", "near"])
def test_a_withdrawn_copy_does_not_take_the_permitted_ones_along(terminal: Terminal, method: str) -> None:
    long = [f"{number} " + " ".join(f"word{number}x{place}" for place in range(9)) for number in range(5)]
    rows = [chat(text, source=source) for text in long for source in ("forum", "web")]
    rows += [chat(long[4], source="web")]
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
    terminal.type("import", "old", terminal.write("a.jsonl", [chat(t, source="forum") for t in "ab"]))
    terminal.type("import", "new", terminal.write("b.jsonl", [chat(t, source="web") for t in "ac"]))
    terminal.type("withdraw", "--source", "forum", "--because", "x", "--yes")
    terminal.type("dedupe", "u", "new", "--against", "old", "--method", "exact")
    assert [row["messages"][0]["content"] for row in terminal.rows("u")] == ["a", "c"]


def test_a_source_named_twice_is_deduplicated_once(terminal: Terminal) -> None:
    terminal.type("import", "d", terminal.write("a.jsonl", [chat(text) for text in "aab"]))
    terminal.type("dedupe", "u", "d", "d@1", "--method", "exact")
    assert [row["messages"][0]["content"] for row in terminal.rows("u")] == ["a", "b"]


@pytest.mark.usefixtures("own_environment")
def test_a_split_counts_the_rows_that_may_be_used(terminal: Terminal) -> None:
    rows = [chat(f"{n}", source="forum" if n % 2 else "web", key=f"{n}") for n in range(100)]
    maps = [option for name in ("messages", "source", "key") for option in ("--map", f"{name}={name}")]
    terminal.type("import", "d", terminal.write("d.jsonl", rows), *maps)
    terminal.type("withdraw", "--source", "forum", "--because", "x", "--yes")
    for group_by in ("prompt", "key"):
        command = ("split", "d", f"{group_by}_tr", f"{group_by}_te", "--count", 20, "--group-by", group_by)
        assert terminal.json(*command) == {f"{group_by}_tr@1": 30, f"{group_by}_te@1": 20}
        keys = [row["key"] for side in ("tr", "te") for row in terminal.rows(f"{group_by}_{side}")]
        assert sorted(map(int, keys)) == list(range(0, 100, 2))


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
    terminal.type("import", "d", terminal.write("d.jsonl", [problem(other, "7"), problem(PROBLEM, "8")]))
    terminal.type("import", "held", terminal.write("h.jsonl", [problem(PROBLEM, "8")]))
    terminal.type("decontaminate", "c", "d", "--against", "held", "--report", "r.json")
    found = json.loads(Path("r.json").read_text())
    assert (found["rows_by_kind"]["8-gram"], found["counted_rows_by_kind"]["8-gram"]) == (2, 1)
    printed = terminal.type("decontaminate", "c", "d", "--against", "held")
    (line,) = [line for line in printed.splitlines() if line.startswith("\u2502 8-gram")]
    assert [cell.strip() for cell in line.strip("\u2502").split("\u2502")] == ["8-gram", "2", "1"]
    assert "c@1: 1 rows, 1 contaminated rows removed. It was there already." in printed


def test_rows_that_were_there_already_and_a_tag_that_moves_are_told(terminal: Terminal) -> None:
    terminal.type("import", "d", terminal.write("d.jsonl", [chat(f"{n}") for n in range(9)]))
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
    chats = "".join(json.dumps(chat(text)) + "\n" for text in ("a", "b", "b", PROBLEM, ""))
    Path("raw/a.jsonl.gz").write_bytes(gzip.compress(chats.encode()))
    terminal.write("maths.jsonl", [chat("1+1", "2"), chat("1+2", "3")])
    terminal.write("gsm8k/test.jsonl", [{"question": PROBLEM, "answer": "5 * 111\n#### 555"}])
    for line in block.strip().splitlines():
        program, *arguments = shlex.split(line, comments=True)
        assert program.endswith("burnish")
        assert execute(arguments) == 0, line
    assert len(terminal.rows("train")) == 3
