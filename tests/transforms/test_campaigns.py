"""Campaigns, their regions, recipients' totals and answers, of single cases that decide what a number means."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql.types import StructType

from schemas.journeys import JOURNEYS
from schemas.requests import REQUESTS, STATED
from schemas.sailthru import BLASTS, SAILTHRU_MESSAGES
from tests.transforms.test_journeys import ADA, BO, NOON, TO_BOTH, event, lifecycle
from transforms.campaign_regions import to_campaign_regions
from transforms.campaigns import message_revenues, moved_days, recipients_of_campaigns, to_campaigns
from transforms.invitations import to_invitations
from transforms.journeys import to_journeys
from transforms.messages import to_messages
from transforms.recipient_totals import to_recipient_totals

NOBODY: dict[str, Any] = {"destination": None}
NEXT_DAY = 24 * 60
ASKED = StructType([REQUESTS.schema[name] for name in STATED])


def sailthru(event_class: str, message_id: str, campaign: str, minute: float = 0, **given: Any) -> dict[str, Any]:
    """An event of Sailthru's client 7 about profile p."""
    about = {"provider": "sailthru", "account": "7", "profile_id": "p", "destination": None}
    return event(event_class, minute, message_id=message_id, campaign=campaign, **about, **given)


def sent_on(day: int, message_id: str = "m", **given: Any) -> list[dict[str, Any]]:
    """The send and the delivery of a message, days after noon."""
    about = {"message_id": message_id, "timestamp": NOON + timedelta(days=day), **given}
    return [event(event_class, day * NEXT_DAY, **about) for event_class in ("send", "delivery")]


def journeys_and_messages(spark: SparkSession, events: list[dict[str, Any]]) -> tuple[DataFrame, DataFrame]:
    rows = lifecycle(spark, events)
    journeys = to_journeys(rows)
    return journeys.select(*JOURNEYS.columns), to_messages(rows, journeys)


def revenues(spark: SparkSession, *versions: tuple[str, str | None, str]) -> DataFrame:
    """Of message id, revenue and version, all of client 7."""
    rows = [("7", message_id, revenue and Decimal(revenue), version) for message_id, revenue, version in versions]
    columns = [SAILTHRU_MESSAGES.schema[n] for n in ("client_id", "message_id", "message_revenue", "version")]
    listed = ", ".join(f"{f.name} {f.dataType.simpleString()}" for f in columns)
    return message_revenues(spark.createDataFrame(rows, listed))


def campaigns_of(
    spark: SparkSession, events: list[dict[str, Any]], *versions: tuple[str, str | None, str]
) -> dict[tuple[str, str], Row]:
    journeys, messages = journeys_and_messages(spark, events)
    blasts = spark.createDataFrame(
        [("7", "12", "Autumn"), ("8", "12", "Other")], "client_id string, id string, name string"
    )
    assert set(blasts.columns) <= set(BLASTS.columns)
    recipients = recipients_of_campaigns(journeys)
    found = to_campaigns(messages, recipients, revenues(spark, *versions), blasts).collect()
    return {(row.campaign_kind, row.campaign): row for row in found}


def regions_of(spark: SparkSession, events: list[dict[str, Any]], *requests: tuple[str, str | None, str | None]) -> Any:
    """By campaign and region: requests, messages, recipients."""
    journeys, messages = journeys_and_messages(spark, events)
    rows = [(message_id, recipient, None, region) for message_id, recipient, region in requests]
    asked = spark.createDataFrame(rows, ASKED)
    found = to_campaign_regions(asked, messages, journeys).collect()
    return {(row.campaign, row.region): (row.requests, row.messages, row.recipients) for row in found}


def invitation(spark: SparkSession, events: list[dict[str, Any]], response_days: int = 30) -> Row:
    journeys, _ = journeys_and_messages(spark, events)
    (row,) = to_invitations(journeys, response_days).collect()
    return row


def test_a_recipient_of_two_messages_of_a_campaign_counts_once_in_each_campaign(spark: SparkSession) -> None:
    events = [
        *sent_on(0, "a", campaign="news"),
        *sent_on(2, "b", campaign="news"),
        *sent_on(1, "c", campaign="sale"),
        *[event("open", minute, message_id=m, timestamp=None) for m in "ab" for minute in (1, 2)],
    ]
    found = campaigns_of(spark, events)
    news, sale = found["configuration_set", "news"], found["configuration_set", "sale"]
    assert (news.messages, news.recipients, news.recipients_opened, news.opened) == (2, 1, 1, 4)
    assert (sale.messages, sale.recipients, sale.recipients_opened, sale.opened) == (1, 1, 0, 0)
    assert (news.open_numerator, news.open_denominator, news.open_rate) == (2, 2, 1.0)
    assert (news.first_send_date, news.last_send_date) == (date(2025, 11, 20), date(2025, 11, 22))
    assert (news.name, news.revenue) == (None, None)


def test_mail_without_a_campaign_and_a_campaign_named_unknown_stay_apart(spark: SparkSession) -> None:
    events = [event("send", campaign=None), event("send", message_id="n", campaign="unknown")]
    found = campaigns_of(spark, events)
    assert set(found) == {("unknown", "unknown"), ("configuration_set", "unknown")}


def test_a_template_named_as_a_blast_is_another_campaign(spark: SparkSession) -> None:
    found = campaigns_of(spark, [sailthru("send", "12.1", "12"), sailthru("send", "68fb", "12")])
    assert {key: (row.messages, row.name) for key, row in found.items()} == {
        ("blast", "12"): (1, "Autumn"),
        ("template", "12"): (1, None),
    }


def test_revenue_is_that_of_the_newest_version_of_each_message(spark: SparkSession) -> None:
    """A message whose send moved to another day has two rows; one may have been paid back."""
    events = [sailthru("send", f"12.{n}", "12") for n in (1, 2, 3, 4)]
    versions = [
        ("12.1", "10.00", "1"),
        ("12.1", "17.99", "2"),
        ("12.2", "5", "1"),
        ("12.2", None, "2"),
        ("12.3", "1.5", "1"),
    ]
    assert campaigns_of(spark, events, *versions)["blast", "12"].revenue == Decimal("19.4900")
    assert campaigns_of(spark, events)["blast", "12"].revenue is None


def test_what_names_nobody_is_counted_but_is_no_recipient(spark: SparkSession) -> None:
    events = [
        event("send", **NOBODY),
        event("send", message_id="n", **TO_BOTH),
        event("click", 1, message_id="n", **TO_BOTH),
    ]
    found = campaigns_of(spark, [*events, event("delivery", message_id="n", **TO_BOTH, event_recipients=[ADA])])
    news = found["configuration_set", "news"]
    assert (news.messages, news.sent, news.clicked, news.recipients, news.recipients_clicked) == (2, 2, 1, 1, 0)


def test_each_recipient_is_of_the_region_that_the_own_request_names(spark: SparkSession) -> None:
    events = [
        event("delivery", message_id=m, event_recipients=[ADA, BO], **TO_BOTH) for m in ("each", "again", "one")
    ] + [event("delivery", message_id="none")]
    requests = [("each", ADA, "EU"), ("each", BO, "US"), ("again", ADA, "EU"), ("again", BO, None), ("one", None, "US")]
    assert regions_of(spark, events, *requests, ("never sent", ADA, "EU")) == {
        ("news", "EU"): (2, 2, 1),  # Ada twice
        ("news", "US"): (2, 2, 2),  # Bo by name, both by the message that names nobody
        ("news", "unknown"): (1, 2, 2),  # Bo's request without a region, Ada's message without a request
    }


def test_a_request_counts_with_the_first_of_two_clients_messages(spark: SparkSession) -> None:
    other = sailthru("send", "68fb", "Welcome") | {"account": "8"}
    journeys, messages = journeys_and_messages(spark, [sailthru("send", "68fb", "Welcome"), other])
    requests = spark.createDataFrame([("68fb", ADA, None, "EU")], ASKED)
    found = to_campaign_regions(requests, messages, journeys).collect()
    assert {(row.account, row.region): (row.requests, row.recipients) for row in found} == {
        ("7", "EU"): (1, 1),
        ("8", "EU"): (0, 1),
    }


def test_a_profile_has_its_blasts_counted_apart_from_triggered_mail(spark: SparkSession) -> None:
    events = [
        *[sailthru("send", message_id, "12") for message_id in ("12.1", "12.2")],
        *[sailthru("click", "12.1", "12", minute) for minute in (3, 9, 9.5)],
        sailthru("open", "13.1", "13", 5),
        sailthru("click", "68fb", "Welcome", 20),
    ]
    journeys, _ = journeys_and_messages(spark, events)
    (row,) = to_recipient_totals(journeys, revenues(spark, ("12.1", "2.5", "1")), many=2).collect()
    assert (row.recipient, row.messages, row.messages_opened, row.messages_clicked) == ("p", 4, 3, 2)
    assert (row.campaigns, row.campaigns_opened, row.campaigns_clicked) == (2, 2, 1)
    assert (row.sent, row.opened, row.clicked, row.revenue) == (2, 1, 4, Decimal("2.5000"))
    assert (row.has_many_campaigns, row.has_many_clicks) == (False, True)
    clicks = [at.astimezone(NOON.tzinfo) - NOON for at in (row.first_click_at, row.last_click_at)]
    assert clicks == [timedelta(minutes=3), timedelta(minutes=20)]


def test_nobody_has_no_totals(spark: SparkSession) -> None:
    journeys, _ = journeys_and_messages(spark, [event("open", **TO_BOTH), event("send", message_id="n")])
    found = to_recipient_totals(journeys, revenues(spark), many=0).collect()
    assert [(row.recipient, row.opened, row.has_many_campaigns) for row in found] == [(ADA, 0, True)]


def test_who_clicked_responded_whatever_else(spark: SparkSession) -> None:
    """Clicked and opted out; opted out; opened; bounced; got one of two; clicked what no delivery is known of."""
    to: dict[str, dict[str, Any]] = {
        name: {"message_id": name, "destination": [f"{name}@example.com"]} for name in ("both", "out", "opened", "lost")
    }
    events = [
        *[one for name in ("both", "out", "opened") for one in sent_on(0, **to[name])],
        event("click", 1, **to["both"]),
        event("unsubscribe", 2, **to["both"]),
        event("unsubscribe", 2, **to["out"]),
        event("open", 2, **to["opened"]),
        event("click", 3, **to["lost"]),
        event("send", message_id="bounced", destination=[BO]),
        event("bounce", 1, message_id="bounced", destination=[BO]),
        event("reject", message_id="rejected", destination=[ADA]),
    ]
    row = invitation(spark, events)
    assert (row.invited, row.reached, row.responded, row.declined, row.not_answered) == (5, 4, 2, 1, 1)
    assert (row.not_known, row.response_rate) == (0, 0.5)


def test_a_click_of_nobody_may_be_that_of_each_who_got_the_message(spark: SparkSession) -> None:
    events = [event("send", **TO_BOTH), event("click", 5, **TO_BOTH)]
    events += [event("delivery", 1, event_recipients=[ADA], **TO_BOTH)]
    events += [event("delivery", 1, message_id="n", event_recipients=[ADA, BO], **TO_BOTH)]
    row = invitation(spark, events)
    assert (row.invited, row.reached, row.responded, row.not_known, row.not_answered) == (2, 2, 0, 1, 1)


def test_recent_answers_are_those_to_the_sends_of_the_last_days(spark: SparkSession) -> None:
    """Bo was sent to on the day before the last two, Ada then and on the last."""
    events = [
        *sent_on(0, "a"),
        event("click", 4 * NEXT_DAY, message_id="a"),
        *sent_on(0, "b", destination=[BO]),
        *sent_on(2, "c"),
    ]
    row = invitation(spark, events, response_days=2)
    assert row.as_of_date == date(2025, 11, 22)
    assert (row.invited, row.responded, row.response_rate) == (2, 1, 0.5)
    assert (row.recent_invited, row.recent_responded, row.recent_not_answered) == (1, 0, 1)
    assert row.recent_response_rate == 0.0
    assert invitation(spark, events, response_days=3).recent_responded == 1


def test_the_days_of_a_campaign_move_with_its_messages_until_an_end_loses_one(spark: SparkSession) -> None:
    """Of four campaigns that were sent on days 2 to 5, and one that is new."""
    monday = date(2025, 11, 17)
    key = "provider string, account string, campaign_kind string, campaign string"
    days = [monday + timedelta(days=day) for day in range(8)]
    were = spark.createDataFrame(
        [("ses", "", "template", name, days[2], days[5]) for name in ("wider", "same", "inner", "end")],
        f"{key}, first_send_date date, last_send_date date",
    )
    moves: dict[str, list[tuple[int | None, int]]] = {
        "wider": [(1, 1), (6, 1), (3, -1)],  # a message moved, one is new
        "same": [(2, 1), (2, -1), (5, 1)],  # one is as it was
        "inner": [(4, -1)],
        "end": [(2, -1), (7, 1)],
        "new": [(0, 1), (3, 1), (None, 1)],
    }
    rows = [
        ("ses", "", "template", name, None if day is None else days[day], sign)
        for name, own in moves.items()
        for day, sign in own
    ]
    moved = moved_days(were, spark.createDataFrame(rows, f"{key}, send_date date, sign int"))
    found = {row.campaign: (row.first_send_date, row.last_send_date, row.known) for row in moved.collect()}
    assert found.pop("end")[2] is False
    assert found == {
        "wider": (days[1], days[6], True),
        "same": (days[2], days[5], True),
        "inner": (days[2], days[5], True),
        "new": (days[0], days[3], True),
    }
