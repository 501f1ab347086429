"""What a run takes from the ledger: results of the same content, whatever their parents' names."""

from pathlib import Path
from typing import Any

import pytest

from flows import results as results_module
from flows.graph import make_nodes
from flows.results import Results
from flows.stored import output_path
from infra.home import Home, open_home
from infra.ledger import Ledger
from tests.factories import SOURCES, make_execution, make_recipe


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return open_home(tmp_path / "home")


class _Registry:
    """A registry that has every model."""

    def has_version(self, name: str, version: int) -> bool:
        return True


@pytest.mark.parametrize("content", ["as before", "another"])
def test_a_stage_is_reused_only_with_the_content_it_was_made_from(
    home: Home, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    """A parent that ran again by force has the same logical key, whatever came out of it."""
    monkeypatch.setattr(results_module, "_open_registry", lambda _: _Registry())
    recipe, ledger = make_recipe(), Ledger(home.ledger_path)
    nodes = {node.name: node for node in make_nodes(recipe, SOURCES)}
    results: Any = Results(recipe, "run-1", home, ledger)
    for name in ("base", "worked"):
        results.finished[name] = make_execution(nodes[name], fingerprint="as before")
    made = make_execution(nodes["sft"], input_key=nodes["sft"].input_key(results.finished))
    ledger.record(made)
    output_path(home, made).mkdir(parents=True)
    (output_path(home, made) / "model.safetensors").touch()
    results.finished["worked"] = make_execution(nodes["worked"], fingerprint=content)
    found = results.find(nodes["sft"])
    assert (found is not None) == (content == "as before")
