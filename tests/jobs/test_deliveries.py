"""The same history delivered otherwise is the same tables: files, order, wrappers, copies, re-sent exports.

The short form has one small history, without summaries. The long form has more, larger ones, and all summaries:

    DELIVERIES=100 ./run-tests.sh tests/jobs/test_deliveries.py -rP
"""

import base64
import gzip
import json
import os
import shutil
import tempfile
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from jobs.build_summaries import build
from jobs.generator import Forms, generate_requests, generate_sailthru, generate_ses
from jobs.stream_events import load
from jobs.summaries import SUMMARIES
from schemas.contract import Role
from schemas.events import EVENTS
from tests.conftest import settings_for
from tests.tables import AS_TESTED, STATE_TABLES, assert_balanced, content

HISTORIES = int(os.environ.get("DELIVERIES", "1"))
MADE, SIZES, FILES_PER_BATCH = ((), (40,), (9, 1000)) if HISTORIES == 1 else (tuple(SUMMARIES), (40, 150), (2, 9, 1000))
START, HOUR, DAY = 1_760_000_000, 3600, 86_400
SETTLED = (Role.IDENTITY, Role.SETTLED)


def sns(line: bytes) -> bytes:
    """As an SNS notification."""
    return json.dumps({"Type": "Notification", "MessageId": "x", "Message": line.decode()}).encode()


def event_bridge(line: bytes) -> bytes:
    """As an EventBridge event."""
    return b'{"version":"0","detail-type":"Email Event","source":"aws.ses","detail":' + line + b"}"


def lambda_dump(line: bytes) -> bytes:
    """As the event that a Lambda function gets from SNS."""
    return b'{"Records":[{"EventSource":"aws:sns","Sns":' + sns(line) + b"}]}"


def firehose_error(line: bytes) -> bytes:
    """As Firehose keeps a record that it could not deliver."""
    return json.dumps({"errorCode": "x", "rawData": base64.b64encode(line).decode()}).encode()


def turned(line: bytes) -> bytes:
    """With its keys in another order and other blanks."""
    return json.dumps(dict(reversed(json.loads(line).items())), separators=(" ,", ": ")).encode()


FORMS: tuple[Callable[[bytes], bytes], ...] = (bytes, bytes, sns, event_bridge, lambda_dump, firehose_error, turned)


def lines_below(folder: Path) -> list[bytes]:
    """The lines of all files, compressed or not; of a cut-off one what is there."""
    found: list[bytes] = []
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        data = file.read_bytes()
        found += (zlib.decompressobj(31).decompress(data) if data.startswith(b"\x1f\x8b") else data).split(b"\n")
    return list(filter(None, found))


def write(file: Path, data: bytes, at: float) -> None:
    """A file of this time; a name that is taken is another folder's."""
    while file.exists():
        file = file.parent / "again" / file.name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    os.utime(file, (at, at))


def deliver_ses(plain: Path, target: Path, random: Random) -> int:
    """The records below `plain` again, each at least once, in other files; how many records that are."""
    lines = lines_below(plain)
    again = random.choices(lines, k=len(lines) // 3) + [random.choice(lines)] * 45
    sent = random.sample(lines + again, len(lines + again))
    left = list(sent)
    while left:
        size = random.choice((1, 5, 50, 400))
        part, left = left[:size], left[size:]
        end = random.choice((b"\n", b"\r\n", b"", b"\n \n"))
        data = end.join(random.choice(FORMS)(line) for line in part)
        if is_gzip := random.random() < 0.4:
            data = gzip.compress(data)
        name = f"{random.getrandbits(64):x}" + (".gz" if is_gzip else random.choice(("", ".json", ".log")))
        at = START + random.uniform(0, 29 * HOUR) + 400 * DAY * (random.random() < 0.1)
        write(target / random.choice(("", "2025/10/28", "dt=1/é")) / name, data, at)
    return len(sent)


def deliver_sailthru(plain: Path, target: Path, random: Random) -> None:
    """The exports below `plain` in any order, some in two parts, some twice, compressed or not."""
    for file in sorted(path for path in plain.rglob("*") if path.is_file()):
        data = file.read_bytes()
        lines = (gzip.decompress(data) if file.suffix == ".gz" else data).splitlines()
        cut = random.randint(0, len(lines)) if random.random() < 0.3 else len(lines)
        parts = [lines[:cut], lines[cut:]] + [lines] * (random.random() < 0.2)
        for part in filter(None, parts):
            body = b"\n".join(random.sample(part, len(part)))
            is_gzip = random.random() < 0.5
            name = file.name.removesuffix(".gz") + ".gz" * is_gzip
            write(target / name, gzip.compress(body) if is_gzip else body, START + random.uniform(0, 14 * DAY))


def tables_of(source: Path, folder: Path, spark: SparkSession, files_per_batch: int) -> dict[str, Counter[str]]:
    """What the files below `source` become, load and provenance aside."""
    wanted = settings_for(folder, f"max_files_per_batch={files_per_batch}", source=source)
    load(wanted, spark=spark)
    if MADE:
        build(wanted, only=MADE, spark=spark)
    warehouse = Path(wanted.warehouse)
    assert_balanced(warehouse)
    names = {table.name for table in (EVENTS, *STATE_TABLES)} | set(MADE)
    return {table.name: content(warehouse, table, *SETTLED) for table in AS_TESTED if table.name in names}


def difference(found: dict[str, Counter[str]], expected: dict[str, Counter[str]]) -> dict[str, Any]:
    """Of each table that differs a row too few and a row too many."""
    return {
        name: (list(expected[name] - found[name])[:1], list(found[name] - expected[name])[:1])
        for name in expected
        if found[name] != expected[name]
    }


@pytest.mark.slow
def test_however_a_history_is_delivered_the_tables_are_the_same(spark: SparkSession) -> None:
    seen: Counter[str] = Counter()

    @settings(
        max_examples=HISTORIES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],  # an example is half a minute: none is made smaller
        suppress_health_check=list(HealthCheck),
    )
    @given(st.integers(0, 2**32), st.sampled_from(FILES_PER_BATCH))
    def holds(seed: int, files_per_batch: int) -> None:
        random = Random(seed)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            plain, other = folder / "plain", folder / "other"
            size = random.choice(SIZES)
            ses = generate_ses(plain, events=size, seed=seed, forms=Forms.plain(), events_per_file=size)
            sailthru = generate_sailthru(plain, messages=size // 3, seed=seed, days=2, update_days=2, odd=False)
            generate_requests(plain, ses, sailthru, seed=seed)
            shutil.copytree(plain / "requests", other / "requests")
            seen["records"] += deliver_ses(plain / "ses", other / "ses", random)
            deliver_sailthru(plain / "sailthru", other / "sailthru", random)
            expected = tables_of(plain, folder / "first", spark, 1000)
            found = tables_of(other, folder / "second", spark, files_per_batch)
            seen["histories"] += 1
            seen["files"] += sum(path.is_file() for path in other.rglob("*"))
            assert not difference(found, expected), f"seed {seed}"

    holds()
    print(", ".join(f"{count:,} {name}" for name, count in seen.items()))
