"""Amazon SES: from records as they lie in files to event rows, or to the reason why there is none.

The format is defined by the Amazon SES developer guide: "Contents of event data that Amazon SES sends to Firehose",
and its pages on SNS notifications and EventBridge events.
"""

from functools import lru_cache

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from schemas.quarantine import Reason
from transforms.identity import as_text, content_key, recipients_key
from transforms.instants import instant
from transforms.json_text import (
    STRICT_JSON,
    let,
    one_object,
    pieces,
    value_of_key,
)
from transforms.records import (
    CARRIED,
    CONTROL,
    Case,
    Limits,
    RecordForm,
    bucket_of,
    filename_of,
    first_problem,
    judged,
    parsed_each,
    raw_record,
    record_steps,
    unreadable,
    verdict,
)

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
_USUAL_NAMES = {"rendering_failure": "Rendering Failure", "delivery_delay": "DeliveryDelay"}
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
_IS_A_BODY = (
    r'(?s)^(?=.*"timestamp":).*"(?:recipients|(?:bounced|complained|delayed)Recipients|bounceType|delayType|feedbackId|'
    r'link|userAgent|ipAddress|contactList)":'
)
"""An object that states a time and something else that only bodies state."""
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
    + ",".join(f"{body}:variant" for body in _BODY_OF_CLASS.values())
    + ",Type:string,Message:string,`detail-type`:string,detail:string,account:string,"
    "rawData:string,Sns:string,body:string,Records:string"
)
"""An event and every wrapper of one; what wrappers hold stays JSON text."""
_BODY = (
    "timestamp:string,recipients:array<string>,bouncedRecipients:array<struct<emailAddress:string>>,"
    "complainedRecipients:array<struct<emailAddress:string>>,delayedRecipients:variant,bounceType:string,"
    "bounceSubType:string,complaintSubType:string,complaintFeedbackType:string,delayType:string,"
    "feedbackId:string,link:string,userAgent:string,ipAddress:string,isBotEvent:string"
)
_ADDRESS = "struct<emailAddress:string>"
_ROUNDED = r'[:\[,](?:-?(?:[0-9.]+[eE]|(?=[0-9]*[.])[0-9.]{17,})|"-?Infinity")'
"""Numbers in a variant's JSON text that may not be those that came."""


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
        text.alias("text"), detail_type.alias("detail_type"), account.alias("account"), record.alias("record")
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


def _elements(entry: Column) -> Column:
    """The elements of a `Records` dump (Lambda, SQS), each a record of its own; NULL for anything else."""
    is_dump = entry["record"]["mail"].isNull() & F.startswith(entry["record"]["Records"], F.lit("["))
    return F.when(is_dump, F.from_json(entry["record"]["Records"], "array<string>", STRICT_JSON))


def _entries(line: Column, record: Column) -> Column:
    """The records of a line, in order, unwrapped; `record` is the line itself if it is one object."""
    found = F.when(record.isNotNull(), F.array(raw_record(line, record))).otherwise(parsed_each(pieces(line), _parsed))
    single = F.transform(
        found,
        lambda entry: let(
            _elements(entry), lambda e: F.when(F.size(e) > 0, parsed_each(e, _parsed)).otherwise(F.array(entry))
        ),
    )
    return F.transform(
        F.flatten(single),
        lambda entry: F.struct(entry["raw"].alias("raw"), _unwrapped(entry["record"]).alias("layer")),
    )


_FORM = RecordForm(
    schema=RECORD,
    extras=("text", "detail_type", "account"),
    is_plain=lambda record: record["mail"].isNotNull(),
    entries=_entries,
)


def _looked_up(table: dict[str, str], name: Column) -> Column:
    return F.try_element_at(F.create_map(*[F.lit(text) for pair in table.items() for text in pair]), name)


def _by_class(choices: dict[str, Column]) -> Column:
    """The choice of the event's class; NULL for a class without one."""
    chosen = F.lit(None)
    for event_class, choice in choices.items():
        chosen = F.when(F.col("event_class") == event_class, choice).otherwise(chosen)
    return chosen


def _event_class() -> Column:
    """The class in snake case, from the type stated, else from the wrapper, else from the only body."""
    stated = F.coalesce(F.col("record.eventType"), F.col("record.notificationType"))
    squeezed = F.regexp_replace(F.lower(stated), r"[\s_-]", "")
    snake = F.lower(F.regexp_replace(F.trim(stated), r"(?<=[a-z0-9])(?=[A-Z])|[\s_-]+", "_"))
    unknown = F.when(snake.rlike(r"^[a-z][a-z0-9_.]{0,99}$"), snake)
    bodies = {event_class: F.col(f"record.{body}") for event_class, body in _BODY_OF_CLASS.items()}
    by_body = F.coalesce(
        *[F.when(b.isNotNull() & ~F.is_variant_null(b), F.lit(event_class)) for event_class, b in bodies.items()]
    )
    from_wrapper = _looked_up(_CLASS_OF_DETAIL_TYPE, F.col("detail_type"))
    usual = _looked_up({_USUAL_NAMES.get(c, body.capitalize()): c for c, body in _BODY_OF_CLASS.items()}, stated)
    known = F.coalesce(usual, _looked_up(_CLASS_OF_NAME, squeezed))
    return F.when(stated.isNull(), F.coalesce(from_wrapper, by_body)).otherwise(F.coalesce(known, unknown))


def _own_text() -> Column:
    """The record as JSON text, its wrapper taken off."""
    return F.coalesce("text", "raw")


def _unusual_body() -> Column:
    """The text of a body that the record's parse does not hold as an object; NULL where it does, or there is none.

    That is: a body which is itself a JSON text; one that Spark's variants refuse (a key twice), cut out of the
    record; of a class not known here the only object beside `mail`; and of a known one whose body is not under its
    key, the only object that looks like a body: else two opens would be one, with the time of their message.
    """
    others = F.filter(
        F.map_entries(F.from_json(_own_text(), "map<string,string>", STRICT_JSON)),
        lambda e: (e["key"] != "mail") & F.startswith(e["value"], F.lit("{")),
    )
    is_known, is_there = F.col("event_class").isin(*_BODY_OF_CLASS), F.col("stated_body").isNotNull()
    as_it_came = F.when(is_known & ~is_there, _body_as_it_came())
    is_nowhere = ~is_known | (~is_there & as_it_came.isNull())
    candidates = F.filter(others, lambda e: ~is_known | e["value"].rlike(_IS_A_BODY))
    return (
        F.when(is_nowhere, let(candidates, lambda o: F.when(F.size(o) == 1, F.get(o, F.lit(0))["value"])))
        .when(is_known & ~is_there, as_it_came)
        .when(F.startswith("body_text", F.lit('"')), F.try_variant_get("stated_body", "$", "string"))
    )


def _body_as_it_came() -> Column:
    """The object under the body's key, as it stands in the record; NULL where there is none."""
    key = _looked_up(_BODY_OF_CLASS, F.col("event_class"))
    found = F.call_function("regexp_extract", _own_text(), value_of_key(key), F.lit(1))
    is_there = F.contains(_own_text(), F.concat(F.lit('"'), key, F.lit('"')))  # spares most records the pattern
    return F.when(is_there, F.nullif(found, F.lit("")))


def _body() -> Column:
    """What columns take from the body, of any class; NULL where there is none."""
    text, kind = F.col("unusual_body"), f"struct<{_BODY}>"
    return F.when(text.isNotNull(), F.from_json(text, kind, STRICT_JSON)).otherwise(
        F.try_variant_get("stated_body", "$", kind)
    )


def _body_in_order() -> Column:
    """The body as JSON text with its keys in order."""
    unusual = F.col("unusual_body")
    return F.when(unusual.isNotNull(), F.coalesce(F.to_json(F.try_parse_json(unusual)), unusual)).otherwise(
        F.nullif(F.col("body_text"), F.lit("null"))
    )


def _event_data() -> Column:
    """The body with its keys in order; as it came where sorting would change it.

    Spark's variants round numbers beyond a double, write 1e400 as "Infinity" and refuse doubled keys; half a
    surrogate pair was replaced before. Such a body is cut out of the record's text; where it lies under no known key
    the whole record is kept.
    """
    has_no_key = ~F.col("event_class").isin(*_BODY_OF_CLASS) | F.col("stated_body").isNull()
    as_it_came = F.coalesce(_body_as_it_came(), F.when(has_no_key, _own_text()))
    body = F.col("body_in_order")
    is_changed = body.rlike(_ROUNDED) | F.contains(body, F.lit("\ufffd"))
    return F.when(is_changed, F.coalesce(as_it_came, body)).otherwise(body)


def _named_recipients() -> Column:
    """Whom the event names; NULL where SES does not say whom it happened to."""
    body, destination = F.col("body"), F.col("mail.destination")
    delayed = F.coalesce(  # an array by the examples, an object by the guide's words
        F.try_variant_get(body["delayedRecipients"], "$", f"array<{_ADDRESS}>"),
        F.array(F.try_variant_get(body["delayedRecipients"], "$", _ADDRESS)),
    )
    if_only_one = F.when(F.size(destination) == 1, destination)
    return _by_class(
        {
            "delivery": body["recipients"],
            "bounce": body["bouncedRecipients"]["emailAddress"],
            "complaint": body["complainedRecipients"]["emailAddress"],
            "delivery_delay": delayed["emailAddress"],
            **dict.fromkeys(_NAMES_THE_MESSAGES_RECIPIENTS, destination),
            **dict.fromkeys(("open", "click"), if_only_one),
        }
    )


def _problem(limits: Limits) -> Column:
    """Why a record is no event, as `reason` and `detail` in words; NULL if it is one."""
    text, mail = _own_text(), F.col("mail")
    event_stated, own_time = F.col("event_stated"), F.col("own_time")
    accepted_stated, accepted_at = F.col("accepted_stated"), F.col("timestamp")
    is_none = (event_stated.isNotNull() & own_time.isNull()) | (accepted_stated.isNotNull() & accepted_at.isNull())
    earliest, latest = F.lit(limits.earliest), F.lit(limits.latest)
    in_range = F.coalesce(own_time.between(earliest, latest), F.lit(True)) & F.coalesce(
        accepted_at.between(earliest, latest), F.lit(True)
    )
    no_id = F.coalesce(F.trim(mail["messageId"]), F.lit("")) == ""
    stated = F.concat(F.lit("stated: "), F.left(F.concat_ws(", ", event_stated, accepted_stated), F.lit(200)))
    cases: list[Case] = [
        *unreadable(text, F.when(F.col("text").isNotNull(), F.lit("the content of its wrapper")), limits),
        (F.col("is_received"), Reason.UNKNOWN_SHAPE, F.lit("a notification of received mail")),
        (mail.isNull(), Reason.UNKNOWN_SHAPE, F.lit("no `mail` object, and no known wrapper")),
        (F.col("event_class").isNull(), Reason.UNKNOWN_SHAPE, F.lit("no type of event stated")),
        (no_id, Reason.NO_MESSAGE_ID, F.lit(None)),
        (F.coalesce(event_stated, accepted_stated).isNull(), Reason.BAD_TIME, F.lit("no time stated")),
        (is_none, Reason.BAD_TIME, stated),
        (~in_range, Reason.TIME_OUT_OF_RANGE, stated),
    ]
    return first_problem(cases)


def _is_control() -> Column:
    """SNS confirmations and validation texts, EventBridge records that are not about a mail."""
    record, text = F.col("record"), F.col("text")
    is_read = ~F.col("cut_off") & F.col("full_length").isNull() & ~F.col("odd")
    confirms = record["Type"].isin("SubscriptionConfirmation", "UnsubscribeConfirmation")
    about_no_mail = F.coalesce(F.col("detail_type"), record["detail-type"]).isNotNull()
    validates = record.isNull() & text.rlike(_SNS_VALIDATION)
    has_no_mail = record["mail"].isNull()
    return is_read & has_no_mail & F.coalesce(confirms | (about_no_mail & record.isNotNull()) | validates, F.lit(False))


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


def to_records(lines: DataFrame, limits: Limits) -> DataFrame:
    """RAW_LINES of SES files to `filename`, `name` and `text` of each event: its class, and it without its wrapper.

    What is no event is left out. `name` is NULL if the class is not stated.
    """
    for step in (*record_steps(_FORM, limits.max_record_bytes), [F.col("*"), _event_class().alias("name")]):
        lines = lines.select(*step)
    is_event = F.col("record.mail").isNotNull()
    return lines.where(is_event).select(filename_of(F.col("path")).alias("filename"), "name", _own_text().alias("text"))


@lru_cache(maxsize=4)
def _steps(limits: Limits) -> list[list[Column]]:
    """What `to_events` selects, one step after the other; kept, for building it costs a second per batch.

    What several columns of a step read stands in a step before: Spark computes it there once.
    """
    everything, record = F.col("*"), F.col("record")
    carried = [F.col(name) for name in (*CARRIED, "odd", "place", "raw", "text", "detail_type", "account")]
    return [
        *record_steps(_FORM, limits.max_record_bytes),
        [everything, _event_class().alias("event_class")],
        [
            *carried,
            F.col("event_class"),
            record.isNotNull().alias("is_parsed"),
            record["mail"].alias("mail"),
            F.coalesce(F.lower(record["notificationType"]) == "received", F.lit(False)).alias("is_received"),
            _is_control().alias("is_control"),
            _by_class({c: record[body] for c, body in _BODY_OF_CLASS.items()}).alias("stated_body"),
        ],
        [everything, F.to_json("stated_body").alias("body_text")],
        [everything, _unusual_body().alias("unusual_body")],
        [everything, _body_in_order().alias("body_in_order"), _body().alias("body")],
        [
            everything,
            F.col("body.timestamp").alias("event_stated"),
            F.col("mail.timestamp").alias("accepted_stated"),
            _named_recipients().alias("named_recipients"),
            _event_data().alias("event_data"),
        ],
        [
            everything,
            instant(F.col("event_stated")).alias("own_time"),
            instant(F.col("accepted_stated")).alias("timestamp"),
            recipients_key(F.col("named_recipients")).alias("event_recipients"),
        ],
        [
            everything,
            F.coalesce("own_time", "timestamp").alias("event_time"),
            F.when(~F.col("is_control"), _problem(limits)).alias("problem"),
            filename_of(F.col("path")).alias("filename"),
        ],
        _columns(limits),
    ]


def _columns(limits: Limits) -> list[Column]:
    """The last step: the columns that `to_events` promises."""
    is_bad = F.col("problem").isNotNull()
    is_event = ~is_bad & ~F.col("is_control")
    mail, body = F.col("mail"), F.col("body")
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

    return [
        *verdict(limits, F.when(F.col("is_control"), F.lit(CONTROL)).otherwise(judged())),
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
        F.lower(F.coalesce(*[body[name] for name in ("bounceType", "complaintSubType", "delayType")])).alias(
            "event_type"
        ),
        F.lower(F.when(is_complaint, body["complaintFeedbackType"]).otherwise(body["bounceSubType"])).alias(
            "event_subclass"
        ),
        F.col("event_recipients").alias("event_recipients"),
        F.col("event_data").alias("event_data"),
        bucket_of(F.col("filename")).alias("bucket"),
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
