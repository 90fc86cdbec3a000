"""What happened to a message, in words: for people who read it in a terminal."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

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
