"""Text written by strangers acts on no terminal, JSON keeps every character, and what was withdrawn is told."""

import os
from pathlib import Path

import pytest

from flows.cli.app import execute
from tests.dataset.terminal import Terminal, chat


def test_hostile_text_reaches_the_terminal_escaped(terminal: Terminal) -> None:
    path = terminal.write("rows.jsonl", [{"\x1b[31mEVIL\x07": 1}])
    printed = terminal.type("import", "a", path, code=2)
    assert "EVIL" in printed and "\x1b" not in printed and "\x07" not in printed
    terminal.type("import", "b", terminal.write("b.jsonl", [chat("[red]\x1b]0;x\x07[/nothing]", "")]), code=2)
    assert "\x1b" not in terminal.type("quarantine", "b")


def test_json_gives_every_character_as_it_is_stored(terminal: Terminal) -> None:
    text = "say :smile: now [bold]x[/] [/nothing] \x1b[31m \u202e 20 %"
    terminal.type("import", "em", terminal.write("em.jsonl", [chat(text, "ok :heart:")]))
    (row,) = terminal.json("show", "em")["rows"]
    assert row["messages"] == chat(text, "ok :heart:")["messages"]
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
    path = terminal.write(f"[/{name.lstrip('[/')}" if name.startswith("[/") else name, [chat("a")])
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
    terminal.type("import", "d", terminal.write("d.jsonl", [chat("a", source=hostile)]))
    printed = terminal.type("withdraw", "--source", hostile, "--because", hostile, "--yes")
    printed += terminal.type("withdraw", "--source", hostile, "--because", "other", "--yes")
    printed += terminal.type("withdraw", "--undo", 1, "--because", "granted")
    assert not set(printed) & set("\x1b\x07\u202e")
    assert "Withdrawal 1 (source \\x1b]0;x\\x07[red]:smile:\\x202e) is ended." in printed


def test_a_reader_of_json_that_has_seen_enough_is_no_error(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal.type("import", "d", terminal.write("d.jsonl", [chat("a" * 100_000)]))
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as pipe:
        monkeypatch.setattr("sys.stdout", pipe)
        assert execute(["data", "show", "d", "--json"]) == 0


@pytest.mark.usefixtures("own_environment")
def test_rows_of_a_version_that_are_withdrawn_are_told_wherever_it_is_read(terminal: Terminal) -> None:
    terminal.type("import", "d", terminal.write("d.jsonl", [chat(t, source=s) for t, s in ("aw", "bf")]))
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
