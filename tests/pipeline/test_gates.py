"""A gate in a run: a model that shows nothing is followed by nothing, until somebody says why."""

import re
from pathlib import Path

import pytest

from infra.home import Home
from infra.ledger import Ledger
from infra.records import REFUSED
from tests.pipeline.coin import write_coin
from tests.pipeline.shell import Shell

_STAGES = """\
stages:
  sft: {kind: sft, start: base, rows: [tosses], learning_rate: 4e-3, steps: 8, global_batch: 16, max_length: 32}
  proof: {kind: gate, start: sft, metrics: {accuracy: {improve_by: 0.9}}}
  more: {kind: sft, start: sft, rows: [tosses], steps: 2, global_batch: 16, max_length: 32}
evaluate:"""


@pytest.fixture(scope="module")
def gated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    recipe = write_coin(tmp_path_factory.mktemp("gated"))
    recipe.write_text(re.sub(r"stages:.*evaluate:", _STAGES, recipe.read_text(), flags=re.DOTALL))
    return recipe


def states(home: Path) -> dict[str, str]:
    ledger = Ledger(Home(home).ledger_path)
    return {stage.stage: stage.state for stage in ledger.run_stages(ledger.runs()[0].run_id)}


def test_a_refusal_stops_what_follows_and_an_override_goes_on(
    shell: Shell, gated: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    refused = shell.run("run", gated, home=home)
    assert refused.code == 1
    assert "proof: refused: accuracy is" in refused.text and "right more often now" in refused.text
    assert "Traceback" not in refused.text
    made = states(home)
    assert (made["sft"], made["proof"], made["more"]) == ("done", "refused", "skipped")
    assert Ledger(Home(home).ledger_path).runs()[0].state == REFUSED
    assert "more: skipped a gate refused" in refused.text

    again = shell.run("run", gated, home=home)
    assert again.code == 1 and states(home)["proof"] == "refused"

    overridden = shell.run("run", gated, "--override", "a coin is a coin", home=home)
    assert overridden.code == 0, overridden.text
    assert states(home) | {"more": "done", "proof": "done"} == states(home)
    (decision,) = Ledger(Home(home).ledger_path).decisions("coin.proof")
    assert (decision.kind, decision.reason) == ("override", "a coin is a coin")

    finished = shell.run("run", gated, home=home)
    assert finished.code == 0 and "Nothing to run" in finished.text


def test_a_promotion_that_has_to_evaluate_first_registers_no_model(shell: Shell, tmp_path: Path) -> None:
    recipe, home = write_coin(tmp_path), tmp_path / "home"
    assert shell.run("run", recipe, "--until", "sft", home=home).code == 0
    before = {model["uri"] for model in shell.run("models", "--json", home=home).json}
    assert before == {"models:/coin.base/1", "models:/coin.sft/1"}
    promoted = shell.run("promote", "coin.sft", "--json", home=home)
    assert (promoted.code, promoted.json["outcome"]) == (0, "promoted")
    assert promoted.json["accuracy"] is not None
    assert {model["uri"] for model in shell.run("models", "--json", home=home).json} == before


@pytest.mark.chaos  # only for its time
def test_a_promotion_evaluates_on_the_rows_of_a_stage_as_they_stand(shell: Shell, tmp_path: Path) -> None:
    recipe, home = write_coin(tmp_path), tmp_path / "home"
    recipe.write_text(recipe.read_text().replace("rows: [held_out]", "rows: [audit]"))
    assert shell.run("run", recipe, "--until", "sft", home=home).code == 0
    early = shell.run("promote", "coin.sft", home=home)
    assert (early.code, "the stage audit, which never ran" in early.text) == (2, True)
    assert shell.run("run", recipe, "--until", "audit", home=home).code == 0
    promoted = shell.run("promote", "coin.sft", "--json", home=home)
    assert (promoted.code, promoted.json["outcome"]) == (0, "promoted"), promoted.text
    assert promoted.json["accuracy"] is not None
