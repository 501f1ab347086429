"""More and more of what should stay small: distance from the start, length, truncation, verdicts that are missing."""

from math import log
from statistics import fmean, median

from data_contracts.histories import History
from stages.alarms.evidence import (
    FEWEST,
    SURE,
    Finding,
    left,
    noise,
    present,
    since_start,
    until,
    values_of,
    width,
)
from stages.alarms.truth import has_paid

KL = "grpo/kl"
KL_TO_START = "grpo/kl_to_start"
LENGTH = "grpo/completions/mean_length"
TRUNCATED = "grpo/completions/clipped_ratio"
FAILED = "grpo/reward/without_verdict"

_HEALTHY_KL = 0.5
"""Nats below which axolotl's documentation sees no trouble, however fast it got there."""

_HEALTHY_TRUNCATED = 0.3
"""The same documentation's, for the share of completions that were cut."""

_FAILURES = 0.005
"""Half of the share of missing verdicts at which a stage fails."""


def kl_divergence(history: History) -> Finding | None:
    """The policy leaves its start faster than a learning rate in warm-up explains.

    A policy that walks straight has a divergence that grows with the square of the steps, one that diffuses a
    linear one. So what it was at half of the steps, times four, is the most there should be.
    """
    metric = KL if present(history, KL) else KL_TO_START
    points = present(history, metric)
    if len(points) < FEWEST:
        return None
    now = median(values_of(points[-4:]))
    if now < _HEALTHY_KL:
        return None
    middle = until(points, points[-1][0] // 2)
    then = median(values_of(points[max(0, middle - 2) : middle + 2]))
    logs = [log(value) for value in values_of(points) if value > 0]
    if then > 0 and log(now / (4 * then)) < max(log(1.5), noise(logs)):
        return None
    since = left(points, then, now)
    return Finding(
        since,
        metric,
        f"KL went from {then:.3g} at half of the steps to {now:.3g}, faster than training moves",
    )


def length_runaway(history: History) -> Finding | None:
    """Completions became twice as long, and nothing was gained since they were half as long."""
    points = present(history, LENGTH)
    if len(points) < FEWEST:
        return None
    now = fmean(values_of(points[-width(points) // 2 :]))
    if now < 2 * fmean(values_of(points[: width(points)])) or since_start(points).errors() < SURE:
        return None
    since = next(step for step, value in reversed(points) if value <= now / 2)
    if has_paid(history, since):
        return None
    return Finding(
        since,
        LENGTH,
        f"completions grew from {now / 2:.0f} to {now:.0f} tokens since step {since} and nothing was gained",
    )


def truncation(history: History) -> Finding | None:
    """More and more completions are cut at the longest length allowed."""
    points = present(history, TRUNCATED)
    if len(points) < FEWEST:
        return None
    span = width(points)
    start, now = fmean(values_of(points[:span])), fmean(values_of(points[-span:]))
    if now < _HEALTHY_TRUNCATED or now - start < 0.1 or since_start(points).errors() < SURE:
        return None
    return Finding(
        left(points, start, now), TRUNCATED, f"truncated completions went from {start:.0%} to {now:.0%}"
    )


def verifier_failures(history: History) -> Finding | None:
    """Verdicts are missing step after step, not once: the verifiers' machine is in trouble, not the policy."""
    points = present(history, FAILED)
    if len(points) < FEWEST:
        return None
    values = values_of(points)
    now, before = median(values[-5:]), fmean(values[:-5])
    if now < _FAILURES or now < 3 * before:
        return None
    return Finding(
        left(points, before, now),
        FAILED,
        f"{now:.1%} of the completions have no verdict, {before:.2%} before",
    )
