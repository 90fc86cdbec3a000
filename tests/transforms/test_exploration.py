"""What the notebook shows, by hand."""

from datetime import UTC, date, datetime
from itertools import pairwise
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from schemas.journeys import JOURNEYS
from schemas.messages import MESSAGES
from schemas.requests import REQUESTS
from transforms import exploration

NOON = datetime(2025, 11, 20, 12, tzinfo=UTC)
ADA, BO = "ada@example.com", "bo@example.com"
_ZERO = {"bigint": 0, "boolean": False, "date": date(2025, 11, 20), "string": "x"}


def rows_of(spark: SparkSession, contract: Any, *given: dict[str, Any]) -> DataFrame:
    """Rows of a table of which only some values matter; the others are 0, false, or NULL where they may be."""
    usual = {
        f.name: None if f.nullable else _ZERO.get(f.dataType.simpleString(), []) for f in contract.stored_schema.fields
    }
    return spark.createDataFrame([usual | row for row in given], contract.stored_schema)


def journeys(spark: SparkSession, *given: dict[str, Any]) -> DataFrame:
    numbered = [{"provider": "ses", "account": "", "message_id": f"m{i}"} | row for i, row in enumerate(given)]
    return rows_of(spark, JOURNEYS, *numbered)


def told(rows: DataFrame) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in rows.collect()]


READ = {"recipient": ADA, "is_sent": True, "delivered": 1, "is_delivered": True, "is_opened": True}


@pytest.mark.parametrize(
    ("journey", "states"),
    [
        pytest.param(READ | {"is_clicked": True}, "delivered opened clicked", id="clicked"),
        pytest.param(READ, "delivered opened not-clicked", id="opened"),
        pytest.param(READ | {"is_opened": False}, "delivered not-opened", id="delivered"),
        pytest.param(
            READ | {"is_opened": False, "message_opened": True}, "delivered opened-by-one-of-several", id="by-whom"
        ),
        pytest.param(
            READ | {"is_delivered": False, "is_bounced": True}, "delivered bounced-later", id="bounced-after-all"
        ),
        pytest.param(
            {"recipient": ADA, "provider": "sailthru", "is_sent": True, "is_delivered": True},
            "delivered not-opened",
            id="sailthru-states-no-delivery",
        ),
        pytest.param({"recipient": ADA, "is_sent": True, "is_bounced": True}, "bounced", id="bounced"),
        pytest.param({"recipient": ADA, "is_sent": True, "is_suppressed": True}, "suppressed", id="suppressed"),
        pytest.param({"recipient": ADA, "is_sent": True, "is_opened": True}, "no-word-yet", id="opened-undelivered"),
        pytest.param({"recipient": ADA, "rejected": 1}, "no-send-seen", id="rejected"),
        pytest.param({"recipient": None, "is_sent": True}, "no-word-yet", id="nobody-known"),
    ],
)
def test_a_journey_flows_from_state_to_state(spark: SparkSession, journey: dict[str, Any], states: str) -> None:
    passed = [journey.get("provider", "ses"), *(state.replace("-", " ") for state in states.split())]
    wanted = [(i, *pair, 1) for i, pair in enumerate(pairwise(passed))]
    assert told(exploration.flows(journeys(spark, journey))) == wanted


def test_what_names_nobody_is_no_journey_beside_those_of_recipients(spark: SparkSession) -> None:
    of_one = [{"message_id": "m"} | row for row in (READ, READ | {"recipient": BO}, READ | {"recipient": None})]
    flows = exploration.flows(journeys(spark, *of_one)).where("step = 0")
    assert told(flows) == [(0, "ses", "delivered", 2)]


def test_a_step_of_the_funnel_counts_some_of_the_step_before(spark: SparkSession) -> None:
    sent = {"provider": "ses", "recipients_sent": 1}
    arrived = sent | {"is_delivered": True, "recipients_delivered": 1}
    messages = rows_of(
        spark,
        MESSAGES,
        {"provider": "ses"},  # rejected: never sent
        sent | {"is_opened": True, "is_clicked": True},  # opened, though nothing says that it was delivered
        arrived,
        arrived | {"is_opened": True},
        arrived | {"is_opened": True, "is_clicked": True},
        {**arrived, "provider": "sailthru"},
    )
    assert told(exploration.funnel(messages)) == [("sailthru", 1, 1, 0, 0), ("ses", 4, 3, 2, 1)]


def test_small_kinds_are_counted_together(spark: SparkSession) -> None:
    arrived = {"recipients_sent": 1, "is_delivered": True, "recipients_delivered": 1}
    first = [arrived | {"email_kind": kind, "is_opened": True} for kind in ("news", "bills", "a", "b")]
    more = [arrived | {"email_kind": kind} for kind in ("news", "news", "bills")]
    rates = exploration.rates_of_kinds(rows_of(spark, MESSAGES, *first, *more, {"email_kind": "b"}), most=2)
    names = ("email_kind", "messages", "open_numerator", "open_denominator", "open_rate")
    wanted = [("news", 3, 1, 3, 1 / 3), ("b", 2, 1, 1, 1.0), (exploration.OTHERS, 3, 2, 3, 2 / 3)]
    assert told(rates.select(*names)) == wanted


def test_a_rate_over_nothing_is_null(spark: SparkSession) -> None:
    rates = exploration.rates_of_kinds(rows_of(spark, MESSAGES, {"email_kind": "news"}), most=2)
    assert told(rates.select("messages", "delivery_denominator", "delivery_rate")) == [(1, 0, None)]


def test_waits_fall_into_spans_that_end_before_their_bound(spark: SparkSession) -> None:
    seconds = (-5.0, 59.9, 60.0, 86_400.0, 604_800.0, None)
    waited = journeys(spark, *({"seconds_to_open": s} for s in seconds), {"seconds_to_click": 0.0})
    last = len(exploration.WAIT_BOUNDS)
    spans = [("open", 0, 2), ("open", 1, 1), ("open", 7, 1), ("open", last, 1), ("click", 0, 1)]
    assert told(exploration.waits(waited)) == spans


def test_typical_waits_are_exact(spark: SparkSession) -> None:
    waited = journeys(spark, *({"seconds_to_open": s} for s in (10.0, 20.0, 40.0, None)))
    assert told(exploration.typical_waits(waited)) == [("open", 3, 20.0, pytest.approx(38.0))]


@pytest.mark.parametrize(
    ("who", "found"),
    [
        pytest.param("ada@EXAMPLE.com", ["m0", "m1"], id="address-in-another-case"),
        pytest.param("Ada@example.com", [], id="another-mailbox"),
        pytest.param("65F0", ["m2"], id="profile"),
        pytest.param("m1", ["m1"], id="message"),
    ],
)
def test_journeys_are_found_by_recipient_and_by_message(spark: SparkSession, who: str, found: list[str]) -> None:
    known = journeys(spark, {"recipient": ADA}, {"recipient": ADA}, {"recipient": "65F0"}, {"recipient": None})
    assert [row.message_id for row in exploration.journeys_of(known, who).collect()] == found


def test_whom_to_remind(spark: SparkSession) -> None:
    opened = {"is_opened": True, "opened": 1, "first_open_at": NOON, "email_kind": "news", "last_state": "opened"}
    known = journeys(
        spark,
        opened | {"recipient": BO},
        opened | {"recipient": ADA, "message_clicked": True},
        opened | {"recipient": None},
        opened | {"recipient": BO, "first_open_at": None},
    )
    asked = [("m0", "NA"), ("m0", "EU"), ("m0", None), ("m3", None)]
    requests = rows_of(spark, REQUESTS, *({"message_id": m, "region": r} for m, r in asked))
    names = ("recipient", "region", "message_id", "may_have_clicked")
    assert told(exploration.reminders(known, requests).select(*names)) == [
        (ADA, "unknown", "m1", True),
        (BO, "unknown", "m3", False),
        (BO, "EU, NA", "m0", False),
    ]


def test_freshness_is_of_each_data_set(spark: SparkSession) -> None:
    rows = [
        ("ses", "", "", 2, NOON, NOON.replace(hour=15), None, None),
        ("sailthru", "4", "blast", 1, None, NOON, date(2025, 11, 3), [date(2025, 11, 1), date(2025, 11, 2)]),
    ]
    fresh = exploration.how_fresh(
        spark.createDataFrame(
            rows,
            "provider string, client_id string, data_set string, files long, newest_event_at timestamp, "
            "newest_load_at timestamp, newest_file_date date, missing_dates array<date>",
        )
    )
    assert told(fresh.select("provider", "data_set", "lag_hours", "missing_dates")) == [
        ("sailthru", "blast", None, "2025-11-01, 2025-11-02"),
        ("ses", "", 3.0, None),
    ]
