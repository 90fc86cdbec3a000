"""Journeys and messages of single cases that decide what a number means."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from pyspark.sql import DataFrame, SparkSession

from schemas.mailbox_providers import MAILBOX_PROVIDERS
from transforms.journeys import to_journeys
from transforms.lifecycle import to_lifecycle
from transforms.messages import to_messages

NOON = datetime(2025, 11, 20, 12, tzinfo=UTC)
EVENT = (
    "provider string, account string, message_id string, event_class string, event_time timestamp, "
    "timestamp timestamp, event_type string, event_subclass string, event_recipients array<string>, "
    "destination array<string>, profile_id string, campaign string, tags map<string,array<string>>, event_data string"
)
ADA, BO = "ada@example.com", "bo@example.com"


Events = list[dict[str, Any]]


def event(event_class: str, minute: float = 0, **given: Any) -> dict[str, Any]:
    """An SES event of message m to Ada, `minute` after noon."""
    return {
        "provider": "ses",
        "account": "0001",
        "message_id": "m",
        "event_class": event_class,
        "event_time": NOON + timedelta(minutes=minute),
        "timestamp": NOON,
        "event_type": None,
        "event_subclass": None,
        "event_recipients": None,
        "destination": [ADA],
        "profile_id": None,
        "campaign": "news",
        "tags": None,
        "event_data": None,
    } | given


def lifecycle(spark: SparkSession, events: Events, tag: str | None = None) -> DataFrame:
    return to_lifecycle(spark.createDataFrame(events, EVENT), tag)


def journeys_of(spark: SparkSession, *events: dict[str, Any]) -> dict[str | None, Any]:
    return {row.recipient: row for row in to_journeys(lifecycle(spark, list(events))).collect()}


def message_of(spark: SparkSession, *events: dict[str, Any], tag: str | None = None) -> Any:
    rows = lifecycle(spark, list(events), tag)
    (row,) = to_messages(rows, to_journeys(rows)).collect()
    return row


TO_BOTH: dict[str, Any] = {"destination": [ADA, BO]}
LISTED: dict[str, Any] = {"event_type": "permanent", "event_subclass": "onaccountsuppressionlist"}


CASES = [
    pytest.param(
        [event("click", 3), event("send"), event("open", 2), event("open", 1), event("delivery", 0.5)],
        "send > delivery > open > click",
        "clicked",
        "sent delivered opened clicked",
        id="in-order-of-time",
    ),
    pytest.param(
        [event("send"), event("delivery"), event("open")],
        "send > delivery > open",
        "opened",
        "sent delivered opened",
        id="all-at-one-instant",
    ),
    pytest.param(
        [event("send"), event("click", 5)],
        "send > click",
        "clicked",
        "sent opened clicked",
        id="a-click-is-an-open",
    ),
    pytest.param(
        [event("delivery", 1)],
        "delivery",
        "delivered",
        "sent delivered",
        id="delivered-was-sent-if-the-send-is-lost",
    ),
    pytest.param(
        [event("send"), event("delivery", 1), event("bounce", 60, event_type="permanent")],
        "send > delivery > bounce",
        "bounced",
        "sent bounced",
        id="a-bounce-after-delivery",
    ),
    pytest.param(
        [event("send"), event("bounce", 1, event_type="transient"), event("delivery", 2)],
        "send > bounce > delivery",
        "delivered",
        "sent bounced delivered",
        id="a-delivery-after-bounce",
    ),
    pytest.param(
        [event("send"), event("bounce", 0, **LISTED)],
        "send > bounce",
        "suppressed",
        "sent suppressed",
        id="a-suppressed-address-is-no-bounce",
    ),
    pytest.param(
        [event("send"), event("complaint", 0, event_type="onaccountsuppressionlist")],
        "send > complaint",
        "suppressed",
        "sent suppressed",
        id="a-suppressed-complainer-is-no-complaint",
    ),
    pytest.param(
        [event("send"), event("delivery", 1), event("complaint", 9, event_subclass="not-spam")],
        "send > delivery > complaint",
        "delivered",
        "sent delivered",
        id="not-spam-is-no-complaint",
    ),
    pytest.param(
        [event("send"), event("delivery", 1), event("complaint", 9, event_subclass="abuse")],
        "send > delivery > complaint",
        "complained",
        "sent delivered complained",
        id="a-complaint",
    ),
    pytest.param([event("reject")], "reject", "rejected", "", id="rejected-was-not-sent"),
    pytest.param([event("rendering_failure")], "rendering_failure", "failed", "", id="failed-was-not-sent"),
    pytest.param([event("inbox_placement")], "inbox_placement", "unknown", "", id="only-an-unknown-class"),
    pytest.param(
        [event("bounce", 1, event_recipients=["elsewhere@example.net"], event_type="permanent")],
        "bounce",
        "bounced",
        "sent bounced",
        id="forwarded-to-an-address-that-bounces",
    ),
]


@pytest.fixture(scope="module")
def journeys(spark: SparkSession) -> dict[str, list[Any]]:
    """The journeys of all cases, each a message of its own, computed at once."""
    events = [{**one, "message_id": str(case.id)} for case in CASES for one in cast(Events, case.values[0])]
    rows: dict[str, list[Any]] = {}
    for row in to_journeys(lifecycle(spark, events)).collect():
        rows.setdefault(row.message_id, []).append(row)
    return rows


@pytest.mark.parametrize(("events", "path", "state", "true"), CASES)
def test_the_journey_of_one_recipient(
    journeys: dict[str, list[Any]],
    request: pytest.FixtureRequest,
    events: Events,
    path: str,
    state: str,
    true: str,
) -> None:
    (row,) = journeys[request.node.callspec.id]
    assert (row.recipient, row.path, row.last_state, len(row.steps)) == (ADA, path, state, len(events))
    flags = ("sent", "suppressed", "delivered", "bounced", "opened", "clicked", "complained", "unsubscribed")
    assert {f for f in flags if row[f"is_{f}"]} == set(true.split())
    assert not row.message_opened


def test_what_names_nobody_is_the_messages_own(spark: SparkSession) -> None:
    """Two recipients: one delivered, one bounced, and an open that may be of either."""
    events = [
        event("send", event_recipients=[ADA, BO], **TO_BOTH),
        event("delivery", 1, event_recipients=[ADA], **TO_BOTH),
        event("bounce", 1, event_recipients=[BO], event_type="permanent", **TO_BOTH),
        event("open", 2, **TO_BOTH),
        event("open", 3, **TO_BOTH),
    ]
    journeys = journeys_of(spark, *events)
    assert {r: row.path for r, row in journeys.items()} == {
        ADA: "send > delivery",
        BO: "send > bounce",
        None: "open",
    }
    assert sum(row.opened for row in journeys.values()) == 2
    assert all(row.message_opened and not row.message_clicked for row in journeys.values())
    message = message_of(spark, *events)
    assert (message.sent, message.delivered, message.bounced, message.opened) == (1, 1, 1, 2)
    assert (message.recipients_sent, message.recipients_delivered, message.recipients_bounced) == (2, 1, 1)
    assert message.is_delivered
    assert message.is_opened


def test_a_message_whose_events_name_nobody_counts_as_one(spark: SparkSession) -> None:
    message = message_of(spark, event("open", 1, **TO_BOTH), event("click", 2, **TO_BOTH))
    assert (message.recipients_sent, message.recipients_delivered, message.is_delivered) == (1, 0, False)


def test_one_of_several_who_unsubscribed_is_not_said(spark: SparkSession) -> None:
    """SES gives a subscription the message's whole destination."""
    body = json.dumps({"newTopicPreferences": {"unsubscribeAll": True}})
    journeys = journeys_of(
        spark,
        event("send", event_recipients=[ADA, BO], **TO_BOTH),
        event("subscription", 1, event_recipients=[ADA, BO], event_data=body, **TO_BOTH),
    )
    assert {who: row.is_unsubscribed for who, row in journeys.items()} == {ADA: False, BO: False, None: True}


def test_recipients_are_those_of_the_destination_each_once(spark: SparkSession) -> None:
    """A bounce may spell an address otherwise, and a destination may name somebody twice."""
    to_ada_twice: dict[str, Any] = {"destination": [ADA, ADA, BO]}
    events = [
        event("send", event_recipients=[ADA, ADA, BO], **to_ada_twice),
        event("bounce", 1, event_recipients=["Bo@example.com"], event_type="permanent", **TO_BOTH),
        event("bounce", 1, event_recipients=["else@example.net"], event_type="permanent", **TO_BOTH),
    ]
    journeys = journeys_of(spark, *events)
    paths = {ADA: "send", BO: "send > bounce", "else@example.net": "bounce"}
    assert {who: row.path for who, row in journeys.items()} == paths
    assert journeys[ADA].sent == 1


def test_a_message_of_sailthru_has_one_recipient_though_profiles_merge(spark: SparkSession) -> None:
    of_sailthru: dict[str, Any] = {"provider": "sailthru", "destination": None}
    events = [event("send", profile_id=None, **of_sailthru), event("open", 1, profile_id="p1", **of_sailthru)]
    (row,) = journeys_of(spark, *events, event("open", 2, profile_id="p2", **of_sailthru)).values()
    assert (row.recipient, row.sent, row.opened) == ("p2", 1, 2)


def test_sailthru_is_delivered_unless_it_bounced(spark: SparkSession) -> None:
    of_sailthru: dict[str, Any] = {"provider": "sailthru", "destination": None, "profile_id": "p", "campaign": "7"}
    (row,) = journeys_of(spark, event("send", **of_sailthru)).values()
    assert (row.recipient, row.account, row.is_delivered, row.last_state) == ("p", "0001", True, "delivered")
    (row,) = journeys_of(spark, event("send", **of_sailthru), event("bounce", **of_sailthru)).values()
    assert (row.is_delivered, row.last_state) == (False, "bounced")


def bounce(label: str, *bounced: dict[str, Any], **given: Any) -> dict[str, Any]:
    """A bounce that names recipients, each with its SMTP status if it has one."""
    named = [one["emailAddress"] for one in bounced]
    body = json.dumps({"bounceType": label, "bouncedRecipients": bounced})
    return event("bounce", 1, event_type=label, event_recipients=named, event_data=body) | given


def bounced(address: str, status: Any = None) -> dict[str, Any]:
    return {"emailAddress": address} | ({"status": status} if status is not None else {})


HARD, SOFT, NEITHER = (True, False), (False, True), (False, False)
BOUNCES = {
    "permanent": ([bounce("permanent", bounced(ADA))], HARD),
    "transient": ([bounce("transient", bounced(ADA))], SOFT),
    "undetermined": ([bounce("undetermined", bounced(ADA))], NEITHER),
    "transient, but 5.1.1": ([bounce("transient", bounced(ADA, "5.1.1"))], HARD),
    "permanent, but 4.2.2": ([bounce("permanent", bounced(ADA, "4.2.2"))], SOFT),
    "undetermined, but 5.0.0": ([bounce("undetermined", bounced(ADA, " 5.0.0 (other)"))], HARD),
    "a status that says nothing": ([bounce("transient", bounced(ADA, "2.0.0"))], SOFT),
    "a status that is no text": ([bounce("transient", bounced(ADA, {"code": 5}))], SOFT),
    "no JSON": ([bounce("permanent", bounced(ADA), event_data="{")], HARD),
    "names nobody": ([bounce("permanent")], HARD),
    "of a forwarded address": ([bounce("transient", bounced("else@example.net", "5.1.1"))], HARD),
    "soft, then hard": ([bounce("transient", bounced(ADA)), bounce("permanent", bounced(ADA), event_time=NOON)], HARD),
    "suppressed": ([bounce("permanent", bounced(ADA, "5.1.1"), event_subclass="onaccountsuppressionlist")], NEITHER),
}


def test_the_smtp_status_decides_whether_a_bounce_is_hard_and_else_its_label(spark: SparkSession) -> None:
    events = [{**one, "message_id": name} for name, (own, _) in BOUNCES.items() for one in own]
    found = {row.message_id: row for row in to_journeys(lifecycle(spark, events)).collect()}
    assert {name: (row.is_hard_bounced, row.is_soft_bounced) for name, row in found.items()} == {
        name: wanted for name, (_, wanted) in BOUNCES.items()
    }
    assert [name for name, row in found.items() if not row.is_bounced] == ["suppressed"]


def test_each_recipient_of_a_bounce_has_its_own_status(spark: SparkSession) -> None:
    both = [bounced("Bo@EXAMPLE.com", "5.1.1"), bounced("else@EXAMPLE.net", "4.4.7"), bounced(ADA)]
    events = [
        event("send", event_recipients=[ADA, BO], **TO_BOTH),
        bounce("transient", *both, event_recipients=[ADA, "Bo@example.com", "else@example.net"], **TO_BOTH),
    ]
    journeys = journeys_of(spark, *events)
    assert {who: (row.is_hard_bounced, row.is_soft_bounced) for who, row in journeys.items()} == {
        ADA: SOFT,
        BO: HARD,
        "else@example.net": SOFT,
    }
    message = message_of(spark, *events)
    counts = (message.recipients_bounced, message.recipients_hard_bounced, message.recipients_soft_bounced)
    assert counts == (3, 1, 2)


def test_sailthrus_bounces_are_of_the_kind_that_its_state_says(spark: SparkSession) -> None:
    stated = {"hardbounce": HARD, "Soft_Bounce": SOFT, "soft": SOFT, "bounced": NEITHER, None: NEITHER}
    of_sailthru: dict[str, Any] = {"provider": "sailthru", "destination": None, "profile_id": "p"}
    ids = {status: f"7.{number}" for number, status in enumerate(stated)}
    events = [event("bounce", message_id=one, **of_sailthru) for one in ids.values()]
    events += [
        event("send", message_id="not-bounced", **of_sailthru),
        event("bounce", message_id=ids["hardbounce"], account="other", **of_sailthru),
        event("bounce", message_id=ids["hardbounce"]),
    ]
    states = [("0001", one, status) for status, one in ids.items()]
    # Of SES the account is empty, and so it is of files of Sailthru that state no client.
    states += [("0001", "not-bounced", "hardbounce"), ("", ids["hardbounce"], "hardbounce")]
    # The send time of this one moved to another day.
    states += [("0001", ids["hardbounce"], "softbounce")]
    columns = "client_id string not null, message_id string not null, delivery_status string"
    rows = to_journeys(lifecycle(spark, events), spark.createDataFrame(states, columns)).collect()
    found = {(row.account, row.message_id): (row.is_hard_bounced, row.is_soft_bounced) for row in rows}
    assert len(rows) == len(found)
    others = {("0001", "not-bounced"), ("other", ids["hardbounce"]), ("", ids["hardbounce"])}
    assert found == {("0001", ids[status]): kind for status, kind in stated.items()} | dict.fromkeys(others, NEITHER)


def test_the_mailbox_provider_is_that_of_the_recipients_domain(spark: SparkSession) -> None:
    wanted = {
        "a@GoogleMail.com": "gmail",
        "a@hotmail.co.uk": "outlook",
        "a@msn.com": "outlook",
        "a@ymail.com": "yahoo",
        "a@aol.com": "aol",
        "a@me.com": "icloud",
        "a@gmx.net": "gmx",
        "a@web.de": "web.de",
        "a@pm.me": "proton",
        "odd@gmail.com@Example.ORG": "example.org",
        "a@mail.gmail.com.example": "mail.gmail.com.example",
        "no address": None,
        "a@": None,
    }
    events = [event("send", message_id=to, destination=[to]) for to in wanted]
    nobody = event("open", message_id="of two", **TO_BOTH)
    of_sailthru = event("send", provider="sailthru", message_id="1", destination=None, profile_id="a@gmail.com")
    found = to_journeys(lifecycle(spark, [*events, nobody, of_sailthru])).collect()
    assert {row.message_id: row.mailbox_provider for row in found} == {**wanted, "of two": None, "1": None}


def test_no_domain_is_of_two_mailbox_providers() -> None:
    domains = [domain for own in MAILBOX_PROVIDERS.values() for domain in own]
    assert sorted(domains) == sorted({domain.lower() for domain in domains})


def test_times_are_seconds_from_the_send(spark: SparkSession) -> None:
    (row,) = journeys_of(spark, event("send", 1), event("delivery", 1.5), event("open", 3), event("open", 4)).values()
    assert (row.seconds_to_deliver, row.seconds_to_open, row.seconds_to_click) == (30.0, 120.0, None)


def topics(**status: str) -> dict[str, Any]:
    return {"topicSubscriptionStatus": [{"topicName": n, "subscriptionStatus": s} for n, s in status.items()]}


def test_a_subscription_that_leaves_is_an_unsubscribe(spark: SparkSession) -> None:
    cases: dict[str, tuple[Any, Any, bool]] = {
        "leaves all": ({"unsubscribeAll": True}, {"unsubscribeAll": False}, True),
        "leaves one": (topics(a="OptOut", b="OptIn"), topics(a="OptIn", b="OptIn"), True),
        "comes back": (topics(a="OptOut", b="OptIn"), topics(a="OptOut", b="OptOut"), False),
        "says nothing of before": (topics(a="OptOut"), None, True),
        "says nothing": (None, None, False),
    }
    events = [
        event(
            "subscription",
            message_id=name,
            event_data=json.dumps({"newTopicPreferences": new, "oldTopicPreferences": old}),
        )
        for name, (new, old, _) in cases.items()
    ]
    found = {row.message_id: row for row in to_journeys(lifecycle(spark, events)).collect()}
    assert {name: row.is_unsubscribed for name, row in found.items()} == {n: c[2] for n, c in cases.items()}
    assert {name: row.unsubscribed for name, row in found.items()} == {n: int(c[2]) for n, c in cases.items()}


def test_the_kind_is_a_tag_if_the_settings_name_one(spark: SparkSession) -> None:
    sends: dict[str, dict[str, Any]] = {
        "tagged": {"tags": {"team": ["billing"]}},
        "blank": {"tags": {"team": [" "]}},
        "plain": {},
        "bare": {"campaign": None},
    }
    events = [event("send", message_id=name, **given) for name, given in sends.items()]
    opened = event("open", 1, message_id="tagged", campaign="other")

    def kinds(tag: str | None, *more: dict[str, Any]) -> dict[str, str]:
        rows = lifecycle(spark, [*events, *more], tag)
        return {row.message_id: row.email_kind for row in to_messages(rows, to_journeys(rows)).collect()}

    assert kinds(None) == {"tagged": "news", "blank": "news", "plain": "news", "bare": "unknown"}
    assert kinds("team", opened) == {"tagged": "billing", "blank": "news", "plain": "news", "bare": "unknown"}
