"""`burnish data`: import, look at, make and keep datasets."""

from cyclopts import App

from flows.cli import data_clean, data_import, data_keep, data_look, data_make, lineage_commands

data = App(
    name="data",
    group="Data",
    help="""Datasets as immutable versions, `NAME@N`: import them, look at them, make training sets of them.

    A version is also meant by `NAME` (the newest), `NAME@TAG` or `NAME@2026-11-21` (as it was then). A recipe
    reads one with `{version: NAME@N}`.

        burnish data import chats rows.jsonl
        burnish data card chats
        burnish data mix train chats@1 maths@2=0.5
    """,
    help_format="markdown",
)
for group, commands in {
    "Take in": (data_import.import_rows, data_import.quarantine),
    "Look": (data_look.list_versions, data_look.log, data_look.show, data_look.card, data_look.diff),
    "Make": (data_make.mix, data_make.split, data_clean.dedupe, data_clean.decontaminate),
    "Keep": (data_keep.tag, data_keep.export, data_keep.verify, data_keep.gc),
    "Trace": (lineage_commands.impact, lineage_commands.withdraw),
}.items():
    for command in commands:
        name = {"import_rows": "import", "list_versions": "list"}.get(command.__name__, command.__name__)
        data.command(command, name=name, group=group)
