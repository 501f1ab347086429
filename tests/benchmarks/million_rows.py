"""`python -m tests.benchmarks.million_rows`: a million chat rows from JSONL into a store, by the clock.

Every contender starts from the same file, in a process of its own, in turns: `datasets` loads and saves to disk,
deltalake and Lance write what pyarrow read. They check nothing and hash nothing; Burnish checks each row's
contract, hashes it, and publishes a version. See README.md here for the numbers.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

CONTENDERS = ("burnish", "datasets", "deltalake", "lance")
_SYLLABLES = "ka lo mi ren tu shi per on ta gel vor in es al quo ba dri fen um str".split()  # noqa: SIM905
_WORDS, _POOL = 30_000, 4_000_000


def write_chats(path: Path, rows: int, changed: float = 0.0) -> None:
    """Conversations of 2 to 6 turns, 1.27 kB each in the mean, words by Zipf's law; some rows' ends changed."""
    random = np.random.default_rng(1)
    vocabulary = np.array(["".join(random.choice(_SYLLABLES, random.integers(1, 5))) for _ in range(_WORDS)])
    chances = 1 / np.arange(1, _WORDS + 1)
    pool = vocabulary[random.choice(_WORDS, _POOL, p=chances / chances.sum())]
    differs = np.random.default_rng(2)
    with path.open("w") as file:
        for number in range(rows):
            turns = [_turn(random, pool, place) for place in range(2 * int(random.choice([1, 1, 1, 2, 3])))]
            if differs.random() < changed:
                turns[-1]["content"] += " changed"
            row = {"messages": turns, "source": f"s{number % 7}", "id": f"row-{number}"}
            file.write(json.dumps(row) + "\n")


def _turn(random: np.random.Generator, pool: Any, place: int) -> dict[str, str]:
    length = int(np.clip(random.lognormal(3.0 if place % 2 == 0 else 4.0, 0.7), 3, 1200))
    start = int(random.integers(0, _POOL - length))
    text = " ".join(pool[start : start + length].tolist())
    if place % 3 == 1:
        text = f'{text[: len(text) // 2]}\n\n{text[len(text) // 2 :]} "quoted" é.'
    return {"role": "assistant" if place % 2 else "user", "content": text}


def store_with_burnish(source: Path, target: Path) -> None:
    os.environ["BURNISH_HOME"] = str(target)
    from flows.cli.app import execute

    assert execute(["data", "import", "chats", str(source), "--json"]) == 0


def store_with_datasets(source: Path, target: Path) -> None:
    import datasets

    datasets.disable_progress_bars()
    rows: Any = datasets.load_dataset("json", data_files=str(source), split="train")
    rows.save_to_disk(target / "saved")


def store_with_deltalake(source: Path, target: Path) -> None:
    import deltalake

    deltalake.write_deltalake(target / "table", _read_json(source))


def store_with_lance(source: Path, target: Path) -> None:
    import lance

    lance.write_dataset(_read_json(source), str(target / "table"))


def _read_json(source: Path) -> pa.Table:
    from pyarrow import json as arrow_json

    return arrow_json.read_json(source, read_options=arrow_json.ReadOptions(block_size=16 << 20))


def measure_store(contender: str, source: Path, target: Path) -> dict[str, float]:
    """Seconds, processor seconds, peak memory in GiB and MB on disk of one contender, imports left out."""
    target.mkdir(parents=True, exist_ok=True)
    before = _bytes(target)
    found = _in_own_process("--one", contender, str(source), str(target))
    return {**found, "megabytes": (_bytes(target) - before) / 1e6}


def _in_own_process(*arguments: str) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.million_rows", *arguments],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.strip().splitlines()[-1])


def run_one(contender: str, source: Path, target: Path) -> None:
    """What `measure_store` starts: prints one line of JSON."""
    os.environ |= {"HF_DATASETS_CACHE": str(target / "cache"), "HF_HUB_OFFLINE": "1"}  # before the import
    for module in {"burnish": ["flows.data.imports"], "lance": ["lance"]}.get(contender, [contender]):
        __import__(module)
    store = {
        "burnish": store_with_burnish,
        "datasets": store_with_datasets,
        "deltalake": store_with_deltalake,
        "lance": store_with_lance,
    }[contender]
    writing = _time_writing() if contender == "burnish" else dict[str, float]()
    began, processor = time.perf_counter(), time.process_time()
    store(source, target)
    seconds = time.perf_counter() - began
    spent = {"seconds": seconds, "processor": time.process_time() - processor, "memory": _peak_gibibytes()}
    print(json.dumps({**spent, "writing": sum(writing.values())}))


def _peak_gibibytes() -> float:
    """Of this process since its program began; `getrusage` would count the one that started it, too."""
    (line,) = (
        line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")
    )
    return int(line.split()[1]) / 2**20


def _time_writing() -> dict[str, float]:
    """Clock of the write itself: encoding, syncing, naming, the manifest and the catalog."""
    from infra.warehouse import publishing
    from infra.warehouse.segments import SegmentWriter

    clock: dict[str, float] = {}

    def timed(owner: Any, name: str) -> None:
        original: Callable[..., Any] = getattr(owner, name)

        def call(*arguments: Any, **options: Any) -> Any:
            began = time.perf_counter()
            try:
                return original(*arguments, **options)
            finally:
                clock[name] = clock.get(name, 0.0) + time.perf_counter() - began

        setattr(owner, name, call)

    timed(SegmentWriter, "encode")
    timed(SegmentWriter, "finish")
    timed(publishing, "commit")
    return clock


def measure_reading(home: Path) -> dict[str, float]:
    """Seconds to read and compare what was imported; every byte that Burnish reads is checked."""
    from infra.home import open_home
    from infra.warehouse.comparing import compare
    from infra.warehouse.warehouse import Warehouse

    warehouse = Warehouse(open_home(home))
    first, second = warehouse.get("chats@1"), warehouse.get("chats@2")
    random = np.random.default_rng(0)
    order = random.permutation(first.num_rows)
    found = {
        "parquet": _best(lambda: pq.read_table(first.path)),
        "first": _best(lambda: warehouse.reader.read(first)),
        "second": _best(lambda: warehouse.reader.read(second)),
        "diff": _best(lambda: compare(warehouse.reader, first, second)),
        "hashes": _best(lambda: warehouse.reader.hashes(second)),
    }
    from infra.warehouse.committing import Origin

    mixed = warehouse.publish_selection("mixed", [first], np.zeros(len(order), np.int64), order, Origin())
    found["shuffled"] = _best(lambda: warehouse.reader.read(mixed.version), 1)
    difference = compare(warehouse.reader, first, second)
    return {
        **found,
        "memory": _peak_gibibytes(),
        "changed": float(len(difference.changed)),
        "rows": float(first.num_rows),
    }


def _best(work: Callable[[], Any], times: int = 3) -> float:
    spent: list[float] = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        spent.append(time.perf_counter() - began)
    return min(spent)


def _bytes(folder: Path) -> int:
    return sum(
        path.stat().st_size for path in folder.rglob("*") if path.is_file() and "cache" not in path.parts
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.million_rows", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", nargs=3, metavar=("CONTENDER", "SOURCE", "TARGET"), help=argparse.SUPPRESS)
    parser.add_argument("--read", metavar="HOME", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.read is not None:
        print(json.dumps(measure_reading(Path(options.read))))
        return
    if options.one:
        run_one(options.one[0], Path(options.one[1]), Path(options.one[2]))
        return
    console = Console()
    with tempfile.TemporaryDirectory(prefix="million-rows-") as name:
        folder = Path(name)
        _compare_stores(console, folder, options.rows, options.rounds)
        _compare_sizes(console, folder, options.rows)


def _compare_stores(console: Console, folder: Path, rows: int, rounds: int) -> None:
    first, second = folder / "first.jsonl", folder / "second.jsonl"
    write_chats(first, rows)
    write_chats(second, rows, changed=0.01)
    measured: dict[str, list[dict[str, float]]] = {name: [] for name in (*CONTENDERS, "again")}
    reading: dict[str, float] = {}
    for _ in range(rounds):
        for contender in CONTENDERS:
            target = folder / contender
            shutil.rmtree(target, ignore_errors=True)
            measured[contender].append(measure_store(contender, first, target))
            if contender == "burnish":
                measured["again"].append(measure_store(contender, second, target))
                reading = _in_own_process("--read", str(target))
            shutil.rmtree(target)
    middle = {
        name: {key: median(found[key] for found in all_found) for key in all_found[0]}
        for name, all_found in measured.items()
    }
    fastest = min(middle[name]["seconds"] for name in CONTENDERS if name != "burnish")
    table = Table(title=f"{rows:,} rows, {first.stat().st_size / 1e9:.2f} GB of JSONL; median of {rounds}")
    for heading in ("store", "seconds", "processor s", "peak GiB", "MB", "÷ fastest other"):
        table.add_column(heading, justify="left" if heading == "store" else "right")
    for name in CONTENDERS:
        found = middle[name]
        numbers = (found["seconds"], found["processor"], found["memory"], found["megabytes"])
        table.add_row(name, *(f"{number:.2f}" for number in numbers), f"{found['seconds'] / fastest:.2f}")
    console.print(table)
    new, again = middle["burnish"], middle["again"]
    console.print(
        f"second version, {reading['changed']:,.0f} rows changed: whole {again['seconds']:.2f} s ="
        f" {again['seconds'] / new['seconds']:.0%} of the first; the write {again['writing']:.2f} s ="
        f" {again['writing'] / new['writing']:.1%} of {new['writing']:.2f} s; {again['megabytes']:.1f} MB ="
        f" {again['megabytes'] / new['megabytes']:.2%} more",
        highlight=False,
    )
    console.print(
        f"read: pyarrow.parquet {reading['parquet']:.2f} s; first version {reading['first']:.2f} s"
        f" ({reading['first'] / reading['parquet']:.2f}×), second {reading['second']:.2f} s, a shuffle of it"
        f" {reading['shuffled']:.2f} s; diff {reading['diff']:.2f} s; peak"
        f" {reading['memory']:.2f} GiB",
        highlight=False,
    )


def _compare_sizes(console: Console, folder: Path, rows: int) -> None:
    table = Table(title="Import by number of rows")
    for heading in ("rows", "seconds", "µs a row", "peak GiB"):
        table.add_column(heading, justify="right")
    for count in (rows // 100, rows // 10, rows):
        source, target = folder / f"{count}.jsonl", folder / f"burnish-{count}"
        write_chats(source, count)
        found = measure_store("burnish", source, target)
        table.add_row(
            f"{count:,}",
            f"{found['seconds']:.2f}",
            f"{found['seconds'] / count * 1e6:.1f}",
            f"{found['memory']:.2f}",
        )
        shutil.rmtree(target)
    console.print(table)


if __name__ == "__main__":
    main()
