"""Messages of an SQS queue that are in hand: received and not yet deleted."""

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from conf.errors import ConfigurationError
from jobs.progress import say
from jobs.s3 import client, said

MOST_AT_ONCE = 10
"""Messages of one request, as SQS has it."""


@dataclass(frozen=True)
class Message:
    """A message as it was received; the same one may be received again."""

    id: str
    body: str
    sent_at: float
    """By the clock of SQS, seconds since 1970-01-01 UTC."""
    received_at: float
    """By the same clock, in whole seconds."""


class Inbox:
    """A queue of which nobody else gets the messages in hand, until they are deleted or this process ends.

    A thread of its own asks SQS for more time at a third of it. What SQS refuses, then or when a message is to be
    deleted, does no harm: the message comes again.
    """

    def __init__(self, url: str, visibility_seconds: int) -> None:
        self.url = url
        self.visibility_seconds = visibility_seconds
        self._left: set[str] = set()
        self._receipts: dict[str, str] = {}
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._last_said = ""
        threading.Thread(target=self._extend_until_closed, name=f"inbox {url}", daemon=True).start()

    def receive(self, wait_seconds: int) -> list[Message]:
        """Up to ten messages, now in hand; none if none came meanwhile. One request."""
        answer = client("sqs").receive_message(
            QueueUrl=self.url,
            MaxNumberOfMessages=MOST_AT_ONCE,
            WaitTimeSeconds=wait_seconds,
            VisibilityTimeout=self.visibility_seconds,
            AttributeNames=["SentTimestamp"],
        )
        received_at = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"]).timestamp()
        found: list[dict[str, Any]] = answer.get("Messages", [])
        with self._lock:  # of a message that came again only the newest receipt counts
            self._receipts.update((one["MessageId"], one["ReceiptHandle"]) for one in found)
        return [
            Message(one["MessageId"], one["Body"], int(one["Attributes"]["SentTimestamp"]) / 1000, received_at)
            for one in found
        ]

    def leave(self, message_id: str, why: str) -> None:
        """Let a message come again when its time is over, and in the end go where the redrive policy says."""
        with self._lock:
            self._receipts.pop(message_id, None)
        if message_id not in self._left:
            say(f"The queue {self.url} holds the message {message_id}, {why}: it is left to the redrive policy.")
        self._left.add(message_id)

    def delete(self, message_ids: Iterable[str]) -> None:
        """Take messages out of the queue. One request for ten."""
        with self._lock:
            receipts = {id: self._receipts.pop(id) for id in message_ids if id in self._receipts}
        self._of_many(client("sqs").delete_message_batch, receipts)

    def extend(self) -> None:
        """Keep the messages in hand for another `visibility_seconds`. One request for ten."""
        with self._lock:
            receipts = dict(self._receipts)
        self._of_many(
            client("sqs").change_message_visibility_batch, receipts, VisibilityTimeout=self.visibility_seconds
        )

    def held_by_others(self) -> int:
        """About how many messages somebody else has in hand, as a job that was killed. One request."""
        return attribute(self.url, "ApproximateNumberOfMessagesNotVisible") - len(self._left) - len(self._receipts)

    def close(self) -> None:
        """Ask for no more time: what is in hand comes again."""
        self._ended.set()

    def _of_many(self, request: Callable[..., Any], receipts: dict[str, str], **further: object) -> None:
        entries = [{"Id": str(i), "ReceiptHandle": one, **further} for i, one in enumerate(receipts.values())]
        try:
            for ten in _tens(entries):
                for refused in request(QueueUrl=self.url, Entries=ten).get("Failed", ()):
                    self._say(f"{refused.get('Code')} {refused.get('Message', '')}")
        except (BotoCoreError, ClientError) as problem:
            self._say(str(problem))

    def _say(self, problem: str) -> None:
        if problem != self._last_said:  # once, not for each message and every minute
            say(f"The queue {self.url} says: {problem}. The messages will come again, which loads nothing twice.")
        self._last_said = problem

    def _extend_until_closed(self) -> None:
        while not self._ended.wait(self.visibility_seconds / 3):
            self.extend()


def attribute(url: str, name: str) -> int:
    """A number that the queue tells of itself. Raises ConfigurationError if it may not or cannot be asked."""
    try:
        answer = client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=[name])
    except ClientError as problem:
        raise ConfigurationError(f"The queue {url} cannot be used: {said(problem)}.") from None
    return int(answer["Attributes"][name])


def _tens(entries: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    return (entries[start : start + MOST_AT_ONCE] for start in range(0, len(entries), MOST_AT_ONCE))
