"""Checks one after the other, each once however often the command is ended and begun again."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

Check = tuple[str, Callable[[], list[str]]]
"""Its name, and what tells what differs from what should be."""


def check_all(checks: Sequence[Check], done: Path, what: str) -> int:
    """Do those that the file `done` has nothing of yet, print what came of all, and return the exit code."""
    entries = [json.loads(line) for line in done.open()] if done.exists() else []
    known = {entry["name"]: entry["differences"] for entry in entries}
    failed = 0
    with done.open("a") as file:
        for number, (name, check) in enumerate(checks, 1):
            if (found := known.get(name)) is None:
                found = check()
                file.write(json.dumps({"name": name, "differences": found}) + "\n")
                file.flush()
            failed += bool(found)
            print(f"{number}/{len(checks)} {'DIFFERS' if found else 'same'} {name}", flush=True)
            for difference in found:
                print(f"    {difference}", flush=True)
    print(f"{len(checks)} {what}, {failed} of them ended differently", flush=True)
    return 1 if failed else 0
