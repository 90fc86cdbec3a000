"""What is told of one message: every event, where it is from, and every copy that was dropped."""

import io
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from rich.console import Console

from conf.errors import ConfigurationError
from jobs.explain import explain, show
from jobs.generator import generate_ses
from jobs.stream_events import load
from tests.conftest import settings_for
from tests.jobs.conftest import Built


def test_every_event_and_every_dropped_copy_of_a_message(built: Built, spark: SparkSession) -> None:
    """Of the message that was sent again most often, in wrappers, gzip and Base64."""
    copies: dict[str, Counter[str]] = defaultdict(Counter)
    events: dict[str, Counter[str]] = defaultdict(Counter)
    for event in built.ses.events:
        copies[event.message_id][event.event_class] += event.copies - 1
        events[event.message_id][event.event_class] += 1
    message_id = max(copies, key=lambda one: (copies[one].total(), one))
    found = explain(built.settings, message_id, spark=spark)
    assert Counter(event.event_class for event in found.events) == events[message_id]
    assert found.copies is not None
    assert Counter(copy.event_class for copy in found.copies) == +copies[message_id]
    assert found.files_gone == 0
    regions = {(r.recipient, r.region) for r in built.requests.requests if r.message_id == message_id}
    assert {(row.recipient, row.region) for row in found.requests} == regions


def test_a_message_of_sailthru_with_its_newest_version(built: Built, spark: SparkSession) -> None:
    counted = Counter((event.account, event.message_id) for event in built.sailthru.events)
    ((account, message_id), events), *_ = counted.most_common()
    found = explain(built.settings, message_id, spark=spark)
    assert sum(event.account == account for event in found.events) == events
    assert sum(state.client_id == account for state in found.states) == 1
    assert found.copies  # the array is sent again whole
    text = io.StringIO()
    show(Console(file=text, width=80), found)
    assert "Newest version that Sailthru sent" in text.getvalue()


def test_it_is_told_in_order_with_files_listed_once(built: Built, spark: SparkSession) -> None:
    clicked = next(event for event in built.ses.events if event.event_class == "click")
    text = io.StringIO()
    show(Console(file=text, width=80), explain(built.settings, clicked.message_id, with_copies=False, spark=spark))
    told = text.getvalue()
    parts = ["Requests", "What happened (UTC)", f"clicked {clicked.link}", "Where it ended", "Files", "[1] file:///"]
    places = [told.index(part) for part in parts]
    assert places == sorted(places)
    assert "Dropped" not in told


def test_a_file_that_is_gone_is_said(built: Built, spark: SparkSession, tmp_path: Path) -> None:
    generate_ses(tmp_path / "input", events=60, seed=5)
    settings = settings_for(tmp_path)
    load(settings, provider="ses", spark=spark)
    for file in (tmp_path / "input" / "ses").rglob("*"):
        if file.is_file():
            file.unlink()
    events = generate_ses(tmp_path / "other", events=60, seed=5).events
    found = explain(settings, events[0].message_id, spark=spark)
    assert found.copies == []
    assert found.files_gone > 0


def test_a_quarantined_record_that_names_the_message_is_shown(spark: SparkSession, tmp_path: Path) -> None:
    folder = tmp_path / "input" / "ses"
    folder.mkdir(parents=True)
    (folder / "a.json").write_text(
        '{"eventType":"Open","mail":{"messageId":"m-1","timestamp":"yesterday"},"open":{}}\n'
    )
    settings = settings_for(tmp_path)
    load(settings, provider="ses", spark=spark)
    (row,) = explain(settings, "m-1", spark=spark).quarantined
    assert (row.reason, row.position) == ("bad_time", 0)
    with pytest.raises(ConfigurationError, match="Nothing is known of message `m-2`"):
        explain(settings, "m-2", spark=spark)
