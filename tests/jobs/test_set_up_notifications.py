"""`set_up_notifications` against S3, SQS and STS of moto: what it makes, keeps, refuses, and only shows."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from conf.errors import ConfigurationError
from conf.settings import Settings, load_settings
from jobs.__main__ import main
from jobs.s3 import client
from jobs.set_up_notifications import STATEMENT, Account, Wanted, policy, set_up
from tests.conftest import settings_for
from tests.moto import Moto, Queue, counting

ACCOUNT = Account("aws", "123456789012", "us-east-1")  # moto's
BOTH = ("ses", "sailthru")
WRITES = re.compile("Create|Set|Put|Delete")


def settings_of(bucket: str, *, warehouse: str = "warehouse") -> Settings:
    """Input in a folder of the bucket."""
    return settings_for(Path("unused")).model_copy(update={"input": f"s3a://{bucket}/in put", "warehouse": warehouse})


def wanted_of(bucket: str, provider: str = "ses") -> Wanted:
    """The queue of a provider's folder."""
    return Wanted(provider, bucket, f"in put/{provider}/", ACCOUNT)


def notifications_of(moto: Moto, bucket: str) -> dict[str, Any]:
    """What the bucket is set to."""
    found: dict[str, Any] = moto.client("s3").get_bucket_notification_configuration(Bucket=bucket)
    del found["ResponseMetadata"]
    return found


def queue_of(moto: Moto, name: str) -> Queue:
    """The queue of that name; it must be there."""
    return Queue(moto, moto.client("sqs").get_queue_url(QueueName=name)["QueueUrl"])


def test_new_files_reach_the_queue_of_their_provider(moto: Moto, capsys: pytest.CaptureFixture[str]) -> None:
    # given
    bucket = moto.make_bucket()
    # when
    set_up(settings_of(bucket), BOTH)
    said = capsys.readouterr().out
    # then: what is put reaches the queue that the printed settings name
    printed = yaml.safe_load(said.partition("Settings of the loading job:\n")[2].partition("Policy of its role:")[0])
    overrides = [f"discovery.{key}={value}" for key, value in printed["discovery"].items()]
    settings = load_settings(None, overrides, {})
    assert settings.discovery.mode == "notifications"
    queues = {name: Queue(moto, str(settings.discovery.queue_url(name))) for name in BOTH}
    for name in ("ses/a b.json", "sailthru/b.json", "sailthru/c.json", "sesame/d.json"):
        moto.client("s3").put_object(Bucket=bucket, Key=f"in put/{name}", Body=b"{}")
    keys = {
        name: sorted(
            record["s3"]["object"]["key"]
            for message in queue.receive()
            for record in json.loads(message["Body"]).get("Records", ())  # beside the test event
        )
        for name, queue in queues.items()
    }
    assert keys == {
        "ses": ["in+put%2Fses%2Fa+b.json"],
        "sailthru": ["in+put%2Fsailthru%2Fb.json", "in+put%2Fsailthru%2Fc.json"],
    }


def test_only_the_bucket_may_send_and_what_fails_goes_to_the_dead_letters(moto: Moto) -> None:
    bucket = moto.make_bucket()
    set_up(settings_of(bucket), ["ses"])
    wanted = wanted_of(bucket)
    queue, dead = queue_of(moto, wanted.name), queue_of(moto, wanted.dead_name)
    assert json.loads(queue.attribute("Policy"))["Statement"] == [
        {
            "Sid": STATEMENT,
            "Effect": "Allow",
            "Principal": {"Service": "s3.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": queue.arn,
            "Condition": {
                "ArnEquals": {"aws:SourceArn": f"arn:aws:s3:::{bucket}"},
                "StringEquals": {"aws:SourceAccount": "123456789012"},
            },
        }
    ]
    redrive = json.loads(queue.attribute("RedrivePolicy"))
    assert (redrive["deadLetterTargetArn"], int(redrive["maxReceiveCount"])) == (dead.arn, 5)
    assert {one.attribute("MessageRetentionPeriod") for one in (queue, dead)} == {str(14 * 86400)}


def test_a_second_time_nothing_is_written(moto: Moto, capsys: pytest.CaptureFixture[str]) -> None:
    bucket = moto.make_bucket()
    set_up(settings_of(bucket), ["ses"])
    set_up(settings_of(bucket), BOTH)
    before = notifications_of(moto, bucket)
    assert len(before["QueueConfigurations"]) == 2
    capsys.readouterr()
    with counting(client(), client("sqs")) as requests:
        set_up(settings_of(bucket), BOTH)
    assert not [name for name in requests if WRITES.search(name)]
    assert capsys.readouterr().out.count("is so already:") == 5
    assert notifications_of(moto, bucket) == before


def test_what_others_set_is_kept_and_what_was_changed_is_mended(moto: Moto) -> None:
    # given
    bucket, others = moto.make_bucket(), Queue.new(moto)
    topic = moto.client("sns").create_topic(Name="topic")["TopicArn"]
    theirs = {
        "QueueConfigurations": [
            {
                "Id": "theirs",
                "QueueArn": others.arn,
                "Events": ["s3:ObjectCreated:*"],
                "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": "in put/sesame"}]}},
            },
            {"Id": "removals", "QueueArn": others.arn, "Events": ["s3:ObjectRemoved:*"]},
        ],
        "TopicConfigurations": [
            {
                "Id": "topic",
                "TopicArn": topic,
                "Events": ["s3:ObjectCreated:*"],
                "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": "logs/"}]}},
            }
        ],
        "EventBridgeConfiguration": {},
    }
    moto.client("s3").put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=theirs)
    before = notifications_of(moto, bucket)
    set_up(settings_of(bucket), ["ses"])
    wanted = wanted_of(bucket)
    queue = queue_of(moto, wanted.name)
    mine = {"Sid": "Mine", "Effect": "Deny", "Principal": "*", "Action": "sqs:*", "Resource": queue.arn}
    moto.client("sqs").set_queue_attributes(
        QueueUrl=queue.url,
        Attributes={"Policy": json.dumps({"Statement": mine}), "MessageRetentionPeriod": "3600"},
    )
    # when
    set_up(settings_of(bucket), ["ses"])
    # then
    after = notifications_of(moto, bucket)
    assert after["QueueConfigurations"][:2] == before["QueueConfigurations"]
    assert len(after["QueueConfigurations"]) == 3
    assert {key: after[key] for key in before if key != "QueueConfigurations"} == {
        key: before[key] for key in before if key != "QueueConfigurations"
    }
    assert json.loads(queue.attribute("Policy"))["Statement"] == [mine, wanted.statement]
    assert queue.attribute("MessageRetentionPeriod") == str(14 * 86400)


@pytest.mark.parametrize(
    ("prefix", "suffix", "events"),
    [
        ("", "", ["s3:ObjectCreated:*"]),
        ("in put/", "", ["s3:ObjectRemoved:*", "s3:ObjectCreated:Put"]),
        ("in put/ses/dt=1/", ".gz", ["s3:ObjectCreated:*"]),
    ],
)
def test_a_notification_of_others_in_the_way_is_refused_before_anything_is_made(
    moto: Moto, prefix: str, suffix: str, events: list[str]
) -> None:
    bucket, others = moto.make_bucket(), Queue.new(moto)
    rules = [{"Name": name, "Value": value} for name, value in (("prefix", prefix), ("suffix", suffix)) if value]
    entry: dict[str, Any] = {"Id": "theirs", "QueueArn": others.arn, "Events": events}
    if rules:
        entry["Filter"] = {"Key": {"FilterRules": rules}}
    moto.client("s3").put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration={"QueueConfigurations": [entry]}
    )
    with counting(client(), client("sqs")) as requests, pytest.raises(ConfigurationError, match=f"{others.arn}.*SNS"):
        set_up(settings_of(bucket), ["sailthru", "ses"])
    assert not [name for name in requests if WRITES.search(name)]


def test_a_dry_run_shows_the_same_and_changes_nothing(moto: Moto, capsys: pytest.CaptureFixture[str]) -> None:
    # given
    bucket = moto.make_bucket()
    arguments = ["set_up_notifications", "--input", f"s3a://{bucket}/in put"]
    # when
    with counting(client(), client("sqs")) as requests:
        assert main([*arguments, "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert main(arguments) == 0
    made = capsys.readouterr().out
    # then
    assert requests
    assert not [name for name in requests if WRITES.search(name)]
    assert shown.count("would be done:") == 5
    assert shown.replace("would be done:", "done:") == made


def test_the_role_may_do_what_the_job_does_and_no_more(moto: Moto) -> None:
    bucket = moto.make_bucket()
    settings = settings_of(bucket, warehouse="s3a://lake/mail")
    wanted = [wanted_of(bucket, provider) for provider in BOTH]
    statements = {one["Sid"]: one for one in policy(settings, wanted)["Statement"]}
    assert {name: one["Resource"] for name, one in statements.items()} == {
        "Queues": [one.arn(one.name) for one in wanted],
        "Input": [f"arn:aws:s3:::{bucket}/in put/ses/*", f"arn:aws:s3:::{bucket}/in put/sailthru/*"],
        "Warehouse": ["arn:aws:s3:::lake/mail/*", "arn:aws:s3:::lake/mail/_checkpoints/*"],
        "Lists": sorted([f"arn:aws:s3:::{bucket}", "arn:aws:s3:::lake"]),
    }
    assert statements["Input"]["Action"] == ["s3:GetObject"]
    assert "Warehouse" not in {one["Sid"] for one in policy(settings_of(bucket), wanted)["Statement"]}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("input", "Only S3 sends notifications"),
        ("s3a://no-such-bucket-of-ours/in", "NoSuchBucket"),
    ],
)
def test_an_input_that_nobody_tells_of_is_refused(moto: Moto, source: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        set_up(settings_for(Path("unused")).model_copy(update={"input": source}), ["ses"])


def test_a_bucket_of_another_region_is_refused(moto: Moto) -> None:
    bucket = f"far-{moto.make_bucket()}"
    moto.client("s3").create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-2"})
    with pytest.raises(ConfigurationError, match="AWS_REGION=eu-west-2"):
        set_up(settings_of(bucket), ["ses"])


def test_queues_are_named_for_their_folder() -> None:
    names = {
        Wanted("ses", bucket, prefix, ACCOUNT).dead_name for bucket in ("a", "a.b", "a-b") for prefix in ("x/", "x_/")
    }
    assert len(names) == 6
    longest = Wanted("ses", "b" * 63, "ü/" * 500, ACCOUNT)
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,80}", longest.dead_name)
