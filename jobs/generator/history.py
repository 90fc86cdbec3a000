"""A made-up history: who was sent what, and what became of it.

People, addresses and texts are invented; domains are the reserved example.com, .net and .org.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from random import Random
from typing import Any, Literal

from jobs.generator.regions import Habits, habits_of
from jobs.generator.truth import EventTruth

Json = dict[str, Any]
Missing = Literal["", "body", "body_time"]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND = 1_000_000
MINUTE, HOUR, DAY = 60 * SECOND, 3600 * SECOND, 86400 * SECOND
ACCOUNT, REGION = "000111222333", "eu-west-1"
EVENTS_PER_MESSAGE = 2.9  # measured; only spaces the sends over the days


@dataclass(frozen=True, slots=True)
class Kind:
    """How SES spells one class of event."""

    event_class: str
    event_type: str
    body_key: str
    detail_type: str
    body_first: bool = False


KINDS = {
    kind.event_class: kind
    for kind in (
        Kind("send", "Send", "send", "Email Sent"),
        Kind("delivery", "Delivery", "delivery", "Email Delivered"),
        Kind("bounce", "Bounce", "bounce", "Email Bounced", body_first=True),
        Kind("complaint", "Complaint", "complaint", "Email Complaint Received", body_first=True),
        Kind("reject", "Reject", "reject", "Email Rejected"),
        Kind("open", "Open", "open", "Email Opened"),
        Kind("click", "Click", "click", "Email Clicked", body_first=True),
        Kind("rendering_failure", "Rendering Failure", "failure", "Email Rendering Failed"),
        Kind("delivery_delay", "DeliveryDelay", "deliveryDelay", "Email Delivery Delayed"),
        Kind("subscription", "Subscription", "subscription", "Email Subscribed"),
        Kind("inbox_placement", "InboxPlacement", "inboxPlacement", "Email Inbox Placement"),
    )
}
TIMELESS = ("send", "reject", "rendering_failure")
UNKNOWN = "inbox_placement"


@dataclass(frozen=True, slots=True)
class Preferences:
    """What a person's subscriptions were (`old`) and are now (`new`): whether out of all, and status by topic."""

    old_all: bool
    old: Json
    new_all: bool
    new: Json
    unsubscribes: bool


OUT, IN = "OptOut", "OptIn"
PREFERENCES = (
    Preferences(False, {"weekly": IN}, True, {"weekly": OUT}, unsubscribes=True),
    Preferences(False, {"weekly": IN}, True, {"weekly": IN}, unsubscribes=True),
    Preferences(False, {"weekly": IN, "offers": IN}, False, {"offers": OUT, "weekly": IN}, unsubscribes=True),
    Preferences(False, {}, False, {"weekly": OUT}, unsubscribes=True),
    Preferences(False, {"weekly": OUT}, False, {"weekly": IN}, unsubscribes=False),
    Preferences(False, {"offers": OUT, "weekly": OUT}, False, {"weekly": IN, "offers": OUT}, unsubscribes=False),
    Preferences(True, {"weekly": OUT}, False, {"weekly": IN}, unsubscribes=False),
)
PREFERENCE_WEIGHTS = (35, 5, 25, 7, 14, 7, 7)


@dataclass(frozen=True, slots=True)
class Campaign:
    """A kind of mail that one team sends again and again."""

    name: str
    configuration_set: str
    source: str
    subject: str
    links: tuple[str, ...]


CAMPAIGNS = (
    Campaign(
        "autumn-list",
        "newsletter",
        "Book Club <news@example.com>",
        "Autumn reading list",
        ("https://www.example.com/lists/autumn?src=mail", "https://www.example.com/clubs"),
    ),
    Campaign(
        "wiedersehen",
        "newsletter",
        '"Bücher & Mehr" <post@example.org>',
        "Grüße aus Köln: wir vermissen Sie 📚",
        ("https://www.example.org/zurück?q=a%20b&n=1", "https://www.example.org/abmelden"),
    ),
    Campaign(
        "braces",
        "newsletter",
        "news@example.com",
        'Odd but true: }{ and "quotes", a \\ backslash \\" and {"a":[1}]',
        ("https://www.example.com/odd?json={}&q=%22", "https://www.example.com/odd#top"),
    ),
    Campaign(
        "half-emoji",
        "newsletter",
        "news@example.com",
        "A subject cut in the middle of an emoji \ud83d",
        ("https://www.example.com/emoji",),
    ),
    Campaign(
        "welcome",
        "transactional",
        "Accounts <no-reply@example.net>",
        "Welcome! Please confirm your address",
        ("https://accounts.example.net/confirm?token=abc", "https://accounts.example.net/help"),
    ),
    Campaign(
        "password-reset",
        "transactional",
        "no-reply@example.net",
        "Reset your password",
        ("https://accounts.example.net/reset?token=xyz",),
    ),
    Campaign(
        "invoice",
        "billing",
        "Billing <billing@example.com>",
        "Your invoice is ready",
        ("https://pay.example.com/invoice", "https://pay.example.com/history"),
    ),
    Campaign(
        "本日のおすすめ",
        "newsletter",
        "=?UTF-8?B?5pys?= <hon@example.org>",
        "本日のおすすめ\tと新刊\u2028",
        ("https://www.example.org/本/1",),
    ),
)
CAMPAIGN_WEIGHTS = (30, 12, 6, 1, 18, 12, 16, 5)
FIRST = ("ada", "bo", "cy", "dora", "Emil", "fay", "gus", "hana", "ivo", "june", "kaz", "lin", "mo", "nia")
LAST = ("abel", "brook", "chen", "diaz", "ek", "fox", "gray", "hope", "ito", "jung", "khan", "lund", "moss")
DOMAINS = ("example.com", "example.net", "example.org")
BROWSERS = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:143.0) Gecko/20100101 Firefox/143.0",
)
MACHINES = (
    "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)",
    "Mozilla/5.0",
    "YahooMailProxy; https://help.yahoo.example/",
)
SOFT_BOUNCES = (
    "General",
    "MailboxFull",
    "MessageTooLarge",
    "ContentRejected",
    "AttachmentRejected",
    "CustomTimeoutExceeded",
)
HARD_BOUNCES = ("General", "NoEmail", "NoEmail", "NoEmail")
SUPPRESSED = ("Suppressed", "OnAccountSuppressionList", "OnTenantSuppressionList")
DELAYS = (
    "InternalFailure",
    "General",
    "MailboxFull",
    "SpamDetected",
    "RecipientServerError",
    "IPFailure",
    "TransientCommunicationFailure",
    "Undetermined",
)
FEEDBACK = ("abuse", "abuse", "fraud", "not-spam", "other", "virus", "auth-failure")


def iso(micros: int) -> str:
    """The spelling of SES itself: UTC, `Z`, milliseconds, and microseconds only where they are not 0."""
    seconds, rest = divmod(micros, SECOND)
    return f"{_to_second(seconds)}.{rest:06d}Z" if rest % 1000 else f"{_to_second(seconds)}.{rest // 1000:03d}Z"


@lru_cache(maxsize=4096)
def _to_second(seconds: int) -> str:
    return (EPOCH + timedelta(seconds=seconds)).isoformat()[:19]


def uuid_from(rng: Random) -> str:
    """A version 4 UUID of the seeded generator."""
    digits = f"{rng.getrandbits(128):032x}"
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-9{digits[17:20]}-{digits[20:]}"


def with_lower_domain(address: str) -> str:
    """The address as identity sees it: only the domain is case-blind."""
    local, at, domain = address.rpartition("@")
    return local + at + domain.lower()


def attributed(addresses: list[str] | tuple[str, ...]) -> tuple[str, ...] | None:
    """Recipients as the truth lists them."""
    if len(addresses) == 1:
        return (with_lower_domain(addresses[0]),)
    return tuple(sorted(map(with_lower_domain, addresses))) or None


@dataclass(slots=True)
class Message:
    """One accepted mail. The texts are JSON made once, since most events of a message share them."""

    message_id: str
    sent_at: int
    source: str
    destination: tuple[str, ...]
    mail: Json
    tags: Json
    mail_text: str
    tags_text: str
    handed_over_text: str
    taken: set[tuple[Any, ...]]

    def mail_object(self, event_class: str, mail_time: int) -> Json:
        """The `mail` object as an event of this class carries it; a copy to change at will."""
        mail = dict(self.mail)
        mail["timestamp"] = iso(mail_time)
        if event_class in ("rendering_failure", "delivery_delay"):
            mail.pop("headers")
            mail.pop("commonHeaders")
        mail["tags"] = dict(self.tags)
        if event_class == "delivery":
            mail["tags"].update(OUTGOING_TAGS)
        return mail


OUTGOING_TAGS = {"ses:outgoing-ip": ["203.0.113.20"], "ses:outgoing-tls-version": ["TLSv1.3"]}


@dataclass(slots=True)
class Event:
    """One event before it is serialised, with what must come of it."""

    kind: Kind
    message: Message
    body: Json
    mail_time: int
    missing: Missing
    truth: EventTruth

    def as_object(self) -> Json:
        """The event as SES publishes it; a copy to change at will."""
        mail = self.message.mail_object(self.kind.event_class, self.mail_time)
        if self.missing == "body":
            return {"eventType": self.kind.event_type, "mail": mail}
        body = dict(self.body)
        if self.kind.body_first:
            return {"eventType": self.kind.event_type, self.kind.body_key: body, "mail": mail}
        return {"eventType": self.kind.event_type, "mail": mail, self.kind.body_key: body}

    def as_text(self) -> str:
        """`as_object` as compact JSON, most of it from the message's own texts."""
        kind, message = self.kind, self.message
        if self.missing or self.mail_time != message.sent_at:
            return dumps(self.as_object())
        if kind.event_class in ("rendering_failure", "delivery_delay"):
            return dumps(self.as_object())
        tags = message.handed_over_text if kind.event_class == "delivery" else message.tags_text
        mail = f'"mail":{message.mail_text[:-1]},"tags":{tags}}}'
        body = f'"{kind.body_key}":{dumps(self.body)}'
        parts = f"{body},{mail}" if kind.body_first else f"{mail},{body}"
        return f'{{"eventType":"{kind.event_type}",{parts}}}'


def dumps(value: Any) -> str:
    """Compact JSON; half a surrogate pair, which UTF-8 cannot hold, stays an escape."""
    text = _ENCODER.encode(value)
    return text if "\ud83d" not in text else _ASCII_ENCODER.encode(value)


_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_ASCII_ENCODER = json.JSONEncoder(separators=(",", ":"))


@dataclass(slots=True)
class History:
    """Lifecycles of messages, one after another, in order of sending."""

    rng: Random
    events: int
    start: int
    days: int
    without_body: float
    unknown_class: float
    lost: float
    events_lost: int = 0

    def messages(self) -> Iterator[list[Event]]:
        """The events of each message in turn, `events` of them in all."""
        step = max(self.days * DAY * EVENTS_PER_MESSAGE / max(self.events, 1), 1.0)
        sent_at, left = float(self.start), self.events
        while left > 0:
            sent_at += step * 2 * self.rng.random()
            lifecycle = self._not_lost(self._lifecycle(int(sent_at) // 1000 * 1000))[:left]
            left -= len(lifecycle)
            yield lifecycle

    def _not_lost(self, lifecycle: list[Event]) -> list[Event]:
        """What the provider did not lose on the way."""
        if not self.lost:
            return lifecycle
        kept = [event for event in lifecycle if self.rng.random() >= self.lost] or lifecycle[:1]
        self.events_lost += len(lifecycle) - len(kept)
        return kept

    def _lifecycle(self, sent_at: int) -> list[Event]:
        rng = self.rng
        if rng.random() < 0.08:
            sent_at -= sent_at % SECOND
        campaign = rng.choices(CAMPAIGNS, CAMPAIGN_WEIGHTS)[0]
        message = self._message(campaign, sent_at)
        habits = habits_of(message.destination[0])
        chance = rng.random()
        if chance < 0.005:
            return [self._event(message, "reject", sent_at, {"reason": "Bad content"})]
        if chance < 0.010:
            failure = {
                "templateName": f"{campaign.configuration_set}-{campaign.name}",
                "errorMessage": "Attribute 'first_name' is not present in the rendering data.",
            }
            return [self._event(message, "rendering_failure", sent_at, failure)]
        events = [self._event(message, "send", sent_at, {})]
        chance = rng.random()
        if chance < 0.004 * habits.bounces:
            events.append(self._suppressed(message))
            return events
        if chance < 0.018 * habits.bounces:
            hard = rng.random() < 0.8
            sub_types = HARD_BOUNCES if hard else ("Undetermined",)
            kind = "Permanent" if hard else "Undetermined"
            events.append(self._bounce(message, kind, rng.choice(sub_types), message.destination, 5 * SECOND))
            return events
        waited = 0
        if rng.random() < 0.03:
            for _ in range(rng.choice((1, 1, 2, 3))):
                waited += 30 * MINUTE
                events.append(self._delay(message, waited))
            if rng.random() < 0.2 * habits.bounces:
                sub_type = rng.choice(SOFT_BOUNCES)
                events.append(self._bounce(message, "Transient", sub_type, message.destination, waited + 8 * HOUR))
                return events
        events.extend(self._deliveries(message, waited))
        events.extend(self._after_delivery(message, campaign, waited, habits))
        return events

    def _after_delivery(self, message: Message, campaign: Campaign, waited: int, habits: Habits) -> Iterator[Event]:
        rng = self.rng
        if rng.random() < 0.05:
            yield self._open(message, waited + 40 * SECOND, rng.choice(MACHINES), machine=True)
        if rng.random() < 0.02:
            yield from self._scanner_clicks(message, campaign, waited + 2 * SECOND)
        if rng.random() < 0.37 * habits.opens:
            after = waited + MINUTE + int(rng.expovariate(1 / (3 * HOUR)))
            browser = rng.choice(BROWSERS)
            while True:
                yield self._open(message, after, browser)
                after += int(rng.expovariate(1 / HOUR))
                if rng.random() > 0.3:
                    break
            while rng.random() < 0.27 * habits.clicks:
                yield self._click(message, after, browser, rng.choice(campaign.links))
                after += SECOND + int(rng.expovariate(1 / MINUTE))
        elif rng.random() < 0.025:  # images blocked: a click without an open
            yield self._click(message, waited + HOUR, rng.choice(BROWSERS), campaign.links[0])
        if rng.random() < 0.003:
            yield self._complaint(message, waited + DAY)
        elif rng.random() < 0.022 * habits.unsubscribes:
            yield self._subscription(message, waited + 2 * HOUR)
        elif rng.random() < 0.003 * habits.bounces:
            late = DAY + int(rng.random() * 2 * DAY)
            yield self._bounce(message, "Permanent", "General", message.destination[:1], late, late=True)
        if self.unknown_class and rng.random() < self.unknown_class:
            body = {
                "placement": rng.choice(("inbox", "spam")),
                "provider": "Example ISP",
                "panel": {"size": 12},
            }
            yield self._event(message, UNKNOWN, self._at(message, waited + 90 * SECOND), body)

    def _message(self, campaign: Campaign, sent_at: int) -> Message:
        rng = self.rng
        count = 1 if rng.random() < 0.9 else rng.randint(2, 4)
        names = [self._person() for _ in range(count)]
        destination = tuple(dict.fromkeys(address for _, address in names))
        shown = [f"{name} <{address}>" if rng.random() < 0.3 else address for name, address in names]
        message_id = f"0102{sent_at // 1000:012x}-{uuid_from(rng)}-000000"
        own_id = f"<{rng.getrandbits(64):016x}@mailer.example.com>" if rng.random() < 0.2 else message_id
        joined = ", ".join(shown)
        domain = campaign.source.rpartition("@")[2].rstrip(">")
        mail = {
            "timestamp": iso(sent_at),
            "source": campaign.source,
            "sourceArn": f"arn:aws:ses:{REGION}:{ACCOUNT}:identity/{domain}",
            "sendingAccountId": ACCOUNT,
            "messageId": message_id,
            "destination": list(destination),
            "headersTruncated": False,
            "headers": [
                {"name": "From", "value": campaign.source},
                {"name": "To", "value": joined},
                {"name": "Subject", "value": campaign.subject},
                {"name": "MIME-Version", "value": "1.0"},
                {"name": "Content-Type", "value": 'multipart/alternative; boundary="b1_{}"'},
            ],
            "commonHeaders": {
                "from": [campaign.source],
                "to": [joined] if rng.random() < 0.3 else shown,
                "messageId": own_id,
                "subject": campaign.subject,
            },
        }
        tags = {
            "ses:operation": ["SendEmail"],
            "ses:configuration-set": [campaign.configuration_set],
            "ses:source-ip": ["198.51.100.7"],
            "ses:from-domain": [domain],
            "ses:caller-identity": ["mailer-role"],
            "campaign": [campaign.name],
        }
        return Message(
            message_id=message_id,
            sent_at=sent_at,
            source=campaign.source,
            destination=destination,
            mail=mail,
            tags=tags,
            mail_text=dumps(mail),
            tags_text=dumps(tags),
            handed_over_text=dumps(tags | OUTGOING_TAGS),
            taken=set(),
        )

    def _person(self) -> tuple[str, str]:
        """A name and an address; few enough people that many get several messages."""
        number = int(self.rng.random() ** 2 * max(self.events // 8, 20))
        first, last = FIRST[number % len(FIRST)], LAST[number // 7 % len(LAST)]
        domain = DOMAINS[number % 3]
        if number % 37 == 5:
            domain = domain.title().replace("Com", "COM")
        return f"{first.title()} {last.title()}", f"{first}.{last}{number}@{domain}"

    def _at(self, message: Message, after: int) -> int:
        """`after` the send in milliseconds; now and then a whole second or, foreign to SES, microseconds."""
        chance = self.rng.random()
        at = message.sent_at + after + int(chance * 2 * SECOND)
        if chance < 0.08:
            return at - at % SECOND + SECOND
        return at if chance > 0.99 else at - at % 1000

    def _event(
        self,
        message: Message,
        event_class: str,
        at: int,
        body: Json,
        *,
        event_type: str | None = None,
        event_subclass: str | None = None,
        recipients: tuple[str, ...] | list[str] | None = None,
        mail_time: int | None = None,
        unsubscribes: bool = False,
    ) -> Event:
        mail_time = message.sent_at if mail_time is None else mail_time
        timeless = event_class in TIMELESS
        if event_class in ("open", "click"):
            recipients = message.destination if len(message.destination) == 1 else ()
        elif timeless or event_class == "subscription":
            recipients = message.destination
        truth = EventTruth(
            event_class=event_class,
            message_id=message.message_id,
            event_time=mail_time if timeless else at,
            completion_time=None if timeless else at,
            timestamp=mail_time,
            source=message.source,
            event_type=event_type.lower() if event_type else None,
            event_subclass=event_subclass.lower() if event_subclass else None,
            event_recipients=attributed(recipients or ()),
            destination=message.destination,
            link=body.get("link"),
            ip_address=body.get("ipAddress"),
            user_agent=body.get("userAgent"),
            feedback_id=body.get("feedbackId"),
            campaign=message.tags["ses:configuration-set"][0],
            unsubscribes=unsubscribes,
        )
        missing: Missing = ""
        key: tuple[Any, ...] | None = None
        if not timeless and event_class != UNKNOWN and self.without_body and self.rng.random() < self.without_body:
            missing = self._without_body(truth, message)
        if not timeless and not missing:
            key = truth.key
            while key in message.taken:
                truth.event_time += SECOND if truth.event_time % SECOND == 0 else 1000
                key = truth.key
            truth.completion_time = truth.event_time
            body = {"timestamp": iso(truth.event_time), **body}
        message.taken.add(truth.key if key is None else key)
        return Event(KINDS[event_class], message, body, mail_time, missing, truth)

    def _without_body(self, truth: EventTruth, message: Message) -> Missing:
        """Take the body, or only its time, from the event, unless another event would then be the same."""
        stated = (truth.event_time, truth.event_recipients)
        truth.event_time, truth.completion_time = truth.timestamp, None
        if self.rng.random() < 0.5 and truth.key not in message.taken:
            return "body_time"
        keeps_recipients = truth.event_class in ("open", "click", "subscription")
        bare = replace(
            truth,
            event_type=None,
            event_subclass=None,
            event_recipients=truth.event_recipients if keeps_recipients else None,
            link=None,
            ip_address=None,
            user_agent=None,
            feedback_id=None,
        )
        if bare.key in message.taken:
            truth.event_time, truth.event_recipients = stated
            return ""
        truth.event_type = truth.event_subclass = truth.link = truth.ip_address = None
        truth.user_agent = truth.feedback_id = None
        truth.event_recipients, truth.unsubscribes = bare.event_recipients, False
        return "body"

    def _deliveries(self, message: Message, waited: int) -> Iterator[Event]:
        groups: list[tuple[str, ...]] = [message.destination]
        if self.rng.random() < 0.5:  # one event for each recipient, some at the same instant
            groups = [(address,) for address in message.destination]
        at = self._at(message, waited + SECOND)
        for group in groups:
            body = {
                "processingTimeMillis": (at - message.sent_at) // 1000,
                "recipients": list(group),
                "smtpResponse": f"250 2.0.0 Ok: queued as {self.rng.getrandbits(40):010X}",
                "remoteMtaIp": "192.0.2.44",
                "reportingMTA": f"a7-31.smtp-out.{REGION}.amazonses.com",
            }
            yield self._event(message, "delivery", at, body, recipients=group)

    def _bounce(
        self,
        message: Message,
        bounce_type: str,
        sub_type: str,
        addresses: tuple[str, ...],
        after: int,
        *,
        late: bool = False,
    ) -> Event:
        rng = self.rng
        at = self._at(message, after)
        body: Json = {
            "feedbackId": f"0100{at // 1000:012x}-{uuid_from(rng)}-000000",
            "bounceType": bounce_type,
            "bounceSubType": sub_type,
        }
        if rng.random() < 0.03:
            addresses = ()
        if rng.random() < 0.7:
            body["bouncedRecipients"] = [
                {
                    "emailAddress": address,
                    "action": "failed",
                    "status": "5.1.1" if bounce_type == "Permanent" else "4.2.2",
                    "diagnosticCode": f"smtp; 550 5.1.1 mailbox {address} is not for us",
                }
                for address in addresses
            ]
            body["reportingMTA"] = f"dns; a7-31.smtp-out.{REGION}.amazonses.com"
            body["remoteMtaIp"] = "192.0.2.45"
        else:
            body["bouncedRecipients"] = [{"emailAddress": address} for address in addresses]
        return self._event(
            message,
            "bounce",
            at,
            body,
            event_type=bounce_type,
            event_subclass=sub_type,
            recipients=addresses,
            # Seen by GOV.UK Notify: late bounces carry a current time in `mail` too.
            mail_time=at - at % 1000 if late and rng.random() < 0.2 else None,
        )

    def _suppressed(self, message: Message) -> Event:
        if self.rng.random() < 0.7:
            sub_type = self.rng.choice(SUPPRESSED)
            return self._bounce(message, "Permanent", sub_type, message.destination, SECOND)
        return self._complaint(message, SECOND, "OnAccountSuppressionList")

    def _complaint(self, message: Message, after: int, sub_type: str | None = None) -> Event:
        rng = self.rng
        at = self._at(message, after)
        domain = with_lower_domain(message.destination[0]).rpartition("@")[2]
        suspects = [one for one in message.destination if with_lower_domain(one).endswith("@" + domain)]
        body: Json = {
            "feedbackId": f"0100{at // 1000:012x}-{uuid_from(rng)}-000000",
            "complaintSubType": sub_type,
            "complainedRecipients": [{"emailAddress": address} for address in suspects],
        }
        feedback = None
        if sub_type is None and rng.random() < 0.8:
            feedback = rng.choice(FEEDBACK)
            body["userAgent"] = "ExampleISP-FBL/2.1"
            body["complaintFeedbackType"] = feedback
            body["arrivalDate"] = iso(at - at % 1000 - 38 * SECOND)[:-1] + "-05:00"
        return self._event(
            message, "complaint", at, body, event_type=sub_type, event_subclass=feedback, recipients=suspects
        )

    def _delay(self, message: Message, waited: int) -> Event:
        delay_type = self.rng.choice(DELAYS)
        body = {
            "delayType": delay_type,
            "expirationTime": iso(message.sent_at + 14 * HOUR),
            "delayedRecipients": [
                {"emailAddress": address, "status": "4.2.2", "diagnosticCode": "smtp; 452 4.2.2 over quota"}
                for address in message.destination
            ],
        }
        at = self._at(message, waited)
        return self._event(message, "delivery_delay", at, body, event_type=delay_type, recipients=message.destination)

    def _open(self, message: Message, after: int, agent: str, *, machine: bool = False) -> Event:
        body = {"ipAddress": self._address(), "userAgent": agent}
        if machine or self.rng.random() < 0.5:
            body["isBotEvent"] = "Likely" if machine else "Unlikely"
        return self._event(message, "open", self._at(message, after), body)

    def _click(self, message: Message, after: int, agent: str, link: str) -> Event:
        body: Json = {"ipAddress": self._address(), "userAgent": agent, "link": link}
        if self.rng.random() < 0.5:
            body["linkTags"] = self.rng.choice(({"slot": ["hero"]}, None))
        if self.rng.random() < 0.5:
            body["isBotEvent"] = "Unlikely"
        return self._event(message, "click", self._at(message, after), body)

    def _scanner_clicks(self, message: Message, campaign: Campaign, after: int) -> Iterator[Event]:
        """A scanner follows every link at one instant, so that only the link tells the clicks apart."""
        at, address = self._at(message, after), self._address()
        agent = self.rng.choice(("", "Barracuda Sentinel", "python-requests/2.32"))
        for link in campaign.links:
            body = {"ipAddress": address, "userAgent": agent, "link": link, "isBotEvent": "Likely"}
            yield self._event(message, "click", at, body)

    def _subscription(self, message: Message, after: int) -> Event:
        change = self.rng.choices(PREFERENCES, PREFERENCE_WEIGHTS)[0]
        body = {
            "contactList": "readers",
            "source": "UnsubscribeHeader" if change.new_all else message.source,
            "newTopicPreferences": _preferences(change.new_all, change.new),
            "oldTopicPreferences": _preferences(change.old_all, change.old),
        }
        at = self._at(message, after)
        return self._event(message, "subscription", at, body, unsubscribes=change.unsubscribes)

    def _address(self) -> str:
        return f"198.51.100.{1 + int(self.rng.random() * 250)}"


def _preferences(from_all: bool, topics: Json) -> Json:
    statuses = [{"topicName": name, "subscriptionStatus": status} for name, status in topics.items()]
    return {"unsubscribeAll": from_all, "topicSubscriptionStatus": statuses}
