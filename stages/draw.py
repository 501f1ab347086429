"""Draws that are the same on every machine: keyed 64-bit hashes and exact counts, in plain integer arithmetic.

numpy's generators may change their streams between versions (NEP 19), so no draw here uses one.
"""

import hashlib
from collections.abc import Sequence
from fractions import Fraction
from math import floor
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Hashes: TypeAlias = NDArray[np.uint64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MULTIPLIERS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_SHIFTS = (np.uint64(30), np.uint64(27), np.uint64(31))


def draw_key(seed: int, *names: str) -> Hashes:
    """Two 64-bit words that stand for a seed and what is drawn with it."""
    text = "\0".join([str(seed), *names])
    return np.frombuffer(hashlib.blake2b(text.encode(), digest_size=16).digest(), dtype="<u8")


def mix_bits(values: Hashes) -> Hashes:
    """One step of SplitMix64, a bijection whose every output bit hangs on every input bit.

    Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
    """
    mixed = values + _GOLDEN
    for shift, multiplier in zip(_SHIFTS, _MULTIPLIERS, strict=False):
        mixed ^= mixed >> shift
        mixed *= multiplier
    return mixed ^ (mixed >> _SHIFTS[2])


def unit_interval(hashes: Hashes) -> NDArray[np.float64]:
    """Each hash as a number in [0, 1), from its upper 53 bits."""
    return (hashes >> np.uint64(11)).astype(np.float64) * 2.0**-53


def as_written(number: float) -> Fraction:
    """The decimal a person wrote, exactly: 0.145 of 100 rows is 14.5, not 14.499999999999998."""
    return Fraction(repr(number))


def half_up(number: Fraction) -> int:
    """The nearest integer, halves upwards."""
    return floor(number + Fraction(1, 2))


def largest_remainder(total: int, weights: Sequence[Fraction]) -> list[int]:
    """Integers in proportion to `weights` that sum to `total` (Hamilton's method).

    Every share is its quota rounded down; what is left goes to the largest remainders, the first of equals first.
    """
    whole = sum(weights)
    quotas = [total * weight / whole for weight in weights]
    shares = [floor(quota) for quota in quotas]
    by_remainder = sorted(range(len(quotas)), key=lambda place: shares[place] - quotas[place])
    for place in by_remainder[: total - sum(shares)]:
        shares[place] += 1
    return shares
