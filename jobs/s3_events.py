"""What a message of S3's event notifications says, plain or in the wrapper of SNS or EventBridge.

Formats: "Event message structure" and "EventBridge event message structure" of Amazon S3's user guide.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote_plus


class UnknownMessageError(ValueError):
    """The message is no notification of S3."""


@dataclass(frozen=True)
class Created:
    """An object that was written, maybe not the newest of its key, maybe gone since."""

    bucket: str
    key: str
    """Decoded."""
    at: float
    """When S3 had written it, seconds since 1970-01-01 UTC."""
    length: int
    """Bytes; 0 if the message does not say."""


def created_in(body: str) -> list[Created]:
    """The new objects that a message tells of; none if it is a test, or tells of other things that S3 does.

    Raises UnknownMessageError if it is none of S3's messages: it may be meant for somebody else, or be broken.
    """
    try:
        return _created(json.loads(body))
    except (LookupError, TypeError, ValueError, AttributeError) as problem:
        raise UnknownMessageError(f"{type(problem).__name__}: {problem}") from None


def _created(message: Mapping[str, Any]) -> list[Created]:
    if message.get("Type") == "Notification" and "TopicArn" in message:  # SNS
        return _created(json.loads(message["Message"]))
    if message.get("Event") == "s3:TestEvent":  # sent when notifications are switched on
        return []
    if message.get("source") == "aws.s3":  # EventBridge, which does not encode the key
        if message["detail-type"] != "Object Created":
            return []
        detail = message["detail"]
        return [_object(detail["bucket"]["name"], detail["object"], detail["object"]["key"], message["time"])]
    for record in message["Records"]:
        if record["eventSource"] != "aws:s3":
            raise UnknownMessageError(f"an event of {record['eventSource']}")
    return [
        _object(
            record["s3"]["bucket"]["name"],
            record["s3"]["object"],
            unquote_plus(record["s3"]["object"]["key"], errors="strict"),
            record["eventTime"],
        )
        for record in message["Records"]
        if record["eventName"].startswith("ObjectCreated:")
    ]


def _object(bucket: str, said: Mapping[str, Any], key: str, time: str) -> Created:
    at = datetime.fromisoformat(time)
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return Created(bucket, key, at.timestamp(), int(said.get("size", 0)))
