"""The reader for odd files: any bytes, bounded memory, nothing lost before the break."""

import gzip
import hashlib
import io
import random

import pyarrow as pa
import pytest

from jobs.odd_files import NotReadableError, RawLine, raw_lines, read_files

LINES = [b'{"a":%d}' % i for i in range(3000)]
TEXT = b"\n".join(LINES) + b"\n"


def read(data: bytes, max_bytes: int = 1000) -> list[RawLine]:
    return list(raw_lines(io.BytesIO(data), max_bytes))


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(TEXT, id="plain"),
        pytest.param(gzip.compress(TEXT), id="gzip"),
        pytest.param(gzip.compress(TEXT[:7]) + gzip.compress(TEXT[7:]), id="two-members"),
        pytest.param(gzip.compress(TEXT) + bytes(512), id="zero-padded"),
    ],
)
def test_lines_are_read_whatever_the_packing(data: bytes) -> None:
    assert [line.value for line in read(data)] == LINES


def test_what_comes_before_the_break_is_used_and_the_tail_is_one_record() -> None:
    noise = random.Random(1)
    text = b"".join(b'{"a":"%x"}\n' % noise.getrandbits(400) for _ in range(2000))
    found = read(gzip.compress(text)[:-20_000])
    assert [line.cut_off for line in found] == [False] * (len(found) - 1) + [True]
    assert b"\n".join(line.value for line in found) == text[: sum(len(line.value) + 1 for line in found) - 1]


def test_a_line_too_long_is_given_in_part_with_its_length_and_hash() -> None:
    long = b'{"a":"' + b"x" * 5_000_000 + b'"}'
    found = read(b'{"b":1}\n' + long + b'\n{"c":1}\n')
    assert [line.value for line in found] == [b'{"b":1}', long[:1000], b'{"c":1}']
    assert (found[1].full_length, found[1].full_sha256) == (len(long), hashlib.sha256(long).hexdigest())


def test_a_file_of_one_line_is_given_object_by_object() -> None:
    objects = [b'{"a":"}{\\"%d","b":[{}]}' % i for i in range(200_000)]
    assert b"".join(line.value for line in read(b"".join(objects))).count(b'"b"') == len(objects)
    assert max(len(line.value) for line in read(b"".join(objects))) <= 1000


@pytest.mark.parametrize("start", [b"PK\x03\x04", b"PAR1", b"ORC"])
def test_other_formats_are_refused(start: bytes) -> None:
    with pytest.raises(NotReadableError, match="no text"):
        read(start + bytes(100))


def test_a_file_that_is_gone_is_told_and_one_that_may_not_be_read_fails_the_batch() -> None:
    """The ledger takes a file once: what an operator can mend must not count as read."""

    def opened(uri: str) -> io.BytesIO:
        raise (FileNotFoundError if "gone" in uri else PermissionError)(13, "Permission denied", uri)

    def read_one(uri: str) -> list[object]:
        found = read_files(opened, 1000)(iter([pa.RecordBatch.from_pydict({"uri": [uri]})]))
        return [failure for batch in found for failure in batch.column("failure").to_pylist()]

    assert "gone" in str(read_one("file:///gone"))
    with pytest.raises(PermissionError):
        read_one("file:///secret")
