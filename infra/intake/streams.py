"""A source file's bytes: decompressed as they stream, cut at line ends, in UTF-8 or refused."""

import io
import tempfile
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from data_contracts.errors import DataError
from infra.intake.batches import SourceFile

BLOCK_BYTES = 16 << 20
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_MAGIC = {b"\x1f\x8b": ".gz", b"\x28\xb5\x2f\xfd": ".zst"}


@dataclass(frozen=True, slots=True)
class Block:
    """Whole lines of a file."""

    first_line: int
    data: bytes
    newlines: NDArray[np.int64]
    """Where they stand in `data`."""

    def rows(self, lines: Sequence[int]) -> list[str]:
        """The text of some lines, by their numbers in the file, without space around it."""
        return [self._line(number - self.first_line).strip().decode() for number in lines]

    def _line(self, index: int) -> bytes:
        start = self.newlines[index - 1] + 1 if index else 0
        return self.data[start : self.newlines[index] if index < len(self.newlines) else None]


@contextmanager
def open_stream(file: SourceFile) -> Generator[IO[bytes], None, None]:
    """The file's bytes, decompressed. Raises DataError where it cannot be read; damage shows while reading."""
    try:
        if file.compression is None:
            stream: IO[bytes] = Path(file.path).open("rb")  # noqa: SIM115 - closed below
        else:
            raw = cast(Any, pa.input_stream(file.path, compression=file.compression))
            stream = io.BufferedReader(raw, 1 << 20)
    except OSError as error:
        raise unreadable_file(file, error) from error
    with stream:
        yield stream


def read_blocks(file: SourceFile, size: int = BLOCK_BYTES) -> Iterator[Block]:
    """Blocks of about `size` bytes that end with a line, without a byte order mark; the next is read meanwhile.

    Raises DataError for text that is not UTF-8 by its first bytes, and for damaged compressed data.
    """
    with closing(_blocks(file, size)) as blocks, ThreadPoolExecutor(1) as reader:
        upcoming = reader.submit(next, blocks, None)
        while (block := upcoming.result()) is not None:
            upcoming = reader.submit(next, blocks, None)
            yield block


def _blocks(file: SourceFile, size: int) -> Generator[Block, None, None]:
    line = 1
    with open_stream(file) as stream:
        while True:
            try:
                data = stream.read(size)
                if data and not data.endswith(b"\n"):
                    data += stream.readline()
            except OSError as error:
                raise unreadable_file(file, error, line - 1) from error
            if not data:
                return
            if line == 1:
                require_text(file, data)
                data = data.removeprefix(_BYTE_ORDER_MARK)
            newlines = newlines_in(data)
            yield Block(line, data, newlines)
            line += len(newlines)


def newlines_in(data: bytes) -> NDArray[np.int64]:
    """Where line feeds stand."""
    return np.flatnonzero(np.frombuffer(data, np.uint8) == ord("\n"))


def read_whole(file: SourceFile) -> bytes:
    """All of a text file, without a byte order mark. Raises DataError as `read_blocks` does."""
    with open_stream(file) as stream:
        try:
            data = stream.read()
        except OSError as error:
            raise unreadable_file(file, error) from error
    require_text(file, data)
    return data.removeprefix(_BYTE_ORDER_MARK)


@contextmanager
def open_seekable(file: SourceFile) -> Generator[pa.NativeFile, None, None]:
    """The file for readers that jump about; compressed ones are unpacked into a temporary file first."""
    if file.compression is None:
        try:
            source = pa.memory_map(file.path)
        except OSError as error:
            raise unreadable_file(file, error) from error
        with source:
            yield source
        return
    with tempfile.TemporaryFile() as unpacked:
        with open_stream(file) as stream:
            try:
                while piece := stream.read(BLOCK_BYTES):
                    unpacked.write(piece)
            except OSError as error:
                raise unreadable_file(file, error) from error
        unpacked.seek(0)
        with pa.PythonFile(unpacked, "r") as source:
            yield source


def unreadable_file(file: SourceFile, error: Exception, after_line: int | None = None) -> DataError:
    """The error for a file that breaks off or that the system or a library cannot read."""
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    place = f" after line {after_line:,}" if after_line else ""
    what = f"{file.compression} data" if file.compression else f"{file.format} file"
    return DataError(
        f"{file.path} cannot be read{place}: {reason}.",
        f"a whole {what}",
        "Fetch or write the file again; nothing of it was taken.",
    )


def require_text(file: SourceFile, start: bytes) -> None:
    """Refuse a text file that begins as UTF-16, UTF-32 or compressed data do. Raises DataError."""
    for magic, suffix in _MAGIC.items():
        if start.startswith(magic):
            raise DataError(
                f"{file.path} holds compressed data ({suffix}).",
                f"text, as the name says: {file.format}",
                f"Rename the file so that it ends in {suffix}.",
            )
    if encoding := _wide_encoding(start[:4]):
        raise DataError(
            f"{file.path} is text in {encoding}.",
            "text in UTF-8",
            f"Convert it: iconv -f {encoding} -t UTF-8 FILE > NEW_FILE.",
        )


def _wide_encoding(start: bytes) -> str | None:
    """By byte order mark, or by where ASCII's zero bytes stand (RFC 4627, section 3)."""
    if start in (b"\xff\xfe\x00\x00", b"\x00\x00\xfe\xff"):
        return "UTF-32"
    if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "UTF-16"
    zeros = tuple(byte == 0 for byte in start)
    if zeros in ((True, True, True, False), (False, True, True, True)):
        return "UTF-32BE" if zeros[0] else "UTF-32LE"
    if zeros in ((True, False, True, False), (False, True, False, True)):
        return "UTF-16BE" if zeros[0] else "UTF-16LE"
    return None
