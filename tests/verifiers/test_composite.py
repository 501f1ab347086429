"""Several verdicts, one reward."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from data_contracts.errors import DataError
from data_contracts.verdict import Verdict
from stages.verifiers.composite import CompositeArguments, How, Term, combine, require_terms

ARGUMENTS = TypeAdapter(CompositeArguments)
HOWS: list[How] = ["sum", "product", "gate", "min"]


def _terms(*rewards_and_weights: tuple[float, float]) -> list[Term]:
    return [
        Term(f"t{position}", weight, Verdict(reward, f"reason {position}"))
        for position, (reward, weight) in enumerate(rewards_and_weights)
    ]


@pytest.mark.parametrize(
    ("how", "gate", "reward"),
    [
        ("sum", None, (3 * 1.0 + 1 * 0.25) / 4),
        ("product", None, 0.25),
        ("min", None, 0.25),
        ("gate", "t0", (3 * 1.0 + 1 * 0.25) / 4),
        ("gate", "t1", 0.0),
    ],
)
def test_rewards_worked_out_by_hand(how: How, gate: str | None, reward: float) -> None:
    assert combine(how, gate, _terms((1.0, 3.0), (0.25, 1.0))).reward == pytest.approx(reward, abs=1e-15)


def test_a_weight_is_an_exponent_in_a_product() -> None:
    assert combine("product", None, _terms((0.5, 2.0), (0.25, 0.5))).reward == pytest.approx(0.125)


@pytest.mark.parametrize("reward", [0.0, 0.5, 0.999999, 1.0 - 2**-53])
def test_a_gate_that_is_nearly_right_stays_shut(reward: float) -> None:
    verdict = combine("gate", "t0", _terms((reward, 0.001), (1.0, 1e6)))
    assert verdict.reward == 0.0 and "reason 0" in verdict.reason


def test_parts_keep_every_term_and_its_parts() -> None:
    terms = [
        Term("code", 1.0, Verdict(1.0, "ok", {"tests": 4.0})),
        Term("format", 1.0, Verdict(0.0, "no box")),
    ]
    verdict = combine("sum", None, terms)
    assert verdict.parts == {"code": 1.0, "code.tests": 4.0, "format": 0.0}
    assert "no box" in verdict.reason


REWARDS = st.lists(
    st.tuples(st.floats(0, 1), st.floats(1e-300, 1e6, exclude_min=True)), min_size=1, max_size=32
)


@settings(derandomize=True, deadline=None, max_examples=300)
@given(REWARDS, st.sampled_from(HOWS))
def test_the_reward_is_bounded_and_perfection_is_one(pairs: list[tuple[float, float]], how: How) -> None:
    assert 0.0 <= combine(how, "t0", _terms(*pairs)).reward <= 1.0
    assert combine(how, "t0", _terms(*[(1.0, weight) for _, weight in pairs])).reward == 1.0
    assert combine(how, "t0", _terms(*[(0.0, weight) for _, weight in pairs])).reward == 0.0


EXACT = {"verifier": "exact_number", "weight": 1.0}
FORMAT = {"verifier": "format", "weight": 1, "arguments": {"ends_with": "."}}


@pytest.mark.parametrize(
    "document",
    [
        {"terms": [EXACT], "gate": "exact_number"},
        {"terms": [EXACT, FORMAT], "how": "sum"},
        {
            "terms": [FORMAT, {**FORMAT, "name": "second", "ground_truth": "7"}],
            "how": "gate",
            "gate": "second",
        },
    ],
)
def test_arguments_that_fit(document: dict[str, Any]) -> None:
    require_terms(ARGUMENTS.validate_python(document, strict=True))


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"terms": []},
        {"terms": [{"verifier": "format"}]},
        *({"terms": [{**EXACT, "weight": weight}], "how": "sum"}
          for weight in (0, -1.0, float("nan"), float("inf"), 1e308, "1", True, None)),
        {"terms": [{**EXACT, "name": "a.b"}], "how": "sum"},
        {"terms": [{**EXACT, "name": ""}], "how": "sum"},
        {"terms": [{**EXACT, "wieght": 1.0}], "how": "sum"},
        {"terms": [EXACT], "how": "max"},
        {"terms": [EXACT] * 33, "how": "sum"},
        {"terms": [EXACT], "how": "sum", "bonus": 1.0},
    ],
)  # fmt: skip
def test_arguments_of_another_shape_are_refused(document: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ARGUMENTS.validate_python(document, strict=True)


@pytest.mark.parametrize(
    "document",
    [
        {"terms": [EXACT]},
        {"terms": [EXACT], "gate": "format"},
        {"terms": [EXACT], "how": "sum", "gate": "exact_number"},
        {"terms": [FORMAT, FORMAT], "how": "sum"},
        {"terms": [{**FORMAT, "name": "exact_number"}, EXACT], "how": "sum"},
        {"terms": [{"verifier": "composite", "weight": 1.0, "arguments": {}}], "how": "sum"},
        {"terms": [{"verifier": "composite", "name": "inner", "weight": 1.0}], "how": "sum"},
    ],
)
def test_terms_that_cannot_be_combined_are_refused(document: dict[str, Any]) -> None:
    with pytest.raises(DataError):
        require_terms(ARGUMENTS.validate_python(document, strict=True))
