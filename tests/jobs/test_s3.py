"""Input, checkpoints and warehouse in S3, on a real S3 server."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from conf.errors import ConfigurationError
from conf.settings import S3Settings, Settings
from jobs import s3 as store
from jobs.build_summaries import build
from jobs.generator import generate_ses
from jobs.locks import only_builder, only_loader, only_replay, writing_events
from jobs.reading import odd_among
from jobs.s3 import S3Path
from jobs.storage import FoundFile, list_files, location
from jobs.stream_events import load
from schemas.events import EVENTS
from schemas.files import FILES
from schemas.metrics import DEFAULT_PROFILE
from schemas.region_summary import region_summary
from tests.conftest import settings_for
from tests.jobs.test_stream_events import event
from tests.s3 import Bucket, S3Server
from tests.tables import assert_is_truth, everything, rows_of


@pytest.mark.usefixtures("one_partition")
def test_events_load_from_s3_into_s3_and_summaries_are_brought_up_to_date_there(
    spark: SparkSession, bucket: Bucket, tmp_path: Path
) -> None:
    """Of several batches on S3 is the cluster's test, of Sailthru's records there that of crashes."""
    truth = generate_ses(tmp_path / "input", events=400, seed=3, events_per_file=50)
    bucket.upload(tmp_path / "input", "in put")
    load(on_s3(bucket), provider="ses", spark=spark)
    assert_is_truth(warehouse_of(bucket), S3Path(bucket.name, "in put"), truth)
    assert {row["bucket"] for row in rows_of(warehouse_of(bucket), EVENTS, ["bucket"])} == {bucket.name}
    before = everything(warehouse_of(bucket))
    assert load(on_s3(bucket), provider="ses", spark=spark) == []
    assert everything(warehouse_of(bucket)) == before
    bucket.put("in put/requests/a.csv", b"\xef\xbb\xbfmessage_id,region\nm1,north\n")
    settings, only = on_s3(bucket), ["messages", "region_summary"]
    build(settings, only=only, spark=spark)
    before = everything(warehouse_of(bucket))
    bucket.put("in put/ses/more.json", "\n".join(json.dumps(event(number)) for number in range(5)).encode())
    load(settings, provider="ses", spark=spark)
    build(settings, only=only, spark=spark)  # by parts: what is new is told by Delta's log in S3
    by_parts = everything(warehouse_of(bucket))
    build(settings, only=only, full=True, spark=spark)
    anew = everything(warehouse_of(bucket))
    assert {"north"} < {row["region"] for row in rows_of(warehouse_of(bucket), region_summary(DEFAULT_PROFILE))}
    for name in only:
        assert before[name] != by_parts[name] == anew[name]


@pytest.mark.usefixtures("one_partition")
def test_keys_of_any_name_are_read_each_once(spark: SparkSession, bucket: Bucket) -> None:
    names = [
        "a b.json",
        "event type=open/ü%20+%.json",
        "[x]{y}*?.json",
        "c:d.json",
        "日本/e.json",
        "#&.json",
    ]
    for number, name in enumerate(names):
        bucket.put(f"in put/ses/{name}", json.dumps(event(number)).encode())
    bucket.put("in put/ses/empty/", b"")  # what some programs make for a folder
    load(on_s3(bucket), provider="ses", spark=spark)
    before = everything(warehouse_of(bucket))
    assert load(on_s3(bucket), provider="ses", spark=spark) == []
    assert everything(warehouse_of(bucket)) == before
    files = {row["filename"]: (row["status"], row["events_new"]) for row in rows_of(warehouse_of(bucket), FILES)}
    assert files == {f"s3a://{bucket.name}/in put/ses/{name}": ("ok", 1) for name in names}
    assert {row["filename"] for row in rows_of(warehouse_of(bucket), EVENTS)} == set(files)


def test_keys_that_hadoop_cannot_name_are_read_in_python() -> None:
    """Not shown by the server, which takes `a//b` for `a/b` as well."""
    keys = {"s3a://bucket/a//b.json", "s3a://bucket/a/../b.json", "s3a://bucket/a.json/"}
    assert odd_among(keys) == keys


def test_thousands_of_objects_are_listed_page_by_page(bucket: Bucket) -> None:
    (bucket.folder / "in put" / "ses").mkdir(parents=True)
    for number in range(2300):
        (bucket.folder / "in put" / "ses" / f"{number}.json").write_bytes(b"{}")
    found = list(list_files(location(f"s3a://{bucket.name}/in put/ses")))
    assert len({file.uri for file in found}) == 2300
    assert found[0] == FoundFile(found[0].modified_micros, f"s3a://{bucket.name}/in put/ses/0.json", 2)


def on_s3(bucket: Bucket, *overrides: str) -> Settings:
    """Input and warehouse in the bucket."""
    places = {"input": f"s3a://{bucket.name}/in put", "warehouse": f"s3a://{bucket.name}/wärehouse"}
    return settings_for(Path("unused"), *overrides).model_copy(update=places)


def warehouse_of(bucket: Bucket) -> Path:
    """The warehouse as a folder, to be read without S3."""
    return bucket.folder / "wärehouse"


_HOLDER = """
import sys, time
from conf.settings import S3Settings
from jobs import s3
from jobs.locks import only_loader
from jobs.storage import location
s3.use(S3Settings(lease_seconds=2, conditional_put=sys.argv[2] == "conditional"))
with only_loader(location(sys.argv[1]), "ses"):
    print("held", flush=True)
    time.sleep(600)
"""


@contextmanager
def other_loader(warehouse: str, how: str = "conditional") -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the loader's lock of the warehouse; killed in the end."""
    command = [sys.executable, "-P", "-c", _HOLDER, warehouse, how]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as it:
        try:
            assert it.stdout
            assert it.stdout.readline() == "held\n"
            yield it
        finally:
            it.kill()


@pytest.fixture
def short_leases(s3: S3Server) -> Iterator[None]:
    """Leases of two seconds in this process."""
    before = store.in_use()
    store.use(S3Settings(lease_seconds=2))
    yield
    store.use(before)


@pytest.mark.usefixtures("short_leases")
def test_a_second_loader_is_refused_while_the_first_is_alive_and_let_in_when_it_was_killed(bucket: Bucket) -> None:
    settings = on_s3(bucket)
    bucket.put("in put/ses/a.json", b"{}")
    with other_loader(settings.warehouse) as other:
        with pytest.raises(
            ConfigurationError, match=rf"Another loader of ses \(process {other.pid} on .*\) is at work"
        ):
            load(settings, provider="ses")
        other.kill()
        other.wait()
        began = time.monotonic()
        with only_loader(location(settings.warehouse), "ses"):
            assert time.monotonic() - began < 10
        with only_loader(location(settings.warehouse), "ses"):  # given back, it is free at once
            assert time.monotonic() - began < 10


@pytest.mark.usefixtures("short_leases")
def test_who_stood_still_so_long_that_another_took_the_lock_ends_without_a_word_to_the_tables(bucket: Bucket) -> None:
    warehouse = on_s3(bucket).warehouse
    with other_loader(warehouse) as other:
        other.send_signal(signal.SIGSTOP)
        with only_loader(location(warehouse), "ses"):
            other.send_signal(signal.SIGCONT)
            assert other.wait(timeout=30) == 1
            assert other.stderr
            assert "was taken over: this process stood still for too long" in other.stderr.read()


def test_who_gets_no_answer_for_so_long_that_another_may_take_the_lock_ends_by_itself(
    s3: S3Server, bucket: Bucket
) -> None:
    """However long a request could hang: nobody waits for its answer."""
    with other_loader(on_s3(bucket).warehouse) as other, s3.halted():
        assert other.wait(timeout=30) == 1
        assert other.stderr
        assert "could not be renewed for too long" in other.stderr.read()


@pytest.mark.usefixtures("short_leases")
def test_without_conditions_one_job_at_a_time_writes_whatever_it_does(bucket: Bucket) -> None:
    warehouse = location(on_s3(bucket).warehouse)
    with other_loader(str(warehouse), "unconditional"):
        store.use(S3Settings(lease_seconds=2, conditional_put=False))
        for only in (only_loader(warehouse, "sailthru"), only_builder(warehouse), only_replay(warehouse)):
            with pytest.raises(ConfigurationError, match="is at work on"):
                only.__enter__()
    with only_loader(warehouse, "ses"), only_loader(warehouse, "sailthru"), writing_events(warehouse):
        assert (warehouse_of(bucket) / "_locks" / "writer.lock").exists()


def test_a_store_that_ignores_conditions_is_refused(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    client = store.client()
    put = client.put_object
    monkeypatch.setattr(
        client, "put_object", lambda **asked: put(**{k: v for k, v in asked.items() if not k.startswith("If")})
    )
    with (
        pytest.raises(ConfigurationError, match=r"does not honour IfNoneMatch.*s3\.conditional_put=false"),
        only_loader(location(on_s3(bucket).warehouse), "ses"),
    ):
        pass


def test_a_bucket_that_is_not_there_is_one_line(s3: S3Server) -> None:
    settings = settings_for(Path("unused")).model_copy(update={"input": "s3a://no-such-bucket-of-ours/x"})
    with pytest.raises(ConfigurationError, match="no-such-bucket-of-ours"):
        load(settings, provider="ses")
