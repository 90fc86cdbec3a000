"""The reader for files that Spark's own cannot read as they are: bounded memory, any bytes.

Comes in where a file's name and content disagree about gzip, where its name looks like a glob, where it breaks while it
is read, and where a line is longer than a record may be. Ordinary files never come here.
"""

import hashlib
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO
from urllib.parse import quote

import pyarrow as pa

from transforms.records import is_foreign

CHUNK_BYTES = 1 << 20
BATCH_BYTES = 8 << 20
GZIP_MAGIC = b"\x1f\x8b"


@dataclass(slots=True)
class RawLine:
    """A line, or of one too long its first part with the length and SHA-256 of all of it."""

    value: bytes
    full_length: int | None = None
    full_sha256: str | None = None
    cut_off: bool = False


class NotReadableError(Exception):
    """The content is no text in lines."""


def plain_chunks(file: BinaryIO) -> Iterator[bytes | None]:
    """The content in chunks, gunzipped if it is gzip whatever its name; ends with None where the file breaks."""
    head = file.read(CHUNK_BYTES)
    if not head.startswith(GZIP_MAGIC):
        if is_foreign(head):
            raise NotReadableError(f"begins with {head[:4]!r}, which is no text and no gzip")
        while head:
            yield head
            head = file.read(CHUNK_BYTES)
        return
    inflater = zlib.decompressobj(wbits=31)
    is_first, data = True, head
    while True:
        try:
            while data:
                out = inflater.decompress(data, CHUNK_BYTES)
                if out and is_first and is_foreign(out):
                    raise NotReadableError(f"gzip of something that begins with {out[:4]!r}, which is no text")
                is_first = is_first and not out
                if out:
                    yield out
                data = inflater.unconsumed_tail
                if inflater.eof:
                    data = inflater.unused_data
                    if data.strip(b"\0"):  # the next member; zero padding may follow the last
                        inflater = zlib.decompressobj(wbits=31)
                    else:
                        data = b""
        except zlib.error:
            yield None
            return
        data = file.read(CHUNK_BYTES)
        if not data:
            while not inflater.eof and (out := inflater.decompress(inflater.unconsumed_tail, CHUNK_BYTES)):
                yield out
            if not inflater.eof:
                yield None
            return
        if inflater.eof:
            inflater = zlib.decompressobj(wbits=31)


_TOKEN = re.compile(rb'[{}\[\]"]')
_STRING_TOKEN = re.compile(rb'["\\]')


@dataclass(slots=True)
class LineSplitter:
    """Cuts chunks into lines, and lines beyond `max_bytes` into the objects joined on them, in bounded memory.

    A line of several complete top-level objects is given one object at a time, so that a whole file without line
    ends (Firehose behind a transform) is read like any other. What is one record beyond the limit is given as its
    first `max_bytes` with length and hash.
    """

    max_bytes: int
    line: bytearray = field(default_factory=bytearray)
    scanned: int = 0
    depth: int = 0
    in_string: bool = False
    skipped: int = 0
    is_long: bool = False
    dropped: int = 0
    sha256: "hashlib._Hash | None" = None

    def feed(self, chunk: bytes) -> Iterator[RawLine]:
        """The lines that end in `chunk`."""
        start = 0
        while (end := chunk.find(b"\n", start)) >= 0:
            yield from self._add(chunk[start:end])
            yield from self.end()
            start = end + 1
        yield from self._add(chunk[start:])

    def end(self, cut_off: bool = False) -> Iterator[RawLine]:
        """The line as far as it came, at its LF or at the end of the file; begins the next."""
        if self.sha256 is not None:
            yield RawLine(bytes(self.line), self.dropped + len(self.line), self._digest(), cut_off)
        elif self.line.strip() or cut_off:
            yield RawLine(bytes(self.line), cut_off=cut_off)
        self._begin()
        self.is_long = False

    def _begin(self) -> None:
        self.line, self.scanned, self.depth, self.in_string, self.skipped = bytearray(), 0, 0, False, 0
        self.dropped, self.sha256 = 0, None

    def _digest(self) -> str:
        assert self.sha256 is not None
        return self.sha256.hexdigest()

    def _add(self, part: bytes) -> Iterator[RawLine]:
        if not part:
            return
        if self.sha256 is None:
            self.line += part
            if len(self.line) > self.max_bytes:
                self.is_long = True
            if self.is_long:
                yield from self._cut_objects()
            if len(self.line) > self.max_bytes and self.sha256 is None:
                rest = bytes(self.line[self.max_bytes :])
                self.sha256 = hashlib.sha256(self.line)
                del self.line[self.max_bytes :]
                self.dropped = len(rest)
            return
        yield from self._pass_over(part)

    def _pass_over(self, part: bytes) -> Iterator[RawLine]:
        """Drop what belongs to a record that is too large, up to its closing brace if it is an object."""
        assert self.sha256 is not None
        closing = self._scan(part, 0)
        taken = part if closing is None else part[:closing]
        self.sha256.update(taken)
        self.dropped += len(taken)
        if closing is not None:
            yield RawLine(bytes(self.line), self.dropped + len(self.line), self._digest())
            self._begin()
            yield from self._add(part[closing:])

    def _cut_objects(self) -> Iterator[RawLine]:
        """Give each complete object at the front of the line, and leave what comes after the last."""
        start = 0
        while (closing := self._scan(self.line, self.scanned)) is not None:
            piece = bytes(self.line[start:closing])
            if len(piece) > self.max_bytes:
                yield RawLine(piece[: self.max_bytes], len(piece), hashlib.sha256(piece).hexdigest())
            else:
                yield RawLine(piece)
            start = self.scanned = closing
        del self.line[:start]
        self.scanned = len(self.line)

    def _scan(self, data: bytes | bytearray, position: int) -> int | None:
        """Where the top-level object closes (one past its brace), reading on from the state kept."""
        position, self.skipped = position + self.skipped, 0
        while True:
            found = (_STRING_TOKEN if self.in_string else _TOKEN).search(data, position)
            if found is None:
                return None
            position = found.end()
            token = found.group()
            if token == b"\\":
                position += 1  # the escaped byte, which may be the first of the next part
                self.skipped = max(0, position - len(data))
                if self.skipped:
                    return None
            elif token == b'"':
                self.in_string = not self.in_string and self.depth > 0
            elif token in b"{[":
                self.depth += 1
            elif self.depth > 0:
                self.depth -= 1
                if self.depth == 0 and token == b"}":
                    return position


def raw_lines(file: BinaryIO, max_bytes: int) -> Iterator[RawLine]:
    """The lines of a file of any bytes; the last has `cut_off` if the file breaks there.

    Raises NotReadableError if the content is no text in lines at all.
    """
    splitter = LineSplitter(max_bytes)
    for chunk in plain_chunks(file):
        if chunk is None:
            yield from splitter.end(cut_off=True)
            return
        yield from splitter.feed(chunk)
    yield from splitter.end()


ARROW_LINES = pa.schema(
    [
        ("path", pa.string()),
        ("block", pa.int64()),
        ("value", pa.binary()),
        ("full_length", pa.int64()),
        ("full_sha256", pa.string()),
        ("cut_off", pa.bool_()),
        ("failure", pa.string()),
    ]
)
ODD_LINES = (
    "path string, block long, value binary, full_length long, full_sha256 string, cut_off boolean, failure string"
)
"""RAW_LINES with the bytes as such, and why a file could not be read (its only row then)."""


def read_files(
    opened: Callable[[str], BinaryIO], max_bytes: int
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """For `mapInArrow`: batches of a column `uri` to batches of ODD_LINES of these files."""

    def rows(uri: str) -> Iterator[tuple[object, ...]]:
        path = quote(uri, safe="/:")  # as Spark's own readers give it
        try:
            with opened(uri) as file:
                for line in raw_lines(file, max_bytes):
                    yield path, 0, line.value, line.full_length, line.full_sha256, line.cut_off, None
        except (NotReadableError, FileNotFoundError) as problem:
            yield path, 0, b"", None, None, False, str(problem)
        # Any other failure of the disk, or a right that is missing, fails the batch: once mended, it is read again.

    def read(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for uri in batch.column("uri").to_pylist():
                kept: list[tuple[object, ...]] = []
                size = 0
                for row in rows(uri):
                    kept.append(row)
                    size += len(row[2]) + 200  # type: ignore[arg-type]
                    if size > BATCH_BYTES:
                        yield _batch(kept)
                        kept, size = [], 0
                if kept:
                    yield _batch(kept)

    return read


def _batch(rows: list[tuple[object, ...]]) -> pa.RecordBatch:
    columns = [pa.array(values, f.type) for values, f in zip(zip(*rows, strict=True), ARROW_LINES, strict=True)]
    return pa.RecordBatch.from_arrays(columns, schema=ARROW_LINES)
