"""`python -m tests.benchmarks.gate_table`: what gates make of published results and of simulated comparisons.

Published: event scheduling (discordant schedules of ANCHORS) through the product's paired test, and Tülu 3 8B, DPO to
RLVR, whose verdicts are not published: its rates are compared as those of two independent samples.
Simulated: equal models (A/A), how often a gate calls the second one better; and models apart by a known amount (A/B)
on as many problems as `needed_pairs` asks for, how often the gate sees it.
"""

import argparse
from collections.abc import Callable
from functools import cache

import numpy as np
from rich.console import Console
from rich.table import Table
from statsmodels.stats.proportion import confint_proportions_2indep, test_proportions_2indep

from stages.gate_tests import Floats, PairedEvidence, holm, needed_pairs, paired_evidence

ALPHA, POWER = 0.05, 0.8
IFEVAL_PROMPTS = 541
SAFETY_SIZES = (500, 2_000, 10_000, 50_000)
"""The size of the safety average is not published. Its fall is above the margin itself, so that no size matters."""

Draw = Callable[[np.random.Generator, int, float], tuple[Floats, Floats]]


@cache
def of_outcomes(gained: int, lost: int, total: int) -> PairedEvidence:
    before, after = np.zeros(total), np.zeros(total)
    after[:gained] = 1
    before[gained : gained + lost] = 1
    return paired_evidence(before, after, reach=1.0, seed=0)


def compare_rates(
    successes_before: int, num_before: int, successes_after: int, num_after: int
) -> tuple[float, float, float]:
    """Interval of after minus before (Miettinen and Nurminen 1985) and two-sided p (score test), unpaired."""
    counts = successes_after, num_after, successes_before, num_before
    low, high = confint_proportions_2indep(*counts, method="score", compare="diff", alpha=ALPHA)
    p_value = test_proportions_2indep(*counts, method="score", compare="diff", return_results=False)[1]
    return float(low), float(high), float(p_value)


def published() -> Table:
    table = Table("published", "problems", "effect", "interval", "p", "asked", "gate")
    for name, gained, lost in (("GRPO over base", 55, 1), ("3 epochs over 2 epochs", 16, 20)):
        found = of_outcomes(gained, lost, 100)
        ends, p_value = found.interval(ALPHA), found.p_value()
        table.add_row(*_cells(f"scheduling: {name}", 100, found.effect, ends, p_value), *_improves(ends))
    low, high, p_value = compare_rates(*_counts(0.811, 0.824, IFEVAL_PROMPTS))
    name = "Tülu 3 8B: IFEval, RLVR over DPO"
    table.add_row(*_cells(name, IFEVAL_PROMPTS, 0.013, (low, high), p_value), *_improves((low, high)))
    for size in SAFETY_SIZES:
        low, high, p_value = compare_rates(*_counts(0.872, 0.855, size))
        cells = _cells("Tülu 3 8B: safety, RLVR over DPO", size, -0.017, (low, high), p_value)
        table.add_row(*cells, "not worse by 1 point", "passes" if low > -0.01 else "refused")
    return table


def _counts(before: float, after: float, size: int) -> tuple[int, int, int, int]:
    return round(before * size), size, round(after * size), size


def _improves(ends: tuple[float, float]) -> tuple[str, str]:
    return "better", "passes" if ends[0] > 0 else "refused"


def _cells(name: str, size: int, effect: float, ends: tuple[float, float], p_value: float) -> list[str]:
    interval = f"{100 * ends[0]:+.1f} to {100 * ends[1]:+.1f}"
    return [name, f"{size:,}", f"{100 * effect:+.1f}", interval, f"{p_value:.2g}"]


def one_sample(rng: np.random.Generator, total: int, lift: float) -> tuple[Floats, Floats]:
    return _samples(rng, total, lift, 1)


def four_samples(rng: np.random.Generator, total: int, lift: float) -> tuple[Floats, Floats]:
    return _samples(rng, total, lift, 4)


def _samples(rng: np.random.Generator, total: int, lift: float, samples: int) -> tuple[Floats, Floats]:
    """Problems of all difficulties; the second model solves each with a chance that is higher by `lift`."""
    ability = rng.uniform(0.05, 0.85, total)
    return rng.binomial(samples, ability) / samples, rng.binomial(samples, ability + lift) / samples


def evidence(before: Floats, after: Floats, seed: int) -> PairedEvidence:
    """The product's; pass or fail depends on how many changed alone, so that equal counts are judged once."""
    if not np.isin(np.concatenate([before, after]), (0.0, 1.0)).all():
        return paired_evidence(before, after, reach=1.0, seed=seed)
    return of_outcomes(int((after > before).sum()), int((after < before).sum()), len(after))


def called(draw: Draw, total: int, lift: float, times: int, seed: int) -> tuple[float, float]:
    """Shares of comparisons that end in better and in worse."""
    rng = np.random.default_rng([seed, total])
    found = [evidence(*draw(rng, total, lift), seed=number) for number in range(times)]
    certain = [each.effect for each in found if each.p_value() <= ALPHA]
    return sum(effect > 0 for effect in certain) / times, sum(effect < 0 for effect in certain) / times


def called_of_two(total: int, times: int, seed: int) -> tuple[float, float]:
    """The same for a gate of two metrics, together: an improvement of either."""
    rng = np.random.default_rng([seed, total, 2])
    better = worse = 0
    for number in range(times):
        found = [evidence(*draw(rng, total, 0.0), seed=number) for draw in (one_sample, four_samples)]
        adjusted = holm([each.p_value() for each in found])
        effects = [each.effect for each, p in zip(found, adjusted, strict=True) if p <= ALPHA]
        better += any(effect > 0 for effect in effects)
        worse += any(effect < 0 for effect in effects)
    return better / times, worse / times


def equal_models(times: int, seed: int) -> Table:
    table = Table(
        "A/A", "problems x samples", "better", "worse", title=f"{times:,} comparisons each; 2.5 % expected"
    )
    for name, draw, total in (
        ("pass or fail", one_sample, 100),
        ("pass or fail", one_sample, 400),
        ("scores", four_samples, 100),
    ):
        shares = called(draw, total, 0.0, times, seed)
        table.add_row(
            name, f"{total} x {1 if draw is one_sample else 4}", *(f"{share:.1%}" for share in shares)
        )
    table.add_row(
        "two metrics, Holm", "100 x 1 and 4", *(f"{share:.1%}" for share in called_of_two(100, times, seed))
    )
    return table


def different_models(times: int, seed: int) -> Table:
    table = Table(
        "A/B", "lift", "problems needed", "found better", title=f"{times:,} comparisons each; 80 % computed"
    )
    for name, draw, lift in (
        ("pass or fail", one_sample, 0.15),
        ("pass or fail", one_sample, 0.08),
        ("scores of 4 samples", four_samples, 0.1),
        ("scores of 4 samples", four_samples, 0.05),
    ):
        needed = problems_needed(draw, lift, seed)
        better, _ = called(draw, needed, lift, times, seed)
        table.add_row(name, f"{100 * lift:.0f} points", f"{needed:,}", f"{better:.1%}")
    return table


def problems_needed(draw: Draw, lift: float, seed: int) -> int:
    """Of so many pairs that they have the true effect and spread."""
    before, after = draw(np.random.default_rng(seed), 4_000_000, lift)
    needed = needed_pairs(after - before, 0.0, ALPHA, POWER, reach=1.0)
    assert needed is not None
    return needed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    console = Console(width=130)
    console.print(published())
    console.print(equal_models(options.times, options.seed))
    console.print(different_models(options.times, options.seed))


if __name__ == "__main__":
    main()
