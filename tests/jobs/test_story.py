"""What happened, in words."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from jobs.story import COLUMNS, elapsed, words_of

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
