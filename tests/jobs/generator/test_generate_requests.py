"""The truth of requests and regions, checked against a reader of the files that knows only the rules of reading."""

import csv
import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from jobs.generator import (
    EventTruth,
    Forms,
    RequestsTruth,
    RequestTruth,
    SailthruTruth,
    Truth,
    generate_requests,
    generate_sailthru,
    generate_ses,
    write_requests_truth,
)
from jobs.generator.regions import REGIONS, region_of
from tests.jobs.generator.test_generate_ses import bytes_below

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
FORMS = {
    "file_bom_and_crlf",
    "file_without_rows",
    "recipient_odd",
    "region_empty",
    "region_padded",
    "repeated",
    "repeated_later",
    "repeated_with_other_region",
    "row_quoted",
    "time_unreadable",
    "time_with_offset",
    "time_without_zone",
    "without_events",
    "without_message_id",
}
Mixed = tuple[Path, Truth, SailthruTruth, RequestsTruth]


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Mixed:
    output = tmp_path_factory.mktemp("mixed")
    ses = generate_ses(output, events=6000, forms=Forms(too_large=0))
    sailthru = generate_sailthru(output, messages=600, days=3, update_days=2, clients=("4321", "99"))
    return output, ses, sailthru, generate_requests(output, ses, sailthru)


def instant_of(text: str) -> int | None:
    """Microseconds since 1970 of ISO 8601; without a zone it is UTC."""
    try:
        stated = datetime.fromisoformat(text)
    except ValueError:
        return None
    return ((stated if stated.tzinfo else stated.replace(tzinfo=UTC)) - EPOCH) // MICROSECOND


def read(folder: Path) -> tuple[set[RequestTruth], int, int]:
    """The requests that are left, and how many rows were repeated and rejected."""
    left: dict[tuple[str, str], RequestTruth] = {}
    repeated = rejected = 0
    for path in sorted(folder.glob("*.csv"), reverse=True):  # the order of the files must not matter
        with path.open(encoding="utf-8-sig", newline="") as lines:
            for row in csv.DictReader(lines):
                assert list(row) == ["message_id", "recipient", "request_time", "region"]
                if not row["message_id"]:
                    rejected += 1
                    continue
                local, at, domain = row["recipient"].rpartition("@")
                recipient = local + at + domain.lower()
                time, region = instant_of(row["request_time"]), row["region"].strip() or None
                found = RequestTruth(row["message_id"], recipient, time, region)
                known = left.setdefault((found.message_id, recipient), found)
                repeated += known is not found
                times = [(one.request_time is None, one.request_time or 0) for one in (known, found)]
                regions = [(one.region is None, one.region or "") for one in (known, found)]
                if times[1] < times[0] or (times[1] == times[0] and regions[1] < regions[0]):
                    left[found.message_id, recipient] = found
    return set(left.values()), repeated, rejected


def by_message(events: list[EventTruth]) -> dict[str, list[EventTruth]]:
    messages: dict[str, list[EventTruth]] = {}
    for event in events:
        messages.setdefault(event.message_id, []).append(event)
    return messages


def test_the_truth_is_what_the_rules_leave_of_the_files(mixed: Mixed) -> None:
    output, _, _, truth = mixed
    left, repeated, rejected = read(output / "requests")
    assert left == set(truth.requests)
    assert len(left) == len(truth.requests)
    assert (repeated, rejected) == (truth.repeated, truth.rejected)
    assert min(repeated, rejected) > 0


def test_every_form_and_every_region_appears(mixed: Mixed) -> None:
    _, _, _, truth = mixed
    assert truth.forms.keys() == FORMS
    assert {request.region for request in truth.requests} == {*REGIONS, None}


def test_most_messages_have_a_request_for_each_recipient_shortly_before_the_send(mixed: Mixed) -> None:
    _, ses, sailthru, truth = mixed
    requested: dict[str, set[str]] = {}
    for request in truth.requests:
        requested.setdefault(request.message_id, set()).add(request.recipient)
    messages = by_message(ses.events)
    have = messages.keys() & requested.keys()
    assert 0.94 <= len(have) / len(messages) <= 0.98
    for message_id in have:
        destination = messages[message_id][0].destination
        assert requested[message_id] == {a.rpartition("@")[0] + "@" + a.rpartition("@")[2].lower() for a in destination}
    sent = {message_id: min(e.timestamp for e in events) for message_id, events in messages.items()}
    waited = [sent[r.message_id] - r.request_time for r in truth.requests if r.request_time and r.message_id in sent]
    late = [micros for micros in waited if not 50_000 <= micros <= 31_000_000]
    assert len(late) < 0.002 * len(waited)  # where the send was lost, and a late bounce states its own time
    triggered = {str(message["message_id"]) for message in sailthru.messages if message["template"] is not None}
    assert 0.9 <= len(triggered & requested.keys()) / len(triggered) <= 1
    of_campaigns = {str(message["message_id"]) for message in sailthru.messages} - triggered
    assert not of_campaigns & requested.keys()
    without_events = requested.keys() - messages.keys() - triggered
    assert 0.005 <= len(without_events) / len(requested) <= 0.02


def test_the_region_is_that_of_the_person(mixed: Mixed) -> None:
    _, _, sailthru, truth = mixed
    stated = [request for request in truth.requests if request.region is not None]
    agreeing = [request for request in stated if request.region == region_of(request.recipient)]
    assert len(agreeing) / len(stated) > 0.99  # but for rows repeated with another one
    regions = {(r.message_id, region_of(r.recipient)) for r in truth.requests}
    assert max(Counter(message_id for message_id, _ in regions).values()) > 1
    assert region_of("Ada.Abel0@EXAMPLE.com") == region_of("ada.abel0@example.com")
    by_id = {request.recipient for request in truth.requests if "@" not in request.recipient}
    assert by_id  # people whose profile was never exported
    assert by_id <= {str(message["profile_id"]) for message in sailthru.messages}


def test_the_same_seed_gives_the_same_bytes(mixed: Mixed, tmp_path: Path) -> None:
    output, ses, sailthru, truth = mixed
    assert generate_requests(tmp_path / "a", ses, sailthru) == truth
    assert bytes_below(tmp_path / "a" / "requests") == bytes_below(output / "requests")
    assert generate_requests(tmp_path / "b", ses, sailthru, seed=2) != truth


def test_without_odd_every_row_is_ordinary(mixed: Mixed, tmp_path: Path) -> None:
    truth = generate_requests(tmp_path, mixed[1], odd=False)
    assert (truth.repeated, truth.rejected) == (0, 0)
    assert truth.forms.keys() == {"without_events"}
    rows = 0
    for path in (tmp_path / "requests").iterdir():
        header, *lines = path.read_bytes().decode().splitlines()
        assert header == "message_id,recipient,request_time,region"
        rows += len(lines)
        for line in lines:
            _, _, time, region = line.split(",")
            assert time.endswith("Z")
            assert time[:10] == path.stem
            assert region in REGIONS
    assert rows == len(truth.requests)


def test_nothing_sent_gives_nothing_asked_for(tmp_path: Path) -> None:
    assert generate_requests(tmp_path, Truth()).requests == []
    assert read(tmp_path / "requests") == (set(), 0, 0)


def test_the_truth_is_written_as_lines_and_counts(mixed: Mixed, tmp_path: Path) -> None:
    truth = mixed[3]
    write_requests_truth(truth, tmp_path)
    lines = (tmp_path / "requests.jsonl").read_text("utf-8").splitlines()
    assert [RequestTruth(**json.loads(line)) for line in lines] == truth.requests
    counts = json.loads((tmp_path / "counts.json").read_text())
    assert counts == {"repeated": truth.repeated, "rejected": truth.rejected}


def opts_out(body: dict[str, Any]) -> bool:
    """All of it, or a topic that was not out before."""
    new, old = (
        {t["topicName"] for t in body[name]["topicSubscriptionStatus"] if t["subscriptionStatus"] == "OptOut"}
        for name in ("newTopicPreferences", "oldTopicPreferences")
    )
    return bool(body["newTopicPreferences"]["unsubscribeAll"] or new - old)


def test_plain_subscriptions_and_campaigns_are_those_of_the_truth(tmp_path: Path) -> None:
    truth = generate_ses(tmp_path, events=8000, forms=Forms.plain())
    stated: Counter[tuple[str, str, str, bool]] = Counter()
    for path in (tmp_path / "ses").rglob("*-*"):
        for line in path.read_text("utf-8").split("\n")[:-1] if path.is_file() else ():
            record = json.loads(line)
            body = record.get("subscription")
            campaign = record["mail"]["tags"]["ses:configuration-set"][0]
            event_class = record["eventType"].lower().replace(" ", "_").replace("deliverydelay", "delivery_delay")
            stated[record["mail"]["messageId"], event_class, campaign, bool(body and opts_out(body))] += 1
    assert stated == Counter((e.message_id, e.event_class, e.campaign or "", e.unsubscribes) for e in truth.events)
    changes = Counter(e.unsubscribes for e in truth.events if e.event_class == "subscription")
    assert min(changes[True], changes[False]) > 0


def test_lost_events_are_neither_in_the_files_nor_in_the_truth(tmp_path: Path) -> None:
    truth = generate_ses(tmp_path, events=2000, forms=Forms(too_large=0, lost=0.1))
    assert len(truth.events) == 2000
    classes = [{e.event_class for e in events} for events in by_message(truth.events).values()]
    assert any("delivery" not in one and "open" in one for one in classes)
    assert any("send" not in one for one in classes)
    assert Forms.plain().lost == 0


def test_rates_are_believable_and_differ_by_region(tmp_path: Path) -> None:
    truth = generate_ses(tmp_path, events=30_000, forms=Forms.plain())
    counts: dict[str, Counter[str]] = {region: Counter() for region in [*REGIONS, "all"]}
    for events in by_message(truth.events).values():
        classes = {event.event_class for event in events}
        delivered = "delivery" in classes and "bounce" not in classes
        for region in (region_of(events[0].destination[0]), "all"):
            counts[region]["sent"] += "send" in classes
            counts[region]["bounced"] += "send" in classes and "bounce" in classes
            counts[region]["complained"] += "complaint" in classes
            counts[region]["delivered"] += delivered
            counts[region]["opened"] += delivered and bool(classes & {"open", "click"})
            counts[region]["clicked"] += delivered and "click" in classes
            counts[region]["unsubscribed"] += delivered and any(event.unsubscribes for event in events)

    def rate(numerator: str, denominator: str, region: str = "all") -> float:
        return counts[region][numerator] / counts[region][denominator]

    assert 0.965 <= rate("delivered", "sent") <= 0.985
    assert 0.35 <= rate("opened", "delivered") <= 0.5
    assert 0.08 <= rate("clicked", "delivered") <= 0.18
    assert 0.001 <= rate("complained", "sent") <= 0.006
    assert 0.01 <= rate("unsubscribed", "delivered") <= 0.02
    assert max(REGIONS, key=lambda region: rate("bounced", "sent", region)) == "LATAM"
    assert max(REGIONS, key=lambda region: rate("opened", "delivered", region)) == "EU"
