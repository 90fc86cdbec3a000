"""Amazon SES: from records as they lie in files to event rows, or to the reason why there is none.

The format is defined by the Amazon SES developer guide: "Contents of event data that Amazon SES sends to Firehose",
and its pages on SNS notifications and EventBridge events.
"""

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from schemas.quarantine import Reason
from transforms.identity import as_text, content_key, recipients_key
from transforms.instants import instant
from transforms.json_text import (
    STRICT_JSON,
    fenced_object,
    is_one_value,
    let,
    one_object,
    only_object,
    pieces,
    value_of_key,
)
from transforms.records import filename_of, starts_foreign, without_line_end

ACCEPTED, QUARANTINED, CONTROL = "accepted", "quarantined", "control"

_BODY_OF_CLASS = {
    "send": "send",
    "delivery": "delivery",
    "bounce": "bounce",
    "complaint": "complaint",
    "reject": "reject",
    "open": "open",
    "click": "click",
    "rendering_failure": "failure",
    "delivery_delay": "deliveryDelay",
    "subscription": "subscription",
}
_CLASS_OF_NAME = {name.replace("_", ""): name for name in _BODY_OF_CLASS}
_CLASS_OF_DETAIL_TYPE = {
    "Email Sent": "send",
    "Email Delivered": "delivery",
    "Email Bounced": "bounce",
    "Email Complaint Received": "complaint",
    "Email Rejected": "reject",
    "Email Opened": "open",
    "Email Clicked": "click",
    "Email Rendering Failed": "rendering_failure",
    "Email Delivery Delayed": "delivery_delay",
    "Email Subscribed": "subscription",
}
_NAMES_THE_MESSAGES_RECIPIENTS = ("send", "reject", "rendering_failure", "subscription")
_SNS_VALIDATION = r"^Successfully validated SNS topic"
_MAX_WRAPPERS = 4
"""Wrappers come off one inside the other: Firehose error, SQS, SNS, EventBridge."""

_MAIL = (
    "timestamp:string,messageId:string,source:string,sourceArn:string,sendingAccountId:string,"
    "destination:array<string>,tags:map<string,array<string>>,"
    "commonHeaders:struct<`from`:array<string>,to:array<string>,messageId:string,subject:string>"
)
RECORD = (
    f"eventType:string,notificationType:string,mail:struct<{_MAIL}>,"
    + ",".join(f"{body}:string" for body in _BODY_OF_CLASS.values())
    + ",Type:string,Message:string,`detail-type`:string,detail:string,account:string,"
    "rawData:string,Sns:string,body:string,Records:string"
)
"""An event and every wrapper of one; bodies and contents of wrappers stay JSON text."""
_BODY = (
    "timestamp string, recipients array<string>, bouncedRecipients array<struct<emailAddress:string>>, "
    "complainedRecipients array<struct<emailAddress:string>>, delayedRecipients string, bounceType string, "
    "bounceSubType string, complaintSubType string, complaintFeedbackType string, delayType string, "
    "feedbackId string, link string, userAgent string, ipAddress string, isBotEvent string"
)
_ADDRESSES = "array<struct<emailAddress:string>>"
_ROUNDED = r'"-?Infinity"|[:\[,]\s*-?[0-9.]+[eE]|[:\[,]\s*-?(?=[0-9]*[.])[0-9.]{17,}'
"""Numbers that a double may not hold, as Spark's readers leave them."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a record may be: settings, and the time of loading."""

    max_record_bytes: int
    earliest: datetime
    latest: datetime


def _parsed(text: Column) -> Column:
    return one_object(text, RECORD)


def _content(record: Column) -> Column:
    """What a wrapper holds, as text; NULL for what is no wrapper."""
    base64 = F.regexp_replace(record["rawData"], r"\s", "")
    return (
        F.when(record["mail"].isNotNull(), F.lit(None))
        .when(record["rawData"].isNotNull(), F.try_to_binary(base64, F.lit("base64")).cast("string"))
        .when(record["Sns"].isNotNull(), record["Sns"])
        .when((record["Type"] == "Notification") & record["Message"].isNotNull(), record["Message"])
        .when(record["detail-type"].isNotNull() & record["detail"].isNotNull(), record["detail"])
        .otherwise(record["body"])
    )


def _layer(text: Column, record: Column, detail_type: Column, account: Column) -> Column:
    return F.struct(
        text.alias("text"), record.alias("record"), detail_type.alias("detail_type"), account.alias("account")
    )


def _unwrapped(record: Column) -> Column:
    """The innermost layer of a record: its text, its parse, and what EventBridge says around it."""

    def deeper(outer: Column, _: Column) -> Column:
        return let(
            F.trim(_content(outer["record"]), F.lit(" \t\r\n")),
            lambda inner: F.when(inner.isNull(), outer).otherwise(
                _layer(
                    inner,
                    _parsed(inner),
                    F.coalesce(outer["record"]["detail-type"], outer["detail_type"]),
                    F.coalesce(outer["record"]["account"], outer["account"]),
                )
            ),
        )

    no_text = F.lit(None).cast("string")
    outermost = _layer(no_text, record, no_text, no_text)
    return F.when(record["mail"].isNotNull(), outermost).otherwise(
        F.reduce(F.sequence(F.lit(1), F.lit(_MAX_WRAPPERS)), outermost, deeper)
    )


def _raw_record(raw: Column, record: Column) -> Column:
    return F.struct(raw.alias("raw"), record.alias("record"))


def _parsed_each(texts: Column) -> Column:
    return F.transform(texts, lambda text: _raw_record(text, _parsed(text)))


def _elements(entry: Column) -> Column:
    """The elements of a `Records` dump (Lambda, SQS), each a record of its own; NULL for anything else."""
    is_dump = entry["record"]["mail"].isNull() & F.startswith(entry["record"]["Records"], F.lit("["))
    return F.when(is_dump, F.from_json(entry["record"]["Records"], "array<string>", STRICT_JSON))


def _entries(line: Column, record: Column) -> Column:
    """The records of a line, in order, unwrapped; `record` is the line itself if it is one object."""
    found = F.when(record.isNotNull(), F.array(_raw_record(line, record))).otherwise(_parsed_each(pieces(line)))
    single = F.transform(
        found,
        lambda entry: let(_elements(entry), lambda e: F.when(F.size(e) > 0, _parsed_each(e)).otherwise(F.array(entry))),
    )
    return F.transform(
        F.flatten(single),
        lambda entry: F.struct(entry["raw"].alias("raw"), _unwrapped(entry["record"]).alias("layer")),
    )


_CARRIED = ("path", "block", "full_length", "full_sha256", "cut_off", "failure")


def _record_steps(limits: Limits) -> list[list[Column]]:
    """RAW_LINES to one row per record: where it stands, and the innermost record, parsed once.

    `place` orders the records of a batch and is unique in it; it is no position in the file yet.
    """
    value, cut_off, line, odd = F.col("value"), F.col("cut_off"), F.col("line"), F.col("odd")
    is_whole = F.col("failure").isNull() & ~cut_off & F.col("full_length").isNull()
    is_odd = is_whole & ((F.octet_length(value) > limits.max_record_bytes) | starts_foreign(value))
    record = only_object(F.col("parsed"))
    nothing = F.lit(None).cast(f"struct<fence:string,{RECORD}>")
    no_text = F.lit(None).cast("string")

    def as_it_is(text: Column, of_record: Column) -> Column:
        layer = _layer(no_text, of_record, no_text, no_text)
        return F.array(F.struct(text.alias("raw"), layer.alias("layer")))

    # Most lines are one event and need no look into wrappers or pieces: they pass no higher-order function.
    entries = (
        F.when(record["mail"].isNotNull(), as_it_is(line, record))
        .when(~is_whole | odd, as_it_is(F.when(cut_off, value).otherwise(line), nothing))
        .when(line != "", _entries(line, record))
    )
    carried = [F.col(name) for name in _CARRIED]
    is_read = is_whole & ~odd
    return [
        [*carried, value, without_line_end(value).alias("line"), is_odd.alias("odd")],
        [
            *carried,
            value,
            line,
            odd,
            F.explode(F.array(F.when(is_read, fenced_object(line, RECORD)))).alias("parsed"),
        ],
        [*carried, odd, F.explode(entries).alias("entry")],
        [
            *carried,
            odd,
            F.monotonically_increasing_id().alias("place"),
            F.col("entry.raw").alias("raw"),
            F.col("entry.layer.*"),
        ],
    ]


def _one_of(name: Column, table: dict[str, str]) -> Column:
    chosen = F.lit(None).cast("string")
    for key, value in table.items():
        chosen = F.when(name == key, F.lit(value)).otherwise(chosen)
    return chosen


def _event_class() -> Column:
    """The class in snake case, from the type stated, else from the wrapper, else from the only body."""
    stated = F.coalesce(F.col("record.eventType"), F.col("record.notificationType"))
    squeezed = F.regexp_replace(F.lower(stated), r"[\s_-]", "")
    snake = F.lower(F.regexp_replace(F.trim(stated), r"(?<=[a-z0-9])(?=[A-Z])|[\s_-]+", "_"))
    unknown = F.when(snake.rlike(r"^[a-z][a-z0-9_.]{0,99}$"), snake)
    by_body = F.coalesce(*[F.when(F.col(f"record.{body}").isNotNull(), F.lit(c)) for c, body in _BODY_OF_CLASS.items()])
    from_wrapper = _one_of(F.col("detail_type"), _CLASS_OF_DETAIL_TYPE)
    known = _one_of(squeezed, _CLASS_OF_NAME)
    return F.when(stated.isNull(), F.coalesce(from_wrapper, by_body)).otherwise(F.coalesce(known, unknown))


def _body_text(record_text: Column) -> Column:
    """The body of the event's class as text; of an unknown class, the only object beside `mail`."""
    text = F.lit(None).cast("string")
    for event_class, body in _BODY_OF_CLASS.items():
        text = F.when(F.col("event_class") == event_class, F.col(f"record.{body}")).otherwise(text)
    others = F.filter(
        F.map_entries(F.from_json(record_text, "map<string,string>", STRICT_JSON)),
        lambda e: (e["key"] != "mail") & F.startswith(e["value"], F.lit("{")),
    )
    return F.when(F.col("event_class").isin(*_BODY_OF_CLASS), text).otherwise(
        let(others, lambda o: F.when(F.size(o) == 1, F.get(o, F.lit(0))["value"]))
    )


def _event_data() -> Column:
    """The body with its keys in order; as it came where sorting would change it.

    Spark's JSON readers round numbers beyond a double and write 1e400 as "Infinity". Such a body is cut out of the
    record's text; of a class not known here the whole record is kept.
    """
    text, record_text = F.col("body_text"), F.coalesce(F.col("text"), F.col("raw"))
    as_it_came = F.lit(None).cast("string")
    for event_class, body in _BODY_OF_CLASS.items():
        found = F.regexp_extract(record_text, value_of_key(body), 1)
        as_it_came = F.when(F.col("event_class") == event_class, F.nullif(found, F.lit(""))).otherwise(as_it_came)
    is_unknown = ~F.col("event_class").isin(*_BODY_OF_CLASS)
    return F.when(text.rlike(_ROUNDED), F.coalesce(as_it_came, F.when(is_unknown, record_text), text)).otherwise(
        F.coalesce(F.to_json(F.try_parse_json(text)), text)
    )


def _recipients() -> Column:
    """Whom the event names; NULL where SES does not say whom it happened to."""
    text = F.col("body.delayedRecipients")  # an array by the examples, an object by the guide's words
    delayed = F.from_json(
        F.when(F.startswith(text, F.lit("{")), F.concat(F.lit("["), text, F.lit("]"))).otherwise(text),
        _ADDRESSES,
        STRICT_JSON,
    )
    destination = F.col("record.mail.destination")
    event_class = F.col("event_class")
    named = (
        F.when(event_class == "delivery", F.col("body.recipients"))
        .when(event_class == "bounce", F.col("body.bouncedRecipients.emailAddress"))
        .when(event_class == "complaint", F.col("body.complainedRecipients.emailAddress"))
        .when(event_class.isin(*_NAMES_THE_MESSAGES_RECIPIENTS), destination)
        .when(event_class.isin("open", "click") & (F.size(destination) == 1), destination)
    )
    return F.when(event_class == "delivery_delay", let(delayed, lambda d: recipients_key(d["emailAddress"]))).otherwise(
        recipients_key(named)
    )


def _problem(limits: Limits) -> Column:
    """Why a record is no event, as `reason` and `detail` in words; NULL if it is one."""
    text = F.coalesce(F.col("text"), F.col("raw"))
    record, mail = F.col("record"), F.col("record.mail")
    stated = F.col("event_stated").isNotNull() | F.col("accepted_stated").isNotNull()
    unreadable = (F.col("event_stated").isNotNull() & F.col("own_time").isNull()) | (
        F.col("accepted_stated").isNotNull() & F.col("timestamp").isNull()
    )
    earliest, latest = F.lit(limits.earliest), F.lit(limits.latest)
    out_of_range = ~(
        F.coalesce(F.col("own_time").between(earliest, latest), F.lit(True))
        & F.coalesce(F.col("timestamp").between(earliest, latest), F.lit(True))
    )
    is_too_large = F.col("full_length").isNotNull() | F.col("odd")
    is_object = F.startswith(text, F.lit("{"))
    is_mail_receiving = F.lower(F.col("record.notificationType")) == "received"
    no_id = F.coalesce(F.trim(mail["messageId"]), F.lit("")) == ""
    times = F.concat_ws(", ", F.col("event_stated"), F.col("accepted_stated"))
    cases: list[tuple[Column, Reason, Column]] = [
        (F.col("cut_off"), Reason.CUT_OFF, F.lit("the file breaks here")),
        (is_too_large, Reason.TOO_LARGE, F.lit(f"longer than max_record_bytes={limits.max_record_bytes}")),
        (~F.is_valid_utf8("raw"), Reason.NOT_JSON, F.lit("not valid UTF-8")),
        (record.isNull() & ~is_object & is_one_value(text), Reason.NOT_AN_OBJECT, F.lit(None)),
        (
            record.isNull(),
            Reason.NOT_JSON,
            F.when(F.col("text").isNotNull(), F.lit("the content of its wrapper")),
        ),
        (is_mail_receiving, Reason.UNKNOWN_SHAPE, F.lit("a notification of received mail")),
        (mail.isNull(), Reason.UNKNOWN_SHAPE, F.lit("no `mail` object, and no known wrapper")),
        (F.col("event_class").isNull(), Reason.UNKNOWN_SHAPE, F.lit("no type of event stated")),
        (no_id, Reason.NO_MESSAGE_ID, F.lit(None)),
        (~stated, Reason.BAD_TIME, F.lit("no time stated")),
        (unreadable, Reason.BAD_TIME, F.concat(F.lit("stated: "), F.left(times, F.lit(200)))),
        (out_of_range, Reason.TIME_OUT_OF_RANGE, F.concat(F.lit("stated: "), F.left(times, F.lit(200)))),
    ]
    problem = F.lit(None).cast("struct<reason:string,detail:string>")
    for condition, name, words in reversed(cases):
        found = F.struct(F.lit(name.value).alias("reason"), words.cast("string").alias("detail"))
        problem = F.when(condition, found).otherwise(problem)
    return problem


def _is_control() -> Column:
    """SNS confirmations and validation texts, EventBridge records that are not about a mail."""
    has_no_mail = F.col("record.mail").isNull()
    confirms = has_no_mail & F.col("record.Type").isin("SubscriptionConfirmation", "UnsubscribeConfirmation")
    validates = F.col("record").isNull() & F.col("text").rlike(_SNS_VALIDATION)
    about_no_mail = has_no_mail & F.coalesce(F.col("detail_type"), F.col("record.detail-type")).isNotNull()
    is_read = ~F.col("cut_off") & F.col("full_length").isNull() & ~F.col("odd")
    return is_read & (confirms | validates | (about_no_mail & F.col("record").isNotNull()))


def to_events(lines: DataFrame, limits: Limits) -> DataFrame:
    """RAW_LINES of SES files to one row per record: the columns of an event, or why it is none.

    Beside the columns of `events` (without load time and batch) each row has `outcome` (accepted, quarantined,
    control), `reason`, `detail`, the `record` of a quarantined one with its length and hash, and `block`,
    `place`, `odd`, `failure`. Each JSON text is parsed once; the plan has no Python in it.
    """
    rows = lines
    for step in _steps(limits):
        rows = rows.select(*step)
    return rows


@lru_cache(maxsize=4)
def _steps(limits: Limits) -> list[list[Column]]:
    """What `to_events` selects, one step after the other; kept, for building it costs a second per batch."""
    return [
        *_record_steps(limits),
        *event_steps(limits, is_control=F.coalesce(_is_control(), F.lit(False)), problem=_problem(limits)),
    ]


def event_steps(limits: Limits, *, is_control: Column, problem: Column) -> list[list[Column]]:
    """From records, parsed, to the columns of events; the benchmark's plain job takes these without the checks."""
    everything = F.col("*")
    body = F.from_json("body_text", _BODY, STRICT_JSON)
    return [
        [everything, _event_class().alias("event_class")],
        [everything, _body_text(F.coalesce(F.col("text"), F.col("raw"))).alias("body_text")],
        # The generator is a fence: without it Spark copies from_json into every column that reads from it.
        [everything, F.explode_outer(F.array(body)).alias("body")],
        [
            everything,
            F.col("body.timestamp").alias("event_stated"),
            F.col("record.mail.timestamp").alias("accepted_stated"),
            instant(F.col("body.timestamp")).alias("own_time"),
            instant(F.col("record.mail.timestamp")).alias("timestamp"),
            _recipients().alias("event_recipients"),
            _event_data().alias("event_data"),
            is_control.alias("is_control"),
        ],
        [
            everything,
            F.coalesce("own_time", "timestamp").alias("event_time"),
            F.when(~F.col("is_control"), problem).alias("problem"),
        ],
        _columns(limits),
    ]


def _columns(limits: Limits) -> list[Column]:
    """The last step: the columns that `to_events` promises."""
    is_bad = F.col("problem").isNotNull()
    is_event = ~is_bad & ~F.col("is_control")
    mail = F.col("record.mail")
    body = F.col("body")
    is_unknown = ~F.col("event_class").isin(*_BODY_OF_CLASS)
    event_id = content_key(
        [
            F.lit("ses"),
            F.col("event_class"),
            mail["messageId"],
            F.unix_micros("event_time").cast("string"),
            as_text(F.col("event_recipients")),
            body["feedbackId"],
            body["link"],
            body["ipAddress"],
            body["userAgent"],
            F.when(is_unknown, F.col("event_data")),
        ]
    )
    account = F.coalesce(mail["sendingAccountId"], F.get(F.split(mail["sourceArn"], ":"), F.lit(4)), F.col("account"))
    is_complaint = F.col("event_class") == "complaint"

    filename = filename_of(F.col("path"))
    return [
        filename.alias("filename"),
        F.col("block"),
        F.col("place"),
        F.col("odd"),
        F.col("failure"),
        F.when(F.col("is_control"), F.lit(CONTROL))
        .otherwise(F.when(is_bad, F.lit(QUARANTINED)).otherwise(F.lit(ACCEPTED)))
        .alias("outcome"),
        F.col("problem.reason").alias("reason"),
        F.col("problem.detail").alias("detail"),
        F.when(is_bad, F.left("raw", F.lit(limits.max_record_bytes)).cast("binary")).alias("record"),
        F.when(is_bad, F.coalesce(F.col("full_length"), F.octet_length("raw").cast("long"))).alias("record_length"),
        F.when(is_bad, F.coalesce(F.col("full_sha256"), F.sha2(F.col("raw").cast("binary"), 256))).alias(
            "record_sha256"
        ),
        F.col("event_class").alias("event_class"),
        F.when(is_event, F.col("timestamp")).alias("timestamp"),
        mail["source"].alias("source"),
        account.alias("account"),
        mail["messageId"].alias("message_id"),
        mail["commonHeaders"]["from"].alias("from"),
        mail["commonHeaders"]["to"].alias("to"),
        mail["commonHeaders"]["messageId"].alias("messageId"),
        mail["commonHeaders"]["subject"].alias("subject"),
        F.when(is_event, F.col("event_time")).alias("event_time"),
        F.lower(F.coalesce(body["bounceType"], body["complaintSubType"], body["delayType"])).alias("event_type"),
        F.lower(F.when(is_complaint, body["complaintFeedbackType"]).otherwise(body["bounceSubType"])).alias(
            "event_subclass"
        ),
        F.col("event_recipients").alias("event_recipients"),
        F.col("event_data").alias("event_data"),
        F.regexp_extract(filename, "^s3[an]?://([^/]+)/", 1).alias("bucket"),
        F.when(is_event, F.col("own_time")).alias("completion_time"),
        F.when(is_event, event_id).alias("event_id"),
        F.when(is_event, F.to_date("event_time")).alias("event_date"),
        F.lit("ses").alias("provider"),
        F.lit(None).cast("string").alias("profile_id"),
        F.get(mail["tags"]["ses:configuration-set"], F.lit(0)).alias("campaign"),
        body["link"].alias("link"),
        body["userAgent"].alias("user_agent"),
        body["ipAddress"].alias("ip_address"),
        mail["tags"].alias("tags"),
        mail["destination"].alias("destination"),
        body["feedbackId"].alias("feedback_id"),
        F.lower(body["isBotEvent"]).alias("bot_likelihood"),
    ]
