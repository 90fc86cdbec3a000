"""What happened to a message, in words: for people who read it in a terminal."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F
from rich.text import Text

_WORDS = {
    "send": "sent",
    "reject": "rejected by SES: it holds a virus",
    "rendering_failure": "not sent: its template could not be filled",
    "delivery": "delivered",
    "delivery_delay": "held up",
    "bounce": "bounced",
    "open": "opened",
    "click": "clicked",
    "complaint": "reported as spam",
    "subscription": "changed what they subscribe to",
    "unsubscribe": "opted out",
}
COLUMNS = ("event_class", "event_time", "event_type", "event_subclass", "event_recipients", "link", "source")
"""Of `events`: what `words_of` looks at."""


def stories(spark: SparkSession, journeys: Sequence[Row], requests: DataFrame) -> list[Text]:
    """Journeys told in words, out of the session's table `events`."""
    is_told = F.col("message_id").isin([row.message_id for row in journeys])
    columns = ["provider", "account", "message_id", "subject", *COLUMNS]
    events = spark.table("events").where(is_told).select(*columns).orderBy("event_time", "event_class").collect()
    asked = requests.where(is_told).collect()
    told = []
    for row in journeys:
        key = (row.provider, row.message_id)
        own = [e for e in events if (e.provider, e.message_id) == key and row.account in ("", e.account)]
        regions = sorted({r.region for r in asked if r.message_id == row.message_id and r.region})
        told.append(story(row, own, regions))
    return told


def story(journey: Row, events: list[Row], regions: list[str]) -> Text:
    """A journey told in words; `events` are its message's, in order of time."""
    subject = next((e.subject for e in events if e.subject), None)
    kind = f"{journey.email_kind}, {' and '.join(regions) or 'no request'}"
    about = f"“{subject}”" if subject else f"message {journey.message_id}"
    text = Text()
    text.append(f"  {about} to {journey.recipient or '(not said whom)'} ({kind})\n", style="cyan")
    turn = {(step.event_class, step.event_time): i for i, step in enumerate(journey.steps)}
    own = _own(journey, events)
    began: datetime | None = None
    for event in sorted(own, key=lambda e: turn[e.event_class, e.event_time]):
        when = f"{event.event_time:%a %d %b %H:%M:%S}" if began is None else f"+ {elapsed(began, event.event_time)}"
        began = began or event.event_time
        text.append(f"    {when:<20} {words_of(event.asDict())}\n")
    return text


def _own(journey: Row, events: list[Row]) -> list[Row]:
    """The events that are the journey's steps: of those of one class and time, first those that name its recipient."""
    left = Counter((step.event_class, step.event_time) for step in journey.steps)
    own = []
    for event in sorted(events, key=lambda e: journey.recipient not in (e.event_recipients or ())):
        if left[event.event_class, event.event_time]:
            left[event.event_class, event.event_time] -= 1
            own.append(event)
    return own


def words_of(event: Mapping[str, Any], *, with_recipients: bool = False) -> str:
    """One event in a few words."""
    name = event["event_class"]
    words = _WORDS.get(name, name.replace("_", " "))
    kind = ", ".join(text for text in (event["event_type"], event["event_subclass"]) if text)
    if name == "complaint" and event["event_subclass"] == "not-spam":
        words, kind = "marked as no spam", ""
    if name == "click" and event["link"]:
        words += f" {event['link']}"
    elif name == "send" and event["source"]:
        words += f" by {event['source']}"
    if with_recipients and event["event_recipients"] and name != "send":
        words += f" ({', '.join(event['event_recipients'])})"
    return f"{words}: {kind}" if kind else words


def elapsed(since: datetime, until: datetime) -> str:
    """The time between two events as a person would say it: `2 s`, `3 h 10 min`, `2 days 4 h`."""
    passed = until - since
    if passed < timedelta(0):
        return f"-{elapsed(until, since)}"
    seconds = int(passed.total_seconds())
    days = seconds // 86_400
    parts = [
        (days, "day" if days == 1 else "days"),
        (seconds // 3600 % 24, "h"),
        (seconds // 60 % 60, "min"),
        (seconds % 60, "s"),
    ]
    while not parts[0][0] and len(parts) > 1:
        del parts[0]
    return " ".join(f"{count} {unit}" for count, unit in parts[:2] if count) or "0 s"
