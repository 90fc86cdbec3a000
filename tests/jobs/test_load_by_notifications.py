"""A stream that notifications tell of files, against S3 and SQS of moto; its reader alone is in test_notifications."""

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from jobs.generator import Forms, generate_ses
from jobs.s3 import S3Path
from jobs.stream_events import load
from tests.conftest import configured, settings_for
from tests.jobs.test_notifications import Told
from tests.moto import Moto
from tests.tables import assert_is_truth


@pytest.mark.usefixtures("one_partition")
def test_files_that_s3_tells_of_load_as_the_truth_says_once_whatever_the_mode_is_later(
    spark: SparkSession, moto: Moto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given
    told = Told(moto, tmp_path)
    monkeypatch.setitem(spark.sparkContext.environment, "AWS_ENDPOINT_URL_S3", moto.endpoint)
    truth = generate_ses(tmp_path / "input", events=200, seed=21, forms=Forms.plain(), events_per_file=20)
    told.notify()
    source = tmp_path / "input" / "ses"
    for file in sorted(source.rglob("*")):
        if file.is_file():
            told.put(str(file.relative_to(source)), file.read_bytes())
    settings = settings_for(
        tmp_path,
        "discovery.mode=notifications",
        f"discovery.ses_queue_url={told.queue.url}",
        "discovery.wait_seconds=1",
        "max_files_per_batch=6",
    ).model_copy(update={"input": f"s3a://{told.bucket}/in put"})
    with configured(spark, {f"fs.s3a.bucket.{told.bucket}.endpoint": moto.endpoint}):  # Java looks for the other server
        # when
        reports = load(settings, provider="ses", spark=spark)
        # then
        assert len(reports) > 1
        assert_is_truth(tmp_path / "warehouse", S3Path(told.bucket, "in put"), truth)
        assert told.queue.count() == 0
        # and a listing goes on from there
        told.put("more.json")
        listing = settings.discovery.model_copy(update={"mode": "listing"})
        (report,) = load(settings.model_copy(update={"discovery": listing}), provider="ses", spark=spark)
        assert (report.files, report.records) == (1, 1)
