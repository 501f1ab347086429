"""What a home keeps and how damage shows: gc, verify, and the files beside the rows."""

from pathlib import Path

import pytest

from flows.graph import make_nodes
from flows.nodes import Node
from infra.ledger import Ledger
from infra.records import Input
from tests.dataset.terminal import Terminal, chat
from tests.factories import SOURCES, make_execution, make_recipe


def test_what_a_model_a_run_or_a_tag_needs_is_never_collected(terminal: Terminal) -> None:
    for number in range(4):
        terminal.type("import", "chats", terminal.write("rows.jsonl", [chat(f"{number}")]))
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
    terminal.type("import", "chats", terminal.write("rows.jsonl", [chat("a")]))
    path = terminal.warehouse.get("chats").path
    path.write_bytes(path.read_bytes()[:-1])
    assert "was changed" in terminal.type("verify", code=1)
    assert terminal.json("verify", code=1)["damage"][0]["versions"] == ["chats@1"]
    assert "was changed" in terminal.type("export", "chats", "out.jsonl", code=2)
    assert not Path("out.jsonl").exists()


def test_a_damaged_quarantine_is_found_and_a_damaged_card_made_again(terminal: Terminal) -> None:
    terminal.type("import", "chats", terminal.write("rows.jsonl", [chat("a"), chat("")]))
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
    terminal.type("import", "chats", terminal.write("rows.jsonl", [chat("a")]))
    path = terminal.home.ledger_path
    Ledger(path).require_sound()
    for log in path.parent.glob("ledger.db-*"):
        log.unlink()
    path.write_bytes(b"no database" * 1000)
    assert "ledger.db cannot be used" in terminal.type("verify", code=2)
    for other in path.parent.glob("ledger.db*"):
        other.unlink()
    assert "is missing" in terminal.type("list", code=2)


def _sft_node() -> Node:
    return next(node for node in make_nodes(make_recipe(), SOURCES) if node.name == "sft")


@pytest.mark.usefixtures("own_environment")
def test_another_reason_for_a_withdrawal_is_kept(terminal: Terminal) -> None:
    terminal.type("import", "d", terminal.write("d.jsonl", [chat("a", source="web")]))
    command = ("withdraw", "--source", "web", "--yes", "--because")
    terminal.type(*command, "licence")
    for _ in range(2):
        printed = terminal.type(*command, "its author asked")
    assert "because licence; the reason given now is kept beside it" in printed
    ledger = Ledger(terminal.home.ledger_path)
    assert [decision.reason for decision in ledger.decisions()] == ["its author asked", "licence"]
    assert len(ledger.withdrawals()) == 1
