"""Jobs on a standalone cluster whose executors have only what the driver ships, also when a worker is killed."""

import json
import re
import subprocess
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from conf.settings import Settings
from jobs.generator import Forms, SailthruTruth, generate_requests, generate_ses
from jobs.maintenance import compact
from jobs.s3 import S3Path
from jobs.storage import location
from schemas.events import EVENTS
from schemas.files import FILES
from schemas.messages import MESSAGES
from schemas.metrics import DEFAULT_PROFILE
from schemas.region_summary import region_summary
from tests.cluster import Cluster, as_client, running, wait_until
from tests.conftest import settings_for
from tests.crashes import PATIENCE_SECONDS, arguments_of, start
from tests.moto import Queue
from tests.s3 import Bucket, S3Server
from tests.summaries import COUNT_OF_CLASS, assert_regions_are, expected, picked
from tests.tables import assert_is_truth, operations, rows_of, same_bag

MESSAGE_KEY = ("provider", "account", "message_id")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, s3: S3Server) -> Iterator[Cluster]:
    """A master and two workers, which find the S3 server as workers find that of AWS."""
    with running(tmp_path_factory.mktemp("cluster"), environment=s3.environment()) as cluster:
        yield cluster


def arguments(cluster: Cluster, place: S3Path, job: str, *options: str, overrides: Sequence[str] = ()) -> list[str]:
    """What the launcher is given for a job over the input and warehouse below a place."""
    conf = [part for key, value in as_client().items() for part in ("--set", f"spark.conf.{key}={value}")]
    folders = ("--input", f"{place}/input", "--warehouse", f"{place}/warehouse")
    sizes = ("--set", "spark.driver_memory=1g", "--set", "s3.lease_seconds=5")
    sets = [part for override in overrides for part in ("--set", override)]
    return arguments_of(job, *options, *folders, *sets, *sizes, *conf, master=cluster.master)


def compact_beside(job: subprocess.Popen[str], settings: Settings, spark: SparkSession) -> None:
    """Put files together again and again until the job ends."""
    warehouse = location(settings.warehouse)
    ledger = warehouse / FILES.name / "_delta_log" / f"{1:020}.json"
    while job.poll() is None:
        for table in (EVENTS, FILES) if ledger.exists() else ():
            list(compact(spark, warehouse, table, int(settings.maintenance.target_file_bytes)))
        time.sleep(10)  # else it takes the cores from what it is beside


def strike(cluster: Cluster, warehouse: Path) -> None:
    """Kill one worker while it reads, the other when its executor holds rows of a batch that is committed in part."""
    workers = cluster.alive
    wait_until(lambda: any(worker.runs_python for worker in workers), "a task that runs Python")
    workers.sort(key=lambda worker: worker.runs_python)
    survivor, struck = workers
    assert struck.kill()
    cluster.add_worker()
    wait_until(lambda: operations(warehouse / EVENTS.name).count("WRITE") == 2, "the events of the second batch")
    assert survivor.kill()
    cluster.add_worker()


@pytest.mark.slow
def test_on_s3_with_a_compaction_beside_a_stream_on_a_cluster_is_the_truth(
    spark: SparkSession, cluster: Cluster, bucket: Bucket, queue: Queue, tmp_path: Path
) -> None:
    """Of half of the files notifications come, and workers are killed in mid-batch; the others are listed then.

    One session does all, as executors that have done a job are quick.
    """
    # given
    forms = Forms(gz_named_json=0.3, plain_named_gz=0.3, cut_off=0.3, broken=0.1)
    made = tmp_path / "made"
    truth = generate_ses(made, events=300, seed=21, forms=forms, events_per_file=30)
    assert {"file_gz_named_json", "file_cut_off"} <= set(truth.forms)  # which are read in Python
    requests = generate_requests(made, truth, SailthruTruth(), seed=21)
    bucket.upload(made, "input")
    told = bucket.notifications("input/ses")[::2]
    queue.send(*told, *told[:3])
    place = S3Path(bucket.name)
    settings = settings_for(tmp_path, "maintenance.target_file_bytes=64KiB").model_copy(
        update={"input": f"{place}/input", "warehouse": f"{place}/warehouse"}
    )
    warehouse = bucket.folder / "warehouse"
    load = partial(arguments, cluster, place, "stream_events", "--available-now")
    notified = ("discovery.mode=notifications", f"discovery.ses_queue_url={queue.url}", "max_files_per_batch=4")
    listed = ("discovery.mode=listing",)
    summaries = arguments(cluster, place, "build_summaries", "--only", "messages,region_summary")
    all_jobs = [load(overrides=notified), load(overrides=listed), summaries]
    # when
    with ThreadPoolExecutor(1) as beside:
        job = start("tests.jobs.in_one_session", *map(json.dumps, all_jobs))
        try:
            compacting = beside.submit(compact_beside, job, settings, spark)
            strike(cluster, warehouse)
            output, _ = job.communicate(timeout=PATIENCE_SECONDS)
        finally:
            job.kill()
    assert job.returncode == 0, output
    compacting.result()  # raises what ended it
    # then
    assert_is_truth(warehouse, S3Path(bucket.name, "input"), truth)
    commits = [c for table in (EVENTS, FILES) for c in DeltaTable(str(warehouse / table.name)).history()]
    done = [commit["operation"] for commit in sorted(commits, key=lambda commit: commit["timestamp"])]
    assert "WRITE" in done[done.index("OPTIMIZE") :], done
    assert queue.count() == 0
    assert re.search(r"ses batch \d+: an executor was lost", output)
    wanted = expected(truth, SailthruTruth(), requests)
    names = (*MESSAGE_KEY, *COUNT_OF_CLASS.values())
    messages = [dict(zip(MESSAGE_KEY, key, strict=True)) | row for key, row in wanted.messages.items()]
    same_bag(picked(rows_of(warehouse, MESSAGES, names), names), picked(messages, names))
    assert_regions_are(rows_of(warehouse, region_summary(DEFAULT_PROFILE)), wanted)
