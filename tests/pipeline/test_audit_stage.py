"""An audit inside a pipeline: the same problems go on, or nothing does."""

from pathlib import Path

import pytest

from infra.warehouse.warehouse import Warehouse
from tests.pipeline.coin import write_coin
from tests.pipeline.conftest import World
from tests.pipeline.shell import Shell

OWN = '''
"""Right whatever is written, as long as it holds the answer somewhere."""
from data_contracts.verdict import Verdict
from stages.verifiers.verifier import Verifier


def holds(completion, problem):
    return Verdict(float(problem.ground_truth in completion), "looked for it")


HOLDS = Verifier(quick=holds, completion_of=lambda problem: problem.ground_truth)
'''


def test_an_audit_hands_its_problems_on_as_they_were(world: World) -> None:
    warehouse = Warehouse(world.home)
    assert warehouse.get("coin.audit@1").fingerprint == warehouse.get("coin.calls@1").fingerprint
    audited = world.ledger.find_by_output("coin.audit", 1)[0]
    assert audited.result["metrics"]["audit/problems"] == 16
    assert audited.result["metrics"]["audit/blocks"] == 0


@pytest.fixture
def wrong(tmp_path: Path) -> Path:
    """A recipe whose problems are judged by a verifier that is too easily pleased."""
    recipe = write_coin(tmp_path)
    (tmp_path / "own.py").write_text(OWN)
    text = recipe.read_text().replace("verifier: exact_number", "verifier: holds")
    recipe.write_text(text.replace("base: {", "verifiers: {holds: own.py:HOLDS}\nbase: {"))
    return recipe


def test_a_reward_that_is_wrong_stops_the_run_before_anything_samples(
    wrong: Path, shell: Shell, tmp_path: Path
) -> None:
    outcome = shell.run("run", wrong, "--until", "audit", home=tmp_path / "home")
    assert outcome.code == 1
    assert "holds gives wrong completions full reward" in outcome.text
    assert "on_findings: warn" in outcome.text


@pytest.mark.chaos  # only for its time
def test_a_reward_that_is_wrong_may_be_allowed(wrong: Path, shell: Shell, tmp_path: Path) -> None:
    allowed = shell.run(
        "run", wrong, "--until", "audit", "--set", "audit.on_findings=warn", home=tmp_path / "home"
    )
    assert allowed.code == 0, allowed.text


def test_an_audit_of_another_reward_than_the_one_paid_is_refused(shell: Shell, tmp_path: Path) -> None:
    recipe = write_coin(tmp_path)
    outcome = shell.run("plan", recipe, "--set", "grpo.combine=sum", home=tmp_path / "home")
    refused = shell.run("run", recipe, "--set", "grpo.combine=sum", home=tmp_path / "home")
    assert (outcome.code, refused.code) == (0, 2)
    assert "Stage audit audits problem x 1 by gate, and stage grpo is paid problem x 1 by sum" in refused.text
