"""Records that are no events: broken ones with the reason they must get, and control messages."""

from dataclasses import dataclass
from random import Random

from jobs.generator import wrappers
from jobs.generator.forms import BROKEN
from jobs.generator.history import REGION, UNKNOWN, Event, Json, dumps, iso
from jobs.generator.truth import EventTruth

BAD_TIMES = (
    "yesterday",
    "now",
    "2025-10-25",
    "12:30",
    "T12:30:00Z",
    "2026",
    "2025-02-30T10:00:00.000Z",
    "2025-10-25T25:61:00.000Z",
    "25/10/2025 18:04:11",
)
TIMES_OUT_OF_RANGE = (
    "0000-01-01T00:00:00.000Z",
    "99999-01-01T00:00:00.000Z",
    "1970-01-01T00:00:00.000Z",
    "1999-12-31T23:59:59.999Z",
    "2999-01-01T00:00:00.000Z",
    "9999-12-31T23:59:59.999Z",
)
GARBAGE = (
    b"garbage",
    b"2025-10-25 18:04:11 ERROR no route to host",
    b"<EOF>",
    b"\xff\xfe\x00g",
    b"eventType=Send",
)
REMAINDERS = (b",", b"}", b"]", b"xx", b"\xff\xfe", b"<EOF>")


@dataclass(frozen=True, slots=True)
class Broken:
    """A record for the quarantine; `raw` is None for an element of a `Records` dump."""

    reason: str
    raw: bytes | None


@dataclass(frozen=True, slots=True)
class Control:
    """A record that is counted and not kept."""


Outcome = EventTruth | Broken | Control
Line = tuple[bytes, tuple[Outcome, ...]]
CONTROL = Control()
GLUED = ("garbage_between", "garbage_after", "unclosed_after_object")


def glued(kind: str, line: Line, text: str, rng: Random) -> Line:
    """The line with something broken on it as well, before or behind what is there."""
    data, outcomes = line
    if kind == "garbage_between":
        first, rest = b'{"a":1}', rng.choice(REMAINDERS)
        ahead = (Broken("unknown_shape", first), Broken("not_json", rest))
        return b" ".join((first, rest, data)), (*ahead, *outcomes)
    rest = rng.choice(REMAINDERS) if kind == "garbage_after" else _cut(text, rng)
    return data + rest, (*outcomes, Broken("not_json", rest))


def broken_line(kind: str, event: Event, text: str, at: int, rng: Random) -> Line:
    """A broken record made from an event; `text` is the event in its ordinary shape."""
    reason = BROKEN[kind]
    data = _broken_element(kind, event, at, rng)
    if data is not None:
        return data.encode(), (Broken(reason, None),)
    raw = _broken_bytes(kind, event, text, at, rng)
    return raw, (Broken(reason, raw),)


def _broken_element(kind: str, event: Event, at: int, rng: Random) -> str | None:
    if kind == "s3_records":
        return '{"Records":[{"eventSource":"aws:s3","s3":{"bucket":{"name":"made-up"},"object":{"key":"a"}}}]}'
    if kind == "no_message_id_in_records":
        record = event.as_object()
        del record["mail"]["messageId"]
        return wrappers.records_dump([wrappers.lambda_element(dumps(record), at, rng)])
    return None


def _broken_bytes(kind: str, event: Event, text: str, at: int, rng: Random) -> bytes:
    if kind in ("truncated", "unclosed_before_object"):
        return _cut(text, rng) if kind == "truncated" else _unclosed(event).encode() + text.encode()
    if kind == "truncated_in_sns":
        return dumps(wrappers.sns(_cut(text, rng).decode("utf-8", "ignore"), at, rng)).encode()
    if kind == "garbage":
        return rng.choice(GARBAGE)
    if kind == "invalid_utf8":
        return text.encode().replace(b'"ses:operation":["SendEmail"]', b'"ses:operation":["Send\xffEmail\xc3"]')
    if kind == "nan":
        return text[:-1].encode() + b',"score":' + rng.choice((b"NaN", b"Infinity", b"-Infinity")) + b"}"
    if kind == "trailing_comma":
        return text[:-1].encode() + b",}"
    if kind == "single_quotes":
        return b"{'eventType':'Send','mail':{'messageId':'01','timestamp':'2025-10-25T18:04:11Z'},'send':{}}"
    if kind == "array_of_events":
        return f"[{text},{text}]".encode()
    fixed = {
        "array": (b"[1,2]", b"[]", b'["a","b"]'),
        "number": (b"5", b"-1.5e3"),
        "text": (b'"x"', b'"{}"'),
        "null": (b"null", b"true"),
        "empty_object": (b"{}", b"{ }"),
        "other_object": (b'{"a":1}', b'{"level":"info","message":"no event","mail":"box"}'),
    }
    if kind in fixed:
        return rng.choice(fixed[kind])
    return _broken_object(kind, event, at, rng).encode()


def _broken_object(kind: str, event: Event, at: int, rng: Random) -> str:
    record = event.as_object()
    mail: Json = record["mail"]
    if kind == "received":
        receipt = {"timestamp": iso(at), "recipients": mail["destination"], "action": {"type": "SNS"}}
        record = {"notificationType": "Received", "receipt": receipt, "mail": mail, "content": "made up"}
    elif kind == "no_mail":
        del record["mail"]
    elif kind == "mail_null":
        record["mail"] = rng.choice((None, 5, []))
    elif kind == "only_mail":
        record = {"mail": mail}
    elif kind == "firehose_error_without_data":
        return wrappers.firehose_error(None, at, rng)
    elif kind == "no_message_id":
        del mail["messageId"]
    elif kind == "empty_message_id":
        mail["messageId"] = ""
    elif kind == "null_message_id":
        mail["messageId"] = None
    elif kind in ("bad_time", "bad_time_in_sns"):
        _state_time(event, record, rng.choice(BAD_TIMES))
    elif kind == "no_time":
        del mail["timestamp"]
        record.get(event.kind.body_key, {}).pop("timestamp", None)
    elif kind == "time_out_of_range":
        _state_time(event, record, rng.choice(TIMES_OUT_OF_RANGE))
    else:
        raise ValueError(f"Unknown kind of broken record {kind!r}; known are {sorted(BROKEN)}.")
    if kind == "bad_time_in_sns":
        return dumps(wrappers.sns(dumps(record), at, rng))
    return dumps(record)


def _state_time(event: Event, record: Json, time: str) -> None:
    """Put the time where the record states its own."""
    body = record.get(event.kind.body_key, {})
    if "timestamp" in body:
        body["timestamp"] = time
    else:
        record["mail"]["timestamp"] = time


def _cut(text: str, rng: Random) -> bytes:
    """The first part of an object, at any byte: a string or a character may be cut in two.

    Ends in a visible character, since white space around a record is no part of it.
    """
    data = text.encode()
    return data[: rng.randrange(1, len(data) - 1)].rstrip(b" \t\r")


def _unclosed(event: Event) -> str:
    """An object that stops between two values, so that what follows it on the line is inside it."""
    return f'{{"eventType":"{event.kind.event_type}","mail":{dumps(event.as_object()["mail"])},'


def breakable(event: Event) -> bool:
    """Whether each kind of broken record can be made from this event."""
    return event.kind.event_class != UNKNOWN and not event.missing


def control_text(kind: str, at: int, rng: Random) -> str:
    """A control message as one record."""
    if kind == "sending_status":
        return wrappers.eventbridge('{"version":"1.0","data":{"origin":"AWS_SES"}}', "Sending Status Enabled", at, rng)
    if kind == "advisor":
        return wrappers.eventbridge("{}", "Advisor Recommendation Status Open", at, rng)
    envelope = wrappers.sns(wrappers.VALIDATION, at, rng)
    if kind == "validation_text":
        return dumps(envelope)
    if kind == "validation_in_records":
        return wrappers.records_dump([wrappers.lambda_element(wrappers.VALIDATION, at, rng)])
    if kind == "subscription_confirmation":
        envelope["Type"], envelope["Message"] = (
            "SubscriptionConfirmation",
            "You have chosen to subscribe to the topic.",
        )
    elif kind == "unsubscribe_confirmation":
        envelope["Type"], envelope["Message"] = (
            "UnsubscribeConfirmation",
            "You have chosen to deactivate the subscription.",
        )
    else:
        raise ValueError(f"Unknown kind of control message {kind!r}.")
    envelope["SubscribeURL"] = f"https://sns.{REGION}.amazonaws.com/?Action=ConfirmSubscription&Token=madeup"
    envelope["Token"] = "madeuptoken"
    return dumps(envelope)
