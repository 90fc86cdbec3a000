"""Messages as Amazon S3's user guide shows them: "Event message structure", "EventBridge event message structure"."""

import json
from typing import Any
from urllib.parse import quote_plus

AT = "2025-10-25T18:00:05.000Z"


def event(bucket: str, key: str, size: int | None, *, name: str = "ObjectCreated:Put", at: str = AT) -> dict[str, Any]:
    """A notification of one object, as SQS gets it from S3."""
    stored = {
        "key": quote_plus(key, safe="/"),
        "eTag": "d41d8cd98f00b204e9800998ecf8427e",
        "sequencer": "0A1B2C3D4E5F678901",
    }
    return {
        "Records": [
            {
                "eventVersion": "2.1",
                "eventSource": "aws:s3",
                "awsRegion": "us-east-1",
                "eventTime": at,
                "eventName": name,
                "userIdentity": {"principalId": "AWS:AROAEXAMPLE"},
                "requestParameters": {"sourceIPAddress": "192.0.2.1"},
                "responseElements": {"x-amz-request-id": "C3D13FE58DE4C810", "x-amz-id-2": "FMyUVURIY8"},
                "s3": {
                    "s3SchemaVersion": "1.0",
                    "configurationId": "email-events",
                    "bucket": {"name": bucket, "ownerIdentity": {"principalId": "A3"}, "arn": f"arn:aws:s3:::{bucket}"},
                    "object": stored if size is None else stored | {"size": size},
                },
            }
        ]
    }


def removal(bucket: str, key: str) -> dict[str, Any]:
    """A notification of a deletion, which states no size."""
    return event(bucket, key, None, name="ObjectRemoved:Delete")


def notification(*events: dict[str, Any]) -> dict[str, Any]:
    """One message of several events."""
    return {"Records": [record for one in events for record in one["Records"]]}


def wrapped(message: object) -> dict[str, Any]:
    """A message as SNS hands it on to SQS."""
    return {
        "Type": "Notification",
        "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
        "TopicArn": "arn:aws:sns:us-east-1:123456789012:files",
        "Subject": "Amazon S3 Notification",
        "Message": message if isinstance(message, str) else json.dumps(message),
        "Timestamp": AT,
        "SignatureVersion": "1",
    }


def bridged(bucket: str, key: str, size: int, *, kind: str = "Object Created") -> dict[str, Any]:
    """An event as EventBridge hands it on to SQS."""
    return {
        "version": "0",
        "id": "17793124-05d4-b198-2fde-7ededc63b103",
        "detail-type": kind,
        "source": "aws.s3",
        "account": "123456789012",
        "time": AT,
        "region": "us-east-1",
        "resources": [f"arn:aws:s3:::{bucket}"],
        "detail": {
            "version": "0",
            "bucket": {"name": bucket},
            "object": {"key": key, "size": size, "etag": "b1946ac92492d2347c6235b4d2611184", "sequencer": "617f08"},
            "request-id": "N4N7GDK58NMKJ12R",
            "requester": "123456789012",
            "reason": "PutObject",
        },
    }
