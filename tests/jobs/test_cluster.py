"""Jobs on a standalone cluster whose executors have only what the driver ships, also when a worker is killed."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.generator import Forms, SailthruTruth, generate_requests, generate_ses
from schemas.messages import MESSAGES
from schemas.metrics import DEFAULT_PROFILE
from schemas.region_summary import region_summary
from tests.cluster import AS_CLIENT, Cluster, running, wait_until
from tests.crashes import PATIENCE_SECONDS, start_job
from tests.summaries import COUNT_OF_CLASS, assert_regions_are, expected, picked
from tests.tables import assert_is_truth, rows_of, same_bag

MESSAGE_KEY = ("provider", "account", "message_id")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A master and two workers."""
    with running(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


def start(cluster: Cluster, folder: Path, job: str, *options: str) -> subprocess.Popen[str]:
    """A job over the input and warehouse below a folder."""
    conf = [part for key, value in AS_CLIENT.items() for part in ("--set", f"spark.conf.{key}={value}")]
    folders = ("--input", str(folder / "input"), "--warehouse", str(folder / "warehouse"))
    sizes = ("--set", "spark.driver_memory=1g")
    return start_job(job, *options, *folders, *sizes, *conf, master=cluster.master)


def said(job: subprocess.Popen[str]) -> str:
    """What the job said, once it has ended well."""
    output, _ = job.communicate(timeout=PATIENCE_SECONDS)
    assert job.returncode == 0, output
    return output


@pytest.mark.slow
def test_stream_and_summaries_on_a_cluster_are_the_truth(cluster: Cluster, tmp_path: Path) -> None:
    forms = Forms(gz_named_json=0.3, plain_named_gz=0.3, cut_off=0.3)
    truth = generate_ses(tmp_path / "input", events=300, seed=21, forms=forms, events_per_file=30)
    assert {"file_gz_named_json", "file_cut_off"} <= set(truth.forms)  # which are read in Python
    requests = generate_requests(tmp_path / "input", truth, SailthruTruth(), seed=21)
    said(start(cluster, tmp_path, "stream_events", "--available-now", "--provider", "ses"))
    assert_is_truth(tmp_path / "warehouse", tmp_path / "input", truth)
    said(start(cluster, tmp_path, "build_summaries", "--only", "messages,region_summary"))
    wanted = expected(truth, SailthruTruth(), requests)
    names = (*MESSAGE_KEY, *COUNT_OF_CLASS.values())
    messages = [dict(zip(MESSAGE_KEY, key, strict=True)) | row for key, row in wanted.messages.items()]
    same_bag(picked(rows_of(tmp_path / "warehouse", MESSAGES, names), names), picked(messages, names))
    assert_regions_are(rows_of(tmp_path / "warehouse", region_summary(DEFAULT_PROFILE)), wanted)


@pytest.mark.slow
def test_a_worker_killed_in_the_middle_of_a_batch_leaves_no_trace(cluster: Cluster, tmp_path: Path) -> None:
    """One while it reads, the other when its executor holds rows of a batch that is committed in part."""
    forms = Forms(broken=0.2, plain_named_gz=0.5)
    truth = generate_ses(tmp_path / "input", events=300, seed=22, forms=forms, events_per_file=15)
    half = len(truth.files) // 2 + 1
    options = ("--available-now", "--provider", "ses", "--set", f"max_files_per_batch={half}")
    workers = cluster.alive
    job = start(cluster, tmp_path, "stream_events", *options)
    try:
        wait_until(lambda: any(worker.runs_python for worker in workers), "a task that reads an odd file")
        workers.sort(key=lambda worker: worker.runs_python)
        survivor, struck = workers
        assert struck.kill()
        cluster.add_worker()
        commits = tmp_path / "warehouse" / "events" / "_delta_log"
        wait_until(lambda: (commits / f"{2:020}.json").exists(), "the events of the second batch")
        assert survivor.kill()
        cluster.add_worker()
        output = said(job)
    finally:
        job.kill()
    assert "ses batch 1: an executor was lost" in output
    assert_is_truth(tmp_path / "warehouse", tmp_path / "input", truth)
