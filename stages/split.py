"""Hold out whole groups of rows, every stratum in its proportion.

Groups (all rows of one problem, of one prompt) leave in the order of a keyed hash of their key until the target is
met. The order never changes; the targets are exact counts of rows, not a threshold on the hash, because an
evaluation of 10 % should be 10 %. New groups can therefore move only the last of the old ones across.
"""

import hashlib
from collections.abc import Callable
from fractions import Fraction
from typing import TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from data_contracts.errors import DataError
from data_contracts.mixtures import HeldOutSplit
from stages.draw import Hashes, as_written, draw_key, half_up, largest_remainder
from stages.row_texts import exact_text

Codes: TypeAlias = NDArray[np.int64]
TextColumn: TypeAlias = pa.ChunkedArray | pa.StringArray


def held_out_rows(
    split: HeldOutSplit, groups: TextColumn, strata: TextColumn | None = None
) -> NDArray[np.bool_]:
    """[rows] True where a row is held out. `groups` and `strata`: one text per row, of `split`'s columns.

    Groups whose texts are exact duplicates (`exact_text`) are one group.

    Strata share the target in proportion to their rows, by largest remainder. A group with rows in several strata
    counts whole where most of its rows are, the alphabetically first of equals. A group is passed over when it
    would overshoot its stratum's target by as much as is still missing; so a stratum of few large groups can end
    below or above its target, by less than its last group. Raises DataError for rows without a group or stratum,
    or when either side would be empty.
    """
    group_codes, group_keys = _encoded(groups, split.group_by, exact_text)
    sizes = np.bincount(group_codes, minlength=len(group_keys))
    group_strata = np.zeros(len(group_keys), np.int64)
    if strata is not None and split.stratify_by is not None:
        row_strata, strata_names = _encoded(strata, split.stratify_by)
        group_strata = _majority(group_codes, row_strata, (len(group_keys), len(strata_names)))
    order = np.argsort(_keyed_hashes(group_keys, split.seed), kind="stable")
    held_out = np.zeros(len(group_keys), np.bool_)
    for stratum, target in enumerate(
        _targets(split, np.bincount(group_strata, weights=sizes).astype(np.int64))
    ):
        members = order[group_strata[order] == stratum]
        held_out[_taken(members, sizes, target)] = True
    mask = held_out[group_codes]
    _require_both_sides(split, mask, len(group_keys))
    return mask


def _taken(members: Codes, sizes: Codes, target: int) -> list[int]:
    taken: list[int] = []
    missing = target
    for group in members.tolist():
        if missing <= 0:
            break
        if sizes[group] < 2 * missing:
            taken.append(group)
            missing -= int(sizes[group])
    return taken


def _targets(split: HeldOutSplit, stratum_rows: Codes) -> list[int]:
    """Rows to hold out of each stratum."""
    rows: list[int] = stratum_rows.tolist()
    total = split.count
    if total is None:
        assert split.fraction is not None
        total = half_up(as_written(split.fraction) * sum(rows))
    if not 0 < total < sum(rows):
        raise DataError(
            f"The split would hold out {total} of {sum(rows)} rows.",
            "at least one row on either side",
            "Change the fraction or count.",
        )
    return largest_remainder(total, [Fraction(number) for number in rows])


def _majority(group_codes: Codes, row_strata: Codes, shape: tuple[int, int]) -> Codes:
    """[groups] the stratum most of a group's rows are in; `shape`: number of groups and of strata."""
    num_groups, width = shape
    pairs, counts = np.unique(group_codes * width + row_strata, return_counts=True)
    smallest_first = np.lexsort((-(pairs % width), counts))
    majority = np.zeros(num_groups, np.int64)
    majority[pairs[smallest_first] // width] = pairs[smallest_first] % width
    return majority


def _encoded(column: TextColumn, name: str, reading: Callable[[str], str] = str) -> tuple[Codes, list[str]]:
    """[rows] the place of each row's text, as read, among the distinct ones, which come in alphabetical order."""
    if column.null_count:
        raise DataError(
            f"{column.null_count} of {len(column)} rows have no {name}.",
            f"{name} in every row",
            "Complete or remove these rows, or split by another column.",
        )
    chunked = column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([column])
    encoded = chunked.dictionary_encode().combine_chunks()
    texts = [reading(text) for text in encoded.dictionary.to_pylist()]
    alphabetical = sorted(set(texts))
    place = {text: position for position, text in enumerate(alphabetical)}
    rank = np.array([place[text] for text in texts], np.int64)
    return rank[encoded.indices.to_numpy()], alphabetical


def _keyed_hashes(texts: list[str], seed: int) -> Hashes:
    key = draw_key(seed, "split").tobytes()
    digests = [hashlib.blake2b(text.encode(), digest_size=8, key=key).digest() for text in texts]
    return np.frombuffer(b"".join(digests), dtype="<u8")


def _require_both_sides(split: HeldOutSplit, mask: NDArray[np.bool_], num_groups: int) -> None:
    if mask.any() and not mask.all():
        return
    side = "every row" if mask.any() else "no row"
    raise DataError(
        f"The split holds out {side}: {len(mask)} rows are in {num_groups} groups of {split.group_by}.",
        "groups small enough for the split",
        "Group by a finer column, or change the fraction or count.",
    )
