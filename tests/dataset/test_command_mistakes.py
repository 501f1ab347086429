"""What a person can type wrong after `burnish data`: explained in words, and nothing is made."""

import pytest

from tests.dataset.terminal import Terminal


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


@pytest.mark.parametrize(
    "arguments",
    [("import", "a", "b.jsonl", "--kind", "\x1b[31m[/x]"), ("list", "--\x1b[31mno[/x]"), ("\x1b[31m[/x]",)],
)
def test_a_mistake_is_quoted_and_not_obeyed(terminal: Terminal, arguments: tuple[str, ...]) -> None:
    printed = terminal.type(*arguments, code=2)
    assert "\x1b" not in printed
    assert "\\x1b[31m" in printed and "[/x]" in printed


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
