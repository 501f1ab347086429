"""Recipes run from a program of somebody's own, one after another in one process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from infra.home import Home
from infra.ledger import Ledger
from tests.pipeline.coin import write_coin
from tests.pipeline.shell import PROJECT, SECONDS

_PROGRAM = """
import json, os, sys, threading
from pathlib import Path
from data_contracts.errors import DataError
from flows.running import run_recipe

def run(home, **more):
    return run_recipe(sys.argv[1], until="base", home=Path(home), **more).run_id

if __name__ == "__main__":
    before, found = dict(os.environ), []
    try:
        run("refused", overrides={"tosses.path": "nowhere.jsonl"})
    except DataError as error:
        found.append(error.found)
    found += [run("one"), run("one")]
    thread = threading.Thread(target=lambda: found.append(run("two")))
    thread.start()
    thread.join()
    print(json.dumps([found, dict(os.environ) == before]))
"""


@pytest.mark.servers
def test_one_program_runs_recipes_in_turn_after_an_error_from_a_thread_and_in_another_home(
    tmp_path: Path,
) -> None:
    """Each run has a Prefect server of its own, though Prefect is imported once; homes are relative here."""
    (tmp_path / "program.py").write_text(_PROGRAM)
    names = ("PATH", "LANG", "OMP_WAIT_POLICY")
    done = subprocess.run(
        [sys.executable, "program.py", str(write_coin(tmp_path))],
        cwd=tmp_path,
        env={name: os.environ[name] for name in names if name in os.environ}
        | {"PYTHONPATH": str(PROJECT), "HOME": str(tmp_path), "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=2 * SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (refused, first, again, other), is_unchanged = json.loads(done.stdout)
    assert "nowhere.jsonl does not exist" in refused
    one, two = (Ledger(Home(tmp_path / name).ledger_path).runs() for name in ("one", "two"))
    assert [(run.run_id, run.state) for run in one] == [(again, "done"), (first, "done")]
    assert [(run.run_id, run.state) for run in two] == [(other, "done")]
    assert [run.flow_run_id is None for run in [*one, *two]] == [True, False, False]
    assert is_unchanged
