"""`python -m tests.benchmarks.near_duplicates`: near duplicates among chat rows, here and by datasketch, by the clock.

Datasketch (the extra `bench`) gets the shingle sets for nothing: its time is MinHash.bulk, an insertion session
and one query a row, with as many permutations and the same bands. Ours is everything: reading words, exact
duplicates, shingles, boilerplate, signatures, bands, measuring every pair, clusters and the report. Rows are JSON lines
with `messages[].content`, or invented; one in ten gets a copy with a few words changed.
"""

import argparse
import json
import random
import resource
import time
from itertools import islice
from pathlib import Path

import pyarrow as pa
from datasketch import MinHash, MinHashLSH
from rich.console import Console
from rich.table import Table

from stages.deduplicate import NamedTexts, find_duplicates
from stages.near_pairs import bands_for
from stages.shingles import shingle_sets
from tests.benchmarks.planted_contamination import invented_text

THRESHOLD = 0.8
NUM_PERMUTATIONS = 128


def chat_rows(path: Path | None, count: int, seed: int) -> pa.Array:
    """`count` rows, a tenth of them near copies of others."""
    rng = random.Random(seed)
    num_own = count - count // 10
    if path:
        with path.open(encoding="utf-8") as lines:
            rows = [
                "\n".join(m["content"] for m in json.loads(line)["messages"])
                for line in islice(lines, num_own)
            ]
    else:
        rows = [invented_text(rng, rng.randrange(20, 300)) for _ in range(num_own)]
    for _ in range(count // 10):
        words = rng.choice(rows[:num_own]).split(" ")
        for _ in range(1 + len(words) // 100):
            words[rng.randrange(len(words))] = invented_text(rng, 1)
        rows.append(" ".join(words))
    return pa.array(rows, pa.large_string())


def by_datasketch(texts: pa.Array) -> tuple[float, int]:
    """Seconds, and rows with a similar earlier one by the bands alone."""
    sets = shingle_sets(texts, lambda _: None)
    tokens = [
        [int(shingle).to_bytes(8, "little") for shingle in sets.shingles[start:end]]
        for start, end in zip(sets.offsets[:-1], sets.offsets[1:], strict=True)
    ]
    del sets
    started = time.perf_counter()
    sketches = MinHash.bulk(tokens, num_perm=NUM_PERMUTATIONS)
    index = MinHashLSH(num_perm=NUM_PERMUTATIONS, params=bands_for(THRESHOLD))
    with index.insertion_session() as session:
        for row, sketch in enumerate(sketches):
            session.insert(row, sketch, check_duplication=False)
    similar = sum(min(index.query(sketch)) < row for row, sketch in enumerate(sketches))
    return time.perf_counter() - started, similar


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.near_duplicates", description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--file", type=Path, help="JSON lines with messages")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    texts = chat_rows(args.file, args.rows, args.seed)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    started = time.perf_counter()
    found = find_duplicates([NamedTexts("chat", texts)], "near", threshold=THRESHOLD)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    their_seconds, their_rows = by_datasketch(texts)
    table = Table(
        "side", "seconds", "rows/s", "duplicates", title=f"{len(texts):,} rows, threshold {THRESHOLD}"
    )
    table.add_row(
        "burnish, all of it", f"{seconds:.1f}", f"{len(texts) / seconds:,.0f}", f"{found.removed.num_rows:,}"
    )
    table.add_row(
        "datasketch, MinHash + LSH",
        f"{their_seconds:.1f}",
        f"{len(texts) / their_seconds:,.0f}",
        f"{their_rows:,}",
    )
    table.add_row("burnish / datasketch", f"{seconds / their_seconds:.2f}", "", "")
    Console(width=100).print(table)
    Console().print(f"peak memory: {peak:.2f} GB, of which {before:.2f} GB before the search")


if __name__ == "__main__":
    main()
