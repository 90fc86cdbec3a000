"""New files by notifications: what a reader hands out and when it deletes messages, against S3 and SQS of moto."""

import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from conf.errors import ConfigurationError
from conf.settings import DiscoverySettings
from jobs.found_files import FoundFilesReader, Offset, digest, options_of
from jobs.notifications import NotifiedFilesReader, refuse_unusable
from jobs.s3 import client
from jobs.storage import FoundFile, list_files, location
from tests.conftest import settings_for
from tests.events_of_s3 import bridged, event, notification, removal, wrapped
from tests.moto import Moto, Queue, counting
from tests.s3 import S3Server

VISIBILITY_SECONDS = 2
PREFIX = "in put/ses"
MANY = int(os.environ.get("DISCOVERY_OBJECTS", "2000"))


class Told:
    """A bucket of which a queue is told, and readers of it that are killed at the end of the test."""

    def __init__(self, moto: Moto, folder: Path) -> None:
        self.bucket, self.queue = moto.make_bucket(), Queue.new(moto)
        self.root = f"s3a://{self.bucket}/{PREFIX}"
        self._s3, self._folder = moto.client("s3"), folder
        self.readers: list[NotifiedFilesReader] = []

    def notify(self) -> None:
        """Let S3 itself tell of what is put from now on."""
        self.queue.is_told_of(self.bucket, f"{PREFIX}/")

    def put(self, name: str, body: bytes = b"{}") -> None:
        """Write an object."""
        self._s3.put_object(Bucket=self.bucket, Key=f"{PREFIX}/{name}", Body=body)

    def delete(self, name: str) -> None:
        """Take an object away."""
        self._s3.delete_object(Bucket=self.bucket, Key=f"{PREFIX}/{name}")

    def event(self, name: str, size: int = 2, **of_event: Any) -> dict[str, Any]:
        """The message of an object."""
        return event(self.bucket, f"{PREFIX}/{name}", size, **of_event)

    def options(self, **options: object) -> dict[str, str]:
        """Those of a source, with a list of what was seen."""
        seen = self._folder / "seen"
        seen.write_bytes(b"".join(digest(file.key) for file in options.pop("seen", ())))  # type: ignore[attr-defined]
        usual: dict[str, object] = {
            "max_files": 1000,
            "max_bytes": 10**9,
            "wait_seconds": 1,
            "visibility_seconds": VISIBILITY_SECONDS,
        }
        usual |= {**options_of(DiscoverySettings()), "reconcile_hours": 0}
        texts = {"root": self.root, "seen": str(seen), "queue_url": self.queue.url, "reconcile": "false"}
        return texts | {name: str(value) for name, value in (usual | options).items()}

    def reader(self, **options: object) -> NotifiedFilesReader:
        """A reader as Spark makes it, one after the other."""
        reader = NotifiedFilesReader(self.options(**options))
        self.readers.append(reader)
        return reader

    def kill(self) -> None:
        """End what readers do by themselves, as the end of their process does."""
        for reader in self.readers:
            reader.inbox.close()


@pytest.fixture
def told(moto: Moto, tmp_path: Path) -> Iterator[Told]:
    """A bucket and its queue, both empty."""
    told = Told(moto, tmp_path)
    yield told
    told.kill()


def files_of(offset: Offset) -> list[FoundFile]:
    """The versions that a batch consists of."""
    return [FoundFile(*entry) for entry in json.loads(offset["files"])]


def names_of(offset: Offset) -> list[str]:
    """Their names."""
    return [file.uri.rpartition("/")[2] for file in files_of(offset)]


def all_batches(reader: NotifiedFilesReader) -> list[Offset]:
    """Read as Spark does with --available-now; every batch is committed before the next is asked for."""
    reader.prepareForTriggerAvailableNow()
    offsets = [reader.initialOffset()]
    while True:
        _, end = reader.read(offsets[-1])
        if end == offsets[-1]:
            return offsets[1:]
        offsets.append(end)


def in_time(is_so: Callable[[], bool], seconds: float = 3 * VISIBILITY_SECONDS) -> bool:
    """Whether it is so before long."""
    end = time.monotonic() + seconds
    while not (found := is_so()) and time.monotonic() < end:
        time.sleep(0.1)
    return found


def test_new_objects_are_the_versions_that_a_listing_finds_and_handed_out_once(told: Told) -> None:
    # given
    told.notify()  # sends a test event
    names = ["a b+c=d.json", "dt=1/ü%2B.json", "日本/e.json", "#&[x]*.json", "_hidden/h.json", ".h", "a//b.json"]
    for name in names:
        told.put(name)
    told.put("folder/", b"")
    # when
    reader = told.reader()
    _, end = reader.read(reader.initialOffset())
    # then
    expected = sorted(list_files(location(told.root)))
    assert files_of(end) == expected
    assert [file.is_hidden for file in expected].count(True) == 2
    assert told.queue.count() == len(names)  # not before they are committed
    rows, again = reader.read(end)
    assert (list(rows), again) == ([], end)
    assert told.queue.count() == 0


def test_duplicates_and_late_messages_bring_nothing_twice(told: Told) -> None:
    # given
    told.put("a.json", b"{}")
    first = told.event("a.json", 2)
    told.put("a.json", b"{} {}")
    second = told.event("a.json", 5)
    told.queue.send(second, first, first, wrapped(second), bridged(told.bucket, f"{PREFIX}/a.json", 5))
    # when
    reader = told.reader()
    _, end = reader.read(reader.initialOffset())
    told.queue.send(first, second)  # beside the batch
    # then
    assert [(file.uri, file.length) for file in files_of(end)] == [(f"{told.root}/a.json", 5)]
    assert told.queue.count() == 7
    assert reader.read(end)[1] == end
    assert told.queue.count() == 0


def test_messages_of_nothing_to_load_are_deleted(told: Told) -> None:
    # given
    for key in ("in put/sailthru/a.json", "in put/sesame.json", "b.json"):
        told.queue.send(event(told.bucket, key, 2))
    told.queue.send(
        event("another-bucket", f"{PREFIX}/a.json", 2),
        removal(told.bucket, f"{PREFIX}/a.json"),
        bridged(told.bucket, f"{PREFIX}/a.json", 2, kind="Object Deleted"),
        {"Service": "Amazon S3", "Event": "s3:TestEvent"},
    )
    # when
    reader = told.reader()
    _, end = reader.read(reader.initialOffset())
    # then
    assert end == reader.initialOffset()
    assert told.queue.count() == 0


def test_messages_of_objects_before_the_start_are_deleted(told: Told) -> None:
    # given
    told.put("a.json")
    told.queue.send(told.event("a.json"))
    # when
    reader = told.reader(start_from=round((time.time() + 60) * 1_000_000))
    _, end = reader.read(reader.initialOffset())
    # then
    assert end == reader.initialOffset()
    assert told.queue.count() == 0


def test_an_object_gone_before_it_was_read_is_handed_out_as_it_was_announced(told: Told) -> None:
    # given
    told.put("a.json")
    told.queue.send(told.event("a.json", 17, at="2025-10-25T18:00:05.250Z"), told.event("b.json", 3))
    told.delete("a.json")
    told.put("b.json", b"{} ")
    # when
    reader = told.reader()
    _, end = reader.read(reader.initialOffset())
    # then: the batch gives it a line in the ledger
    at = int(datetime(2025, 10, 25, 18, 0, 5, tzinfo=UTC).timestamp()) * 1_000_000
    assert files_of(end)[0] == FoundFile(at, f"{told.root}/a.json", 17)
    assert names_of(end) == ["a.json", "b.json"]


def test_an_object_loaded_before_it_went_gets_no_second_line(told: Told) -> None:
    # given
    told.put("a.json")
    [loaded] = list_files(location(told.root))
    told.delete("a.json")
    late = datetime.fromtimestamp(loaded.modified_micros / 1e6 + 2, UTC).isoformat()
    told.queue.send(told.event("a.json", 2, at=late))
    # when
    reader = told.reader(seen=[loaded])
    _, end = reader.read(reader.initialOffset())
    # then
    assert end == reader.initialOffset()
    assert told.queue.count() == 0


def test_of_an_object_gone_and_written_again_a_batch_has_the_version_that_is_there(told: Told) -> None:
    told.queue.send(told.event("a.json", 3), told.event("a.json", 4, at="2025-10-25T18:00:06.000Z"))
    reader = told.reader()
    inbox = reader.inbox
    found: dict[str, FoundFile] = {}
    reader._open(inbox.receive(1), found)
    assert [file.length for file in found.values()] in ([3], [4])
    told.put("a.json", b"{} {}")
    told.queue.send(told.event("a.json", 5))
    reader._open(inbox.receive(1), found)
    assert [file.length for file in found.values()] == [5]
    reader.committed(list(found.values()))
    assert told.queue.count() == 0


def test_what_is_no_message_of_s3_is_told_once_and_left_to_the_redrive_policy(
    moto: Moto, told: Told, capfd: pytest.CaptureFixture[str]
) -> None:
    # given
    dead = Queue.new(moto)
    policy = json.dumps({"deadLetterTargetArn": dead.arn, "maxReceiveCount": 2})
    told.queue = Queue.new(moto, RedrivePolicy=policy)
    told.put("a.json")
    told.queue.send("no JSON", told.event("a.json"))
    # when
    reader = told.reader(visibility_seconds=1)
    _, end = reader.read(reader.initialOffset())
    # then
    assert names_of(end) == ["a.json"]
    assert in_time(lambda: reader.read(end)[1] == end and dead.count() == 1, 10)
    assert told.queue.count() == 0
    assert [message["Body"] for message in dead.receive()] == ["no JSON"]
    assert capfd.readouterr().err.count("none of S3's") == 1


def test_a_message_of_several_objects_is_deleted_when_all_of_them_are_committed(told: Told) -> None:
    # given
    for name in ("a.json", "b.json"):
        told.put(name)
    told.queue.send(notification(told.event("a.json"), removal(told.bucket, "x"), told.event("b.json")))
    # when
    reader = told.reader(max_files=1)
    _, first = reader.read(reader.initialOffset())
    _, second = reader.read(first)
    # then
    assert [*names_of(first), *names_of(second)] == ["a.json", "b.json"]
    assert (first["backlog"], second["backlog"]) == (1, 0)
    assert told.queue.count() == 1
    assert reader.read(second)[1] == second
    assert told.queue.count() == 0


def test_messages_that_could_not_be_deleted_come_again_and_bring_nothing(
    told: Told, capfd: pytest.CaptureFixture[str]
) -> None:
    # given: the first two requests are refused, one for a message, one as a whole
    told.put("a.json")
    told.queue.send(told.event("a.json"))
    refusals: list[Any] = [
        (200, {"Failed": [{"Id": "0", "Code": "InternalError", "SenderFault": False}]}),
        (503, {"Error": {"Code": "ServiceUnavailable", "Message": "later"}}),
    ]

    class Answer:
        def __init__(self, status: int) -> None:
            self.status_code, self.headers = status, dict[str, str]()

    def refuse(**_: object) -> Any:
        if not refusals:
            return None
        status, answer = refusals.pop(0)
        return Answer(status), answer | {"ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": {}}}

    client("sqs").meta.events.register("before-call.sqs.DeleteMessageBatch", refuse)
    # when
    reader = told.reader(visibility_seconds=1)
    _, end = reader.read(reader.initialOffset())
    # then
    assert in_time(lambda: reader.read(end)[1] == end and told.queue.count() == 0, 10)
    assert not refusals
    assert capfd.readouterr().err.count("will come again") == 2


def test_messages_in_hand_stay_there_however_long_a_batch_takes_until_the_job_is_killed(told: Told) -> None:
    # given
    for number in range(12):  # more than one request extends
        told.put(f"{number}.json")
        told.queue.send(told.event(f"{number}.json"))
    reader = told.reader()
    _, end = reader.read(reader.initialOffset())
    assert len(files_of(end)) == 12
    # when
    time.sleep(2.5 * VISIBILITY_SECONDS)
    # then
    assert told.queue.receive() == []
    told.kill()
    assert in_time(lambda: int(told.queue.attribute("ApproximateNumberOfMessages")) == 12)


@pytest.mark.parametrize("is_in_ledger", [False, True])
def test_killed_before_or_after_the_commit_nothing_is_lost_or_handed_out_again(told: Told, is_in_ledger: bool) -> None:
    # given: a batch that Spark had logged when all was killed
    for name in ("a.json", "b.json"):
        told.put(name)
        told.queue.send(told.event(name))
    killed = told.reader()
    _, logged = killed.read(killed.initialOffset())
    told.kill()
    # when: Spark runs that batch again, or knows it to be done, and asks for the next
    told.put("c.json")
    told.queue.send(told.event("c.json"))
    reader = told.reader(seen=files_of(logged) if is_in_ledger else ())
    rows = list(reader.readBetweenOffsets(reader.initialOffset(), logged))
    reader.prepareForTriggerAvailableNow()
    _, end = reader.read(logged)
    # then
    assert [row[0] for row in rows] == [f"{told.root}/a.json", f"{told.root}/b.json"]
    assert names_of(end) == ["c.json"]
    assert reader.read(end)[1] == end
    assert told.queue.count() == 0


def test_killed_before_the_batch_was_logged_its_messages_come_again_to_who_waits(told: Told) -> None:
    # given
    told.put("a.json")
    told.queue.send(told.event("a.json"))
    killed = told.reader()
    killed.read(killed.initialOffset())
    told.kill()
    # when: started at once, the queue looks empty
    assert told.queue.receive() == []
    batches = all_batches(told.reader())
    # then
    assert [names_of(batch) for batch in batches] == [["a.json"]]
    assert told.queue.count() == 0


def test_a_look_takes_no_more_messages_than_one_batch_has_room_for(told: Told) -> None:
    for number in range(30):
        told.put(f"{number}.json")
        told.queue.send(told.event(f"{number}.json"))
    reader = told.reader(max_files=25)
    _, first = reader.read(reader.initialOffset())
    assert (len(files_of(first)), first["backlog"]) == (20, 0)
    _, second = reader.read(first)
    assert (len(files_of(second)), second["backlog"]) == (10, 0)


def test_a_queue_is_drained_in_batches_and_of_what_comes_meanwhile_there_is_an_end(told: Told) -> None:
    # given
    for number in range(7):
        told.put(f"{number}.json")
        told.queue.send(told.event(f"{number}.json"))
    ended = threading.Event()

    def keep_sending() -> None:
        for _ in range(200):  # forty seconds
            if ended.wait(0.2):
                break
            told.queue.send(told.event("0.json"))

    sender = threading.Thread(target=keep_sending)
    sender.start()
    # when
    try:
        began = time.monotonic()
        batches = all_batches(told.reader(max_files=3))
    finally:
        ended.set()
        sender.join()
    # then
    assert sorted(name for batch in batches for name in names_of(batch)) == [f"{number}.json" for number in range(7)]
    assert max(len(files_of(batch)) for batch in batches) == 3
    assert time.monotonic() - began < 30


def test_a_reconciling_list_finds_what_no_message_came_of_and_doubles_nothing(told: Told) -> None:
    # given
    for name in ("old.json", "told.json", "seen.json"):
        told.put(name)
    told.queue.send(told.event("told.json"), told.event("seen.json"))
    [seen] = [file for file in list_files(location(told.root)) if file.uri.endswith("/seen.json")]
    # when
    with counting(client()) as requests:
        without = told.reader(seen=[seen], max_files=1)
        assert without.reconciles_at is None
        reader = told.reader(seen=[seen], reconcile="true")
        _, end = reader.read(reader.initialOffset())
        assert requests["ListObjectsV2"] == 1
        assert reader.read(end)[1] == end
    # then
    assert requests["ListObjectsV2"] == 1
    assert sorted(names_of(end)) == ["old.json", "told.json"]
    assert told.queue.count() == 0


def test_a_list_is_made_again_after_its_hours(told: Told) -> None:
    reader = told.reader(reconcile="true", reconcile_hours=1 / 3600)
    assert reader.read(reader.initialOffset())[1] == reader.initialOffset()
    told.put("missed.json")
    time.sleep(1)
    _, end = reader.read(reader.initialOffset())
    assert names_of(end) == ["missed.json"]


def test_requests_do_not_grow_with_the_bucket(
    moto: Moto, s3: S3Server, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given: a store that keeps objects as files, so that many are made in no time
    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)
    client.cache_clear()
    told.bucket = f"many-{told.bucket}"
    s3.make_bucket(told.bucket)
    told.root = f"s3a://{told.bucket}/{PREFIX}"
    folder = s3.data / told.bucket / PREFIX
    folder.mkdir(parents=True)
    requests: list[dict[str, int]] = []
    lists: list[int] = []
    for size in (200, MANY):
        for number in range(size):
            (folder / f"{number}.json").write_bytes(b"")
        for number in range(20):
            (folder / f"{size}-{number}.json").write_bytes(b"{}")
            told.queue.send(told.event(f"{size}-{number}.json"))
        # when
        with counting(client(), client("sqs")) as counts:
            [batch] = all_batches(told.reader(max_files=21, visibility_seconds=300))
        assert len(files_of(batch)) == 20
        requests.append(dict(counts))
        with counting(client()) as counts:
            FoundFilesReader(told.options()).find()
        lists.append(counts["ListObjectsV2"])
    # then
    assert requests[0] == requests[1]
    empty = 2
    assert requests[0] == {
        "HeadObject": 20,
        "GetQueueAttributes": 1,
        "ReceiveMessage": 20 / 10 + empty,
        "DeleteMessageBatch": 20 / 10,
    }
    print(f"of 220 and {MANY + 40} objects: {requests[0]}; a listing: {lists}")
    assert lists == [1, -(-(MANY + 40) // 1000)]  # while a listing's do


@pytest.mark.parametrize(
    ("source", "settings", "message"),
    [
        ("input", ["discovery.ses_queue_url=http://127.0.0.1:9/1/q"], "discovery.mode=listing"),
        ("s3a://b/in", [], r"discovery.ses_queue_url is not set: .*set_up_notifications"),
        ("s3a://b/in", ["discovery.ses_queue_url={url}-not-there"], r"cannot be used: .*NonExistentQueue"),
    ],
)
def test_notifications_that_cannot_be_had_are_refused(
    told: Told, source: str, settings: Sequence[str], message: str
) -> None:
    overrides = ["discovery.mode=notifications", *(one.format(url=told.queue.url) for one in settings)]
    wanted = settings_for(Path("unused"), *overrides).model_copy(update={"input": source})
    with pytest.raises(ConfigurationError, match=message):
        refuse_unusable(wanted, ["ses"])


def test_one_queue_for_both_providers_is_refused() -> None:
    url = "https://sqs.us-east-1.amazonaws.com/123456789012/q"
    with pytest.raises(ConfigurationError, match="must be two queues"):
        settings_for(Path("unused"), f"discovery.ses_queue_url={url}", f"discovery.sailthru_queue_url={url}")
