"""Each fault is found within a stated number of looks, and healthy trainings are left alone.

A look is one point of the metrics: a step where every step is logged, 40 steps where every fortieth is. The numbers are
looks from the first faulty one, for trainings of 60 to 100 looks; accuracy is measured at every third.
"""

import numpy as np
import pytest

from data_contracts.alarms import Alarm, AlarmName, AlarmPolicy, TrainingKind
from stages.alarms.rules import rules_for
from stages.alarms.watch import Watch
from tests.alarms.histories import SHAPES, Plan, Shape, Training, faulty, healthy, healthy_grpo

SEEDS = 200

FOUND_WITHIN: list[tuple[TrainingKind, str, AlarmName, int]] = [
    ("grpo", "entropy collapses", "entropy_collapse", 14),
    ("grpo", "completions become alike", "diversity_collapse", 11),
    ("grpo", "reward saturates", "saturation", 13),
    ("grpo", "kl diverges", "kl_divergence", 14),
    ("grpo", "length runs away", "length_runaway", 12),
    ("grpo", "completions are cut", "truncation", 10),
    ("grpo", "verifiers fail", "verifier_failures", 6),
    ("grpo", "groups lose spread", "no_spread", 24),
    ("grpo", "hacked, truth flat", "reward_hacking", 40),
    ("grpo", "hacked, truth falls", "reward_hacking", 15),
    ("grpo", "hacked at the ceiling", "reward_hacking", 24),
    ("grpo", "gradients explode", "gradient_explosion", 9),
    ("sft", "gradients explode", "gradient_explosion", 9),
    ("sft", "loss jumps", "loss_spike", 6),
    ("dpo", "loss jumps", "loss_spike", 6),
    ("grpo", "not a number", "not_finite", 1),
    ("sft", "not a number", "not_finite", 1),
    ("sft", "memorizes", "over_fitting", 24),
]
"""Kind of training, fault, alarm, looks."""

FOUND_BY_THE_END: list[tuple[TrainingKind, str, AlarmName]] = [
    ("grpo", "nothing is learned", "stall"),
    ("sft", "loss stays", "stall"),
    ("dpo", "loss stays", "stall"),
    ("dpo", "both fall", "both_falling"),
]
"""What is only said late, or is there from the start."""


def first_alarm(training: Training, kind: TrainingKind, name: AlarmName) -> tuple[int, Alarm] | None:
    """With the position of its look."""
    rules = [rule for rule in rules_for(kind, int(training.steps[-1])) if rule.name == name]
    watch = Watch(rules, AlarmPolicy())
    for position, (step, metrics) in enumerate(training.logged()):
        for alarm in watch.look(step, metrics):
            return position, alarm
    return None


def all_alarms(training: Training, kind: TrainingKind) -> list[Alarm]:
    watch = Watch(rules_for(kind, int(training.steps[-1])), AlarmPolicy())
    return [alarm for step, metrics in training.logged() for alarm in watch.look(step, metrics)]


@pytest.mark.parametrize(("kind", "fault", "name", "within"), FOUND_WITHIN)
def test_a_fault_is_found_in_time_and_its_beginning_is_known(
    kind: TrainingKind, fault: str, name: AlarmName, within: int
) -> None:
    in_time = after_its_beginning = found_before = 0
    for seed in range(SEEDS):
        training = faulty(kind, fault, seed)
        found = first_alarm(training, kind, name)
        if found is None:
            continue
        position, alarm = found
        found_before += position < training.onset
        in_time += training.onset <= position < training.onset + within
        after_its_beginning += alarm.since > training.steps[training.onset + 4]
    assert in_time >= 0.95 * SEEDS
    assert after_its_beginning <= 0.05 * SEEDS
    assert found_before <= 0.01 * SEEDS


@pytest.mark.parametrize(("kind", "fault", "name"), FOUND_BY_THE_END)
def test_a_training_that_is_wrong_as_a_whole_is_found_by_its_end(
    kind: TrainingKind, fault: str, name: AlarmName
) -> None:
    found = sum(first_alarm(faulty(kind, fault, seed), kind, name) is not None for seed in range(SEEDS))
    assert found >= 0.95 * SEEDS


@pytest.mark.parametrize("kind", ["sft", "dpo", "grpo"])
def test_of_500_healthy_trainings_less_than_one_in_a_hundred_has_an_alarm_that_is_not_saturation(
    kind: TrainingKind,
) -> None:
    alarmed = {
        seed: [alarm.reason for alarm in alarms]
        for seed in range(500)
        if (
            alarms := [alarm for alarm in all_alarms(healthy(kind, seed), kind) if alarm.name != "saturation"]
        )
    }
    assert len(alarmed) < 5, alarmed


@pytest.mark.parametrize("shape", SHAPES)
def test_healthy_trainings_that_log_2000_looks_have_no_alarm_that_is_not_saturation(shape: Shape) -> None:
    for seed in range(2):
        training = healthy_grpo(np.random.default_rng([seed, 5]), Plan(2000, shape, 0.07, 50, 500))
        assert [alarm for alarm in all_alarms(training, "grpo") if alarm.name != "saturation"] == []


@pytest.mark.parametrize("shape", SHAPES)
def test_saturation_is_said_of_rewards_near_their_ceiling_and_of_no_other(shape: Shape) -> None:
    said = 0
    for seed in range(60):
        training = healthy_grpo(np.random.default_rng([seed, 3]), Plan(50, shape, 0.05, 5, 200))
        if found := first_alarm(training, "grpo", "saturation"):
            said += 1
            newest = training.columns["grpo/reward"][: found[0] + 1][-4:]
            assert newest.mean() > 0.9
    assert said > 55 if shape in ("quick", "ceiling") else said < 10


@pytest.mark.parametrize("kind", ["sft", "dpo", "grpo"])
def test_nothing_but_a_value_that_is_no_number_is_said_of_the_first_seven_looks(kind: TrainingKind) -> None:
    rng = np.random.default_rng(1)
    for seed in range(30):
        training = healthy(kind, seed)
        columns = {name: rng.choice([0.0, 1.0, 100.0], len(training.steps)) for name in training.columns}
        watch = Watch(rules_for(kind, int(training.steps[-1])), AlarmPolicy())
        looks = list(Training(training.steps, columns).logged())[:7]
        assert [alarm for step, metrics in looks for alarm in watch.look(step, metrics)] == []
