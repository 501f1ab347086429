"""The table a run ends in."""

from pathlib import Path

from flows.plan import make_plan
from flows.summary import summarise
from infra.home import open_home
from infra.ledger import Ledger
from tests.factories import make_execution, make_recipe


def test_a_reused_evaluation_is_read_whatever_its_ancestors_were_called_then(tmp_path: Path) -> None:
    """A renamed stage is reused; the comparison behind it still bears the old name."""
    home = open_home(tmp_path / "home")
    recipe = make_recipe({"evaluate": {"rows": ["problems"], "samples": 2}})
    plan = make_plan(recipe, home, Ledger(home.ledger_path))
    metrics = {
        "eval/accuracy": 0.5,
        "eval/accuracy_low": 0.4,
        "eval/accuracy_high": 0.6,
        "eval/pass_at_2": 0.7,
    }
    metrics |= {"eval/completion_tokens": 9.0, "eval/completions": 64.0, "eval/problems": 32.0}
    for change, other in ((0.1, "called_otherwise"), (0.3, "base")):
        names = ("change", "change_low", "change_high", "p_value")
        metrics |= {f"eval/vs/{other}.evaluate/{name}": change for name in names}
    executions = {
        name: make_execution(plan[name].node, result={"metrics": metrics}) for name in ("dpo", "dpo.evaluate")
    }
    (line,) = summarise(plan, executions, "run").lines
    assert [(change.to, change.change) for change in line.changes] == [("sft", 0.1), ("base", 0.3)]
