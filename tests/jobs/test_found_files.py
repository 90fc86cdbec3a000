"""What the stream's reader lists, and what becomes of files that are loaded, without Spark."""

import os
import time
from collections.abc import Collection, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from conf.errors import ConfigurationError
from conf.settings import DiscoverySettings
from jobs.archive import Archive, archive_of
from jobs.found_files import FoundFilesReader, folders_of, options_of
from jobs.s3 import S3Path
from jobs.storage import FoundFile, list_files
from tests.s3 import Bucket, DelayingProxy, S3Server


def reader_of(root: object, seen: Path, **settings: object) -> FoundFilesReader:
    """The reader with settings of `discovery`."""
    seen.touch()
    wanted = options_of(DiscoverySettings.model_validate(settings))
    return FoundFilesReader(
        {"root": str(root), "seen": str(seen), "max_files": "1000", "max_bytes": "1000000", **wanted}
    )


def names(rows: object) -> set[str]:
    """The last two parts of the URIs of a batch."""
    return {"/".join(row[0].rsplit("/", 2)[1:]) for row in rows}  # type: ignore[attr-defined]


def write(folder: Path, *files: str) -> None:
    """Files of two bytes."""
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"{}")


def test_folders_of_days_are_those_of_the_last_days_today_and_tomorrow() -> None:
    today = date(2026, 3, 1)
    assert folders_of("%Y/%m/%d", today, 1) == ["2026/03/02", "2026/03/01", "2026/02/28"]
    assert folders_of("dt=%Y-%m", today, 3) == ["dt=2026-03", "dt=2026-02"]


def test_by_date_folders_the_first_look_lists_everything_and_further_ones_the_last_days(tmp_path: Path) -> None:
    root, today = tmp_path / "ses", datetime.now(UTC).date()
    old, new = (f"{today - timedelta(days=ago):%Y/%m/%d}" for ago in (40, 1))
    write(root, f"{old}/07/a.json", f"{new}/07/b.json", "elsewhere/c.json")
    reader = reader_of(root, tmp_path / "seen", date_folders="%Y/%m/%d", days=2)
    rows, end = reader.read(reader.initialOffset())
    assert names(rows) == {"07/a.json", "07/b.json", "elsewhere/c.json"}
    write(root, f"{old}/08/d.json", f"{new}/08/e.json")
    rows, end = reader.read(end)
    assert names(rows) == {"08/e.json"}
    reader.listed_all_at = time.monotonic() - 3600  # an hour later
    reader.lists_all_after = 1800.0
    rows, end = reader.read(end)
    assert names(rows) == {"08/d.json"}


def test_by_date_folders_a_look_costs_a_list_a_day_however_large_the_bucket(
    s3: S3Server, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    today = datetime.now(UTC).date()
    hours = [f"{today - timedelta(days=ago):%Y/%m/%d}/{hour:02}" for ago in range(60) for hour in range(24)]
    write(bucket.folder / "ses", *(f"{hour}/{number}.json" for hour in hours for number in range(2)))
    proxy = DelayingProxy(s3)
    with proxy.listening() as seen_through:
        monkeypatch.setattr("jobs.s3.client", seen_through.client)
        reader = reader_of(f"s3a://{bucket.name}/ses", tmp_path / "seen", date_folders="%Y/%m/%d", days=2)
        _, end = reader.read(reader.initialOffset())
        all_of_it = proxy.requests["GET", "list"]
        proxy.requests.clear()
        reader.pending.clear()
        reader.read(end)
    assert all_of_it == 3  # of 2,880 keys
    assert dict(proxy.requests) == {("GET", "list"): 4}


def test_files_modified_before_the_start_are_left_alone(tmp_path: Path) -> None:
    root = tmp_path / "ses"
    write(root, "a.json", "b.json")
    os.utime(root / "a.json", (1_000_000_000, 1_000_000_000))
    reader = reader_of(root, tmp_path / "seen", start_from="2020-01-01T00:00:00Z")
    rows, _ = reader.read(reader.initialOffset())
    assert names(rows) == {"ses/b.json"}


def test_loaded_files_are_moved_once_their_batch_is_done_and_a_newer_version_stays(tmp_path: Path) -> None:
    root, archive = tmp_path / "ses", tmp_path / "archive"
    write(root, "x/a.json", "x/b.json")
    reader = reader_of(root, tmp_path / "seen", archive="move", archive_to=str(archive))
    rows, end = reader.read(reader.initialOffset())
    assert names(rows) == {"x/a.json", "x/b.json"}
    assert not archive.exists()
    (root / "x" / "b.json").write_bytes(b"newer")
    rows, end = reader.read(end)
    assert [file.name for file in archive.rglob("*.json")] == ["a.json"]
    assert (archive / "ses" / "x" / "a.json").read_bytes() == b"{}"
    assert names(rows) == {"x/b.json"}
    reader.read(end)
    assert (archive / "ses" / "x" / "b.json").read_bytes() == b"newer"
    assert list(list_files(root)) == []


def test_a_version_that_comes_between_the_look_and_the_move_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "ses"
    write(root, "a.json")
    (loaded,) = list_files(root)
    (root / "a.json").write_bytes(b"newer")
    monkeypatch.setattr("jobs.archive.is_still_there", lambda _: True)
    Archive(root, tmp_path / "archive").take([loaded])
    assert (root / "a.json").read_bytes() == b"newer"
    assert [file for file in (tmp_path / "archive").rglob("*") if file.is_file()] == []


def test_an_object_that_is_another_version_than_was_loaded_stays(bucket: Bucket) -> None:
    root = S3Path(bucket.name, "in")
    bucket.put("in/a.json", b"{}")
    (loaded,) = list_files(root)
    bucket.put("in/a.json", b"newer")
    Archive(root, S3Path(bucket.name, "done")).take([loaded])
    assert (bucket.folder / "in/a.json").read_bytes() == b"newer"
    assert not (bucket.folder / "done").exists()


def test_a_batch_that_is_done_is_put_away_once_however_often_is_looked(tmp_path: Path) -> None:
    root = tmp_path / "ses"
    write(root, "a.json")
    reader = reader_of(root, tmp_path / "seen")
    put_away: list[list[str]] = []

    class Kept(Archive):
        def take(self, files: Collection[FoundFile]) -> None:
            put_away.append([file.uri for file in files])

    reader.archive = Kept(root, None)
    _, end = reader.read(reader.initialOffset())
    for _ in range(3):
        _, end = reader.read(end)
    assert put_away == [[], [f"file://{root}/a.json"]]


def test_loaded_objects_are_moved_or_tagged(bucket: Bucket) -> None:
    root = S3Path(bucket.name, "in/ses")
    bucket.put("in/ses/a b/ü.json", b"{}")
    bucket.put("in/ses/c.json", b"[]")
    first, second = sorted(list_files(root), key=lambda file: file.uri)
    Archive(root, S3Path(bucket.name, "done/ses")).take([first])
    assert (bucket.folder / "done/ses/a b/ü.json").read_bytes() == b"{}"
    assert [file.uri for file in list_files(root)] == [second.uri]
    tags: Mapping[str, list[dict[str, str]]] = {"TagSet": [{"Key": "team", "Value": "mail"}]}
    bucket.client.put_object_tagging(Bucket=bucket.name, Key="in/ses/c.json", Tagging=tags)
    for _ in range(2):
        Archive(root, None).take([first, second])
    found = bucket.client.get_object_tagging(Bucket=bucket.name, Key="in/ses/c.json")["TagSet"]
    assert {tag["Key"]: tag["Value"] for tag in found} == {"team": "mail", "email-events": "loaded"}


@pytest.mark.parametrize(
    ("how", "to", "root", "words"),
    [
        ("tag", "", Path("/in/ses"), "no folder of S3"),
        ("move", "/in/ses/done", Path("/in/ses"), "would be found again"),
        ("move", "s3a://bucket/done", Path("/in/ses"), "on this machine or in S3"),
        ("move", "s3a://bucket/in/ses", S3Path("bucket", "in/ses"), "would be found again"),
    ],
)
def test_an_archive_that_cannot_be_is_refused(how: str, to: str, root: Path | S3Path, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        archive_of(how, to, root)
