"""Sailthru's Data Exporter: from records as they lie in files to event rows, and to versions of what may change.

The format is defined by Sailthru's pages on the Data Exporter; shared/formats/sailthru.md says what is confirmed.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from schemas.contract import TableContract
from schemas.events import EVENTS
from schemas.quarantine import Reason
from schemas.sailthru import BLASTS, PROFILE_COUNTS, PROFILE_OBJECTS, PROFILE_TIMES, PROFILES, SAILTHRU_MESSAGES, STATES
from transforms import records
from transforms.identity import content_key
from transforms.instants import local_instant, milliseconds_or_text
from transforms.json_text import STRICT_JSON, let, one_object, pieces

_NAME = (
    r"^(?:([0-9]+)_)?(profile|blast|message_blast(?:_updates?)?|message_transactional(?:_updates?)?)"
    r"(?:[.]([0-9]{8}))?[.]json(?:[.]gz)?$"
)
_MESSAGE_TIMES = ("send_time", "open_time", "click_time", "optout_time")
_TEXTS = (
    "id",
    "profile_id",
    "blast_id",
    "message_id",
    "template",
    *_MESSAGE_TIMES,
    "opens",
    "clicks",
    "device",
    "message_revenue",
    "delivery_status",
    "engagement",
    "name",
    "day",
    "list_name",
    "link_params",
    "email",
    "optout_reason",
    *(name for name in PROFILE_TIMES if name not in _MESSAGE_TIMES),
    *PROFILE_COUNTS,
    *PROFILE_OBJECTS,
)
RECORD = ",".join(f"{name}:string" for name in _TEXTS)
"""The fields of every data set; objects stay JSON text, for their keys are free."""
_BOUNCED = r"(?i)^\s*(?:(?:hard|soft)[ _-]?(?:bounced?)?|bounced?)\s*$"
_MOST_ACTIVITY = 999_999_999_999
_FIRST_FILE_DATE = "20000101"
_DAY = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"

_HAPPENINGS = (
    "array<struct<event_class:string,event_time:timestamp,completion_time:timestamp,link:string,ordinal:int,"
    "event_data:string>>"
)


@dataclass(frozen=True, kw_only=True)
class Account:
    """What Sailthru's files do not say about themselves: settings."""

    client_id: str
    """Of files whose name holds none; empty if there is none."""
    time_zone: str
    """IANA name of the zone of times that state none."""


def data_set_of(name: str) -> str | None:
    """The data set of a file by its name, in the singular; None if it is no file of the Data Exporter."""
    found = re.match(_NAME, name)
    return found.group(2).replace("_updates", "_update") if found else None


def told_by_name(name: Column, client_id: str) -> tuple[Column, Column, Column]:
    """What a file's name tells: client (`client_id` if it tells none), data set, and its date as eight digits or NULL.

    The data set of a name that is none of the Data Exporter's is empty.
    """
    client, data_set, stated_date = (F.regexp_extract(name, _NAME, group) for group in (1, 2, 3))
    return (
        F.coalesce(F.nullif(client, F.lit("")), F.lit(client_id)),
        F.regexp_replace(data_set, "_updates$", "_update"),
        F.nullif(stated_date, F.lit("")),
    )


def file_date(stated: Column) -> Column:
    """The day that eight digits of a file's name state; NULL if they state none, or one before 2000."""
    day = F.concat_ws("-", F.left(stated, F.lit(4)), F.substring(stated, 5, 2), F.right(stated, F.lit(2)))
    return F.when(stated >= _FIRST_FILE_DATE, day.try_cast("date"))


def _parsed(text: Column) -> Column:
    return one_object(text, RECORD)


_FORM = records.RecordForm(
    schema=RECORD,
    is_plain=lambda record: record.isNotNull(),
    entries=lambda line, _: F.transform(
        pieces(line), lambda text: F.struct(text.alias("raw"), F.struct(_parsed(text).alias("record")).alias("layer"))
    ),
)


def to_events(lines: DataFrame, limits: records.Limits, account: Account) -> DataFrame:
    """RAW_LINES of Sailthru files to rows: one per event, and one per record that has none.

    A record's first row has its `outcome` (accepted, quarantined), `reason`, `detail`, and of a quarantined one the
    `record` with its length and hash; further rows have no `outcome`. It also has, in the column named as the state
    table, the version that the record is, as a struct; NULL in the columns of other tables. A row of an event has the
    columns of `events` (without load time and batch), any other row has no `event_id`. Each JSON text is parsed once;
    the plan has no Python in it.
    """
    rows = lines
    for step in _steps(limits, account):
        rows = rows.select(*step)
    return rows


def to_records(lines: DataFrame, limits: records.Limits) -> DataFrame:
    """RAW_LINES of Sailthru files to `filename`, `name` and `text` of each record: its data set, and as it came."""
    for step in records.record_steps(_FORM, limits.max_record_bytes):
        lines = lines.select(*step)
    filename = records.filename_of(F.col("path"))
    _, data_set, _ = told_by_name(F.substring_index(filename, "/", -1), "")
    return lines.where(F.col("record").isNotNull()).select(
        filename.alias("filename"), data_set.alias("name"), F.col("raw").alias("text")
    )


@lru_cache(maxsize=4)
def _steps(limits: records.Limits, account: Account) -> list[list[Column]]:
    """What `to_events` selects, one step after the other."""
    everything, record, base = F.col("*"), F.col("record"), F.col("base")
    carried = [F.col(name) for name in (*records.CARRIED, "odd", "raw", "record", "is_parsed", "filename")]
    client, data_set, stated_date = told_by_name(base, account.client_id)
    return [
        *records.record_steps(_FORM, limits.max_record_bytes),
        [everything, record.isNotNull().alias("is_parsed"), records.filename_of(F.col("path")).alias("filename")],
        [*carried, F.substring_index("filename", "/", -1).alias("base")],
        [
            everything,
            client.alias("client_id"),
            data_set.alias("data_set"),
            stated_date.alias("stated_date"),
        ],
        [
            everything,
            F.startswith("data_set", F.lit("message_")).alias("is_message"),
            *[local_instant(record[name], account.time_zone).alias(name) for name in _MESSAGE_TIMES],
            _listed(record["opens"]).alias("open_list"),
            _listed(record["clicks"]).alias("click_list"),
        ],
        [
            everything,
            F.when(F.col("is_message"), _message_id()).otherwise(_stated(record["id"])).alias("key"),
            _entries("open_list").alias("opens"),
            _entries("click_list").alias("clicks"),
        ],
        [everything, _problem(limits).alias("problem")],
        [everything, F.when(F.col("problem").isNull() & F.col("is_message"), _happenings()).alias("happenings")],
        [everything, F.posexplode_outer("happenings").alias("number", "event")],
        [
            everything,
            (F.coalesce(F.col("number"), F.lit(0)) == 0).alias("is_first"),
            F.monotonically_increasing_id().alias("place"),
        ],
        _columns(limits, account),
    ]


def _stated(text: Column) -> Column:
    return F.nullif(F.trim(text), F.lit(""))


def _is_campaign() -> Column:
    return F.startswith("data_set", F.lit("message_blast"))


def _message_id() -> Column:
    """`<blast_id>.<message_id>` of a campaign, the send id of triggered mail; NULL if not stated."""
    record = F.col("record")
    of_campaign = F.concat(_stated(record["blast_id"]), F.lit("."), _stated(record["message_id"]))
    return F.when(_is_campaign(), of_campaign).otherwise(_stated(record["id"]))


def _listed(text: Column) -> Column:
    """An array of JSON values; NULL if `text` is none, an empty one if there is no text."""
    none = F.from_json(F.lit("[]"), "array<variant>")
    is_array = F.startswith(text, F.lit("["))
    parsed = F.when(is_array, F.from_json(text, "array<variant>", STRICT_JSON))
    return F.when(text.isNull() | (text == "[]"), none).otherwise(parsed)


def _entries(listed: str) -> Column:
    """Opens or clicks in the record's order: `ts`, `url`, and as text what `ts` states and the whole entry."""

    def entry(value: Column) -> Column:
        number_long = F.try_variant_get(value, "$.ts['$date']['$numberLong']", "string")
        return let(
            F.coalesce(number_long, F.try_variant_get(value, "$.ts['$date']", "string")),
            lambda stated: F.struct(
                milliseconds_or_text(stated).alias("ts"),
                F.try_variant_get(value, "$.url", "string").alias("url"),
                stated.alias("stated"),
                F.to_json(value).alias("text"),
            ),
        )

    return F.transform(F.col(listed), entry)


def _problem(limits: records.Limits) -> Column:
    """Why a record is none of its data set, as `reason` and `detail` in words; NULL if it is one."""
    record, is_message, sent = F.col("record"), F.col("is_message"), F.col("send_time")
    opted_out = F.col("optout_time")
    opens, clicks = F.col("opens"), F.col("clicks")
    unread = sent.isNull() | (record["optout_time"].isNotNull() & opted_out.isNull())

    def outside(at: Column) -> Column:
        return ~at.between(F.lit(limits.earliest), F.lit(limits.latest))

    def any_entry(test: Callable[[Column], Column]) -> Column:
        return F.coalesce(F.exists(opens, test) | F.exists(clicks, test), F.lit(False))

    has_shapeless = any_entry(lambda e: e["stated"].isNull())
    has_unread = any_entry(lambda e: e["ts"].isNull())
    has_outside = any_entry(lambda e: outside(e["ts"]))
    stated = F.concat(
        F.lit("stated: "), F.left(F.concat_ws(", ", record["send_time"], record["optout_time"]), F.lit(200))
    )
    cases: list[records.Case] = [
        *records.unreadable(F.col("raw"), F.lit(None), limits),
        (~is_message & F.col("key").isNull(), Reason.UNKNOWN_SHAPE, F.lit("no id")),
        (is_message & F.col("key").isNull(), Reason.NO_MESSAGE_ID, F.lit(None)),
        (is_message & record["send_time"].isNull(), Reason.BAD_TIME, F.lit("no send_time stated")),
        (is_message & unread, Reason.BAD_TIME, stated),
        (
            is_message & (opens.isNull() | clicks.isNull() | has_shapeless),
            Reason.UNKNOWN_SHAPE,
            F.lit("opens or clicks that are no list of entries with a ts"),
        ),
        (is_message & has_unread, Reason.BAD_TIME, F.lit("the ts of an open or click")),
        (
            is_message & (outside(sent) | F.coalesce(outside(opted_out), F.lit(False))),
            Reason.TIME_OUT_OF_RANGE,
            stated,
        ),
        (is_message & has_outside, Reason.TIME_OUT_OF_RANGE, F.lit("the ts of an open or click")),
    ]
    return records.first_problem(cases)


def _happenings() -> Column:
    """The events that a message's record states."""
    record, sent, opted_out = F.col("record"), F.col("send_time"), F.col("optout_time")
    no_time, no_text, none = F.lit(None).cast("timestamp"), F.lit(None).cast("string"), F.array()

    def happening(name: str, at: Column, own: Column, link: Column, ordinal: Column, data: Column) -> Column:
        return F.struct(
            F.lit(name).alias("event_class"),
            at.alias("event_time"),
            own.alias("completion_time"),
            link.alias("link"),
            ordinal.cast("int").alias("ordinal"),
            data.alias("event_data"),
        )

    def alone(name: str, at: Column, own: Column, data: Column) -> Column:
        return F.array(happening(name, at, own, no_text, F.lit(1), data)).cast(_HAPPENINGS)

    def listed(name: str, entries: Column) -> Column:
        """Each entry with its ordinal among the equal ones: equal entries lie together in a sorted array."""

        def key(entry: Column) -> Column:
            return F.concat_ws(" ", F.unix_micros(entry["ts"]).cast("string"), entry["url"])

        def numbered(ordered: Column) -> Column:
            return let(
                F.transform(ordered, key),
                lambda keys: F.transform(
                    ordered,
                    lambda e, i: happening(
                        name, e["ts"], e["ts"], e["url"], i + 2 - F.array_position(keys, key(e)), e["text"]
                    ),
                ),
            )

        found = let(F.array_sort(entries), numbered).cast(_HAPPENINGS)
        return F.when(F.size(entries) > 0, found).otherwise(none)

    sent_as = ("blast_id", "id", "message_id", "profile_id", "send_time", "template")  # in order
    return F.concat(
        alone("send", sent, no_time, F.to_json(F.struct(*[record[name].alias(name) for name in sent_as]))),
        listed("open", F.col("opens")),
        listed("click", F.col("clicks")),
        F.when(
            opted_out.isNotNull(),
            alone("unsubscribe", opted_out, opted_out, F.to_json(F.struct(record["optout_time"].alias("optout_time")))),
        ).otherwise(none),
        # No time of a bounce is stated, and its kind may change from version to version: sailthru_messages has it.
        F.when(record["delivery_status"].rlike(_BOUNCED), alone("bounce", sent, no_time, no_text)).otherwise(none),
    )


def _columns(limits: records.Limits, account: Account) -> list[Column]:
    """The last step: the columns that `to_events` promises."""
    record, event, filename = F.col("record"), F.col("event"), F.col("filename")
    is_event, is_first = event.isNotNull(), F.col("is_first")
    campaign = F.when(_is_campaign(), record["blast_id"]).otherwise(record["template"])
    fields = (
        F.lit("sailthru"),
        F.col("client_id"),
        F.col("key"),
        event["event_class"],
        F.unix_micros(event["event_time"]).cast("string"),
        event["link"],
        event["ordinal"].cast("string"),
    )
    given = {
        **{name: event[name] for name in ("event_class", "event_time", "completion_time", "link", "event_data")},
        "timestamp": F.when(is_event, F.col("send_time")),
        "account": F.col("client_id"),
        "message_id": F.when(is_event, F.col("key")),
        "bucket": records.bucket_of(filename),
        "event_id": F.when(is_event, content_key(fields)),
        "event_date": F.to_date(event["event_time"]),
        "provider": F.lit("sailthru"),
        "profile_id": F.when(is_event, record["profile_id"]),
        "campaign": F.when(is_event, campaign),
    }
    standing = {"filename", "etl_time", "batch_id"}
    return [
        *records.verdict(limits, F.when(is_first, records.judged())),
        *[
            given.get(f.name, F.lit(None).cast(f.dataType)).alias(f.name)
            for f in EVENTS.schema.fields
            if f.name not in standing
        ],
        *[
            F.when(is_first & F.col("problem").isNull() & F.col("data_set").isin(*sets), version).alias(table.name)
            for table, sets, version in _versions(limits, account)
        ],
    ]


def _versions(limits: records.Limits, account: Account) -> list[tuple[TableContract, list[str], Column]]:
    """Of each state table its data sets, and the version a record of them is, without load time and batch."""
    record, zone, key = F.col("record"), account.time_zone, F.col("key")

    def sane(at: Column) -> Column:
        """Other engines cannot read a year 99999."""
        return F.when(at.between(F.lit(limits.earliest), F.lit(limits.latest)), at)

    def count(name: str) -> Column:
        return record[name].try_cast("bigint")

    day, sent = record["day"], F.col("send_time")
    messages = {
        "message_id": key,
        "send_date": F.to_date(sent),
        **{name: sane(F.col(name)) for name in _MESSAGE_TIMES},
        "blast_id": F.when(_is_campaign(), record["blast_id"]),
        "opens": F.transform("opens", lambda e: F.struct(e["ts"].alias("ts"))),
        "clicks": F.transform("clicks", lambda e: F.struct(e["url"].alias("url"), e["ts"].alias("ts"))),
        "message_revenue": record["message_revenue"].try_cast("decimal(20,4)"),
    }
    blasts = {"id": key, "day": sane(F.when(day.rlike(_DAY), day.try_cast("timestamp"))).cast("date")}
    profiles = {
        "id": key,
        **{name: sane(local_instant(record[name], zone)) for name in PROFILE_TIMES},
        **{name: count(name) for name in PROFILE_COUNTS},
    }
    opens, clicks = (F.coalesce(count(name), F.lit(0)) for name in ("total_opens", "total_clicks"))
    opened_and_clicked = F.coalesce(F.try_add(opens, clicks), F.lit(_MOST_ACTIVITY))
    return [
        _version(SAILTHRU_MESSAGES, messages, F.size("opens") + F.size("clicks")),
        _version(BLASTS, blasts, F.lit(0)),
        _version(PROFILES, profiles, opened_and_clicked),
    ]


def _version(
    table: TableContract, given: dict[str, Column], activity: Column
) -> tuple[TableContract, list[str], Column]:
    """The struct of a table's columns: those given, those of the file, and the rest under the record's own names."""
    stated = F.col("stated_date")
    dated = file_date(stated)
    of_file = {
        "client_id": F.col("client_id"),
        "data_set": F.col("data_set"),
        "file_date": dated,
        "record": F.col("raw"),
        "version": F.concat_ws(
            " ",
            F.when(dated.isNotNull(), stated).otherwise(F.lit("00000000")),
            F.when(F.endswith("data_set", F.lit("_update")), F.lit("update")).otherwise(F.lit("first")),
            F.lpad(F.greatest(F.lit(0), F.least(activity, F.lit(_MOST_ACTIVITY))).cast("string"), 12, "0"),
            F.col("base"),
        ),
        "filename": F.col("filename"),
    }
    columns = {**given, **of_file}
    names = [f.name for f in table.schema.fields if f.name not in ("batch_id", "etl_time")]
    sets = [data_set for data_set, of in STATES.items() if of is table]
    return table, sets, F.struct(*[columns.get(name, F.col("record")[name]).alias(name) for name in names])
