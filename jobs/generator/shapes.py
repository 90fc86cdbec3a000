"""The same event in other clothes: shapes of the record itself, before any wrapper."""

import json
from collections.abc import Callable
from datetime import timedelta
from random import Random

from jobs.generator.history import EPOCH, KINDS, SECOND, TIMELESS, UNKNOWN, Event, Json, dumps, iso

RECIPIENT_LISTS = {
    "bounce": "bouncedRecipients",
    "complaint": "complainedRecipients",
    "delivery_delay": "delayedRecipients",
}
SPELLINGS = {
    "rendering_failure": ("RenderingFailure", "RENDERING_FAILURE", "rendering failure", "renderingFailure"),
    "delivery_delay": ("Delivery Delay", "DELIVERY_DELAY", "deliveryDelay"),
}


def spelled(micros: int, rng: Random) -> str | int:
    """One instant in any of the spellings that some source or re-export uses."""
    ways: list[Callable[[int], str | int]] = [
        _minus_five,
        _plus_three,
        _without_zone,
        _with_space,
        _with_space_and_zone,
    ]
    if micros % 1000 == 0:
        ways += [lambda at: at // 1000, lambda at: str(at // 1000)]
    if micros % SECOND == 0:
        ways += [lambda at: at // SECOND, lambda at: str(at // SECOND), _without_fraction, _without_fraction]
    return rng.choice(ways)(micros)


def _without_fraction(micros: int) -> str | int:
    return iso(micros)[:19] + "Z"


def _minus_five(micros: int) -> str | int:
    return iso(micros - 5 * 3600 * SECOND)[:-1] + "-05:00"


def _plus_three(micros: int) -> str | int:
    """As Postbox writes it: five digits of the fraction where five will do."""
    text = (EPOCH + timedelta(microseconds=micros, hours=3)).isoformat(timespec="microseconds")[:-6]
    return (text[:-1] if text.endswith("0") else text) + "+03:00"


def _without_zone(micros: int) -> str | int:
    return iso(micros)[:-1]


def _with_space(micros: int) -> str | int:
    return iso(micros)[:-1].replace("T", " ")


def _with_space_and_zone(micros: int) -> str | int:
    return iso(micros).replace("T", " ")


class Record:
    """A record that shapes change one after another."""

    def __init__(self, event: Event, rng: Random) -> None:
        self.event, self.rng = event, rng
        self.kind = event.kind
        self.top: Json = event.as_object()
        self.mail: Json = self.top["mail"]
        self.body: Json | None = self.top.get(self.kind.body_key)
        self.text: str | None = None

    def body_string(self) -> bool:
        if self.body is None or self.kind.event_class == UNKNOWN:
            return False
        self.top[self.kind.body_key] = dumps(self.body)
        self.body = None
        return True

    def body_null(self) -> bool:
        if self.event.missing != "body" and self.kind.event_class not in TIMELESS:
            return False
        self.top[self.kind.body_key], self.body = None, None
        return True

    def body_missing(self) -> bool:
        if self.kind.event_class not in TIMELESS:
            return False
        self.top.pop(self.kind.body_key, None)
        self.body = None
        return True

    def type_spelling(self) -> bool:
        event_class = self.kind.event_class
        if event_class == UNKNOWN:
            return False
        event_type = self.kind.event_type
        self.top["eventType"] = self.rng.choice(SPELLINGS.get(event_class, (event_type.upper(), event_type.lower())))
        return True

    def times(self) -> bool:
        self.mail["timestamp"] = spelled(self.event.mail_time, self.rng)
        # The body of an unknown class is part of its identity: there, another spelling is another event.
        if self.body and "timestamp" in self.body and self.kind.event_class != UNKNOWN:
            self.body["timestamp"] = spelled(self.event.truth.event_time, self.rng)
        return True

    def key_order(self) -> bool:
        self._shuffle(self.mail)
        if self.body:
            self._shuffle(self.body)
        self._shuffle(self.top)
        return True

    def _shuffle(self, record: Json) -> None:
        items = list(record.items())
        self.rng.shuffle(items)
        record.clear()
        record.update(items)

    def extra_keys(self) -> bool:
        self.top["schemaVersion"] = "2026-01"
        self.mail["tenantName"] = "tenant-1"
        self.mail["headersTruncated"] = "false"
        self.mail["delivery"] = {"timestamp": "not this one"}
        if self.kind.event_class != UNKNOWN:
            self.top["extension"] = {"timestamp": "1999-01-01T00:00:00Z", "list": [1, 2.5, None]}
            if self.body:
                self.body["newField"] = {"messageId": "not this one", "n": 12345678901234567890}
        return True

    def identity(self) -> bool:
        if self.kind.event_class not in ("bounce", "complaint", "delivery"):
            return False
        for name in ("tags", "headers", "commonHeaders", "headersTruncated"):
            self.mail.pop(name, None)
        self.mail["sourceIp"], self.mail["callerIdentity"] = "198.51.100.7", "mailer-role"
        rest = dict(self.top)
        rest.pop("eventType")
        self.top.clear()
        self.top["notificationType"] = self.kind.event_type
        self.top.update(rest)
        return True

    def other_bodies_null(self) -> bool:
        for kind in KINDS.values():
            if kind.event_class != UNKNOWN:
                self.top.setdefault(kind.body_key, None)
        return True

    def recipients(self) -> bool:
        if not self.body:
            return False
        if self.kind.event_class == "delivery":
            addresses = [_with_other_case(address) for address in self.body["recipients"]]
            self.rng.shuffle(addresses)
            self.body["recipients"] = addresses
            return True
        name = RECIPIENT_LISTS.get(self.kind.event_class)
        if name is None or isinstance(self.body[name], dict):
            return False
        entries = [entry | {"emailAddress": _with_other_case(entry["emailAddress"])} for entry in self.body[name]]
        self.rng.shuffle(entries)
        self.body[name] = entries
        return True

    def escapes(self) -> bool:
        self.text = "escapes"
        return True

    def short_mail(self) -> bool:
        for name in ("headers", "commonHeaders", "sourceArn", "sendingAccountId", "headersTruncated"):
            self.mail.pop(name, None)
        return True

    def delayed_object(self) -> bool:
        if self.kind.event_class != "delivery_delay" or not self.body:
            return False
        entries = self.body["delayedRecipients"]
        if not isinstance(entries, list) or len(entries) != 1:
            return False
        self.body["delayedRecipients"] = entries[0]
        return True

    def as_text(self) -> str:
        if self.text == "escapes":
            return json.dumps(self.top)
        return dumps(self.top)


def _with_other_case(address: str) -> str:
    local, at, domain = address.rpartition("@")
    return local + at + domain.upper()


# Order matters: a body that became text cannot be changed any more.
STEPS: dict[str, Callable[[Record], bool]] = {
    "times": Record.times,
    "recipients": Record.recipients,
    "delayed_object": Record.delayed_object,
    "extra_keys": Record.extra_keys,
    "short_mail": Record.short_mail,
    "type_spelling": Record.type_spelling,
    "key_order": Record.key_order,
    "body_string": Record.body_string,
    "body_null": Record.body_null,
    "body_missing": Record.body_missing,
    "identity": Record.identity,
    "other_bodies_null": Record.other_bodies_null,
    "escapes": Record.escapes,
}


def shaped_text(event: Event, wanted: set[str], rng: Random) -> tuple[str, list[str]]:
    """The event in the wanted shapes, and the names of those that fitted it."""
    record = Record(event, rng)
    used = [name for name, step in STEPS.items() if name in wanted and step(record)]
    return record.as_text(), used
