"""Envelopes around a record: SNS, EventBridge, dumps of Lambda and SQS, Firehose errors."""

import base64
from random import Random

from jobs.generator.history import ACCOUNT, REGION, UNKNOWN, Event, Json, dumps, iso, uuid_from

TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:ses-events"
SIGNED: Json = {
    "SignatureVersion": "1",
    "Signature": "TUFERS1VUA==",
    "SigningCertURL": f"https://sns.{REGION}.amazonaws.com/SimpleNotificationService-madeup.pem",
}
UNSUBSCRIBE = f"https://sns.{REGION}.amazonaws.com/?Action=Unsubscribe&SubscriptionArn={TOPIC}:0f0f"
VALIDATION = "Successfully validated SNS topic for Amazon SES event publishing."


def sns(message: str, at: int, rng: Random) -> Json:
    """An SNS notification; some end their message with a line feed, as SES itself does."""
    envelope: Json = {"Type": "Notification", "MessageId": uuid_from(rng), "TopicArn": TOPIC}
    if rng.random() < 0.5:
        envelope["Subject"] = "Amazon SES Email Event Notification"
    envelope["Message"] = message + ("\n" if rng.random() < 0.5 else "")
    envelope["Timestamp"] = iso(at)
    return envelope | SIGNED | {"UnsubscribeURL": UNSUBSCRIBE}


def eventbridge(detail: str, detail_type: str, at: int, rng: Random) -> str:
    """An EventBridge event around `detail`, which stays the text it is."""
    head = {
        "version": "0",
        "id": uuid_from(rng),
        "detail-type": detail_type,
        "source": "aws.ses",
        "account": ACCOUNT,
        "time": iso(at)[:19] + "Z",
        "region": REGION,
        "resources": [f"arn:aws:ses:{REGION}:{ACCOUNT}:configuration-set/newsletter"],
    }
    return f'{dumps(head)[:-1]},"detail":{detail}}}'


def without_event_type(text: str, event: Event) -> str:
    """Take `eventType` off a record, where it stands first and a detail-type can replace it."""
    start = '{"eventType":"'
    if event.kind.event_class == UNKNOWN or not text.startswith(start):
        return text
    return "{" + text[text.index('",', len(start)) + 2 :]


def firehose_error(record: bytes | None, at: int, rng: Random) -> str:
    """What Firehose writes below its error prefix about a record that it could not deliver."""
    lower = rng.random() < 0.5
    error: Json = {
        "attemptsMade": 4,
        "arrivalTimestamp": at // 1000,
        "errorCode" if lower else "ErrorCode": "Lambda.FunctionError",
        "errorMessage" if lower else "ErrorMessage": "The Lambda function returned an error result.",
        "attemptEndingTimestamp": at // 1000 + 60_000,
    }
    if record is not None:
        error["rawData"] = base64.b64encode(record).decode()
    return dumps(error)


def lambda_element(message: str, at: int, rng: Random) -> str:
    """One element of what a Lambda function gets from SNS."""
    return dumps(
        {
            "EventSource": "aws:sns",
            "EventVersion": "1.0",
            "EventSubscriptionArn": f"{TOPIC}:0f0f",
            "Sns": sns(message, at, rng),
        }
    )


def sqs_element(body: str, at: int, rng: Random) -> str:
    """One element of what a Lambda function gets from SQS; its messageId is the queue's."""
    return dumps(
        {
            "messageId": uuid_from(rng),
            "receiptHandle": "AQEBmadeup",
            "body": body,
            "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": str(at // 1000)},
            "messageAttributes": {},
            "md5OfBody": f"{rng.getrandbits(128):032x}",
            "eventSource": "aws:sqs",
            "eventSourceARN": f"arn:aws:sqs:{REGION}:{ACCOUNT}:ses-events",
            "awsRegion": REGION,
        }
    )


def records_dump(elements: list[str]) -> str:
    """All elements under one `Records`."""
    return f'{{"Records":[{",".join(elements)}]}}'
