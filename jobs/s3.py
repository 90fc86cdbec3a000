"""S3 through boto3: folders and files of a bucket with the part of pathlib's interface that jobs use.

Credentials, region and endpoint come from AWS's standard chain: environment, profile, role of the machine. Listings
are paged by boto3; every method says what it asks for, since on S3 each request costs time and money.
"""

import fnmatch
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from botocore.exceptions import ClientError

from conf.errors import ConfigurationError

# boto3 and the settings are imported where they are needed: Spark starts several Python processes for each stream,
# which import this module, most of them without a word to S3, and both take longer than all the rest.
if TYPE_CHECKING:
    from conf.settings import S3Settings

SCHEMES = ("s3a://", "s3://", "s3n://")
MOST_CONNECTIONS = 32
"""Requests that one process has under way together."""
CREDENTIALS = "software.amazon.awssdk.auth.credentials.DefaultCredentialsProvider"
"""Of S3A: the standard chain, as here."""
_NOT_THERE = frozenset({"404", "NoSuchKey", "NotFound"})
_in_use: "S3Settings | None" = None


def use(settings: "S3Settings") -> None:
    """Let this process, and those it starts, find the store of the settings where AWS's own tools look for it."""
    global _in_use
    _in_use = settings
    for name, value in (("AWS_ENDPOINT_URL_S3", settings.endpoint), ("AWS_REGION", settings.region)):
        if value and os.environ.get(name) != value:
            os.environ[name] = value
            client.cache_clear()


def in_use() -> "S3Settings":
    """What `use` was told of the store; the defaults if nothing was."""
    from conf.settings import S3Settings

    return _in_use or S3Settings()


@cache
def client(service: str = "s3", patience: float | None = None) -> Any:
    """A boto3 client of this process, which may be used by several threads.

    With `patience` a request fails when the store is silent for so many seconds, and is not tried again.
    """
    import boto3
    from botocore.config import Config

    # A bucket's name in the path: stores other than AWS seldom have a host name per bucket.
    styles = {"addressing_style": "path" if os.environ.get("AWS_ENDPOINT_URL_S3") else "auto"}
    return boto3.client(
        service,
        region_name=os.environ.get("AWS_REGION"),  # which boto3 itself does not read, only AWS_DEFAULT_REGION
        config=Config(s3=styles, max_pool_connections=MOST_CONNECTIONS, **_network(patience)),
    )


def _network(patience: float | None) -> dict[str, Any]:
    if patience is None:
        return {"retries": {"mode": "standard"}}
    return {"retries": {"total_max_attempts": 1}, "connect_timeout": patience, "read_timeout": patience}


def endpoint() -> str | None:
    """The URL of the store; None if it is AWS."""
    url = str(client().meta.endpoint_url)
    return None if ".amazonaws.com" in url else url


def region() -> str | None:
    """The region of the standard chain; None if it names none, so that who asks finds the bucket's own."""
    import boto3

    return os.environ.get("AWS_REGION") or boto3.Session().region_name


@dataclass(frozen=True)
class S3Path:
    """An object, or a folder: all objects whose key begins with `key` and a slash."""

    bucket: str
    key: str = ""
    """Without a slash at either end; empty: the whole bucket."""

    @classmethod
    def of(cls, uri: str) -> "S3Path":
        """The place that an `s3a://bucket/key` names; the key is taken as it stands, decoded."""
        bucket, _, key = uri.partition("://")[2].partition("/")
        if not bucket:
            raise ConfigurationError(f"`{uri}` names no bucket: give s3a://bucket/folder.")
        return cls(bucket, key.strip("/"))

    @classmethod
    def of_object(cls, uri: str) -> "S3Path":
        """The object of the URI, whose key may begin or end with a slash."""
        bucket, _, key = uri.partition("://")[2].partition("/")
        return cls(bucket, key)

    def __truediv__(self, name: str) -> "S3Path":
        return S3Path(self.bucket, f"{self.key}/{name}" if self.key else name)

    def __str__(self) -> str:
        return f"s3a://{self.bucket}/{self.key}" if self.key else f"s3a://{self.bucket}"

    def __lt__(self, other: "S3Path") -> bool:
        return (self.bucket, self.key) < (other.bucket, other.key)

    @property
    def name(self) -> str:
        """The last part of the key."""
        return self.key.rpartition("/")[2]

    def as_uri(self) -> str:
        """As Spark takes it: S3A reads names as they are."""
        return str(self)

    def head(self) -> Mapping[str, Any] | None:
        """What a HEAD says of the object; None if there is none."""
        try:
            found: Mapping[str, Any] = client().head_object(Bucket=self.bucket, Key=self.key)
        except ClientError as problem:
            if is_absence(problem):
                return None
            raise
        return found

    def exists(self) -> bool:
        """Whether it is an object or a folder: one HEAD, or a LIST of one key more."""
        return self.is_file() or self.is_dir()

    def is_file(self) -> bool:
        """Whether it is an object: one HEAD."""
        return bool(self.key) and self.head() is not None

    def is_dir(self) -> bool:
        """Whether any object lies below it: a LIST of one key. Raises ConfigurationError if it may not be listed."""
        try:
            return any(True for _ in self.objects(most=1))
        except ClientError as problem:
            raise ConfigurationError(f"{self} cannot be listed: {said(problem)}.") from None

    def mkdir(self, *, parents: bool = False, exist_ok: bool = False) -> None:
        """Nothing: folders need not be made. Raises ConfigurationError if the bucket is not there: one HEAD."""
        try:
            client().head_bucket(Bucket=self.bucket)
        except ClientError as problem:
            raise ConfigurationError(f"The bucket {self.bucket} cannot be used: {said(problem)}.") from None

    def objects(self, *, most: int = 1000, after: str = "") -> Iterator[Mapping[str, Any]]:
        """What LISTs say of every object below it, by key; `after` leaves out keys up to it.

        One LIST per 1,000 keys; `most` asks for smaller pages, and is no limit of what is given.
        """
        pages = client().get_paginator("list_objects_v2")
        start = {"StartAfter": after} if after else {}
        for page in pages.paginate(
            Bucket=self.bucket, Prefix=self._prefix, **start, PaginationConfig={"PageSize": most}
        ):
            yield from page.get("Contents", ())

    def iterdir(self) -> Iterator["S3Path"]:
        """The objects and folders right below it, by key: one LIST per 1,000 of them."""
        pages = client().get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=self.bucket, Prefix=self._prefix, Delimiter="/"):
            keys = [one["Key"] for one in page.get("Contents", ())]
            keys += [one["Prefix"] for one in page.get("CommonPrefixes", ())]
            for key in sorted(keys):
                if key != self._prefix:  # an object that some programs make for a folder
                    yield S3Path(self.bucket, key.rstrip("/"))

    def glob(self, pattern: str) -> Iterator["S3Path"]:
        """Those right below it whose name fits the pattern, by name."""
        return (path for path in self.iterdir() if fnmatch.fnmatchcase(path.name, pattern))

    def open(self) -> BinaryIO:
        """The bytes from the front, in one GET; raises FileNotFoundError if there is no such object."""
        return cast(BinaryIO, self._get())

    def read_first(self, size: int) -> bytes:
        """The first bytes, in one GET of no more; raises FileNotFoundError if there is no such object."""
        try:
            return bytes(self._get(Range=f"bytes=0-{size - 1}").read())
        except ClientError as problem:
            if problem.response["Error"]["Code"] in ("InvalidRange", "416"):
                return b""  # an empty object has no first byte
            raise

    def read_bytes(self) -> bytes:
        """The whole object; raises FileNotFoundError if there is none."""
        return bytes(self._get().read())

    def remove(self) -> None:
        """Delete every object below it: a LIST and a DELETE of many for each 1,000."""
        keys = [{"Key": one["Key"]} for one in self.objects()]
        for start in range(0, len(keys), 1000):
            client().delete_objects(Bucket=self.bucket, Delete={"Objects": keys[start : start + 1000], "Quiet": True})

    def _get(self, **options: str) -> Any:
        try:
            return client().get_object(Bucket=self.bucket, Key=self.key, **options)["Body"]
        except ClientError as problem:
            if is_absence(problem):
                raise FileNotFoundError(str(self)) from None
            raise

    def read_text(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """The whole object as text."""
        return self.read_bytes().decode(encoding, errors)

    @property
    def _prefix(self) -> str:
        return f"{self.key}/" if self.key else ""


def refuse_without_conditions(folder: S3Path) -> None:
    """Try whether the store honours the conditions of a PUT, unless settings say that it does not: three PUTs.

    Raises ConfigurationError if it ignores one: two writers would then overwrite each other's commits.
    """
    if not in_use().conditional_put:
        return
    probe = {"Bucket": folder.bucket, "Key": (folder / "_locks" / "conditions.probe").key, "Body": b""}
    client().put_object(**probe)
    for condition in ({"IfNoneMatch": "*"}, {"IfMatch": '"00000000000000000000000000000000"'}):
        try:
            client().put_object(**probe, **condition)
        except ClientError as problem:
            if is_refused_condition(problem):
                continue
            if problem.response["Error"]["Code"] not in ("NotImplemented", "InvalidArgument", "501"):
                raise
        raise ConfigurationError(
            f"The store of {folder} does not honour {next(iter(condition))} on a PUT, without which two writers lose "
            "each other's commits: set s3.conditional_put=false, and run one job at a time on this warehouse."
        )


def is_absence(problem: ClientError) -> bool:
    """Whether the store says that there is no such object."""
    return problem.response["Error"]["Code"] in _NOT_THERE


def is_refused_condition(problem: ClientError) -> bool:
    """Whether another was faster: the object is not what the request said it must be."""
    return problem.response["Error"]["Code"] in ("PreconditionFailed", "412", "ConditionalRequestConflict", "409")


def said(problem: ClientError) -> str:
    """What the store says of a request it refused."""
    error = problem.response["Error"]
    return f"{error.get('Code', 'unknown')} {error.get('Message', '')}".strip()
