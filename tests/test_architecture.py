"""The house rules that a reader cannot check by eye: sizes, import costs, docstrings, shipped recipes."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.recipe_files import read_recipe, shipped_recipes
from stages.child import PRELOAD

PROJECT = Path(__file__).resolve().parent.parent
ROOMS = ("flows", "stages", "infra", "data_contracts")
MODULES = sorted(path for room in ROOMS for path in (PROJECT / room).rglob("*.py"))
MAX_LINES = 250
MAX_STATEMENTS = 40
HEAVY = ("torch", "transformers", "trl", "datasets", "prefect", "mlflow", "duckdb", "pyarrow", "numpy")


def _run(code: str, folder: Path, seconds: float = 180.0) -> str:
    """Standard output of a fresh interpreter that can import the project and writes only below `folder`."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={"PYTHONPATH": str(PROJECT), "PREFECT_HOME": str(folder), "HOME": str(folder), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=seconds,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def _num_statements(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    inside = [node for statement in function.body for node in ast.walk(statement)]
    return sum(isinstance(node, ast.stmt) for node in inside)


def test_no_module_is_longer_than_250_lines() -> None:
    lengths = {path.relative_to(PROJECT).as_posix(): len(path.read_text().splitlines()) for path in MODULES}
    assert {name: lines for name, lines in lengths.items() if lines > MAX_LINES} == {}


def test_no_function_has_more_than_40_statements() -> None:
    sizes = {f"{path}:{f.lineno}": _num_statements(f) for path in MODULES for f in _functions(path)}
    assert {name: size for name, size in sizes.items() if size > MAX_STATEMENTS} == {}


def test_every_module_says_what_it_is() -> None:
    silent = [
        path for path in MODULES if path.read_text() and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert silent == []


def test_package_files_are_empty() -> None:
    assert [path for path in MODULES if path.name == "__init__.py" and path.read_text()] == []


def test_planning_and_help_load_no_heavy_library(tmp_path: Path) -> None:
    code = f"""
import sys
import flows.plan, flows.recipe, flows.cli.app
print([name for name in {HEAVY} if name in sys.modules])
"""
    assert _run(code, tmp_path).strip() == "[]"


_PLANS = """
import sys
from pathlib import Path
from flows.cli import rerun_commands
from flows.plan import make_plan
from flows.plan_view import plan_document, plan_table
from flows.recipe_files import check_recipe
from flows.remembered import remembered_sources
from infra.home import open_home
from infra.ledger import Ledger
from infra.records import Execution
home = open_home(Path("home"))
ledger = Ledger(home.ledger_path)
Path("mine.py").write_text(Path({template!r}).read_text())
document = {{
    "name": "light", "base": {{"build": "tiny-qwen3"}}, "verifiers": {{"last_word": "mine.py:LAST_WORD"}},
    "datasets": {{"problems": {{"generate": "arithmetic", "count": 8, "verifier": "last_word"}}}},
    "stages": {{"checked": {{"kind": "audit", "rows": ["problems"]}}}} | {{
        name: {{"kind": "grpo", "start": start, "rows": ["checked"], "steps": 2, "rewards": {{"problem": 1}}}}
        for name, start in {{"grpo": "base", "more": "models:/other.sft/1"}}.items()
    }},
    "evaluate": {{"rows": ["problems"]}},
}}
ledger.record(Execution(
    run_id="run-1", pipeline="other", stage="sft", kind="sft", key="key", input_key="input", identity={{}}, inputs=(),
    output="model", fingerprint="content", name="other.sft", version=1, result={{}}, environment={{}}, seconds=1.0,
    ended=1.0,
))
(home.models_dir / "content").mkdir()
(home.models_dir / "content" / "model.safetensors").touch()
plan = make_plan(check_recipe(document, "test"), home, ledger)
plan_table(plan, 80), plan_document(plan)
print([name for name in {heavy} if name in sys.modules])
"""


def test_a_plan_with_verifiers_of_ones_own_and_a_registered_start_loads_no_heavy_library(
    tmp_path: Path,
) -> None:
    template = str(PROJECT / "flows" / "verifier_template.py")
    assert _run(_PLANS.format(template=template, heavy=HEAVY), tmp_path).strip() == "[]"


_FORK = """
import importlib, os, signal, time
for name in {preload}:
    importlib.import_module(name)
import torch
torch.set_num_threads(2)  # whatever the machine: one thread has no pool that could break

def multiply():
    torch.ones(512, 512) @ torch.ones(512, 512)

def outcome_of_a_child(seconds):
    child = os.fork()
    if child == 0:
        multiply()
        os._exit(0)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return f"exit {{status}}"
        time.sleep(0.02)
    os.kill(child, signal.SIGKILL)
    return "hangs"

print(outcome_of_a_child(seconds=30))
multiply()
print(outcome_of_a_child(seconds=1))
"""


def test_the_preload_computes_nothing_that_would_hang_a_forked_child(tmp_path: Path) -> None:
    """One matrix product before a fork starts OpenMP's pool, which every child then waits for, for ever.

    The second child, forked after such a product, proves that this test would notice.
    """
    after_preload, after_product = _run(_FORK.format(preload=list(PRELOAD)), tmp_path).split("\n")[:2]
    assert (after_preload, after_product) == ("exit 0", "hangs")


def test_prefects_server_imports_with_the_pinned_fastapi(tmp_path: Path) -> None:
    _run("import prefect.server.api.server", tmp_path)


@pytest.mark.parametrize("name", shipped_recipes())
def test_every_shipped_recipe_loads_under_its_own_name(name: str) -> None:
    assert read_recipe(shipped_recipes()[name]).name == name


def test_shipped_recipes_begin_with_the_sentence_that_lists_them() -> None:
    first_lines = {name: path.read_text().splitlines()[0] for name, path in shipped_recipes().items()}
    assert all(line.startswith("# ") and len(line) > 20 for line in first_lines.values()), first_lines
