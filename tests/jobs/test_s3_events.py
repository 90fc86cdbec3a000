"""Messages of S3's notifications as AWS documents them, and others."""

import json
from datetime import datetime

import pytest

from jobs.s3_events import Created, UnknownMessageError, created_in
from tests.events_of_s3 import AT, bridged, event, notification, removal, wrapped

AT_SECONDS = datetime.fromisoformat(AT).timestamp()
TEST_EVENT = {
    "Service": "Amazon S3",
    "Event": "s3:TestEvent",
    "Time": AT,
    "Bucket": "b",
    "RequestId": "1",
    "HostId": "1",
}


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        pytest.param(event("b", "in/a.json", 7), [("in/a.json", 7)], id="plain"),
        pytest.param(event("b", "in/a b+c=d/ü%2B.json", 7), [("in/a b+c=d/ü%2B.json", 7)], id="encoded-key"),
        pytest.param(wrapped(event("b", "a b", 1)), [("a b", 1)], id="sns"),
        pytest.param(bridged("b", "a+b %20", 1), [("a+b %20", 1)], id="eventbridge-key-is-not-encoded"),
        pytest.param(wrapped(bridged("b", "a+b", 1)), [("a+b", 1)], id="eventbridge-through-sns"),
        pytest.param(
            notification(event("b", "a", 1), event("b", "c", 2)),
            [("a", 1), ("c", 2)],
            id="several-records",
        ),
        pytest.param(event("b", "a", 1, name="ObjectCreated:CompleteMultipartUpload"), [("a", 1)], id="multipart"),
        pytest.param(event("b", "a", None), [("a", 0)], id="no-size"),
        pytest.param(TEST_EVENT, [], id="test-event"),
        pytest.param(wrapped(TEST_EVENT), [], id="test-event-through-sns"),
        pytest.param(removal("b", "a"), [], id="deletion"),
        pytest.param(bridged("b", "a", 1, kind="Object Deleted"), [], id="deletion-by-eventbridge"),
        pytest.param(
            notification(removal("b", "a"), event("b", "c", 2)),
            [("c", 2)],
            id="deletion-and-creation",
        ),
    ],
)
def test_messages_of_s3_tell_of_new_objects(message: object, expected: list[tuple[str, int]]) -> None:
    found = created_in(json.dumps(message))
    assert found == [Created("b", key, AT_SECONDS, length) for key, length in expected]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("", id="empty"),
        pytest.param("no JSON", id="no-json"),
        pytest.param("[]", id="list"),
        pytest.param("17", id="number"),
        pytest.param("null", id="null"),
        pytest.param("{}", id="no-records"),
        pytest.param('{"Records": null}', id="null-records"),
        pytest.param('{"Records": [{"eventSource": "aws:sqs", "body": "x"}]}', id="another-source"),
        pytest.param(json.dumps(event("b", "a", 1)).replace("Records", "Sets"), id="another-name"),
        pytest.param(json.dumps(event("b", "a", 1)).replace(AT, "yesterday"), id="no-time"),
        pytest.param(json.dumps(event("b", "a", 1)).replace('"key"', '"id"'), id="no-key"),
        pytest.param(json.dumps(event("b", "%FF", 1)).replace("%25", "%"), id="key-not-utf-8"),
        pytest.param(
            json.dumps({"Type": "SubscriptionConfirmation", "TopicArn": "a", "Message": "m"}), id="sns-control"
        ),
        pytest.param(json.dumps(wrapped("text")), id="sns-with-text"),
        pytest.param(json.dumps({"source": "aws.ses", "detail-type": "Email Sent", "detail": {}}), id="another-bridge"),
    ],
)
def test_other_messages_are_refused(body: str) -> None:
    with pytest.raises(UnknownMessageError):
        created_in(body)
