"""A gate in a recipe: what it reads, who waits for it, and what a refusal does to a plan."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_contracts.errors import GateRefused, RecipeError
from flows.gate_parts import require_parts
from flows.gate_sources import require_sources
from flows.gating import require_passed
from flows.graph import make_nodes
from flows.plan import Action, Wishes, make_plan
from flows.stored import output_path
from flows.verifier_parts import parts_of
from infra.home import open_home
from infra.ledger import Ledger
from infra.records import Decision
from stages.verifiers.pool import shared_pool
from stages.verifiers.submission import Submission
from tests.factories import REFUSED_GATE, SOURCES, finish, make_recipe

_HELD_OUT = {
    "datasets.held_out": {"generate": "arithmetic", "count": 32, "split": "test"},
    "evaluate": {"rows": ["held_out"], "samples": 2},
}

_STEPS = {"datasets.held_out": {"generate": "arithmetic", "count": 32, "split": "test", "verifier": "steps"}}


def gated(against: str = "start", start: str = "sft", **changes: Any) -> dict[str, Any]:
    return {**_HELD_OUT, "stages.proof": {"kind": "gate", "start": start, "against": against}, **changes}


def nodes(changes: dict[str, Any], champion: int | None = None) -> dict[str, Any]:
    from dataclasses import replace

    sources = replace(SOURCES, champion=lambda model: champion)
    return {node.name: node for node in make_nodes(make_recipe(changes), sources)}


def test_a_gate_reads_the_verdicts_of_its_model_and_of_the_one_before() -> None:
    proof = nodes(gated())["proof"]
    assert proof.rows == {"sft.evaluate": 1.0}
    assert proof.compare_with == ("base.evaluate",)
    assert proof.start is None


def test_what_starts_from_the_model_waits_for_its_gate_and_evaluations_do_not() -> None:
    found = nodes(gated())
    waiting = {name for name, node in found.items() if "proof" in node.needs}
    assert waiting == {"check", "dpo"}
    names = list(found)
    assert all(names.index("proof") < names.index(name) for name in waiting)


def test_a_gate_changes_the_key_of_nothing_else() -> None:
    before = {name: node.key for name, node in nodes(_HELD_OUT).items()}
    after = {name: node.key for name, node in nodes(gated()).items()}
    after.pop("proof")
    assert after == before


def test_a_gate_may_hold_a_model_against_any_other_or_a_registered_one() -> None:
    assert nodes(gated("base", "dpo"))["proof"].compare_with == ("base.evaluate",)
    assert nodes(gated("models:/small.dpo/3"))["proof"].compare_with == ("small.dpo.v3.evaluate",)


def test_against_the_champion_is_against_the_version_promoted_last() -> None:
    assert nodes(gated("champion"), champion=4)["proof"].compare_with == ("small.sft.v4.evaluate",)
    assert nodes(gated("champion"))["proof"].compare_with == ()


def test_the_champion_of_a_registered_model_is_that_of_its_own_name() -> None:
    assert nodes(gated("champion", "models:/other.dpo/3"), champion=2)["proof"].compare_with == (
        "other.dpo.v2.evaluate",
    )


def test_another_champion_makes_another_gate_and_nothing_else() -> None:
    one, other = nodes(gated("champion"), champion=4), nodes(gated("champion"), champion=5)
    shared = one.keys() & other.keys()
    assert {name for name in shared if one[name].key != other[name].key} == {"proof"}


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"stages.proof": {"kind": "gate", "start": "sft"}}, "no evaluate section"),
        (gated("dop"), "'dpo'"),
        (gated("sft"), "with itself"),
        (gated(start="base"), "with itself or with nothing"),
        (gated(start="models:/other.dpo/3"), "with itself or with nothing"),
        (gated(start="check"), "'check'"),
        (gated(**{"stages.dpo.rows": ["proof"]}), "'proof'"),
        (gated(**{"stages.proof.metrics": {"acuracy": {"improve_by": 0}}}), "acuracy"),
        (gated(**{"stages.proof.metrics": {"accuracy": {}}}), "improve_by"),
        (gated(**{"stages.proof.metrics": {"pass@3": {"at_least": 0.5}}}), "evaluate.samples is 2"),
        (gated(promotion={"metrics": {"pass@3:math": {"improve_by": 0}}}), "promotion asks for pass@3:math"),
        (gated(**{"stages.proof.metrics": {"part.steps": {"improve_by": 0}}}), "has that part; Known: none"),
        (
            gated(**_STEPS, promotion={"metrics": {"part.step": {"improve_by": 0}}}),
            "promotion asks for part.step.*Did you mean 'steps'.*Known: right_before_error, steps",
        ),
        (gated(**{"stages.proof.metrics": {"accuracy": {"not_worse_by": 1}}}), "a point is 0.01"),
        (gated(**{"stages.proof.metrics": {"pass@2": {"improve_by": 2}}}), "a point is 0.01"),
        (gated(**{"stages.proof.metrics": {"reward:a": {"at_least": 30}}}), "a point is 0.01"),
        (gated(**{"stages.proof.metrics": {"length": {"at_least": 9, "at_most": 8}}}), "at least 9"),
    ],
)
def test_a_gate_that_cannot_be_is_refused_by_the_recipe(changes: dict[str, Any], found: str) -> None:
    with pytest.raises(RecipeError, match=found):
        make_recipe(changes)


def test_a_gate_against_what_waits_for_it_goes_in_a_circle() -> None:
    with pytest.raises(RecipeError, match="circle"):
        nodes(gated("dpo"))


def test_a_source_that_no_problem_has_is_found_before_anything_runs(tmp_path: Path) -> None:
    home = open_home(tmp_path / "home")
    asked = {"accuracy:gsm8k": {"improve_by": 0}, "length:coins": {"at_most": 9}}
    problems = {"held_out": pa.table({"source": ["coins", "dice", "coins"]})}

    def require(**changes: Any) -> None:
        plan = make_plan(make_recipe(gated(**changes)), home, Ledger(home.ledger_path))
        require_sources(plan, home, problems)

    require()
    require(promotion={"metrics": {"accuracy:dice": {"improve_by": 0}}})
    with pytest.raises(RecipeError, match=r"stages\.proof\.metrics\.accuracy:gsm8k.*'gsm8k'") as found:
        require(**{"stages.proof.metrics": asked})
    assert found.value.expected == "one of coins, dice"
    with pytest.raises(RecipeError, match=r"promotion\.metrics\.accuracy:gsm8k"):
        require(promotion={"metrics": asked})


@pytest.mark.parametrize(
    ("arguments", "asked", "known"),
    [
        ({"exact_match": "{}"}, "right", "another metric"),
        ({"format": '{"contains": ["<a>"], "max_characters": 9}'}, "contain", "part.contains, part.max_char"),
        (
            {
                "composite": '{"terms": [{"verifier": "exact_match", "weight": 1}, {"verifier": "repetition", '
                '"name": "dull", "weight": 1, "arguments": {"n": 3}}], "gate": "exact_match"}'
            },
            "dull.repeats",
            "part.dull, part.dull.repeated, part.exact_match",
        ),
    ],
)
def test_a_part_that_no_verdict_has_is_found_before_anything_runs(
    arguments: dict[str, str], asked: str, known: str, tmp_path: Path
) -> None:
    home = open_home(tmp_path / "home")
    rows = [{"verifier": name, "arguments": given} for name, given in arguments.items()]
    changes = gated(**{"datasets.held_out": {"path": __file__}})
    changes["stages.proof.metrics"] = {f"part.{asked}": {"improve_by": 0}}
    plan = make_plan(make_recipe(changes), home, Ledger(home.ledger_path))
    with pytest.raises(RecipeError, match=rf"stages\.proof\.metrics\.part\.{asked}: no verdict") as found:
        require_parts(plan, home, {"held_out": pa.Table.from_pylist(rows)})
    assert known in found.value.expected
    added = [*rows, {"verifier": "of_my_own", "arguments": "{}"}]
    require_parts(plan, home, {"held_out": pa.Table.from_pylist(added)})


def test_the_parts_that_are_told_beforehand_are_those_of_verdicts() -> None:
    judged: list[tuple[str, dict[str, Any], str, str]] = [
        ("exact_match", {}, "1", "1"),
        ("exact_number", {}, "1", "1"),
        ("gsm8k", {}, "#### 1", "#### 1"),
        ("math", {}, "1", "1"),
        ("repetition", {"n": 2}, "", "a b c d e f g h"),
        ("steps", {}, "3", "1+2=3: 3"),
        ("format", {"starts_with": "1", "max_characters": 2}, "", "1"),
        (
            "composite",
            {
                "terms": [
                    {"verifier": "exact_number", "weight": 1.0},
                    {"verifier": "format", "name": "shape", "weight": 1.0, "arguments": {"ends_with": "1"}},
                ],
                "how": "sum",
            },
            "1",
            "1",
        ),
    ]
    for verifier, given, ground_truth, completion in judged:
        outcome = shared_pool({}).verify(
            Submission(verifier, json.dumps(given), completion, "", ground_truth)
        )
        assert outcome.verdict is not None, outcome
        assert parts_of(verifier, given) == set(outcome.verdict.parts)


def test_sources_of_problems_that_are_stored_are_known_and_those_of_a_stage_to_come_are_not(
    tmp_path: Path,
) -> None:
    home = open_home(tmp_path / "home")
    ledger = Ledger(home.ledger_path)
    recipe = make_recipe(gated(**{"stages.proof.metrics": {"accuracy:gsm8k": {"improve_by": 0}}}))
    plan = make_plan(recipe, home, ledger)
    require_sources(plan, home, {})
    stored = finish(plan, home, ledger, ["held_out"])["held_out"]
    pq.write_table(pa.table({"source": ["coins"]}), output_path(home, stored))
    with pytest.raises(RecipeError, match="gsm8k"):
        require_sources(make_plan(recipe, home, ledger), home, {})


@pytest.fixture
def refused(tmp_path: Path) -> Any:
    """A home in which the gate has refused and the models after it were never made."""
    home = open_home(tmp_path / "home")
    ledger = Ledger(home.ledger_path)
    recipe = make_recipe(gated())
    plan = make_plan(recipe, home, ledger)
    before = [
        name
        for name in nodes(gated())
        if name not in ("check", "preferences", "dpo", "dpo.evaluate", "proof")
    ]
    finish(plan, home, ledger, before)
    finish(plan, home, ledger, ["proof"], result=REFUSED_GATE)
    return recipe, home, ledger


def test_a_plan_says_that_a_gate_refused(refused: Any) -> None:
    recipe, home, ledger = refused
    plan = make_plan(recipe, home, ledger)
    assert plan["proof"].action is Action.reuse
    assert plan["proof"].reason == "refused: no better"
    assert not plan.is_finished


def test_what_waits_for_a_gate_that_refused_is_held_until_somebody_overrides_it(refused: Any) -> None:
    recipe, home, ledger = refused
    plan = make_plan(recipe, home, ledger)
    assert plan.held == {"check", "preferences", "dpo", "dpo.evaluate"}
    assert plan.is_over
    overridden = make_plan(recipe, home, ledger, Wishes(override="shorter answers"))
    assert (overridden.held, overridden.is_over) == (frozenset(), False)
    assert not make_plan(recipe, home, ledger, Wishes(force=frozenset({"proof"}))).is_over


def test_a_refusal_stops_until_somebody_says_why_not_and_that_is_kept(refused: Any) -> None:
    recipe, home, ledger = refused
    proof = make_plan(recipe, home, ledger)["proof"].execution
    with pytest.raises(GateRefused, match="no better"):
        require_passed(ledger, proof, None)
    assert require_passed(ledger, proof, "shorter answers") == "shorter answers"
    assert require_passed(ledger, proof, None) == "shorter answers"
    (kept,) = ledger.decisions("small.proof")
    assert (kept.kind, kept.reason, kept.to_version) == ("override", "shorter answers", None)
    assert (kept.evidence["suite"], kept.evidence["candidate_fingerprint"]) == ("s", "c")
    assert "refused" not in make_plan(recipe, home, ledger)["proof"].reason


@pytest.mark.parametrize("reason", ["", " \n", 1001 * "x"])
def test_a_reason_that_says_nothing_or_too_much_overrides_nothing(refused: Any, reason: str) -> None:
    recipe, home, ledger = refused
    with pytest.raises(RecipeError, match="--override"):
        make_plan(recipe, home, ledger, Wishes(override=reason))
    assert ledger.decisions("small.proof") == []


def test_an_override_of_other_verdicts_counts_for_nothing(refused: Any) -> None:
    recipe, home, ledger = refused
    proof = make_plan(recipe, home, ledger)["proof"].execution
    ledger.decide(Decision(1.0, "override", "small.proof", None, None, "me", "old", {"input_key": "other"}))
    with pytest.raises(GateRefused):
        require_passed(ledger, proof, None)


def test_a_gate_that_will_run_is_no_reason_for_the_model_after_it_to_run_again(tmp_path: Path) -> None:
    home = open_home(tmp_path / "home")
    ledger = Ledger(home.ledger_path)
    recipe = make_recipe(_HELD_OUT)
    finish(make_plan(recipe, home, ledger), home, ledger)
    plan = make_plan(make_recipe(gated()), home, ledger, Wishes())
    assert {step.node.name for step in plan.steps if step.action is not Action.reuse} == {"proof"}
