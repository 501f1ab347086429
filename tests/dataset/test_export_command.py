"""Rows leave the home whole: by `burnish data export`, as a dataset of the library, or not at all."""

import multiprocessing
import os
import signal
from pathlib import Path

import pytest
from datasets import load_from_disk

from flows.data import exports
from flows.data.loading import load_dataset
from infra.home import open_home
from infra.warehouse.warehouse import Warehouse
from tests.dataset.terminal import Terminal, chat


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".parquet", ".arrow", ""])
def test_what_is_exported_imports_as_the_same_version(terminal: Terminal, suffix: str) -> None:
    rows = [chat(f"é {number}", id=str(number)) for number in range(300)]
    terminal.type("import", "chats", terminal.write("rows.jsonl", rows))
    terminal.type("export", "chats", f"out{suffix}")
    version = terminal.warehouse.get("chats")
    if suffix == "":
        assert load_from_disk("out").to_list() == terminal.rows("chats")
    report = terminal.json("import", "again", f"out{suffix}", "--map", "id=id")
    assert (report["fingerprint"], report["quarantined"]) == (version.fingerprint, 0)
    assert "exists already" in terminal.type("export", "chats", f"out{suffix}", code=2)


def test_a_version_loads_as_a_dataset_with_its_own_fingerprint(terminal: Terminal) -> None:
    terminal.type("import", "chats", terminal.write("rows.jsonl", [chat("a"), chat("b")]))
    loaded = load_dataset("chats@1", prove=True)
    assert loaded.to_list() == terminal.rows("chats@1")
    assert loaded._fingerprint == terminal.warehouse.get("chats@1").fingerprint


def test_loading_withdrawn_rows_warns(terminal: Terminal) -> None:
    rows = [chat("a") | {"source": "forum"}, chat("b") | {"source": "web"}]
    terminal.type("import", "chats", terminal.write("rows.jsonl", rows))
    terminal.type("withdraw", "--source", "forum", "--because", "asked for", "--yes")
    with pytest.warns(UserWarning, match="1 rows of chats@1 are withdrawn"):
        assert len(load_dataset("chats@1")) == 2


_TARGETS = ("d.jsonl", "d.jsonl.gz", "d.parquet", "d.arrow", "folder")


def test_an_export_that_fails_or_is_killed_leaves_nothing_for_long(terminal: Terminal) -> None:
    terminal.type("import", "d", terminal.write("rows.jsonl", [chat(f"{n}") for n in range(9)]))
    folders = {target: Path(f"for {target}") for target in _TARGETS}
    for folder in folders.values():
        (folder / "mine").mkdir(parents=True)
        (folder / ".1.2.tmp").write_text("another program's")
    kept = [".1.2.tmp", "mine"]
    process = multiprocessing.get_context("spawn").Process(target=_kill_exports, args=(folders,))
    process.start()
    process.join()
    assert process.exitcode == 0
    (segment,) = terminal.home.rows_dir.glob("*.parquet")
    whole = segment.read_bytes()
    for target, folder in folders.items():
        assert len(list(folder.iterdir())) == 3
        segment.write_bytes(whole[: len(whole) // 2])
        terminal.type("export", "d", folder / target, code=2)
        assert sorted(path.name for path in folder.iterdir()) == kept
        segment.write_bytes(whole)
        terminal.type("export", "d", folder / target)
        assert sorted(path.name for path in folder.iterdir()) == sorted([*kept, target])


def _kill_exports(folders: dict[str, Path]) -> None:
    """Each in a fork of this process, which runs no threads."""
    for target, folder in folders.items():
        child = multiprocessing.get_context("fork").Process(target=_die_exporting, args=(folder / target,))
        child.start()
        child.join()
        assert child.exitcode == -signal.SIGKILL


def _die_exporting(target: Path) -> None:
    """Killed when all is written and nothing has its name yet."""
    Path.rename = lambda self, target: os.kill(os.getpid(), signal.SIGKILL)
    warehouse = Warehouse(open_home(Path(os.environ["BURNISH_HOME"])))
    exports.export_version(warehouse, warehouse.get("d"), target, lambda done, total: None)
