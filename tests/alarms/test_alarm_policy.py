"""What a recipe may ask to be done about alarms."""

from typing import get_args

import pytest
from pydantic import ValidationError

from data_contracts.alarms import ALARMS_OF, AlarmName, AlarmPolicy
from stages.alarms.rules import rules_for


def test_no_default_changes_what_a_training_makes() -> None:
    responses = AlarmPolicy().responses()
    assert {name for name, response in responses.items() if response != "note"} == {
        "reward_hacking",
        "not_finite",
    }
    assert (responses["reward_hacking"], responses["not_finite"]) == ("pause", "stop")


def test_every_alarm_has_a_response() -> None:
    assert set(AlarmPolicy().responses()) == set(AlarmPolicy.model_fields) == set(get_args(AlarmName))


@pytest.mark.parametrize("kind", ["sft", "dpo", "grpo"])
def test_a_kind_of_training_has_the_rules_that_its_policy_may_name(kind: str) -> None:
    names = [rule.name for rule in rules_for(kind, 100)]
    assert set(names) == ALARMS_OF[kind]
    assert len(names) == len(set(names))


def test_every_alarm_belongs_to_a_kind_of_training() -> None:
    assert frozenset.union(*ALARMS_OF.values()) == set(get_args(AlarmName))


def test_a_policy_may_name_what_its_training_has() -> None:
    AlarmPolicy(entropy_collapse="raise_entropy", no_spread="halve_learning_rate", stall="off").require_fits(
        "grpo"
    )
    AlarmPolicy(loss_spike="halve_learning_rate", both_falling="stop").require_fits("dpo")
    AlarmPolicy().require_fits("sft")


def test_an_alarm_that_a_training_does_not_have_is_refused_with_those_it_has() -> None:
    with pytest.raises(
        ValueError, match=r"sft has no alarm no_spread; it has gradient_explosion, loss_spike,"
    ):
        AlarmPolicy(no_spread="pause").require_fits("sft")


def test_a_response_that_needs_groups_is_refused_without_them() -> None:
    with pytest.raises(ValueError, match=r"loss_spike: raise_entropy changes what only grpo has"):
        AlarmPolicy(loss_spike="raise_entropy").require_fits("dpo")


@pytest.mark.parametrize("document", [{"stall": "explode"}, {"unknown": "note"}, {"stall": None}])
def test_what_is_no_alarm_or_no_response_is_refused(document: dict[str, str | None]) -> None:
    with pytest.raises(ValidationError):
        AlarmPolicy.model_validate(document)
