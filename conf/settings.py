"""The settings of all jobs: what can be set, to what, and where a value comes from.

This module alone reads configuration files and environment variables. A later source wins over an earlier
one: the defaults below, the YAML file, environment variables, `--set key=value`, the command line's options.
Secrets are no settings: Spark, boto3 and the database drivers look for them where their users keep them.
"""

import difflib
import json
import os
import re
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import reduce
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import yaml
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ByteSize,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from conf.errors import ConfigurationError
from schemas.features import CHURN_DAYS, LAST_N, SIZE_LIMIT, WINDOWS, Feature, features
from schemas.metrics import CONDITIONS, PROFILES, Metric, Profile, Unit, named_conditions
from schemas.purchases import MoneyUnit

CONF_FOLDER = files(__package__)
"""A folder, or one in a zip where the code was shipped as such."""
ENVIRONMENT_PREFIX = "EMAIL_EVENTS_"
FREE_SECTION = "spark.conf"  # its keys are Spark's, not ours
PROFILES_SECTION = "metrics.profiles"  # its keys are names that the user gives to profiles and their metrics
SECTIONS = (
    *("spark", "sailthru", "quarantine_limit", "requests", "requests.columns", "export", "metrics", "campaigns"),
    *(
        "s3",
        "discovery",
        "maintenance",
        "people",
        "sessions",
        "activity",
        "attribution",
        "purchases",
        "purchases.columns",
        "features",
        "features.vars",
    ),
    *(FREE_SECTION, PROFILES_SECTION),
)


def _with_date_and_time(value: object) -> object:
    """Refuse what pydantic would take for a time as well: a number of seconds, a date without a time."""
    if isinstance(value, str) and not re.match(r"\d{4}-\d\d-\d\d[T ]\d\d:", value):
        raise ValueError("should be a date and time with a zone, such as 2000-01-01T00:00:00Z")
    return value


def _in_utc(value: datetime) -> datetime:
    return value.astimezone(UTC)


def _jvm_memory(value: str) -> str:
    if not re.fullmatch(r"[1-9][0-9]*[kmgt]", value, re.IGNORECASE):
        raise ValueError("should be a whole number and a unit of k, m, g or t, such as 2g")
    return value


def _known_zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError):  # unknown, no name at all, a folder of zones
        raise ValueError("should be the IANA name of a time zone, such as America/New_York") from None
    return value


def _endpoint(value: str) -> str:
    if not re.fullmatch(r"https?://[^\s/@?]+/?", value):
        raise ValueError("should be a URL without a path, such as http://127.0.0.1:7070")
    return value.rstrip("/")


def _queue_url(value: str) -> str:
    if not re.fullmatch(r"https?://[^\s/@?]+/[^\s@?]+", value):
        raise ValueError("should be the URL of a queue, such as https://sqs.us-east-1.amazonaws.com/123456789012/name")
    return value


def _date_folders(value: str) -> str:
    parts = value.split("/")
    units = re.findall("%.", value)
    if not set(units) <= {"%Y", "%m", "%d"} or "%Y" not in units or any(p[:1] in ("", ".", "_") for p in parts):
        raise ValueError("should name folders by %Y, %m and %d alone, such as %Y/%m/%d or dt=%Y-%m-%d")
    return value


def _spark_key(value: str) -> str:
    if not re.fullmatch(r"spark\.\S+", value):
        raise ValueError("should be named as Spark names it, beginning with `spark.`")
    return value


def _without_credentials(value: str) -> str:
    place, _, parameters = value.partition("?")
    names = [parameter.partition("=")[0].strip().lower() for parameter in parameters.split("&")]
    if not re.fullmatch(r"jdbc:postgresql:[^\s@]+", place) or any("password" in n or n == "user" for n in names):
        raise ValueError(
            "should be like jdbc:postgresql://host:5432/database, without user and password: they come from PGUSER and "
            "PGPASSWORD, or the password from the file that PGPASSFILE names"
        )
    return value


def _name_of_ours(value: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", value):
        raise ValueError("profiles and metrics are named by up to 40 of a-z, 0-9 and _, the first a letter")
    return value


def _listed(value: object) -> object:
    """The items of a list that is a text, as `--set` and environment variables have it: `1, 7, 30`."""
    return [item.strip() for item in value.strip("[] ").split(",")] if isinstance(value, str) else value


def _windows(value: tuple[int, ...]) -> tuple[int, ...]:
    if not value or not all(1 <= days <= 3650 for days in value):
        raise ValueError("should be whole numbers of days from 1 to 3650, at least one, such as 1, 7, 30")
    return tuple(sorted(set(value)))


def _conditions(value: str) -> str:
    named_conditions(value)
    return value


Text = Annotated[str, Field(min_length=1)]
Name = Annotated[str, AfterValidator(_name_of_ours)]
Conditions = Annotated[str, AfterValidator(_conditions)]
QueueUrl = Annotated[str, AfterValidator(_queue_url)]
JdbcUrl = Annotated[str, AfterValidator(_without_credentials)]
Windows = Annotated[tuple[int, ...], BeforeValidator(_listed), AfterValidator(_windows)]
Instant = Annotated[AwareDatetime, BeforeValidator(_with_date_and_time), AfterValidator(_in_utc)]


class Section(BaseModel):
    """Frozen values; unknown keys are refused, and so are infinities and NaN."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class SparkSettings(Section):
    """The Spark session that a job starts."""

    master: Text = Field(
        default="local[*]",
        description="Spark master URL; `local[*]` runs in one process on all cores of this machine.",
    )
    driver_memory: Annotated[str, AfterValidator(_jvm_memory)] = Field(
        default="4g",
        description="Memory of the driver's JVM, with a unit of k, m, g or t. With a local master the driver "
        "does all the work.",
    )
    shuffle_partitions: int | None = Field(
        default=None,
        ge=1,
        description="Partitions of each shuffle; null leaves the choice to the job.",
    )
    ui: bool = Field(default=False, description="Whether Spark serves its web page while a job runs.")
    conf: Mapping[Annotated[str, AfterValidator(_spark_key)], str] = Field(
        default={},
        description="Further Spark settings by Spark's own names, handed on as they are; of each name the "
        "last source wins. As an environment variable all together, as a mapping: '{spark.executor.memory: 2g}'.",
    )


class S3Settings(Section):
    """Where objects of `s3a://` URIs are, and what that store can do (docs/s3.md). Credentials are no settings."""

    endpoint: Annotated[str, AfterValidator(_endpoint)] | None = Field(
        default=None,
        description="URL of a store other than AWS, such as http://127.0.0.1:7070. null: what AWS_ENDPOINT_URL_S3 "
        "or the profile says, else AWS itself.",
    )
    region: Text | None = Field(
        default=None, description="Region of the buckets. null: what AWS_REGION or the profile says."
    )
    conditional_put: bool = Field(
        default=True,
        description="Whether the store honours If-None-Match and If-Match on a PUT, as AWS does: several jobs may "
        "then write one table. It is tried before the first write. false: only one job at a time may write to the "
        "warehouse, and no other program.",
    )
    lease_seconds: float = Field(
        default=30,
        ge=1,
        le=3600,
        description="Seconds after which a lock on S3 that its holder no longer renews, as after a crash, is taken "
        "over. A job that finds that it lost one ends at once.",
    )


class DiscoverySettings(Section):
    """How the stream learns of new files (docs/discovery.md)."""

    mode: Literal["listing", "notifications"] = Field(
        default="listing",
        description="listing: all keys of the input are listed at each look. notifications: S3 tells of each new "
        "object by a queue of SQS; what was there before, and what no message came of, needs a reconciling list.",
    )
    ses_queue_url: QueueUrl | None = Field(
        default=None,
        description="URL of the queue with the notifications of `<input>/ses/`; nobody else may read it. "
        "`set_up_notifications` makes it. Its region is that of the standard chain.",
    )
    sailthru_queue_url: QueueUrl | None = Field(
        default=None, description="The same of `<input>/sailthru/`; it must be another queue."
    )
    wait_seconds: int = Field(
        default=20,
        ge=1,
        le=20,
        description="Seconds that a look waits for a message if there is none.",
    )
    visibility_seconds: int = Field(
        default=300,
        ge=2,
        le=43_200,
        description="Seconds after which messages that a killed job had received come again. While a job works on "
        "them it keeps them to itself, however long it takes.",
    )
    reconcile_hours: float | None = Field(
        default=None,
        gt=0,
        description="Hours from one reconciling list to the next, the first at the start; it finds what no message "
        "came of. null: only `stream_events --reconcile` makes one. The same of listing by date_folders.",
    )
    start_from: Instant | None = Field(
        default=None,
        description="Instant with a zone, kept in UTC. Files modified before it are left alone, and those loaded "
        "before it need not be remembered: set it later to make a start faster. null: none are.",
    )
    date_folders: Annotated[str, AfterValidator(_date_folders)] | None = Field(
        default=None,
        description="Folders below `<input>/<provider>/` in which files arrive by the day they come, such as %Y/%m/%d "
        "(Firehose's own, whose hours lie in them) or dt=%Y-%m-%d. A look then lists those of the last `days` alone, "
        "but for the first look and reconcile_hours. null: each look lists everything.",
    )
    days: int = Field(
        default=2,
        ge=1,
        le=3650,
        description="Days before today (UTC) whose date_folders each look lists, beside today's and tomorrow's.",
    )
    archive: Literal["move", "tag"] | None = Field(
        default=None,
        description="What becomes of a file once it is loaded: it is moved to archive_to, which keeps listings short, "
        "or its object bears the tag email-events=loaded, for a rule of the bucket. null: nothing.",
    )
    archive_to: Text | None = Field(
        default=None,
        description="With archive=move: folder or URI outside the input, below which a folder of each provider is.",
    )

    @model_validator(mode="after")
    def _says_where_to(self) -> "DiscoverySettings":
        if (self.archive == "move") != (self.archive_to is not None):
            raise ValueError("archive=move needs archive_to, and nothing else does")
        return self

    @model_validator(mode="after")
    def _has_two_queues(self) -> "DiscoverySettings":
        if self.ses_queue_url and self.ses_queue_url == self.sailthru_queue_url:
            raise ValueError("ses_queue_url and sailthru_queue_url must be two queues: each reader empties its own")
        return self

    def queue_url(self, provider: str) -> str | None:
        """The queue of a provider's notifications."""
        return {"ses": self.ses_queue_url, "sailthru": self.sailthru_queue_url}[provider]


class MaintenanceSettings(Section):
    """How the files of tables are kept few and large (docs/maintenance.md)."""

    target_file_bytes: ByteSize = Field(
        default=ByteSize(128 * 1024**2),
        ge=1024,
        description="Bytes that a data file should have, for example 134217728 or 128MiB: files that are on average no "
        "more than half as large are put together. A file of a day with more than that may be up to twice as large.",
    )
    retention_hours: int = Field(
        default=168,
        ge=24,
        le=87_600,
        description="Hours for which data files stay after the last version that has them: no query may run longer, "
        "no version that is older can be read, and summaries made of one are made anew.",
    )
    every_batches: int | None = Field(
        default=None,
        ge=1,
        description="After every so many of its batches a stream itself puts together the files of the tables that "
        "it fills, before its next batch. null: never.",
    )


class SailthruSettings(Section):
    """What Sailthru's files do not say about themselves."""

    client_id: str = Field(
        default="",
        description="Client id of Sailthru files whose name holds none. It is part of an event's identity: "
        "changing it makes new events of old ones.",
    )
    time_zone: Annotated[str, AfterValidator(_known_zone)] = Field(
        default="America/New_York",
        description="IANA name of the time zone of Sailthru times that state no offset.",
    )


class QuarantineLimit(Section):
    """When a stream is to stop because too many records are no events."""

    share: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Largest share of a micro-batch's records that may be quarantined, from 0 to 1. A batch above "
        "it is committed with its quarantine, then the query ends with exit code 1 and says why; a start with the "
        "same limit ends there again. null: no limit.",
    )
    min_records: int = Field(
        default=100, ge=1, description="Micro-batches of fewer records than this are not held to the limit."
    )


class RequestColumns(Section):
    """What the source of requests calls its columns; upper and lower case are alike."""

    message_id: Text = Field(default="message_id", description="Column of the id that the provider gave back.")
    recipient: Text = Field(
        default="recipient", description="Column of the recipient's address; under its default name it may be missing."
    )
    request_time: Text = Field(
        default="request_time",
        description="Column of the instant of the request; under its default name it may be missing. A time without a "
        "zone is UTC.",
    )
    region: Text = Field(default="region", description="Column of the region.")


class RequestsSettings(Section):
    """Where the team's send requests with their regions are (docs/region-data.md)."""

    source: Literal["csv", "delta", "postgresql"] = Field(
        default="csv", description="What they are kept in: CSV files, a Delta table, or a PostgreSQL database."
    )
    path: Text | None = Field(
        default=None,
        description="Source csv: folder of the `*.csv` files; null means `requests` in the input. Source delta: folder "
        "of the table.",
    )
    jdbc_url: JdbcUrl | None = Field(
        default=None,
        description="Source postgresql: the database, as `jdbc:postgresql://host:5432/database`. User and password are "
        "no settings: they come from PGUSER and PGPASSWORD, or the password from the file that PGPASSFILE names.",
    )
    table: Text | None = Field(
        default=None, description="Source postgresql: the table or view, as SQL names it, or instead `query`."
    )
    query: Text | None = Field(
        default=None, description="Source postgresql: a SELECT that gives the rows, or instead `table`."
    )
    since: Instant | None = Field(
        default=None,
        description="Instant with a zone, kept in UTC. Requests made before it, and those that state no time, are "
        "left out; PostgreSQL and Delta do not even read them. null: none are.",
    )
    columns: RequestColumns = Field(default=RequestColumns(), description="What the source calls its columns.")

    @model_validator(mode="after")
    def _says_where(self) -> "RequestsSettings":
        of_source = {"csv": {"path"}, "delta": {"path"}, "postgresql": {"jdbc_url", "table", "query"}}[self.source]
        said = {name for name in ("path", "jdbc_url", "table", "query") if getattr(self, name) is not None}
        if other := sorted(said - of_source):
            raise ValueError(f"{', '.join(other)} cannot be used with source {self.source}; leave out one of the two")
        if self.source == "delta" and not self.path:
            raise ValueError("source delta needs path, the folder of the table")
        if self.source == "postgresql" and ("jdbc_url" not in said or len(said) != 2):
            raise ValueError("source postgresql needs jdbc_url, and either table or query")
        return self


class ExportSettings(Section):
    """Where `build_summaries --export postgresql` writes to (docs/region-data.md)."""

    jdbc_url: JdbcUrl | None = Field(
        default=None,
        description="The database, as `jdbc:postgresql://host:5432/database`; user and password as for requests.",
    )
    jdbc_schema: Text = Field(default="public", description="Schema of the tables in the database; it must be there.")


class MetricSettings(Section):
    """A metric of a profile of your own: the columns `<metric>_numerator`, `<metric>_denominator`, `<metric>_rate`."""

    numerator: Conditions = Field(
        description="What is counted: one of " + ", ".join(CONDITIONS) + ", or several joined by ` and `. Of the "
        "denominator's units those are counted of which this is true as well, so that no rate exceeds 1."
    )
    denominator: Conditions = Field(description="Of what it is counted: one of the same, or several joined by ` and `.")
    unit: Literal["message", "recipient"] = Field(
        default="message",
        description="What is counted one by one. Of recipients only those conditions can be counted that SES states of "
        "each (delivered, not opened), and only in a denominator of which they are a part.",
    )

    @model_validator(mode="after")
    def _counts_a_part(self) -> "MetricSettings":
        self.named("metric")
        return self

    def named(self, name: str) -> Metric:
        """The metric, under its name."""
        return Metric(name=name, numerator=self.numerator, denominator=self.denominator, unit=Unit[self.unit.upper()])


class MetricsSettings(Section):
    """Which metrics the summaries carry (docs/metrics.md)."""

    profile: Text = Field(
        default="default",
        description="Profile whose metrics are columns of region_summary and campaigns: default, ses, or one of your "
        "own under `metrics.profiles`. All jobs of a warehouse need the same.",
    )
    profiles: Mapping[Name, Mapping[Name, MetricSettings]] = Field(
        default={}, description="Profiles of your own, by name, each with its metrics by name."
    )

    @model_validator(mode="after")
    def _is_there(self) -> "MetricsSettings":
        if taken := sorted(PROFILES.keys() & self.profiles.keys()):
            raise ValueError(f"the profile {taken[0]} is built in; give yours another name")
        names = [*PROFILES, *self.profiles]
        if self.profile not in names:
            [nearest] = difflib.get_close_matches(self.profile, names, n=1, cutoff=0.0)
            raise ValueError(f"there is no profile {self.profile!r}; the nearest is `{nearest}`")
        return self

    @property
    def chosen(self) -> Profile:
        """The metrics of the profile."""
        if self.profile in PROFILES:
            return PROFILES[self.profile]
        return tuple(metric.named(name) for name, metric in self.profiles[self.profile].items())


class CampaignSettings(Section):
    """What the summaries of campaigns and recipients go by."""

    many: int = Field(
        default=100,
        ge=0,
        description="More campaigns or clicks of one recipient than this are many (table recipient_totals).",
    )
    response_days: int = Field(
        default=30,
        ge=1,
        le=36_525,
        description="Days of sends, the newest day of sends the last, that the recent answers to invitations look at.",
    )


class PeopleSettings(Section):
    """Who is one person."""

    fold_case: bool = Field(
        default=True,
        description="Whether addresses that differ only in upper and lower case are one person's; the domain's case "
        "never matters.",
    )
    drop_plus_tags: bool = Field(
        default=False,
        description="Whether `ada+news@example.com` is the person of `ada@example.com`.",
    )


class SessionsSettings(Section):
    """What makes a session of a person's opens, clicks and purchases."""

    gap_minutes: float = Field(
        default=15,
        gt=0,
        le=525_600,
        description="A pause of so many minutes, or a longer one, ends a session.",
    )
    success: Annotated[tuple[Literal["open", "click", "purchase"], ...], BeforeValidator(_listed)] = Field(
        default=("click", "purchase"),
        description="Classes of events of which one makes a session a success (sessions.is_success).",
    )


class ActivitySettings(Section):
    """What `daily_activity` goes by."""

    lapsed_days: int = Field(
        default=30,
        ge=1,
        le=36_525,
        description="A person who did nothing for so many days has lapsed on the last of them.",
    )


class AttributionSettings(Section):
    """Which emails purchases are credited to (docs/attribution.md)."""

    window_days: Windows = Field(
        default=(1, 7, 30),
        description="Days before a purchase, each 24 hours, in which an email that was opened or clicked may be "
        "credited: one or more windows from 1 to 3650, as a list or a text such as `7,30`, each of which the table "
        "attribution has.",
    )


class PurchaseColumns(Section):
    """What the table of purchases calls its columns, in any letter case; under its default name each may be missing."""

    date: Text = Field(default="date", description="Column of the instant of the purchase; without a zone it is UTC.")
    email: Text = Field(default="email", description="Column of the buyer's address.")
    email_hash: Text = Field(default="email_hash", description="Column of the MD5 of the buyer's address, in hex.")
    extid: Text = Field(default="extid", description="Column of the shop's own id of the purchase.")
    message_id: Text = Field(default="message_id", description="Column of the message that led to it.")
    price: Text = Field(default="price", description="Column of what the purchase cost; negative of a refund.")
    channel: Text = Field(default="channel", description="Column of where it was bought, such as online.")
    items: Text = Field(default="items", description="Column of the ids of what was bought.")
    urls: Text = Field(default="urls", description="Column of the addresses of the items' pages.")
    unit_prices: Text = Field(default="unit_prices", description="Column of the prices of one unit of each item.")
    quantities: Text = Field(default="quantities", description="Column of how many units of each item were bought.")


class PurchasesSettings(Section):
    """Where purchases are beside those that Sailthru's profiles carry (docs/purchases.md)."""

    path: Text | None = Field(
        default=None,
        description="Folder of the `*.csv` files of the purchase log; null means `purchases` in the input.",
    )
    log_unit: MoneyUnit = Field(default="whole", description="Whether money in the purchase log is 35.98 or 3598.")
    profile_unit: MoneyUnit = Field(default="cents", description="The same of the purchases in profiles.")
    time_zone: Annotated[str, AfterValidator(_known_zone)] | None = Field(
        default=None,
        description="IANA name of the time zone of times of the log and of profiles that state no offset; null means "
        "`sailthru.time_zone`.",
    )
    table: Text | None = Field(default=None, description="Folder of a Delta table of the team's own purchases.")
    table_unit: MoneyUnit = Field(default="whole", description="Whether money in that table is 35.98 or 3598.")
    columns: PurchaseColumns = Field(default=PurchaseColumns(), description="What the table calls its columns.")


class FeatureVars(Section):
    """Which vars of Sailthru profiles say what `recipient_features` tells of a person."""

    gender: Text = Field(default="gender", description="Name of the var with the gender.")
    age: Text = Field(
        default="age", description="Name of the var with the age in years, or the date of birth as YYYY-MM-DD."
    )
    country: Text = Field(default="country", description="Name of the var with the country.")
    state: Text = Field(default="state", description="Name of the var with the state or province.")
    payment_methods: Text = Field(
        default="payment_methods", description="Name of the var with the payment methods, a list or a text with commas."
    )
    card: Text = Field(default="card", description="Name of the var that tells of a credit card.")


class FeaturesSettings(Section):
    """How the features of people are computed (docs/features.md)."""

    as_of: Instant | None = Field(
        default=None,
        description="Instant with a zone, kept in UTC: nothing after it is used. null: that of the newest event.",
    )
    windows: Windows = Field(
        default=WINDOWS,
        description="Look-back windows in days of 24 hours, as a list or a text such as `7,30`; all time comes with "
        "them.",
    )
    last_n: int = Field(
        default=LAST_N, ge=1, le=1000, description="Most links of last_links, products of last_products."
    )
    size_limit: int = Field(
        default=SIZE_LIMIT, ge=1, le=10_000, description="Lists of more products or categories than this are NULL."
    )
    churn_days: int = Field(
        default=CHURN_DAYS,
        ge=1,
        le=36_525,
        description="Days without an open, click or purchase after which a person is churned.",
    )
    time_zone: Annotated[str, AfterValidator(_known_zone)] = Field(
        default="UTC", description="IANA name of the time zone of preferred hours and weekdays, and of active days."
    )
    vars: FeatureVars = Field(default=FeatureVars(), description="What Sailthru profiles call their vars.")

    @property
    def wanted(self) -> tuple[Feature, ...]:
        """The features, as all this says."""
        return features(self.windows, self.last_n, self.size_limit, self.churn_days)


class Settings(Section):
    """Everything a job can be told."""

    input: Text = Field(
        default="input",
        description="Folder or URI with `ses/` and `sailthru/` below it; a relative one counts from where "
        "the job is started.",
    )
    warehouse: Text = Field(
        default="warehouse",
        description="Folder or URI of the Delta tables, one folder each; a relative one counts from where "
        "the job is started.",
    )
    checkpoints: Text | None = Field(
        default=None,
        description="Folder or URI of the streams' checkpoints; null means `_checkpoints` in the warehouse. "
        "What was loaded is known from the table `files`, so a new one reads nothing again.",
    )
    trigger_interval_seconds: float = Field(
        default=10,
        ge=0,
        description="Seconds from the start of one micro-batch to the start of the next; 0 starts the next "
        "as soon as one ends.",
    )
    max_files_per_batch: int = Field(default=1000, ge=1, description="Most files of one micro-batch.")
    max_bytes_per_batch: ByteSize = Field(
        default=ByteSize(1024**3),
        ge=1,
        description="Most bytes of one micro-batch, as stored (compressed files count compressed), for "
        "example 268435456 or 256MiB. A single larger file is a batch of its own. Of large batches more events are "
        "loaded per second; what does not fit into memory goes to Spark's local disk.",
    )
    max_record_bytes: ByteSize = Field(
        default=ByteSize(4 * 1024**2),
        ge=1024,
        description="Most bytes of one record, for example 4194304 or 4MiB. A longer one is quarantined as "
        "too_large with its first part.",
    )
    earliest_event_time: Instant = Field(
        default=datetime(2000, 1, 1, tzinfo=UTC),
        description="Instant with a zone, kept in UTC. A record whose event lies before it is quarantined as "
        "time_out_of_range.",
    )
    latest_event_time_days_after_load: float = Field(
        default=2,
        ge=0,
        le=36_525,
        description="Days from the time of load. A record whose event lies further in the future is "
        "quarantined as time_out_of_range.",
    )
    clock_tolerance_hours: float = Field(
        default=1,
        ge=0,
        le=1_000_000,
        description="Hours that this machine's clock may be behind the newest load of the warehouse; if it is further "
        "behind, the stream does not start, for which event times lie in the future depends on the clock.",
    )
    email_kind_tag: Text | None = Field(
        default=None,
        description="SES message tag whose first value says what kind of email a message is; null, or a message "
        "without it, means its configuration set.",
    )
    progress: Literal["text", "json"] = Field(
        default="text",
        description="How jobs report progress: `text` for people, `json` for machines, one object a line.",
    )
    spark: SparkSettings = SparkSettings()
    s3: S3Settings = S3Settings()
    discovery: DiscoverySettings = DiscoverySettings()
    maintenance: MaintenanceSettings = MaintenanceSettings()
    sailthru: SailthruSettings = SailthruSettings()
    quarantine_limit: QuarantineLimit = QuarantineLimit()
    requests: RequestsSettings = RequestsSettings()
    export: ExportSettings = ExportSettings()
    metrics: MetricsSettings = MetricsSettings()
    campaigns: CampaignSettings = CampaignSettings()
    people: PeopleSettings = PeopleSettings()
    sessions: SessionsSettings = SessionsSettings()
    activity: ActivitySettings = ActivitySettings()
    attribution: AttributionSettings = AttributionSettings()
    purchases: PurchasesSettings = PurchasesSettings()
    features: FeaturesSettings = FeaturesSettings()

    @property
    def checkpoints_uri(self) -> str:
        """`checkpoints`, or where they are if nothing is said."""
        return self.checkpoints or f"{self.warehouse.rstrip('/')}/_checkpoints"

    @property
    def is_on_s3(self) -> bool:
        """Whether any place of the settings is in S3."""
        tables = [self.requests.path, self.purchases.path, self.purchases.table]
        places = [self.input, self.warehouse, self.checkpoints_uri, *filter(None, tables)]
        return self.s3.endpoint is not None or any(place.startswith("s3") and "://" in place for place in places)


def load_settings(
    config: str | None = None,
    overrides: Sequence[str] = (),
    environ: Mapping[str, str] = os.environ,
    *,
    input: str | None = None,
    warehouse: str | None = None,
    master: str | None = None,
) -> Settings:
    """Give the settings of a job from all their sources.

    `config` is the path of a YAML file, or the name of one in `conf/` (`local` if nothing is said);
    `overrides` are `key=value` texts. Raises ConfigurationError with one line for every problem found.
    """
    flags = {
        "input": ("--input", input),
        "warehouse": ("--warehouse", warehouse),
        "spark.master": ("--master", master),
    }
    given = [
        *_from_file(config or "local"),
        *_from_environment(environ),
        *_from_overrides(overrides),
        *(Given(key, value, "command line", option) for key, (option, value) in flags.items() if value is not None),
    ]
    problems = [_no_section(one) if one.key in SECTIONS else _unknown(one) for one in given if not _is_known(one.key)]
    winners = {one.key: one for one in given if _is_known(one.key)}
    try:
        settings = Settings.model_validate(_nested(winners))
    except ValidationError as error:
        problems += [_wrong(one, winners) for one in error.errors()]
    if problems:
        raise ConfigurationError(*problems)
    return settings


@dataclass(frozen=True)
class Given:
    """A value somebody gave: its dotted key, and how to name its source and its key to that person."""

    key: str
    value: object
    source: str
    name: str


def _keys(model: type[Section] = Settings, prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from _keys(field.annotation, f"{prefix}{name}.")
        elif f"{prefix}{name}" not in SECTIONS:
            yield f"{prefix}{name}"


KEYS = tuple(_keys())  # dotted: `spark.driver_memory`


def environment_variable(key: str) -> str:
    """The name of the environment variable that sets a key."""
    return ENVIRONMENT_PREFIX + key.upper().replace(".", "__")


def as_environment(settings: Settings) -> dict[str, str]:
    """The environment variables that give another process the same settings; what is null is left to its default."""
    values = {key: reduce(getattr, key.split("."), settings) for key in KEYS}
    texts = {environment_variable(key): _as_text(value) for key, value in values.items() if value is not None}
    free = {FREE_SECTION: dict(settings.spark.conf), PROFILES_SECTION: settings.metrics.model_dump()["profiles"]}
    mappings = {environment_variable(key): json.dumps(value, ensure_ascii=False) for key, value in free.items()}
    return {**texts, **mappings}


def _as_text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _is_known(key: str) -> bool:
    return key in KEYS or key.startswith(f"{FREE_SECTION}.") or key in _keys_of_profile(key)


def _keys_of_profile(key: str) -> list[str]:
    """The keys that the metric which a key names, or could name, may have."""
    if not key.startswith(f"{PROFILES_SECTION}."):
        return []
    profile, metric, *_ = [*key.removeprefix(f"{PROFILES_SECTION}.").split("."), "<metric>"]
    return [f"{PROFILES_SECTION}.{profile}.{metric}.{name}" for name in MetricSettings.model_fields]


# --- sources


class _TextLoader(yaml.SafeLoader):
    """YAML whose scalars stay as they are written, so that an id `0123` stays one; a plain null is None."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        mapping = super().construct_mapping(node, deep)
        if len(mapping) < len(node.value):
            raise yaml.MarkedYAMLError(problem="a key stands twice", problem_mark=node.start_mark)
        return mapping


_TextLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag.endswith(":null")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _parse_yaml(text: str, source: str) -> object:
    try:
        return yaml.load(text, Loader=_TextLoader)  # a SafeLoader
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigurationError(f"{source}{line}: this is no valid YAML: {error.problem}.") from None
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{source}: this is no valid YAML: {' '.join(str(error).split())}.") from None


def _from_file(config: str) -> Iterator[Given]:
    is_path = config.endswith((".yaml", ".yml")) or "/" in config or os.sep in config
    path = Path(config) if is_path else CONF_FOLDER / f"{config}.yaml"
    source = config if is_path else f"conf/{config}.yaml"
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        known = sorted(file.name for file in CONF_FOLDER.iterdir())
        names = ", ".join(name.removesuffix(".yaml") for name in known if name.endswith(".yaml"))
        raise ConfigurationError(f"{source}: no such file; name a YAML file, or one of conf/: {names}.") from None
    except OSError as error:
        raise ConfigurationError(f"{source}: cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{source}: cannot be read: it is not UTF-8 text.") from None
    content = _parse_yaml(text, source)
    if content is None:
        return
    if not isinstance(content, dict):
        raise ConfigurationError(f"{source}: found {_found(content)}; wanted lines such as `max_files_per_batch: 100`.")
    yield from _flat(content, "", source)


def _flat(mapping: Mapping[object, object], prefix: str, source: str) -> Iterator[Given]:
    for name, value in mapping.items():
        key = f"{prefix}{name}"
        if isinstance(value, dict) and (key in SECTIONS or key.startswith(f"{PROFILES_SECTION}.")):
            yield from _flat(value, f"{key}.", source)
        elif key in SECTIONS and value is None:
            continue  # a section of which every line is a comment
        else:
            yield Given(key, value, source, key)


def _from_environment(environ: Mapping[str, str]) -> Iterator[Given]:
    for name, value in sorted(environ.items()):
        if name.startswith(ENVIRONMENT_PREFIX):
            key = name.removeprefix(ENVIRONMENT_PREFIX).lower().replace("__", ".")
            if key in (FREE_SECTION, PROFILES_SECTION) and isinstance(
                content := _parse_yaml(value, f"environment: `{name}`"), dict
            ):
                yield from _flat(content, f"{key}.", "environment")
                continue
            if key.startswith(f"{FREE_SECTION}."):
                raise ConfigurationError(
                    f"environment: `{name}` cannot name a Spark setting; use --set {FREE_SECTION}.<name>=…"
                )
            yield Given(key, value, "environment", name)


def _from_overrides(overrides: Sequence[str]) -> Iterator[Given]:
    for override in overrides:
        key, equals, text = override.partition("=")
        key = key.strip()
        if not equals or not key:
            raise ConfigurationError(f"--set: found {override!r}; wanted key=value.")
        source = f"--set {key}"
        value: object = text
        if not key.startswith(f"{FREE_SECTION}."):
            value = _parse_yaml(text, source)
            if isinstance(value, dict | list):
                raise ConfigurationError(f"{source}: found {_shown(key, text)}; wanted a single value.")
        yield Given(key, value, "--set", key)


# --- problems


def _unknown(given: Given) -> str:
    is_variable = given.source == "environment"
    nearest = difflib.get_close_matches(given.key, [*KEYS, *_keys_of_profile(given.key)], n=1, cutoff=0.0)[0]
    if is_variable:
        nearest = environment_variable(nearest)
    return f"{given.source}: `{given.name}` is no known setting; the nearest is `{nearest}`."


def _no_section(given: Given) -> str:
    return f"{given.source}: `{given.name}` is {_found(given.value)}; it should be a section of keys and values."


def _wrong(error: Mapping[str, Any], winners: Mapping[str, Given]) -> str:
    location = [str(part) for part in error["loc"]]
    if location[-1] == "[key]":
        location.pop()
    key = ".".join(location)
    wanted = WANTED.get(error["type"]) or str(error["msg"])
    wanted = re.sub(r"^(Value error, |Input |String )?(should be )?", "", wanted)
    if error["type"] == "missing":
        key, _, name = key.rpartition(".")
        wanted = f"it needs {name}, too"
    if key not in winners and error["type"] in ("value_error", "missing"):  # its values do not go together
        sources = dict.fromkeys(one.source for one in winners.values() if one.key.startswith(f"{key}."))
        return f"{', '.join(sources)}: `{key}`: {wanted}."
    given = next(one for one in winners.values() if one.key == key or key.startswith(f"{one.key}."))
    return f"{given.source}: `{given.name}` is {_shown(key, given.value)}; it should be {wanted}."


WANTED = {  # where pydantic speaks of its own workings
    "string_type": "a text",
    "string_too_short": "a text that is not empty",
    "tuple_type": "a list",
    "byte_size": "a number of bytes, such as 268435456 or 256MiB",
    "byte_size_unit": "a number of bytes, such as 268435456 or 256MiB",
    "timezone_aware": "a date and time with a zone, such as 2000-01-01T00:00:00Z",
}


def _shown(key: str, value: object) -> str:
    """The value in words, unless somebody may have put a password into it."""
    return "not shown here" if key.endswith(".jdbc_url") and isinstance(value, str) else _found(value)


def _found(value: object) -> str:
    if value is None:
        return "empty"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    return repr(value)


def _nested(winners: Mapping[str, Given]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for key, given in winners.items():
        *sections, name = _path(key)
        inner = nested
        for section in sections:
            inner = inner.setdefault(section, {})
        inner[name] = given.value
    return nested


def _path(key: str) -> list[str]:
    if key.startswith(f"{FREE_SECTION}."):
        return [*FREE_SECTION.split("."), key.removeprefix(f"{FREE_SECTION}.")]
    return key.split(".")
