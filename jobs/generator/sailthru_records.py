"""Records of Sailthru's Data Exporter as text: messages, campaigns, profiles, and broken ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from random import Random

from jobs.generator.files import Chances
from jobs.generator.history import SECOND, dumps, iso
from jobs.generator.sailthru_history import (
    CITIES,
    DEVICES,
    ENGAGEMENTS,
    LISTS,
    Blast,
    Json,
    Mail,
    Profile,
    WallClock,
    spelled,
)

BOUNCE_WORDS = {"hardbounce", "softbounce", "hard", "soft", "bounce", "bounced"}
ANY_MESSAGE = {
    "not_json_cut": "not_json",
    "not_json_text": "not_json",
    "not_utf8": "not_json",
    "array": "not_an_object",
    "scalar": "not_an_object",
    "send_time_missing": "bad_time",
    "send_time_unreadable": "bad_time",
    "send_time_1999": "time_out_of_range",
    "opens_number": "unknown_shape",
    "open_without_ts": "unknown_shape",
    "open_date_unreadable": "bad_time",
}
BROKEN_BLAST_MESSAGE = {**ANY_MESSAGE, "no_blast_id": "no_message_id", "no_message_id": "no_message_id"}
BROKEN_TRIGGERED = {**ANY_MESSAGE, "no_id": "no_message_id"}
BROKEN_STATE = {"no_id": "unknown_shape", "not_json_text": "not_json", "array": "not_an_object"}
REMOVED = {"send_time_missing": "send_time", "no_blast_id": "blast_id", "no_message_id": "message_id", "no_id": "id"}
UNKNOWN_FIELDS: Json = {"ab_variant": "B", "x extra": {"a": [1, None, {"$date": "later"}]}, "geo.ip": None}


@dataclass(frozen=True, slots=True)
class Version:
    """What one record states of a message; wall-clock times, None for what it leaves out or gives as null."""

    mail: Mail
    opens: list[int]
    clicks: list[tuple[int, str]]
    opted_out: datetime | None
    status: str | None
    device: str | None
    revenue: int | float | None
    engagement: str | None
    open_time: datetime | None
    click_time: datetime | None

    @property
    def is_bounce(self) -> bool:
        """Whether the delivery status names a bounce."""
        return self.status is not None and self.status.lower().replace(" ", "").replace("_", "") in BOUNCE_WORDS

    @property
    def events(self) -> int:
        """How many events the record contains, its send among them."""
        return 1 + len(self.opens) + len(self.clicks) + (self.opted_out is not None) + self.is_bounce

    def row(self, account: str, clock: WallClock) -> dict[str, object]:
        """The state of the message that the record gives, times in microseconds since 1970 UTC."""
        mail = self.mail
        return {
            "client_id": account,
            "message_id": mail.message_id,
            "profile_id": mail.profile.id,
            "blast_id": None if mail.blast_id is None else str(mail.blast_id),
            "template": mail.template,
            "send_time": mail.sent_at,
            "open_time": instant_or_none(self.open_time, clock),
            "click_time": instant_or_none(self.click_time, clock),
            "optout_time": instant_or_none(self.opted_out, clock),
            "opens": list(self.opens),
            "clicks": [(url, at) for at, url in self.clicks],
            "device": self.device,
            "message_revenue": None if self.revenue is None else dumps(self.revenue),
            "delivery_status": self.status,
            "engagement": self.engagement,
        }


def instant_or_none(local: datetime | None, clock: WallClock) -> int | None:
    """The instant of a wall-clock time, None of None."""
    return None if local is None else clock.instant(local)


class RecordWriter:
    """Spells the records of one account, in forms that vary from one record to the next."""

    def __init__(self, rng: Random, chances: Chances, clock: WallClock, *, odd: bool) -> None:
        self.rng, self.chances, self.clock, self.odd = rng, chances, clock, odd

    def version(self, mail: Mail, until: int, *, update: bool, other_device: bool = False) -> Version:
        """The message as it stood at the instant `until`; `update` as an update set states it."""
        opens = [at for at in mail.opens if at < until]
        clicks = [click for click in mail.clicks if click[0] < until]
        device = None
        if opens or clicks:
            device = DEVICES[(mail.variant + (len(opens) + len(clicks)) // 3 + other_device) % len(DEVICES)]
        elif other_device:
            device = DEVICES[mail.variant % len(DEVICES)]
        status = next((status for at, status in reversed(mail.statuses) if at < until or at == mail.sent_at), None)
        cents = next((cents for at, cents in reversed(mail.revenues) if at < until), None)
        revenue = None
        if cents is not None:
            revenue = cents // 100 if cents % 100 == 0 and mail.variant % 2 else cents / 100
        stated = opens or clicks or mail.variant % 3
        version = Version(
            mail=mail,
            opens=opens,
            clicks=clicks,
            opted_out=mail.opted_out if mail.opted_out_at is not None and mail.opted_out_at < until else None,
            status=status,
            device=device,
            revenue=revenue,
            engagement=ENGAGEMENTS[(mail.variant + len(opens)) % len(ENGAGEMENTS)] if update and stated else None,
            open_time=self.clock.local(opens[0]) if update and opens else None,
            click_time=self.clock.local(clicks[0][0]) if update and clicks and mail.blast_id is None else None,
        )
        if len(opens) > 1 and self.odd and self.chances.of("opens_newest_first", 0.01):
            opens.reverse()
        return version

    def message(self, version: Version, *, update: bool) -> Json:
        """The record of a message."""
        mail, rng = version.mail, self.rng
        record: Json = {"profile_id": mail.profile.id}
        if mail.template is not None:
            record["template"] = mail.template
        record["send_time"] = self._send_time(mail.sent)
        if update:
            if version.click_time is not None:
                record["click_time"] = spelled(version.click_time, rng)
            if version.open_time is not None or rng.random() < 0.5:
                record["open_time"] = None if version.open_time is None else spelled(version.open_time, rng)
        triggered = mail.blast_id is None
        if version.clicks or triggered:
            record["clicks"] = [{"url": url, "ts": self._date(at)} for at, url in version.clicks]
        if version.opens or triggered:
            record["opens"] = [{"ts": self._date(at)} for at in version.opens]
        else:
            self.chances.of("opens_absent", 1)
        if not triggered:
            record["blast_id"], record["message_id"] = mail.blast_id, mail.sequence
        record["device"], record["message_revenue"] = version.device, version.revenue
        record["delivery_status"] = version.status
        if update:
            record["engagement"] = version.engagement
        if version.opted_out is not None or (update and rng.random() < 0.5):
            record["optout_time"] = None if version.opted_out is None else spelled(version.opted_out, rng)
        if triggered:
            record["id"] = mail.message_id
        if self.odd and self.chances.of("unknown_fields", 0.02):
            record |= UNKNOWN_FIELDS
        return record

    def blast(self, blast: Blast) -> Json:
        """The record of a campaign, without the later fields if it has none."""
        record: Json = {"name": blast.name}
        if blast.template is not None:
            record |= {"link_params": blast.link_params, "template": blast.template, "list_name": blast.list_name}
        return record | {"day": blast.day.isoformat(), "id": blast.id}

    def profile(self, profile: Profile) -> Json:
        """The record of a profile as it stands now, with free keys of every kind."""
        rng, number = self.rng, profile.number
        city, country, code = CITIES[number % len(CITIES)]
        geo: Json = {"city": {f"{city}, {country}": 3}, "count": 3, "country": {country: 3}, "state": {city: 3}}
        if number % 20:
            geo["zip"] = {f"{code} {country}": 3}
        record: Json = {"browser": profile.browser, "email": profile.email, "geo": geo}
        record["lists_signup"] = self._lists(profile)
        if number % 4 == 0:
            record["lists_remove"] = {"null": spelled(profile.signed_up, rng)}
        if profile.opted_out is not None or rng.random() < 0.7:
            record["optout_reason"] = profile.optout_reason
            record["optout_time"] = None if profile.opted_out is None else spelled(profile.opted_out, rng)
        first_name = profile.email.partition(".")[0].title()
        record["vars"] = {"first_name": first_name, "plan level": number % 4, "utm.source": "a.b", "R&D": True}
        record["vars"] |= {"null": "null", "referrer": None, "nested": {"a": [1, "x"]}}
        record |= {"signup_time": spelled(profile.signed_up, rng), "create_date": spelled(profile.created, rng)}
        record |= {"total_opens": profile.opens, "total_clicks": profile.clicks}
        record |= {"total_unique_opens": profile.unique_opens, "total_unique_clicks": profile.unique_clicks}
        record |= {"total_pageviews": profile.pageviews, "total_messages": profile.messages}
        last = {
            "last_open": profile.last_open,
            "last_click": profile.last_click,
            "last_pageview": profile.last_pageview,
        }
        for name, local in last.items():
            if local is not None:
                record[name] = spelled(local, rng)
            elif rng.random() < 0.5:
                record[name] = None
        return record | {"id": profile.id}

    def _lists(self, profile: Profile) -> object:
        names = LISTS[: 1 + profile.number % len(LISTS)]
        if self.odd and self.chances.of("lists_signup_array", 0.1):
            return [{"name": name, "signup_time": spelled(profile.signed_up, self.rng)} for name in names]
        return {name: spelled(profile.signed_up, self.rng) for name in names}

    def _send_time(self, sent: datetime) -> str:
        text = spelled(sent, self.rng)
        form = {16: "minutes", 19: "seconds"}.get(len(text), "milliseconds")
        self.chances.of(f"send_time_{form}", 1)
        return text

    def _date(self, at: int) -> Json:
        """The `ts` object of an instant."""
        chance = self.rng.random()
        if chance > 0.06:
            self.chances.of("date_number", 1)
            return {"$date": at // 1000}
        if chance > 0.03:
            self.chances.of("date_number_long", 1)
            return {"$date": {"$numberLong": str(at // 1000)}}
        self.chances.of("date_text", 1)
        return {"$date": iso(at)}


def broken_bytes(kind: str, record: Json, rng: Random) -> bytes:
    """A record broken in one way, made from a good one; `kind` is a key of the `BROKEN_` tables.

    What would be read, if it were accepted, is an open that nobody made.
    """
    data = dumps(record).encode()
    match kind:
        case "not_json_cut":
            return data[: rng.randrange(2, len(data) - 1)].rstrip(b" \t\r")
        case "not_json_text":
            return rng.choice((b"garbage", b"2025-10-25 18:04:11 ERROR no route to host", b"<EOF>"))
        case "not_utf8":
            return data[:-1] + b',"note":"caf\xe9"}'
        case "array":
            return rng.choice((b"[" + data + b"]", b'[1,"two",null]', b"[]"))
        case "scalar":
            return rng.choice((b"5", b'"text"', b"null", b"true"))
    changed = dict(record)
    if kind in REMOVED:
        del changed[REMOVED[kind]]
    elif kind == "send_time_unreadable":
        changed["send_time"] = rng.choice(("yesterday", "2025-10-25", "2025-02-30T10:00:00.000", "T12:30"))
    elif kind == "send_time_1999":
        changed["send_time"] = "1999-12-31T12:00:00.000"
    elif kind == "opens_number":
        changed["opens"] = 3
    elif kind == "open_without_ts":
        changed["opens"] = [*_opens(changed), rng.choice(({}, {"at": 1}))]
    elif kind == "open_date_unreadable":
        changed["opens"] = [*_opens(changed), {"ts": {"$date": rng.choice(("soon", "2025-10-25"))}}]
    else:
        raise ValueError(f"Unknown kind of broken record {kind!r}.")
    if isinstance(changed.get("opens", []), list) and not kind.startswith("open") and "send_time" in record:
        changed["opens"] = [*_opens(changed), {"ts": {"$date": 1_767_225_600_000 + rng.randrange(SECOND)}}]
    return dumps(changed).encode()


def _opens(record: Json) -> Sequence[object]:
    opens: Sequence[object] = record.get("opens", [])
    return opens
