"""Moto as a server: S3 and SQS of AWS, and the notifications between them, on a free port of this machine."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import boto3

from tests.servers import free_port, wait_until_open

REGION = "us-east-1"
_SERVICES = ("S3", "SQS", "STS")
_PATIENCE_SECONDS = 60


@dataclass(frozen=True)
class Moto:
    """A running server, and how a test asks it without the code under test. It forgets all at its end."""

    endpoint: str

    def environment(self) -> dict[str, str]:
        """What the AWS chain of boto3 and of Java looks for."""
        return {
            **{f"AWS_ENDPOINT_URL_{service}": self.endpoint for service in _SERVICES},
            "AWS_ACCESS_KEY_ID": "tests",
            "AWS_SECRET_ACCESS_KEY": "s3cret-of-the-tests",
            "AWS_REGION": REGION,
        }

    def client(self, service: str) -> Any:
        """A boto3 client, whatever the environment says."""
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            aws_access_key_id="tests",
            aws_secret_access_key="s3cret-of-the-tests",
            region_name=REGION,
        )

    def make_bucket(self) -> str:
        """The name of a new bucket."""
        name = f"tests-{uuid4().hex[:12]}"
        self.client("s3").create_bucket(Bucket=name)
        return name


@dataclass(frozen=True)
class Queue:
    """A queue, from the side of who sends and who counts."""

    moto: Moto
    url: str

    @classmethod
    def new(cls, moto: Moto, **attributes: str) -> "Queue":
        """An empty queue of a name of its own."""
        made = moto.client("sqs").create_queue(QueueName=f"tests-{uuid4().hex[:12]}", Attributes=attributes)
        return cls(moto, made["QueueUrl"])

    @property
    def arn(self) -> str:
        return self.attribute("QueueArn")

    def attribute(self, name: str) -> str:
        """What the queue says of itself."""
        answer = self.moto.client("sqs").get_queue_attributes(QueueUrl=self.url, AttributeNames=[name])
        return str(answer["Attributes"][name])

    def count(self) -> int:
        """Messages in the queue, those in somebody's hands too."""
        names = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
        return sum(int(self.attribute(name)) for name in names)

    def send(self, *bodies: object) -> None:
        """Messages, in this order; what is no text is sent as JSON."""
        client = self.moto.client("sqs")
        for body in bodies:
            client.send_message(QueueUrl=self.url, MessageBody=body if isinstance(body, str) else json.dumps(body))

    def receive(self, visibility_seconds: int = 0) -> list[dict[str, Any]]:
        """What a consumer would get now."""
        answer = self.moto.client("sqs").receive_message(
            QueueUrl=self.url, MaxNumberOfMessages=10, VisibilityTimeout=visibility_seconds
        )
        found: list[dict[str, Any]] = answer.get("Messages", [])
        return found

    def is_told_of(self, bucket: str, prefix: str) -> None:
        """Let S3 send notifications of new objects."""
        configuration = {
            "QueueArn": self.arn,
            "Events": ["s3:ObjectCreated:*"],
            "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": prefix}]}},
        }
        self.moto.client("s3").put_bucket_notification_configuration(
            Bucket=bucket, NotificationConfiguration={"QueueConfigurations": [configuration]}
        )


def to_be() -> Moto:
    """A server that may be started later."""
    return Moto(f"http://127.0.0.1:{free_port()}")


@contextmanager
def running(server: Moto, folder: Path) -> Iterator[Moto]:
    """The server with nothing in it, its log in the folder; stopped at the end."""
    port = urlsplit(server.endpoint).port
    assert port
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with (folder / "moto.log").open("wb") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said, env={**os.environ, "MOTO_PORT": str(port)})
    try:
        wait_until_open(port, process, folder / "moto.log")
        yield server
    finally:
        process.terminate()
        process.wait(_PATIENCE_SECONDS)


@contextmanager
def counting(*clients: Any) -> Iterator[Counter[str]]:
    """How often each operation is asked for through the clients, by its name in the API."""
    counts: Counter[str] = Counter()

    def count(model: Any, **_: object) -> None:
        counts[model.name] += 1

    for client in clients:
        client.meta.events.register("before-call", count)
    try:
        yield counts
    finally:
        for client in clients:
            client.meta.events.unregister("before-call", count)
