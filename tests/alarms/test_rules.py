"""The rules on courses that are written down here: what is a fault, and what only looks like one."""

from math import inf, nan

import numpy as np
import pytest

from data_contracts.histories import History, Point
from stages.alarms.collapse import diversity_collapse, entropy_collapse, no_spread, saturation
from stages.alarms.growth import kl_divergence, length_runaway, truncation, verifier_failures
from stages.alarms.learning import loss_stall, over_fitting, reward_stall
from stages.alarms.numerics import gradient_explosion, loss_spike, not_finite
from stages.alarms.preference import both_falling
from stages.alarms.rules import Judge, rules_for
from stages.alarms.truth import reward_hacking

Numbers = list[float]


def points(values: Numbers | np.ndarray, every: int = 1) -> list[Point]:
    """Logged at every so many steps."""
    return [(every * (at + 1), float(value)) for at, value in enumerate(values)]


def ramp(start: float, end: float, looks: int = 40) -> Numbers:
    """Still for a quarter, rising or falling for a half, still for a quarter; with noise of about 0.01."""
    course = np.interp(np.arange(looks), [looks / 4, 3 * looks / 4], [start, end])
    return (course + 0.01 * np.cos(2.5 * np.arange(looks))).tolist()


def training(
    reward: Numbers, accuracy: Numbers, problems: int = 500, spread: float = 0.4, scale: float = 1.0
) -> dict[str, list[Point]]:
    """Accuracy is measured at every fourth look; its interval is the normal one."""
    measured = points(accuracy)[3::4]
    half = [1.96 * np.sqrt(value * (1 - value) / problems) for _, value in measured]
    return {
        "grpo/reward": [(step, scale * value) for step, value in points(reward)],
        "grpo/reward_std": points([scale * spread] * len(reward)),
        "grpo/held_out/accuracy": measured,
        "grpo/held_out/accuracy_low": [(step, v - d) for (step, v), d in zip(measured, half, strict=True)],
        "grpo/held_out/accuracy_high": [(step, v + d) for (step, v), d in zip(measured, half, strict=True)],
    }


# The reward and the truth


@pytest.mark.parametrize("scale", [0.01, 1.0, 250.0])
def test_a_reward_that_rises_over_a_flat_truth_is_hacked_whatever_its_scale(scale: float) -> None:
    found = reward_hacking(training(ramp(0.3, 0.8), ramp(0.4, 0.4), scale=scale))
    assert found is not None and "did not rise" in found.reason
    assert found.since <= 16


def test_a_truth_that_falls_under_a_reward_at_its_ceiling_is_hacked() -> None:
    found = reward_hacking(training(ramp(0.99, 0.99), ramp(0.7, 0.5), spread=0.1))
    assert found is not None and "fell" in found.reason
    assert 8 <= found.since <= 24


def test_a_truth_that_rises_and_falls_back_while_the_reward_goes_on_is_hacked() -> None:
    accuracy = ramp(0.3, 0.6, 40) + ramp(0.6, 0.4, 40)
    found = reward_hacking(training(ramp(0.3, 0.7, 40) + ramp(0.7, 0.85, 40), accuracy))
    assert found is not None and 28 <= found.since <= 60


@pytest.mark.parametrize(
    ("reward", "accuracy"),
    [
        (ramp(0.3, 0.8), ramp(0.25, 0.75)),
        (ramp(0.3, 0.8), ramp(0.4, 0.6)),
        (ramp(0.5, 0.98), ramp(0.96, 0.97)),
        (ramp(0.97, 0.98), ramp(0.97, 0.97)),
        (ramp(0.7, 0.3), ramp(0.6, 0.3)),
        (ramp(0.7, 0.6), ramp(0.6, 0.3)),
        (ramp(0.3, 0.4), ramp(0.4, 0.4)),
        (ramp(0.5, 0.5), ramp(0.3, 0.6)),
    ],
    ids=[
        "together",
        "truth slower",
        "truth at its ceiling",
        "both at their ceiling",
        "both fall",
        "the reward falls a little",
        "hardly any rise",
        "truth alone rises",
    ],
)
def test_a_reward_that_the_truth_follows_or_cannot_follow_is_not_hacked(
    reward: Numbers, accuracy: Numbers
) -> None:
    assert reward_hacking(training(reward, accuracy)) is None


def test_forty_problems_cannot_show_that_a_truth_is_flat() -> None:
    assert reward_hacking(training(ramp(0.3, 0.8), ramp(0.4, 0.4), problems=40)) is None


def test_a_reward_that_recovers_from_a_harder_lesson_is_not_hacked() -> None:
    reward = ramp(0.3, 0.7, 40) + ramp(0.3, 0.7, 40)
    accuracy = ramp(0.3, 0.6, 40) + ramp(0.6, 0.6, 40)
    assert reward_hacking(training(reward, accuracy)) is None


# Variety


def test_entropy_spent_for_reward_is_not_collapse_and_spent_for_nothing_is() -> None:
    entropy = {"grpo/entropy": points(ramp(0.6, 0.06))}
    assert entropy_collapse(entropy | training(ramp(0.3, 0.8), ramp(0.3, 0.7))) is None
    found = entropy_collapse(entropy | training(ramp(0.3, 0.3), ramp(0.3, 0.3)))
    assert found is not None and 10 <= found.since <= 30


def test_entropy_that_was_low_from_the_start_is_no_collapse() -> None:
    low = {"grpo/entropy": points((0.004 + 0.0005 * np.cos(np.arange(40))).tolist())}
    assert entropy_collapse(low | training(ramp(0.3, 0.3), ramp(0.3, 0.3))) is None


def test_variety_that_a_policy_loses_once_all_is_right_is_no_fault() -> None:
    right = training(ramp(0.97, 0.97), ramp(0.97, 0.97))
    assert entropy_collapse({"grpo/entropy": points(ramp(0.6, 0.06))} | right) is None
    mostly = training(ramp(0.88, 0.88), ramp(0.85, 0.85))
    assert no_spread({"grpo/frac_reward_zero_std": points(ramp(0.1, 0.6))} | mostly) is None


@pytest.mark.parametrize(("metric", "end"), [("grpo/distinct_2", 0.2), ("grpo/self_similarity", 0.95)])
def test_completions_that_become_alike_for_nothing_are_a_collapse(metric: str, end: float) -> None:
    history = {metric: points(ramp(0.6, end))} | training(ramp(0.3, 0.3), ramp(0.3, 0.3))
    found = diversity_collapse(history)
    assert found is not None and found.metric == metric


def test_groups_without_spread_are_saturation_when_right_and_no_spread_when_wrong() -> None:
    alike = {"grpo/frac_reward_zero_std": points(ramp(0.1, 0.9))}
    right = alike | training(ramp(0.4, 0.97), ramp(0.4, 0.97))
    wrong = alike | training(ramp(0.2, 0.05), ramp(0.2, 0.05))
    assert (saturation(wrong), no_spread(right)) == (None, None)
    assert saturation(right) is not None
    found = no_spread(wrong)
    assert found is not None and "too hard" in found.reason


def test_groups_that_lose_their_spread_while_the_policy_learns_are_no_fault() -> None:
    history = {"grpo/frac_reward_zero_std": points(ramp(0.1, 0.6))} | training(ramp(0.3, 0.7), ramp(0.3, 0.7))
    assert (no_spread(history), saturation(history)) == (None, None)


# Growth


def test_kl_that_grows_with_the_square_of_the_steps_is_training_and_faster_is_divergence() -> None:
    steps = np.arange(1, 41)
    assert kl_divergence({"grpo/kl": points(steps**2 / 400)}) is None
    assert kl_divergence({"grpo/kl": points(steps**4 / 40**4)}) is not None
    assert kl_divergence({"grpo/kl_to_start": points(steps**4 / 40**4)}) is not None
    assert kl_divergence({"grpo/kl": points(0.3 * steps**4 / 40**4)}) is None


def test_length_that_pays_is_no_runaway_and_length_that_only_the_reward_pays_for_is() -> None:
    length = {"grpo/completions/mean_length": points([100 * value for value in ramp(1.0, 3.0)])}
    assert length_runaway(length | training(ramp(0.3, 0.7), ramp(0.3, 0.6))) is None
    found = length_runaway(length | training(ramp(0.3, 0.9), ramp(0.3, 0.3)))
    assert found is not None and 8 <= found.since <= 24


@pytest.mark.parametrize(
    ("start", "end", "is_found"), [(0.05, 0.5, True), (0.05, 0.2, False), (0.5, 0.5, False)]
)
def test_completions_cut_more_and_more_are_found_and_those_cut_from_the_start_are_not(
    start: float, end: float, is_found: bool
) -> None:
    assert (truncation({"grpo/completions/clipped_ratio": points(ramp(start, end))}) is not None) == is_found


@pytest.mark.parametrize(
    ("values", "is_found"),
    [([0.0] * 20 + [0.02] * 5, True), ([0.0] * 20 + [0.0, 0.0, 0.3, 0.0, 0.0], False), ([0.02] * 25, False)],
)
def test_missing_verdicts_are_found_when_they_keep_coming(values: Numbers, is_found: bool) -> None:
    found = verifier_failures({"grpo/reward/without_verdict": points(values)})
    assert (found is not None) == is_found


# Optimization


@pytest.mark.parametrize(
    ("newest", "is_found"),
    [([100.0] * 7, True), ([1.0, 1.0, 100.0, 1.0, 100.0, 1.0, 100.0], False), ([3.0] * 7, False)],
)
def test_gradients_explode_when_they_stay_large_and_not_when_some_batches_are_odd(
    newest: Numbers, is_found: bool
) -> None:
    norms = [float(np.exp(0.3 * np.cos(2.5 * at))) for at in range(20)]
    found = gradient_explosion({"sft/grad_norm": points(norms + newest)}, "sft/grad_norm")
    assert (found is not None) == is_found
    assert found is None or found.since == 20


@pytest.mark.parametrize(
    ("newest", "is_found"),
    [([2.0] * 7, True), ([1.0, 4.0, 1.0, 1.0, 5.0, 1.0, 1.0], False), ([1.1] * 7, False)],
)
def test_a_loss_spikes_when_it_does_not_come_back(newest: Numbers, is_found: bool) -> None:
    found = loss_spike({"sft/loss": points(ramp(1.2, 1.0, 20) + newest)}, "sft/loss")
    assert (found is not None) == is_found


@pytest.mark.parametrize("value", [nan, inf, -inf])
def test_a_value_that_is_no_number_is_found_at_once(value: float) -> None:
    found = not_finite(
        {"a": points([1.0, 2.0]), "b": [(4, 1.0), (5, value), (6, value)]}, ("a", "b", "absent")
    )
    assert found is not None and (found.metric, found.since) == ("b", 4)


# Learning


def test_a_reward_that_never_rose_is_a_stall_once_half_of_the_steps_are_done() -> None:
    flat = training(ramp(0.4, 0.4), ramp(0.4, 0.4))
    assert reward_stall(flat, planned_steps=80) is not None
    assert reward_stall(flat, planned_steps=81) is None


@pytest.mark.parametrize(
    ("reward", "accuracy"),
    [
        (ramp(0.3, 0.5), ramp(0.3, 0.3)),
        (ramp(0.3, 0.5, 20) + ramp(0.3, 0.3, 20), ramp(0.3, 0.3)),
        (ramp(0.4, 0.4), ramp(0.3, 0.6)),
        (ramp(0.95, 0.95), ramp(0.9, 0.9)),
    ],
    ids=["rises", "rose before a harder lesson", "truth rises", "right from the start"],
)
def test_a_training_that_learned_or_has_nothing_to_learn_does_not_stall(
    reward: Numbers, accuracy: Numbers
) -> None:
    assert reward_stall(training(reward, accuracy), planned_steps=40) is None


def test_a_training_in_which_nearly_nothing_is_ever_right_is_a_stall() -> None:
    wrong = [0.004 * (at % 3) for at in range(40)]
    history = training(wrong, wrong, spread=0.02) | {"grpo/frac_reward_zero_std": points([0.97] * 40)}
    assert reward_stall(history, planned_steps=40) is not None


def test_a_loss_that_never_fell_is_a_stall() -> None:
    assert loss_stall({"dpo/loss": points(ramp(0.69, 0.69))}, 40, "dpo/loss") is not None
    assert loss_stall({"dpo/loss": points(ramp(0.69, 0.6))}, 40, "dpo/loss") is None


def test_a_held_out_loss_that_turns_while_the_training_loss_falls_is_over_fitting() -> None:
    turns = ramp(1.0, 0.5, 20) + ramp(0.5, 0.8, 20)
    falls = {"sft/loss": points(ramp(1.0, 0.3))}
    rises = {"sft/loss": points(ramp(1.0, 0.5, 20) + ramp(0.5, 0.9, 20))}
    held_out = {"sft/held_out/loss": points(turns)}
    found = over_fitting(held_out | falls, "sft/held_out/loss", "sft/loss")
    assert found is not None and 15 <= found.since <= 28
    assert over_fitting(held_out | rises, "sft/held_out/loss", "sft/loss") is None
    assert (
        over_fitting({"sft/held_out/loss": points(ramp(1.0, 0.5))} | falls, "sft/held_out/loss", "sft/loss")
        is None
    )


@pytest.mark.parametrize(("chosen", "is_found"), [(-8.0, True), (-2.0, False), (0.0, False), (4.0, False)])
def test_chosen_and_rejected_that_fall_together_are_noted(chosen: float, is_found: bool) -> None:
    history: History = {
        "dpo/logps/chosen": points(ramp(-20, -20 + chosen)),
        "dpo/logps/rejected": points(ramp(-20, -35)),
        "dpo/rewards/margins": points(ramp(0, 2)),
    }
    assert (both_falling(history) is not None) == is_found


# Anything


def _judges() -> list[tuple[str, Judge, set[str]]]:
    rules = [(kind, rule) for kind in ("sft", "dpo", "grpo") for rule in rules_for(kind, 30)]
    return [(f"{kind} {rule.name}", rule.judge, {*rule.metrics, *rule.beside}) for kind, rule in rules]


@pytest.mark.parametrize(("name", "judge", "metrics"), _judges(), ids=[name for name, _, _ in _judges()])
def test_a_rule_judges_any_numbers_whatever_was_logged_of_them(
    name: str, judge: Judge, metrics: set[str]
) -> None:
    """Metrics are absent, short, constant, or of any size; accuracy comes with its interval or not at all."""
    rng = np.random.default_rng(2)
    sizes = [0.0, 1e-30, 1e-3, 1.0, 1e30]
    for _ in range(200):
        history: dict[str, list[Point]] = {}
        evaluations = int(rng.integers(1, 64))
        for metric in metrics:
            looks = evaluations if "/held_out/" in metric else int(rng.integers(1, 64))
            values = rng.choice(sizes, looks) * rng.choice(
                [rng.normal(size=looks), np.full(looks, rng.normal())]
            )
            if "/held_out/" in metric or rng.random() < 0.8:
                history[metric] = points(values)
        found = judge(history)
        assert found is None or (found.metric in history and found.reason)
