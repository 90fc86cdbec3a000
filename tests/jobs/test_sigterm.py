"""SIGTERM to a running stream ends it with its batch done; the next start goes on from there."""

import signal
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from jobs.generator import generate_ses
from jobs.stream_events import load
from tests.conftest import settings_for
from tests.crashes import PATIENCE_SECONDS, start_job
from tests.tables import assert_is_truth


@pytest.mark.slow
def test_sigterm_ends_the_job_with_its_batch_done_and_exit_code_0(spark: SparkSession, tmp_path: Path) -> None:
    truth = generate_ses(tmp_path / "input", events=300, seed=13, events_per_file=100)
    overrides = ("max_files_per_batch=2", "trigger_interval_seconds=1")
    settings = settings_for(tmp_path, *overrides)
    options = [part for override in overrides for part in ("--set", override)]
    folders = ("--input", settings.input, "--warehouse", settings.warehouse)
    process = start_job("stream_events", "--provider", "ses", *options, *folders)
    assert process.stdout
    for line in process.stdout:
        if "batch 0:" in line:
            break
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0, output
    assert "Stopped as asked" in output
    load(settings, provider="ses", spark=spark)
    assert_is_truth(tmp_path / "warehouse", tmp_path / "input", truth)
