"""`set_up_notifications`: once per input, queues that S3 tells of new objects, and the rights the loading job needs.

Done again it changes nothing. Other notifications of the bucket stay as they are.
"""

import argparse
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from botocore.exceptions import ClientError

from conf.errors import ConfigurationError
from conf.settings import Settings
from jobs.providers import PROVIDERS
from jobs.s3 import S3Path, client, said
from jobs.storage import location

RECEIVES = 5
"""After which a message that was never deleted goes to the dead-letter queue."""
RETENTION_SECONDS = 14 * 24 * 3600
"""The most that SQS keeps a message."""
STATEMENT = "NotificationsOfTheBucket"
_CREATED = "s3:ObjectCreated:"
_KINDS = ("TopicConfigurations", "QueueConfigurations", "LambdaFunctionConfigurations")
_DESTINATIONS = ("TopicArn", "QueueArn", "LambdaFunctionArn")


@dataclass(frozen=True)
class Account:
    """Whose queues and bucket it is about."""

    partition: str
    """`aws`, or that of China or of a government."""
    id: str
    region: str

    @classmethod
    def of_caller(cls) -> "Account":
        """The account whose credentials the standard chain gives."""
        caller = client("sts").get_caller_identity()
        return cls(caller["Arn"].split(":")[1], caller["Account"], str(client("sqs").meta.region_name))


@dataclass(frozen=True)
class Wanted:
    """A provider's folder in the bucket, and the queue that is told of it."""

    provider: str
    bucket: str
    prefix: str
    """Of keys, with a slash at its end."""
    account: Account

    @property
    def name(self) -> str:
        """Of the queue: the same for the same folder, another for another."""
        place = f"{self.bucket}/{self.prefix}"
        readable = re.sub(r"[^A-Za-z0-9]+", "-", place).strip("-")
        return f"{readable[:56]}-{hashlib.sha256(place.encode()).hexdigest()[:8]}"

    @property
    def dead_name(self) -> str:
        """Of the queue of messages that could not be handled."""
        return f"{self.name}-dead-letters"

    def arn(self, name: str) -> str:
        """The queue's name to the rest of AWS."""
        return f"arn:{self.account.partition}:sqs:{self.account.region}:{self.account.id}:{name}"

    @property
    def attributes(self) -> Mapping[str, Any]:
        """The attributes of the queue, but for its policy."""
        redrive = {"deadLetterTargetArn": self.arn(self.dead_name), "maxReceiveCount": RECEIVES}
        return {"MessageRetentionPeriod": RETENTION_SECONDS, "RedrivePolicy": redrive}

    @property
    def statement(self) -> Mapping[str, Any]:
        """What the queue's policy must allow: S3 to send, for this bucket of this account alone."""
        return {
            "Sid": STATEMENT,
            "Effect": "Allow",
            "Principal": {"Service": "s3.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": self.arn(self.name),
            "Condition": {
                "ArnEquals": {"aws:SourceArn": f"arn:{self.account.partition}:s3:::{self.bucket}"},
                "StringEquals": {"aws:SourceAccount": self.account.id},
            },
        }

    @property
    def notification(self) -> Mapping[str, Any]:
        """The entry in the bucket's notification configuration."""
        return {
            "Id": self.name,
            "QueueArn": self.arn(self.name),
            "Events": [f"{_CREATED}*"],
            "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": self.prefix}]}},
        }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this job beside those of every job."""
    parser.add_argument("--dry-run", action="store_true", help="show what would be done, change nothing")
    parser.add_argument("--provider", choices=[*PROVIDERS, "all"], default="all", help="for whose files (default: all)")


def main(settings: Settings, arguments: argparse.Namespace) -> None:
    """Make what is missing, and print the settings and the policy that the loading job needs."""
    providers = list(PROVIDERS) if arguments.provider == "all" else [arguments.provider]
    set_up(settings, providers, dry_run=arguments.dry_run)


def set_up(settings: Settings, providers: Sequence[str], *, dry_run: bool = False) -> None:
    """Make queues, dead-letter queues and the bucket's notifications for the providers' folders of the input.

    Raises ConfigurationError, before anything is changed, if the input is not in S3, the bucket is in another region,
    or notifications of others stand in the way.
    """
    source = location(settings.input)
    if not isinstance(source, S3Path):
        raise ConfigurationError(f"Only S3 sends notifications: {settings.input} is no s3a:// URI.")
    account = Account.of_caller()
    _refuse_other_region(source.bucket, account)
    wanted = [Wanted(name, source.bucket, f"{(source / name).key}/", account) for name in providers]
    before = _notifications_of(source.bucket, account)
    after = _merged(before, wanted)
    steps = _Steps(dry_run)
    urls = {}
    for one in wanted:
        steps.have_queue(one.dead_name, {"MessageRetentionPeriod": RETENTION_SECONDS}, one)
        urls[one.provider] = steps.have_queue(one.name, one.attributes, one, one.statement)
    steps.have_notifications(source.bucket, account, before, after)
    print("\nSettings of the loading job:\n")
    print(yaml.safe_dump(_settings(urls), sort_keys=False))
    print("Policy of its role:\n")
    print(json.dumps(policy(settings, wanted), indent=2))


class _Steps:
    """Changes, each told; with `dry_run` only told."""

    def __init__(self, dry_run: bool) -> None:
        self.dry_run = dry_run

    def _tell(self, is_needed: bool, what: str) -> bool:
        """Whether to do it."""
        print(f"{'is so already' if not is_needed else 'would be done' if self.dry_run else 'done'}: {what}")
        return is_needed and not self.dry_run

    def have_queue(
        self, name: str, attributes: Mapping[str, Any], wanted: Wanted, statement: Mapping[str, Any] | None = None
    ) -> str:
        """Make the queue, or give it the attributes it lacks; its URL. Other statements of its policy stay."""
        sqs = client("sqs")
        found: Mapping[str, str] = {}
        try:
            url = str(sqs.get_queue_url(QueueName=name)["QueueUrl"])
            found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        except sqs.exceptions.QueueDoesNotExist:
            url = ""
        lacking = {key: value for key, value in attributes.items() if _read(found.get(key)) != _read(_text(value))}
        if statement and statement not in (statements := _statements(found)):
            others = [one for one in statements if one.get("Sid") != statement["Sid"]]
            lacking["Policy"] = {"Version": "2012-10-17", "Statement": [*others, statement]}
        texts = {key: _text(value) for key, value in lacking.items()}
        told = f"queue {name}" + "".join(f"\n  {key}: {text}" for key, text in texts.items())
        if self._tell(not url or bool(lacking), told):
            if url:
                sqs.set_queue_attributes(QueueUrl=url, Attributes=texts)
            else:
                url = str(sqs.create_queue(QueueName=name, Attributes=texts)["QueueUrl"])
        return url or f"{sqs.meta.endpoint_url}/{wanted.account.id}/{name}"

    def have_notifications(
        self, bucket: str, account: Account, before: Mapping[str, Any], after: Mapping[str, Any]
    ) -> None:
        """Give the bucket the configuration; S3 tries each queue with a test event."""
        ours = [one for one in after["QueueConfigurations"] if one not in before.get("QueueConfigurations", [])]
        told = f"notifications of {bucket}" + "".join(f"\n  {json.dumps(one)}" for one in ours)
        kept = sum(len(after.get(kind, ())) for kind in _KINDS) - len(ours)
        if self._tell(bool(ours), f"{told}\n  others, kept as they are: {kept}" if ours else told):
            try:
                client().put_bucket_notification_configuration(
                    Bucket=bucket, NotificationConfiguration=after, ExpectedBucketOwner=account.id
                )
            except ClientError as problem:
                raise ConfigurationError(
                    f"S3 refuses the notifications of {bucket}: {said(problem)}. Of queues just made it may not know "
                    "yet that it may send to them: start again in a minute."
                ) from None


def _refuse_other_region(bucket: str, account: Account) -> None:
    try:
        found = client().get_bucket_location(Bucket=bucket)["LocationConstraint"] or "us-east-1"
    except ClientError as problem:
        raise ConfigurationError(f"The bucket {bucket} cannot be used: {said(problem)}.") from None
    region = "eu-west-1" if found == "EU" else found  # as old buckets there have it
    if region != account.region:
        raise ConfigurationError(
            f"S3 sends only to queues of the bucket's own region: {bucket} is in {region}, and AWS_REGION or the "
            f"profile says {account.region}. Set AWS_REGION={region}."
        )


def _notifications_of(bucket: str, account: Account) -> dict[str, Any]:
    found = client().get_bucket_notification_configuration(Bucket=bucket, ExpectedBucketOwner=account.id)
    return {key: value for key, value in found.items() if key != "ResponseMetadata"}


def _merged(before: Mapping[str, Any], wanted: Sequence[Wanted]) -> dict[str, Any]:
    """The bucket's configuration with our entries; raises ConfigurationError if they cannot stand beside others."""
    arns = {one.arn(one.name) for one in wanted}
    ours: list[Mapping[str, Any]] = []
    for kind, entry in _entries(before):
        if kind == "QueueConfigurations" and entry["QueueArn"] in arns:
            continue
        for one in wanted:
            if _overlaps(entry, one.prefix):
                destination = next(entry[key] for key in _DESTINATIONS if key in entry)
                raise ConfigurationError(
                    f"S3 tells only one of a new object, and for keys that begin with `{_filters(entry)['prefix']}` "
                    f"that is {destination} (`{entry.get('Id', 'without a name')}`): let it be an SNS topic and "
                    f"subscribe {one.arn(one.name)} to it, or send by EventBridge (docs/discovery.md)."
                )
    queues = before.get("QueueConfigurations", [])
    for one in wanted:
        same = [entry for entry in queues if _is_same(entry, one.notification)]
        ours.append(same[0] if same else one.notification)
    others = [entry for entry in queues if entry["QueueArn"] not in arns]
    return {**before, "QueueConfigurations": [*others, *ours]}


def _entries(configuration: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    return ((kind, entry) for kind in _KINDS for entry in configuration.get(kind, ()))


def _filters(entry: Mapping[str, Any]) -> dict[str, str]:
    """Prefix and suffix of the keys an entry is about; S3 writes their names in either case."""
    rules = entry.get("Filter", {}).get("Key", {}).get("FilterRules", ())
    return {"prefix": "", "suffix": ""} | {rule["Name"].lower(): rule["Value"] for rule in rules}


def _overlaps(entry: Mapping[str, Any], prefix: str) -> bool:
    """Whether S3 would have to tell two of one object, which it refuses."""
    theirs = _filters(entry)["prefix"]
    is_of_new = any(event.startswith(_CREATED) for event in entry["Events"])
    return is_of_new and (theirs.startswith(prefix) or prefix.startswith(theirs))


def _is_same(entry: Mapping[str, Any], ours: Mapping[str, Any]) -> bool:
    return all(entry.get(key) == ours[key] for key in ("QueueArn", "Events")) and _filters(entry) == _filters(ours)


def _statements(attributes: Mapping[str, str]) -> list[Mapping[str, Any]]:
    statements = json.loads(attributes.get("Policy") or "{}").get("Statement", [])
    return [statements] if isinstance(statements, dict) else list(statements)


def _text(value: object) -> str:
    return json.dumps(value) if isinstance(value, dict) else str(value)


def _read(text: str | None) -> object:
    """An attribute's value as it can be compared: SQS gives numbers within JSON back as texts, in part."""
    if text is None or not text.startswith("{"):
        return text
    return {key: value if isinstance(value, list) else str(value) for key, value in json.loads(text).items()}


def _settings(urls: Mapping[str, str]) -> dict[str, Any]:
    of_queues = {f"{provider}_queue_url": url for provider, url in urls.items()}
    return {"discovery": {"mode": "notifications", **of_queues, "reconcile_hours": 24}}


def policy(settings: Settings, wanted: Sequence[Wanted]) -> dict[str, Any]:
    """What the role of the loading job must be allowed, and no more."""
    account, buckets = wanted[0].account, {wanted[0].bucket}
    folders = [f"{one.bucket}/{one.prefix}*" for one in wanted]
    statements = [_allow("Queues", _QUEUE_ACTIONS, [one.arn(one.name) for one in wanted])]
    statements.append(_allow("Input", ["s3:GetObject"], [_in_s3(account, folder) for folder in folders]))
    written = [place for text in (settings.warehouse, settings.checkpoints_uri) if (place := _place(text))]
    if written:
        buckets |= {place.bucket for place in written}
        places = dict.fromkeys(_in_s3(account, f"{(place / '*').bucket}/{(place / '*').key}") for place in written)
        statements.append(_allow("Warehouse", _WAREHOUSE_ACTIONS, list(places)))
    # Of whole buckets: S3 tells only who may list one that a key is not there, else it says that it is forbidden.
    statements.append(_allow("Lists", ["s3:ListBucket"], [_in_s3(account, bucket) for bucket in sorted(buckets)]))
    return {"Version": "2012-10-17", "Statement": statements}


_QUEUE_ACTIONS = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:GetQueueAttributes"]
_WAREHOUSE_ACTIONS = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"]


def _allow(name: str, actions: Sequence[str], resources: Sequence[str]) -> dict[str, Any]:
    return {"Sid": name, "Effect": "Allow", "Action": list(actions), "Resource": list(resources)}


def _in_s3(account: Account, place: str) -> str:
    return f"arn:{account.partition}:s3:::{place}"


def _place(text: str) -> S3Path | None:
    place = location(text)
    return place if isinstance(place, S3Path) else None
