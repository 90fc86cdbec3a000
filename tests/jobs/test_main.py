"""The command line: jobs by name, and one clear line with exit code 2 for what cannot be."""

from pathlib import Path

import pytest

from jobs import s3
from jobs.__main__ import JOBS, main


def test_help_lists_the_jobs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    said = capsys.readouterr().out
    assert all(job in said for job in JOBS)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param(["stream_event"], "did you mean `stream_events`?", id="unknown-job"),
        pytest.param(["stream_events", "--set", "max_file_per_batch=3"], "max_files_per_batch", id="unknown-setting"),
        pytest.param(["stream_events", "--input", "/nowhere", "--provider", "ses"], "has no folder ses", id="no-input"),
        pytest.param(["stream_events", "--input", "gs://bucket/mail"], "give a path, a file: URI", id="no-such-store"),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1


def test_generate_writes_files_and_their_truth(tmp_path: Path) -> None:
    assert main(["generate", "--output", str(tmp_path / "mail"), "--events", "50", "--plain"]) == 0
    assert list((tmp_path / "mail" / "ses").rglob("ses-events-*"))
    assert len((tmp_path / "mail" / "truth" / "ses" / "events.jsonl").read_text().splitlines()) == 50


def test_without_credentials_for_s3_one_line_says_where_they_come_from(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setattr("jobs.s3.client", s3.client.__wrapped__)
    monkeypatch.setattr("boto3.DEFAULT_SESSION", None)
    assert main(["stream_events", "--input", "s3a://no-bucket/mail", "--warehouse", str(tmp_path)]) == 2
    assert "docs/s3.md says where credentials" in capsys.readouterr().err
