"""What happened, in words."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from pyspark.sql import Row

from jobs.story import COLUMNS, elapsed, story, words_of

NOON = datetime(2025, 11, 20, 12)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.4, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (61, "1 min 1 s"),
        (3600, "1 h"),
        (3605, "1 h"),
        (86_400, "1 day"),
        (90_000, "1 day 1 h"),
        (951_000, "11 days"),
        (-61, "-1 min 1 s"),
    ],
)
def test_elapsed(seconds: float, words: str) -> None:
    assert elapsed(NOON, NOON + timedelta(seconds=seconds)) == words


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"event_class": "send", "source": "a@example.com"}, "sent by a@example.com"),
        ({"event_class": "click", "link": "https://example.com/x"}, "clicked https://example.com/x"),
        (
            {"event_class": "bounce", "event_type": "permanent", "event_subclass": "noemail"},
            "bounced: permanent, noemail",
        ),
        ({"event_class": "complaint", "event_subclass": "not-spam"}, "marked as no spam"),
        ({"event_class": "delivery", "event_recipients": ["a@example.com"]}, "delivered (a@example.com)"),
        ({"event_class": "inbox_placement"}, "inbox placement"),
    ],
)
def test_words(given: dict[str, Any], words: str) -> None:
    assert words_of(dict.fromkeys(COLUMNS) | given, with_recipients=True) == words


def test_a_story_tells_what_its_recipient_went_through_and_no_other() -> None:
    bounced = {"event_class": "bounce", "event_time": NOON + timedelta(seconds=2), "event_type": "permanent"}
    told = [
        {"event_class": "send", "event_time": NOON},
        bounced | {"event_subclass": "noemail", "event_recipients": ["bo@example.com"]},
        bounced | {"event_subclass": "general", "event_recipients": ["ada@example.com"]},
    ]
    events = [Row(**dict.fromkeys((*COLUMNS, "subject")) | event) for event in told]
    steps = [Row(event_class=e.event_class, event_time=e.event_time) for e in events[:2]]
    journey = Row(recipient="ada@example.com", email_kind="news", message_id="m", steps=steps)
    assert story(journey, events, ["EU"]).plain.splitlines() == [
        "  message m to ada@example.com (news, EU)",
        "    Thu 20 Nov 12:00:00  sent",
        "    + 2 s                bounced: permanent, general",
    ]
