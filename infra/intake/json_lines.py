"""JSON lines: one object per line, every line a row or a reason.

Whole blocks go through Arrow where that is certain to give what the exact way gives; a block with anything odd
in it goes line by line.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Any

import pyarrow as pa

from infra.intake.batches import RawBatch, SourceFile
from infra.intake.fast_json import FastJson
from infra.intake.fitting import TOO_DEEP, RowCollector
from infra.intake.streams import BLOCK_BYTES, Block, newlines_in, read_blocks
from infra.intake.strict_json import MalformedError, parse_object

_LEARNT_FROM = 200


def read_json_lines(
    file: SourceFile, schema: pa.Schema, block_bytes: int = BLOCK_BYTES, *, exact: bool = False
) -> Iterator[RawBatch]:
    """Batches of about `block_bytes` of text; `exact` reads every line by itself, to the same rows.

    Raises DataError for a file that is not UTF-8 text, or whose compressed data is damaged.
    """
    fast = FastJson(schema)
    for block in read_blocks(file, block_bytes):
        if block.first_line == 1 and not exact:
            fast.learn(islice(_objects(block), _LEARNT_FROM))
        rows = None if exact else fast.rows(block.data, block.newlines)
        if rows is None:
            if not exact:
                fast.learn(_objects(block))
            yield _line_by_line(file, schema, block, fast)
        else:
            lines = pa.arange(block.first_line, block.first_line + rows.num_rows)
            yield RawBatch(file.path, rows, lines, (), block.rows)


def first_objects(file: SourceFile, count: int) -> Iterator[dict[str, Any]]:
    """Up to `count` of the rows that can be read, from the beginning."""
    blocks = read_blocks(file, 1 << 20)
    return islice((row for block in blocks for row in _objects(block)), count)


def _line_by_line(file: SourceFile, schema: pa.Schema, block: Block, fast: FastJson) -> RawBatch:
    collector = RowCollector(file.path, schema)
    for number, line in enumerate(block.data.split(b"\n"), block.first_line):
        if not line or line.isspace():
            continue
        try:
            collector.add(number, parse_object(line), line)
        except MalformedError as error:
            collector.refuse(number, str(error), line)
        except RecursionError:
            parsed = fast.rows(line.strip(b" \t\r"), newlines_in(b""))
            if parsed is None:
                collector.refuse(number, TOO_DEEP, line)
            else:
                collector.add(number, parsed.to_pylist()[0], line)
    return collector.batch(block.rows)


def _objects(block: Block) -> Iterator[dict[str, Any]]:
    for line in block.data.split(b"\n"):
        try:
            yield parse_object(line)
        except (MalformedError, RecursionError):
            continue
