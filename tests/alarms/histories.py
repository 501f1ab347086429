"""Synthetic trainings: healthy ones of many shapes, and the same with one fault from a random step on.

A training is a list of what was logged, one mapping of metrics a step. All of it follows from a latent course of the
reward: pass rates of problems are beta distributed around it, groups have 8 completions, accuracy is binomial.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from statsmodels.stats.proportion import proportion_confint

Floats: TypeAlias = NDArray[np.float64]
Columns: TypeAlias = dict[str, Floats]
Shape: TypeAlias = Literal[
    "slow", "s_curve", "quick", "ceiling", "curriculum", "format_first", "rise_then_flat"
]
SHAPES: tuple[Shape, ...] = (
    "slow", "s_curve", "quick", "ceiling", "curriculum", "format_first", "rise_then_flat",
)  # fmt: skip
GROUP = 8


@dataclass(frozen=True, slots=True)
class Training:
    """One value for each look in every column."""

    steps: NDArray[np.int64]
    columns: Columns
    onset: int = 0
    """Position of the first faulty look."""

    def logged(self) -> Iterator[tuple[int, Mapping[str, float]]]:
        rows = zip(*(values.tolist() for values in self.columns.values()), strict=True)
        for step, row in zip(self.steps.tolist(), rows, strict=True):
            yield (
                step,
                {name: value for name, value in zip(self.columns, row, strict=True) if value != _NOT_LOGGED},
            )


_NOT_LOGGED = -12345.0
"""Not nan, which is something a training may log."""


def wobble(rng: np.random.Generator, looks: int, sigma: float, rho: float = 0.0) -> Floats:
    """Noise of standard deviation `sigma`, each value leaning on the one before by `rho`."""
    noise = rng.normal(0, sigma, looks)
    for at in range(1, looks):
        noise[at] = rho * noise[at - 1] + np.sqrt(1 - rho**2) * noise[at]
    return noise


def course(rng: np.random.Generator, shape: Shape, looks: int) -> Floats:
    """The expected reward at each look."""
    time = np.linspace(0, 1, looks)
    start = rng.uniform(0.1, 0.5)
    if shape == "curriculum":
        return lessons(rng, start, time)
    if shape in ("slow", "format_first"):
        form = rng.uniform(0.03, 0.1) * (1 - np.exp(-20 * time)) if shape == "format_first" else 0.0
        return start + form + rng.uniform(0.1, 0.35) * time
    if shape == "s_curve":
        middle, pace = rng.uniform(0.25, 0.5), rng.uniform(8, 20)
        return start + rng.uniform(0.25, 0.45) / (1 + np.exp(-pace * (time - middle)))
    if shape == "quick":
        return 1 - (1 - start) * np.exp(-time * rng.uniform(10, 30)) - rng.uniform(0, 0.02)
    if shape == "ceiling":
        return np.full(looks, rng.uniform(0.96, 0.995))
    return start + rng.uniform(0.2, 0.4) * (1 - np.exp(-time * rng.uniform(4, 8)))


def lessons(rng: np.random.Generator, start: float, time: Floats) -> Floats:
    """A curriculum: what was gained is lost, for the most part, when harder problems come."""
    ends = np.sort(rng.uniform(0.3, 0.9, 2))
    drops = rng.uniform(0.4, 0.9) * np.where(time < ends[0], 0, np.where(time < ends[1], ends[0], ends[1]))
    return start + rng.uniform(0.4, 0.8) * (time - drops)


def groups_alike(reward: Floats, concentration: float) -> Floats:
    """Expected share of groups that are right or wrong throughout."""

    def all_of(share: Floats) -> Floats:
        a = np.clip(share, 0.005, 0.995) * concentration
        return np.prod([(a + i) / (concentration + i) for i in range(GROUP)], axis=0)

    return all_of(reward) + all_of(1 - reward)


def held_out(rng: np.random.Generator, accuracy: Floats, every: int, problems: int) -> Columns:
    """Accuracy with its Wilson interval at every so many looks."""
    right = rng.binomial(problems, np.clip(accuracy, 0, 1))
    low, high = proportion_confint(right, problems, method="wilson")
    skipped = (np.arange(len(accuracy)) % every) != every - 1
    skipped[0] = False
    names = ("accuracy", "accuracy_low", "accuracy_high")
    return {
        f"grpo/held_out/{name}": np.where(skipped, _NOT_LOGGED, value)
        for name, value in zip(names, (right / problems, low, high), strict=True)
    }


def gradients(rng: np.random.Generator, looks: int, level: Floats) -> Floats:
    """Log-normal, with a batch now and then that is far off."""
    spikes = np.where(rng.random(looks) < 0.025, rng.uniform(4, 25, looks), 1)
    return level * np.exp(rng.normal(0, rng.uniform(0.15, 0.5), looks)) * spikes


@dataclass(frozen=True, slots=True)
class Plan:
    """What a GRPO training is drawn with."""

    looks: int
    shape: Shape
    sigma: float
    every: int
    problems: int
    scale: float = 1.0


def drawn_plan(rng: np.random.Generator, shapes: tuple[Shape, ...] = SHAPES) -> Plan:
    looks = int(rng.choice([30, 50, 100, 150, 250], p=[0.35, 0.35, 0.15, 0.1, 0.05]))
    return Plan(
        looks,
        shapes[rng.integers(len(shapes))],
        float(np.exp(rng.uniform(np.log(0.02), np.log(0.1)))),
        max(1, looks // int(rng.integers(6, 25))),
        int(rng.choice([100, 200, 500, 1000])),
        float(rng.choice([1.0, 1.0, 0.6])),
    )


def healthy_grpo(rng: np.random.Generator, plan: Plan) -> Training:
    looks = plan.looks
    time = np.linspace(0, 1, looks)
    reward = np.clip(course(rng, plan.shape, looks), 0, 0.998)
    skill = np.cumsum(np.maximum(np.diff(reward, prepend=reward[0]), 0))
    gain = np.minimum(skill, 0.9 * (1 - reward[0])) if plan.shape == "curriculum" else skill
    full = gain / (1 - reward[0]) * (0.6 if plan.shape == "curriculum" else 1)
    truth = rng.uniform(0.6, 1.0) * (reward[0] + rng.uniform(0.5, 1.0) * gain)
    if plan.shape in ("quick", "ceiling"):
        truth = reward - 0.01
    if plan.shape == "format_first":
        truth = rng.uniform(0.5, 0.9) * (reward - 0.05)
    concentration = rng.uniform(1.5, 5)
    alike = groups_alike(reward, concentration)
    prompts = int(rng.choice([8, 16, 64]))
    spread = np.sqrt(reward * (1 - reward)) * np.sqrt(concentration / (concentration + 1))
    lost = 1 - np.minimum(0.97, np.maximum(full * rng.uniform(0.8, 1.05), time * rng.uniform(0, 0.5)))
    similar, distinct = rng.uniform(0.2, 0.5), rng.uniform(0.6, 0.9)
    warm = np.minimum(1, np.arange(1, looks + 1) / max(1, looks * rng.uniform(0.01, 0.15)))
    length_gain = rng.uniform(-0.4, 1.5) * full + rng.uniform(-0.1, 0.3) * time
    cut = rng.uniform(0, 0.25)
    noisy = reward + wobble(rng, looks, plan.sigma, rng.choice([0.0, 0.3])) * np.sqrt(
        4 * reward * (1 - reward)
    )
    columns: Columns = {
        "grpo/reward": np.clip(noisy, 0, 1) * plan.scale,
        "grpo/reward_std": np.clip(spread + rng.normal(0, 0.02, looks), 0, 1) * plan.scale,
        "grpo/frac_reward_zero_std": rng.binomial(prompts, np.clip(alike, 0, 1)) / prompts,
        "grpo/entropy": rng.uniform(0.1, 1) * lost * np.exp(rng.normal(0, rng.uniform(0.03, 0.15), looks)),
        "grpo/distinct_2": np.clip(distinct * (1 - 0.3 * (1 - lost)) + rng.normal(0, 0.02, looks), 0, 1),
        "grpo/self_similarity": np.clip(1 - (1 - similar) * lost**0.8 + rng.normal(0, 0.02, looks), 0, 1),
        "grpo/kl": rng.uniform(0.02, 1.5)
        * np.cumsum(warm) ** rng.uniform(0.5, 1.3)
        / looks
        * np.exp(rng.normal(0, 0.2, looks)),
        "grpo/grad_norm": gradients(rng, looks, rng.uniform(0.05, 2) * np.sqrt(1.02 - alike)),
        "grpo/loss": rng.normal(0, 0.02, looks),
        "grpo/completions/mean_length": rng.uniform(50, 800)
        * (1 + length_gain)
        * np.exp(rng.normal(0, rng.uniform(0.02, 0.1), looks)),
        "grpo/completions/clipped_ratio": np.clip(
            cut + rng.uniform(-cut, 0.08) * time + rng.normal(0, 0.02, looks), 0, 1
        ),
        "grpo/reward/without_verdict": np.where(rng.random(looks) < 0.03, rng.integers(1, 4, looks), 0) / 256,
    }
    if rng.random() < 0.8 or plan.scale < 1:
        truth_now = truth + wobble(rng, looks, 0.008, 0.5)
        columns |= held_out(rng, truth_now, plan.every, plan.problems)
    steps = np.arange(1, looks + 1) * int(rng.choice([1, 5, 40]))
    return Training(steps, columns)


def healthy_supervised(rng: np.random.Generator, kind: Literal["sft", "dpo"], looks: int) -> Training:
    """The loss of small or large batches over warm-up, a fall, epochs, and a schedule that ends at 0."""
    time = np.linspace(0, 1, looks)
    start = np.log(2) if kind == "dpo" else rng.uniform(0.8, 2.5)
    warm = np.clip(time / rng.uniform(0.01, 0.12), 0, 1)
    fall = rng.uniform(0.1, 0.5) * start * (1 - np.exp(-time * rng.uniform(2, 15)))
    epochs = int(rng.integers(1, 4))
    memorized = 0.06 * start * np.floor(time * epochs * 0.999)
    sigma = rng.uniform(0.01, 0.1) * start
    loss = start - warm * fall - memorized + wobble(rng, looks, sigma, rng.choice([0.0, 0.2]))
    loss += np.where(rng.random(looks) < 0.02, rng.uniform(0.1, 0.6, looks) * start, 0)
    columns: Columns = {
        f"{kind}/loss": np.maximum(loss, 0.01),
        f"{kind}/grad_norm": gradients(rng, looks, rng.uniform(0.2, 5) * (0.7 + 0.8 * np.exp(-8 * time))),
    }
    if rng.random() < 0.6:
        every = max(1, looks // int(rng.integers(5, 20)))
        skipped = (np.arange(looks) % every) != every - 1
        value = start - warm * fall + rng.normal(0, 0.01 * start, looks)
        columns[f"{kind}/held_out/loss"] = np.where(skipped, _NOT_LOGGED, value)
    if kind == "dpo":
        margins = warm * rng.uniform(0.5, 3) * (1 - np.exp(-4 * time))
        columns["dpo/rewards/margins"] = margins + rng.normal(0, 0.1, looks)
        apart = rng.uniform(3, 20) * margins
        columns["dpo/logps/chosen"] = -100 + rng.uniform(-0.1, 0.5) * apart + rng.normal(0, 4, looks)
        columns["dpo/logps/rejected"] = -110 - rng.uniform(0.5, 1) * apart + rng.normal(0, 4, looks)
    return Training(np.arange(1, looks + 1) * int(rng.choice([1, 10, 40])), columns)


def healthy(kind: Literal["sft", "dpo", "grpo"], seed: int) -> Training:
    rng = np.random.default_rng([seed, len(kind), 7])
    if kind == "grpo":
        return healthy_grpo(rng, drawn_plan(rng))
    return healthy_supervised(rng, kind, int(rng.choice([30, 50, 100, 200])))


Fault: TypeAlias = Callable[[np.random.Generator, Columns, Floats], None]
"""Changes columns in place; the last argument is how long the fault has lasted at each look: 0 until the onset."""

UNSATURATED: tuple[Shape, ...] = ("slow", "s_curve", "rise_then_flat", "format_first")


def _stop_learning(columns: Columns, lasted: Floats) -> Floats:
    """The reward and accuracy, with what they gained after the onset replaced by what they were in the looks before."""
    onset = int(np.argmax(lasted > 0))
    for name in ["grpo/reward", *(name for name in columns if name.startswith("grpo/held_out"))]:
        is_logged = columns[name] != _NOT_LOGGED
        before = columns[name][:onset][is_logged[:onset]][-6:]
        after = np.flatnonzero(is_logged[onset:]) + onset
        columns[name][after] = before[np.arange(len(after)) % len(before)]
    return columns["grpo/reward"]


def _scaled(columns: Columns, name: str, factor: Floats) -> None:
    columns[name] = np.where(columns[name] == _NOT_LOGGED, _NOT_LOGGED, columns[name] * factor)


def _entropy_collapses(rng: np.random.Generator, columns: Columns, lasted: Floats) -> None:
    _stop_learning(columns, lasted)
    _scaled(columns, "grpo/entropy", 0.03 + 0.97 * np.exp(-lasted / rng.uniform(2, 6)))


def _completions_become_alike(rng: np.random.Generator, columns: Columns, lasted: Floats) -> None:
    _stop_learning(columns, lasted)
    left = np.exp(-lasted / rng.uniform(2, 6))
    _scaled(columns, "grpo/distinct_2", 0.25 + 0.75 * left)
    columns["grpo/self_similarity"] = 1 - (1 - columns["grpo/self_similarity"]) * (0.08 + 0.92 * left)


def _reward_saturates(rng: np.random.Generator, columns: Columns, lasted: Floats) -> None:
    left = np.exp(-lasted / rng.uniform(1, 4))
    columns["grpo/reward"] = np.clip(0.99 - (0.99 - columns["grpo/reward"]) * left, 0, 1)
    columns["grpo/frac_reward_zero_std"] = 0.95 - (0.95 - columns["grpo/frac_reward_zero_std"]) * left


def _kl_diverges(rng: np.random.Generator, columns: Columns, lasted: Floats) -> None:
    columns["grpo/kl"] += np.where(lasted > 0, 0.1, 0) * np.exp(
        np.minimum(lasted * rng.uniform(0.25, 0.6), 6)
    )


def _length_runs_away(rng: np.random.Generator, columns: Columns, lasted: Floats) -> None:
    _stop_learning(columns, lasted)
    _scaled(
        columns, "grpo/completions/mean_length", np.minimum(np.exp(lasted * rng.uniform(0.08, 0.25)), 4.5)
    )


def _completions_are_cut(rng: np.random.Generator, columns: Columns, lasted: Floats) -> None:
    added = rng.uniform(0.35, 0.6) * (1 - np.exp(-lasted / rng.uniform(1, 5)))
    columns["grpo/completions/clipped_ratio"] = np.clip(
        columns["grpo/completions/clipped_ratio"] + added, 0, 1
    )


def _verifiers_fail(rng: np.random.Generator, columns: Columns, lasted: Floats) -> None:
    failed = rng.binomial(256, rng.uniform(0.015, 0.2), len(lasted)) / 256
    columns["grpo/reward/without_verdict"] = np.where(
        lasted > 0, failed, columns["grpo/reward/without_verdict"]
    )


def _groups_lose_spread(rng: np.random.Generator, columns: Columns, lasted: Floats) -> None:
    reward = _stop_learning(columns, lasted)
    if rng.random() < 0.5:
        columns["grpo/reward"] = reward * (0.1 + 0.9 * np.exp(-lasted / 3))
    left = np.exp(-lasted / rng.uniform(1, 5))
    final = rng.uniform(0.75, 0.95)
    columns["grpo/frac_reward_zero_std"] = final - (final - columns["grpo/frac_reward_zero_std"]) * left


def _nothing_is_learned(rng: np.random.Generator, columns: Columns, lasted: Floats) -> None:
    looks = len(lasted)
    columns["grpo/reward"] = rng.uniform(0.1, 0.7) + rng.normal(0, rng.uniform(0.01, 0.02), looks)
    columns["grpo/reward_std"] = np.full(looks, 0.4)
    columns["grpo/frac_reward_zero_std"] = rng.uniform(0.1, 0.3, looks)
    for name in [name for name in columns if name.startswith("grpo/held_out")]:
        del columns[name]


def _truth_parts(columns: Columns, accuracy: Floats, rng: np.random.Generator, problems: int) -> None:
    logged = columns["grpo/held_out/accuracy"] != _NOT_LOGGED
    fresh = held_out(rng, accuracy, 1, problems)
    for name, values in fresh.items():
        columns[name] = np.where(logged, values, _NOT_LOGGED)


def _hacked(kind: Literal["flat", "falls", "ceiling"]) -> Fault:
    """The reward is exploited: truth stays, or falls, or falls under a reward that is at its ceiling already."""

    def fault(rng: np.random.Generator, columns: Columns, lasted: Floats) -> None:
        onset = int(np.argmax(lasted > 0))
        reward = _stop_learning(columns, lasted)
        pace = 1 - np.exp(-lasted / rng.uniform(3, 8))
        level = float(np.mean(reward[max(0, onset - 4) : onset]))
        reward, level = reward - max(0.0, level - 0.5), min(level, 0.5)
        learned = 0.6 * max(0.0, level - float(np.mean(reward[:4])))
        truth = rng.uniform(0.3, 0.5) + learned * np.minimum(np.arange(len(lasted)) / onset, 1)
        truth = truth + wobble(rng, len(lasted), 0.008, 0.5)
        if kind == "ceiling":
            columns["grpo/reward"] = np.clip(0.98 + rng.normal(0, 0.01, len(lasted)), 0, 1)
            columns["grpo/reward_std"] = np.full(len(lasted), 0.15)
        else:
            rise = rng.uniform(0.35, 0.47)
            columns["grpo/reward"] = np.clip(reward + rise * pace, 0, 1)
        if kind != "flat":
            truth = truth - rng.uniform(0.15, 0.25) * pace
        _truth_parts(columns, truth, rng, int(rng.choice([400, 1000])))

    return fault


def _gradients_explode(rng: np.random.Generator, columns: Columns, lasted: Floats) -> None:
    (name,) = (name for name in columns if name.endswith("/grad_norm"))
    _scaled(columns, name, np.exp(np.minimum(lasted * rng.uniform(0.5, 2), np.log(rng.uniform(15, 100)))))


def _loss_jumps(rng: np.random.Generator, columns: Columns, lasted: Floats) -> None:
    (name,) = (name for name in columns if name.endswith("/loss") and "held_out" not in name)
    columns[name] = columns[name] + np.where(lasted > 0, rng.uniform(0.6, 1.5) * columns[name][0], 0)


def _not_a_number(rng: np.random.Generator, columns: Columns, lasted: Floats) -> None:
    name = str(
        rng.choice([name for name in columns if name.endswith(("/loss", "grad_norm")) and "held" not in name])
    )
    columns[name] = np.where(lasted > 0, rng.choice([np.nan, np.inf]), columns[name])


def _loss_stays(rng: np.random.Generator, columns: Columns, lasted: Floats) -> None:
    (name,) = (name for name in columns if name.endswith("/loss") and "held_out" not in name)
    start = columns[name][0]
    columns[name] = start * (1 + rng.normal(0, rng.uniform(0.01, 0.03), len(lasted)))


def _memorizes(rng: np.random.Generator, columns: Columns, lasted: Floats) -> None:
    (name,) = (name for name in columns if name.endswith("/loss") and "held_out" not in name)
    looks, start = len(lasted), 2.0
    held = start - 0.5 * (1 - np.exp(-np.arange(looks) / 8)) + 0.02 * lasted + rng.normal(0, 0.01, looks)
    columns[name] = start - 0.6 * (1 - np.exp(-np.arange(looks) / 12)) + rng.normal(0, 0.05, looks)
    columns[name.replace("/loss", "/held_out/loss")] = np.where(np.arange(looks) % 3 == 2, held, _NOT_LOGGED)


def _both_fall(rng: np.random.Generator, columns: Columns, lasted: Floats) -> None:
    columns["dpo/rewards/margins"] = 0.1 * lasted + rng.normal(0, 0.1, len(lasted))
    columns["dpo/logps/chosen"] = -100 - rng.uniform(1.0, 2.0) * lasted + rng.normal(0, 4, len(lasted))
    columns["dpo/logps/rejected"] = -110 - 2.5 * lasted + rng.normal(0, 4, len(lasted))


FAULTS: dict[str, Fault] = {
    "entropy collapses": _entropy_collapses,
    "completions become alike": _completions_become_alike,
    "reward saturates": _reward_saturates,
    "kl diverges": _kl_diverges,
    "length runs away": _length_runs_away,
    "completions are cut": _completions_are_cut,
    "verifiers fail": _verifiers_fail,
    "groups lose spread": _groups_lose_spread,
    "nothing is learned": _nothing_is_learned,
    "hacked, truth flat": _hacked("flat"),
    "hacked, truth falls": _hacked("falls"),
    "hacked at the ceiling": _hacked("ceiling"),
    "gradients explode": _gradients_explode,
    "loss jumps": _loss_jumps,
    "not a number": _not_a_number,
    "loss stays": _loss_stays,
    "memorizes": _memorizes,
    "both fall": _both_fall,
}


def faulty(kind: Literal["sft", "dpo", "grpo"], fault: str, seed: int) -> Training:
    """60 to 100 looks, the fault from a random one of the first half on, evaluations every third look."""
    rng = np.random.default_rng([seed, len(kind), 13])
    training = _before_the_fault(kind, seed)
    looks = len(training.steps)
    onset = int(rng.integers(looks // 4, looks // 2))
    columns = {name: values.copy() for name, values in training.columns.items()}
    if "hacked" in fault:
        columns |= held_out(rng, np.full(looks, 0.4), 3, 500)
    FAULTS[fault](rng, columns, np.maximum(0.0, np.arange(looks) - onset + 1.0))
    return Training(training.steps, columns, onset)


@cache
def _before_the_fault(kind: Literal["sft", "dpo", "grpo"], seed: int) -> Training:
    rng = np.random.default_rng([seed, len(kind), 11])
    looks = int(rng.integers(60, 100))
    if kind != "grpo":
        return healthy_supervised(rng, kind, looks)
    shape = UNSATURATED[rng.integers(len(UNSATURATED))]
    return healthy_grpo(rng, Plan(looks, shape, float(rng.uniform(0.02, 0.06)), 3, 500))
