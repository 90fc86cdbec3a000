"""Records broken in every way, through the stream: no failure, a ledger that balances, tables that others can read.

The long form: FUZZ_LINES=1000000 ./run-tests.sh tests/jobs/test_fuzz.py -rP
"""

import gzip
import os
import re
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from pyspark.sql import SparkSession

from jobs.generator import Forms, generate_sailthru, generate_ses
from jobs.stream_events import load
from schemas.events import EVENTS
from schemas.files import FILES
from schemas.quarantine import QUARANTINE
from tests.conftest import settings_for
from tests.jobs.test_deliveries import lines_below
from tests.tables import STATE_TABLES, assert_balanced, rows_of

LINES = int(os.environ.get("FUZZ_LINES", "4000"))
SEED = int(os.environ.get("FUZZ_SEED", "1"))
LINES_PER_FILE = 2000

VALUE = re.compile(rb'(?<=[:\[,])(?:"(?:[^"\\]|\\.)*"|-?[0-9][0-9.eE+-]*|true|false|null|\{\}|\[\])')
KEY = re.compile(rb'"[^"\\]{1,40}"(?=:)')
HOSTILE = (
    *(b"null", b"true", b"-0", b"1e400", b"-1e-400", b"123456789012345678901234567890", b"0.1e", b"NaN", b"Infinity"),
    *(b'""', b'" "', b'"null"', b'"\\u0000"', b'"\\ud800"', b'"\\uDC00\\uD800"', b'"\xff\xfe"', b'"\\x"', b'"a\tb"'),
    *(b"[]", b"{}", b"[[]]", b'{"":{}}', b'{"a":1,"a":2}', b"[" * 50 + b"]" * 50, b'{"a":' * 20 + b"1" + b"}" * 20),
    *(b'"0000-00-00T00:00:00Z"', b'"99999-01-01T00:00:00Z"', b'"2025-02-30T10:00:00Z"', b'"2025-10-26T01:30:00"'),
    *(b'"1970-01-01T00:00:00.000Z"', b'"2025-06-30T23:59:60Z"', b'"2025-10-25T18:04:11+99:99"', b'{"$date":1e18}'),
    *(
        b'{"$date":{"$numberLong":"x"}}',
        b'{"$oid":1}',
        b'"' + b"x" * 70_000 + b'"',
        '"\u202e\ufeff\U0001f4a9"'.encode(),
    ),
)
TOKENS = (
    b'"',
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\\",
    b"\x00",
    b"\xff",
    b"\xef\xbb\xbf",
    b"}{",
    b"}{}{",
    b"\r",
    b" ",
)


def broken(line: bytes, other: bytes, random: Random) -> bytes:
    """The record with one to four things wrong, or only odd."""
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        at, to = sorted(random.randrange(len(line) + 1) for _ in range(2))
        match random.randrange(12):
            case 0:
                line = line[:at] + line[to:]
            case 1:
                line = line[:to] + line[at:to][:2000] + line[to:]
            case 2:
                line = line[:at] + bytes([random.randrange(256)]) + line[at + 1 :]
            case 3:
                line = line[:at] + random.choice(TOKENS) + line[at:]
            case 4:
                line = line[:at]
            case 5:
                line = line[:at] + other[random.randrange(len(other) + 1) :]
            case 6:
                line += other
            case 7 if keys := list(KEY.finditer(line)):
                one, two = random.choice(keys), random.choice(keys)
                line = line[: one.start()] + two[0] + line[one.end() :]
            case _ if values := list(VALUE.finditer(line)):
                value = random.choice(values)
                new = random.choice((*HOSTILE, random.choice(values)[0]))
                line = line[: value.start()] + new + line[value.end() :]
    return line.replace(b"\n", b"")


def files_of(lines: list[bytes], random: Random, count: int) -> Iterator[bytes]:
    """`count` broken lines, so many to a file."""
    for first in range(0, count, LINES_PER_FILE):
        size = min(LINES_PER_FILE, count - first)
        yield b"\n".join(broken(random.choice(lines), random.choice(lines), random) for _ in range(size))


@pytest.mark.slow
def test_records_broken_in_every_way_are_accounted_for(spark: SparkSession, tmp_path: Path) -> None:
    random = Random(SEED)
    generate_ses(tmp_path / "plain", events=2000, seed=SEED, forms=Forms(odd_file_kinds=(), odd_files=0))
    generate_sailthru(tmp_path / "plain", messages=300, seed=SEED, days=3, update_days=2)
    began = time.monotonic()
    sources: dict[str, list[bytes]] = {"ses": lines_below(tmp_path / "plain" / "ses")}
    for data_set in ("blast", "message_blast", "message_transactional", "profile"):
        of_set = tmp_path / "of" / data_set
        of_set.mkdir(parents=True)
        for file in (tmp_path / "plain" / "sailthru").rglob(f"4321_{data_set}.*"):
            (of_set / file.name).symlink_to(file)
        sources[data_set] = lines_below(of_set)
    for name, lines in sources.items():
        assert lines, name
        share = LINES // 2 if name == "ses" else LINES // 8
        folder = tmp_path / "input" / ("ses" if name == "ses" else "sailthru")
        folder.mkdir(parents=True, exist_ok=True)
        for number, data in enumerate(files_of(lines, random, share)):
            day = f"4321_{name}.202510{20 + number % 10}"
            path = f"{number}.json" if name == "ses" else f"{number}/{day}.json"
            (folder / path).parent.mkdir(exist_ok=True)
            is_gzip = number % 4 == 0
            (folder / (path + ".gz" * is_gzip)).write_bytes(gzip.compress(data, 1) if is_gzip else data)
    made = time.monotonic()
    load(settings_for(tmp_path, "max_bytes_per_batch=64MiB", "max_record_bytes=64KiB"), spark=spark)
    loaded = time.monotonic()
    warehouse = tmp_path / "warehouse"
    assert_balanced(warehouse)
    ledger = rows_of(warehouse, FILES, ["records", "accepted", "quarantined", "control", "status", "events"])
    assert {row["status"] for row in ledger} <= {"ok", "cut_off"}
    total = sum((Counter({k: v for k, v in row.items() if k != "status"}) for row in ledger), Counter[str]())
    assert total["records"] > LINES * 0.95
    assert min(total["accepted"], total["quarantined"]) > LINES * 0.05
    for table in (EVENTS, *STATE_TABLES):
        for row in rows_of(warehouse, table):
            assert all(row[name] is not None for name in table.key), row
    reasons = Counter(row["reason"] for row in rows_of(warehouse, QUARANTINE, ["reason"]))
    assert len(reasons) >= 7
    print(f"{LINES:,} lines, seed {SEED}: {dict(total)}, {dict(reasons)}")
    print(f"written in {made - began:.0f} s, loaded in {loaded - made:.0f} s")
