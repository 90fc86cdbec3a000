"""The stream's source where S3 itself tells of new objects, through a queue of SQS: nothing is listed.

A message stays in the queue until the batches of all its objects are committed. It may come late, twice, in any
order: what decides whether an object is new is its version as it is now, as in a listing, and the `files` ledger.
"""

import math
import time
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

from pyspark.sql.types import StructType

from conf.errors import ConfigurationError
from jobs.crash_points import reached
from jobs.found_files import FoundFiles, NewFilesReader, digest
from jobs.inbox import MOST_AT_ONCE, Inbox, Message, attribute
from jobs.progress import say
from jobs.s3 import S3Path
from jobs.s3_events import Created, UnknownMessageError, created_in
from jobs.storage import FoundFile, each, list_files, location, of_head, s3_file

if TYPE_CHECKING:  # see jobs/s3.py
    from conf.settings import DiscoverySettings, Settings

_FURTHER_WAIT_SECONDS = 1
"""For messages after the first ones: long enough for SQS to ask all its servers, one of which may have them."""
_GATHERING_SECONDS = 5
"""For how long a batch is put off by messages that trickle in."""
_LAST_WAIT_SECONDS = 3
_QUIET_ANSWERS = 2
"""Of the queue, one after the other, after which it is taken to be drained."""
_LATE_SECONDS = 60
"""By which the time of an event may be after that of its object, which a large one gets when its upload begins."""


class NotifiedFiles(FoundFiles):
    """New object versions below the option `root`, in S3, of which messages of a queue tell.

    Options beside those of FoundFiles: `queue_url`, `wait_seconds`, `visibility_seconds`, as the settings have them;
    `reconcile`, true to list once at the start; `reconcile_hours`, after which to list again, 0: never.
    """

    @classmethod
    def name(cls) -> str:
        """The name to give to `readStream.format`."""
        return "notified_files"

    def simpleStreamReader(self, schema: StructType) -> "NotifiedFilesReader":
        """The reader, in a Python process of its own beside the driver."""
        return NotifiedFilesReader(dict(self.options))


def options_of(settings: "DiscoverySettings", provider: str, *, reconcile: bool) -> dict[str, str]:
    """The options of a provider's source; `reconcile` asks for a list at the start whatever the settings say."""
    return {
        "queue_url": settings.queue_url(provider) or "",
        "wait_seconds": str(settings.wait_seconds),
        "visibility_seconds": str(settings.visibility_seconds),
        "reconcile": str(reconcile or settings.reconcile_hours is not None).lower(),
        "reconcile_hours": str(settings.reconcile_hours or 0),
    }


def refuse_unusable(settings: "Settings", providers: Sequence[str]) -> None:
    """Raise ConfigurationError if notifications are asked for but cannot be had: a request per queue."""
    if settings.discovery.mode != "notifications":
        return
    if not isinstance(location(settings.input), S3Path):
        raise ConfigurationError(
            f"Of {settings.input} nobody sends notifications, only of s3a://: set discovery.mode=listing."
        )
    for provider in providers:
        url = settings.discovery.queue_url(provider)
        if url is None:
            raise ConfigurationError(
                f"discovery.mode is notifications, but discovery.{provider}_queue_url is not set: "
                "`./spark-submit.sh set_up_notifications` makes the queue; or load another provider with --provider."
            )
        attribute(url, "VisibilityTimeout")


class NotifiedFilesReader(NewFilesReader):
    """Asks the queue when nothing found is left over, so that no more messages are in hand than a batch or two need."""

    def __init__(self, options: dict[str, str]) -> None:
        super().__init__(options)
        assert isinstance(self.root, S3Path)
        self.bucket = self.root.bucket
        self.prefix = f"{self.root.key}/" if self.root.key else ""
        self.queue_url = options["queue_url"]
        self.wait_seconds = int(options["wait_seconds"])
        self.visibility_seconds = int(options["visibility_seconds"])
        self.reconcile_hours = float(options["reconcile_hours"])
        self.reconciles_at = 0.0 if options["reconcile"] == "true" else None
        """When to list next, on the clock of time.monotonic."""
        self.waiting: dict[str, set[str]] = {}
        """Of each message in hand, the URIs of the objects whose version, as found, is not committed yet."""
        self.drains = False
        self.began_at: float | None = None
        """When draining began, by the clock of SQS: what is sent later may be left to the next run."""
        self.patient_until = 0.0
        """Until when, on the clock of time.monotonic, messages may come again that another job had in hand."""
        self._inbox: Inbox | None = None  # its thread would not bear to be sent to another process

    @property
    def inbox(self) -> Inbox:
        """The queue, from when it is first needed."""
        if self._inbox is None:
            self._inbox = Inbox(self.queue_url, self.visibility_seconds)
        return self._inbox

    def prepareForTriggerAvailableNow(self) -> None:
        """Take what the queue holds now, a batch's worth after the other, and stop where messages are newer."""
        self.drains = True
        if held := self.inbox.held_by_others():
            self.patient_until = time.monotonic() + self.visibility_seconds
            say(
                f"Some {held} messages of {self.queue_url} are still in the hands of a job that has ended: waiting "
                f"until they come again, {self.visibility_seconds} s at most."
            )

    def look(self) -> Iterable[FoundFile]:
        """The versions that messages tell of, and those of a reconciling list if it is time for one."""
        # By URI: a batch has room for one version of each, and the one that was asked for last is there.
        found = {file.uri: file for file in self._reconciling()}
        if self.drains:
            self._drain(found)
        else:
            self._gather(found)
        return found.values()

    def committed(self, files: Collection[FoundFile]) -> None:
        """Delete the messages of which no object is left to be loaded."""
        uris = {file.uri for file in files}
        for waiting in self.waiting.values():
            waiting -= uris
        if done := [message_id for message_id, waiting in self.waiting.items() if not waiting]:
            self._delete(done)
            reached("messages deleted")

    def _reconciling(self) -> Iterable[FoundFile]:
        if self.reconciles_at is None or time.monotonic() < self.reconciles_at:
            return ()
        new = [file for file in list_files(self.root) if self.is_wanted(file)]
        self.reconciles_at = time.monotonic() + self.reconcile_hours * 3600 if self.reconcile_hours else None
        return new

    def _gather(self, found: dict[str, FoundFile]) -> None:
        """Add what the queue holds: wait for a message if there is none, go on for a while if there are more."""
        wait, until, asked = (_FURTHER_WAIT_SECONDS if found else self.wait_seconds), math.inf, 0
        while self._has_room(found) and asked < self.max_files and time.monotonic() < until:
            messages = self.inbox.receive(wait)
            if not messages:
                break
            self._open(messages, found)
            asked += len(messages)
            wait, until = _FURTHER_WAIT_SECONDS, min(until, time.monotonic() + _GATHERING_SECONDS)

    def _drain(self, found: dict[str, FoundFile]) -> None:
        """Add what the queue held at the start, a batch's worth; no further look is needed if that was all."""
        quiet = 0
        while self._has_room(found) and quiet < _QUIET_ANSWERS:
            is_held = time.monotonic() < self.patient_until and self.inbox.held_by_others() > 0
            messages = self.inbox.receive(min(self.wait_seconds, _LAST_WAIT_SECONDS))
            if messages and self.began_at is None:
                self.began_at = messages[0].received_at + 1
            self._open(messages, found)
            is_quiet = all(self.began_at is not None and message.sent_at > self.began_at for message in messages)
            if is_quiet and is_held and found:
                break  # to be loaded meanwhile
            quiet = quiet + 1 if is_quiet and not is_held else 0
        self.looks_again = quiet < _QUIET_ANSWERS

    def _has_room(self, found: Collection[str]) -> bool:
        """Whether a batch could take all the objects of another answer, if each message is of one."""
        return not found or len(found) + MOST_AT_ONCE <= self.max_files

    def _open(self, messages: Sequence[Message], found: dict[str, FoundFile]) -> None:
        """Add the new versions that messages tell of; messages that tell of none are deleted."""
        told: dict[str, list[Created]] = {}
        for message in messages:
            try:
                told[message.id] = [one for one in created_in(message.body) if self._is_ours(one)]
            except UnknownMessageError as problem:
                self.inbox.leave(message.id, f"which is none of S3's ({problem})")
        places = list({S3Path(one.bucket, one.key) for ones in told.values() for one in ones})
        heads = dict(zip(places, each(S3Path.head, places), strict=True))
        for message_id, ones in told.items():
            self.waiting[message_id] = set()
            for one in ones:
                place = S3Path(one.bucket, one.key)
                head = heads[place]
                file = self._gone(one) if head is None else of_head(place, head, below=len(self.prefix))
                if not self.is_wanted(file):  # committed, as all is that was handed out before; or too old
                    continue
                self.waiting[message_id].add(file.uri)
                if head is not None or file.uri not in found:
                    found[file.uri] = file
        self._delete([message_id for message_id in told if not self.waiting[message_id]])

    def _is_ours(self, one: Created) -> bool:
        is_folder = one.key.endswith("/") and one.length == 0  # which some programs make, as in listings
        return one.bucket == self.bucket and one.key.startswith(self.prefix) and not is_folder

    def _gone(self, one: Created) -> FoundFile:
        """The version that the message told of, which gets a line in the ledger unless it was loaded before it went."""
        before = range(_LATE_SECONDS + 1)
        may_be = [s3_file(one.bucket, one.key, one.at - s, one.length, below=len(self.prefix)) for s in before]
        return next((file for file in may_be if digest(file.key) in self.seen), may_be[0])

    def _delete(self, message_ids: Sequence[str]) -> None:
        self.inbox.delete(message_ids)
        for message_id in message_ids:
            del self.waiting[message_id]
