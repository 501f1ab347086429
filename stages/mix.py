"""Mix dataset versions: which rows of each source, how often, and in which order.

Every source has one endless sequence of its rows, pass after pass, each pass in the order of a keyed hash of the
row hashes; a mix takes its first `count` members. So a larger weight keeps every row of a smaller one, new rows
leave the order of old ones as it was, and a pass holds each row once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from data_contracts.errors import DataError
from data_contracts.mixtures import Mixture
from stages.draw import (
    Hashes,
    as_written,
    draw_key,
    half_up,
    largest_remainder,
    mix_bits,
    unit_interval,
)

_MOST_ROWS = 500_000_000


@dataclass(frozen=True, slots=True)
class Mix:
    """The rows of a mix, in order."""

    source: NDArray[np.int32]
    """[rows] Place of the row's dataset in the mixture."""

    position: NDArray[np.int64]
    """[rows] Place of the row in its dataset."""

    counts: tuple[int, ...]
    """Rows taken from each source of the mixture."""


def mix(mixture: Mixture, row_hashes: Mapping[str, Hashes]) -> Mix:
    """Draw and interleave. `row_hashes`: `name@version` -> [rows, 2] little-endian words of each row's hash.

    Raises DataError when the datasets are not the mixture's, or have too few rows for it.
    """
    counts = source_counts(mixture, {dataset: len(words) for dataset, words in row_hashes.items()})
    drawn: list[NDArray[np.int64]] = []
    times: list[NDArray[np.float64]] = []
    for source, count in zip(mixture.sources, counts, strict=True):
        name = source.dataset.partition("@")[0]
        seed = mixture.seed if source.seed is None else source.seed
        drawn.append(_draw(row_hashes[source.dataset], draw_key(seed, "draw", name), count))
        times.append(_times(draw_key(mixture.seed, "order", name), count))
    order = np.argsort(np.concatenate(times), kind="stable")
    sources = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    return Mix(sources[order], np.concatenate(drawn)[order], tuple(counts))


def source_counts(mixture: Mixture, num_rows: Mapping[str, int]) -> list[int]:
    """Rows each source gives: its rows times its weight, halves rounded up; or its largest-remainder share of `total`.

    Weights count as the decimals they are written as. Raises DataError as `mix` does.
    """
    _require_same_datasets(mixture, num_rows)
    sizes = [num_rows[source.dataset] for source in mixture.sources]
    caps = [source.cap for source in mixture.sources]
    weights = [as_written(source.weight) for source in mixture.sources]
    if mixture.total is None:
        wanted = [half_up(weight * size) for weight, size in zip(weights, sizes, strict=True)]
        counts = [count if cap is None else min(count, cap) for count, cap in zip(wanted, caps, strict=True)]
    else:
        counts = _shares(mixture.total, weights, caps)
        _require_enough(mixture, sizes, counts)
    if sum(counts) > _MOST_ROWS:
        raise DataError(
            f"The mix would have more than {_MOST_ROWS:,} rows.",
            "a number that a machine can hold",
            "Lower the weights or the total.",
        )
    if sum(counts) == 0:
        raise DataError(
            f"The weights take no row from {', '.join(num_rows)}: all counts round to 0.",
            "at least one row",
            "Raise the weights.",
        )
    return counts


def _shares(total: int, weights: Sequence[Fraction], caps: Sequence[int | None]) -> list[int]:
    """Shares of `total`; a source above its cap gives its cap, and the rest is shared among the others again."""
    counts = [0] * len(weights)
    uncapped = [place for place, weight in enumerate(weights) if weight]
    while uncapped:
        shares = largest_remainder(total - sum(counts), [weights[place] for place in uncapped])
        above = False
        for place, share in zip(list(uncapped), shares, strict=True):
            cap = caps[place]
            if cap is not None and share > cap:
                counts[place], above = cap, True
                uncapped.remove(place)
        if not above:
            for place, share in zip(uncapped, shares, strict=True):
                counts[place] = share
            return counts
    raise DataError(
        f"The caps of the mix let {sum(counts)} rows through.",
        f"its total of {total}",
        "Lower the total, or raise a cap.",
    )


def _draw(words: Hashes, key: Hashes, count: int) -> NDArray[np.int64]:
    """The first `count` members of the source's sequence, as places in it: [count]."""
    if count == 0:
        return np.empty(0, np.int64)
    hashes = _occurrence_hashes(words, key)
    num_passes = -(-count // len(hashes))
    starts = mix_bits(np.arange(num_passes, dtype=np.uint64))
    passes = [np.argsort(mix_bits(hashes ^ start), kind="stable") for start in starts]
    return np.concatenate(passes)[:count]


def _occurrence_hashes(words: Hashes, key: Hashes) -> Hashes:
    """[rows] keyed hash of each row and of how many equal rows come before it."""
    hashes = mix_bits(mix_bits(words[:, 0] ^ key[0]) ^ words[:, 1] ^ key[1])
    order = np.argsort(hashes, kind="stable")
    is_first = np.diff(hashes[order], prepend=~hashes[order[:1]]) != 0
    places = np.arange(len(hashes))
    occurrences = np.empty(len(hashes), np.uint64)
    occurrences[order] = places - np.maximum.accumulate(np.where(is_first, places, 0))
    return hashes ^ mix_bits(occurrences)


def _times(key: Hashes, count: int) -> NDArray[np.float64]:
    """When each drawn row comes, from 0 to 1: one at random in every `count`-th part of the mix.

    So each prefix of the mix holds every source in its proportion, to within a row per source, and a later pass
    over a source follows the earlier one.
    """
    places = np.arange(count, dtype=np.uint64)
    return (places + unit_interval(mix_bits(mix_bits(places ^ key[0]) ^ key[1]))) / max(count, 1)


def _require_same_datasets(mixture: Mixture, num_rows: Mapping[str, int]) -> None:
    wanted = {source.dataset for source in mixture.sources}
    if missing := sorted(wanted - set(num_rows)):
        raise DataError(
            f"The mix weighs {', '.join(missing)}, which is not among its datasets.",
            f"some of {', '.join(sorted(num_rows)) or 'no datasets'}",
            "Correct the name, or add the dataset.",
        )
    if unweighed := sorted(set(num_rows) - wanted):
        raise DataError(
            f"The mix has no weight for {', '.join(unweighed)}.",
            "a source for every dataset",
            "Give it a weight; 0 leaves it out.",
        )
    if empty := [
        source.dataset for source in mixture.sources if source.weight and not num_rows[source.dataset]
    ]:
        raise DataError(
            f"{', '.join(empty)} has no rows that may be drawn.", "at least one", "Leave it out of the mix."
        )


def _require_enough(mixture: Mixture, sizes: Sequence[int], counts: Sequence[int]) -> None:
    if mixture.upsample:
        return
    short = [
        f"{source.dataset} has {size} rows and would give {count}"
        for source, size, count in zip(mixture.sources, sizes, counts, strict=True)
        if count > size
    ]
    if short:
        raise DataError(
            f"A total of {mixture.total} is more than the mix can give without repeating rows: {'; '.join(short)}.",
            "shares no larger than their sources",
            "Lower the total, that weight or its cap, or allow upsampling.",
        )
