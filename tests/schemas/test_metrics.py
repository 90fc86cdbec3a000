"""Metrics: what they count is a part of what they divide by, whatever is asked for."""

from itertools import product

import duckdb
import pytest

from schemas.metrics import CONDITIONS, DEFAULT_PROFILE, PROFILES, Metric, Unit
from schemas.region_summary import REGION_SUMMARY, region_summary
from schemas.views import VIEWS, views

MESSAGES = """
create table messages as
select 'EU' as region, sent as recipients_sent, suppressed as recipients_suppressed, delivered as recipients_delivered,
       hard + soft + unclear as recipients_bounced, hard as recipients_hard_bounced, soft as recipients_soft_bounced,
       delivered > 0 as is_delivered, is_opened, is_clicked, is_complained, is_unsubscribed, delayed
from (values (0, 0, 0, 0, 0, 0, true, true, false, false, 0),
             (1, 0, 0, 0, 0, 0, true, false, false, true, 2),
             (1, 1, 0, 0, 0, 0, false, false, false, false, 0),
             (1, 0, 1, 0, 0, 0, true, true, true, false, 1),
             (4, 1, 1, 1, 1, 0, true, false, false, true, 0),
             (2, 0, 2, 0, 0, 1, false, false, true, false, 3))
     as t(sent, suppressed, delivered, hard, soft, unclear, is_opened, is_clicked, is_complained,
          is_unsubscribed, delayed)
"""


@pytest.fixture
def duck() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute(MESSAGES)
    return connection


def counts(duck: duckdb.DuckDBPyConnection, metric: Metric) -> tuple[int, int]:
    numerator, denominator, _ = metric.columns.values()
    (found,) = duck.execute(f"select {numerator}, {denominator} from messages").fetchall()
    return found


@pytest.mark.parametrize("unit", Unit)
def test_no_metric_that_can_be_made_has_a_rate_above_1(duck: duckdb.DuckDBPyConnection, unit: Unit) -> None:
    made, refused = 0, 0
    for numerator, denominator in product(CONDITIONS, [*CONDITIONS, "delivered and opened"]):
        try:
            metric = Metric(name="m", numerator=numerator, denominator=denominator, unit=unit)
        except ValueError:
            refused += 1
            continue
        made += 1
        part, whole = counts(duck, metric)
        assert 0 <= part <= whole, metric
        rows = duck.execute(
            f"select cast({metric.numerator_sql} as int), cast({metric.denominator_sql} as int) from messages"
        )
        assert all(part <= whole for part, whole in rows.fetchall()), metric
    assert (made > 0, refused > 0) == (True, unit is Unit.RECIPIENT)


def test_of_messages_those_are_counted_of_which_both_are_true(duck: duckdb.DuckDBPyConnection) -> None:
    of = {
        (n, d): Metric(name="m", numerator=n, denominator=d, unit=Unit.MESSAGE)
        for n, d in (("opened", "sent"), ("clicked", "delivered and opened"), ("sent", "opened"), ("delayed", "tried"))
    }
    assert {pair: counts(duck, metric) for pair, metric in of.items()} == {
        ("opened", "sent"): (3, 5),
        ("clicked", "delivered and opened"): (1, 2),
        ("sent", "opened"): (3, 4),
        ("delayed", "tried"): (3, 4),
    }


def test_everything_of_profile_ses_is_over_sends(duck: duckdb.DuckDBPyConnection) -> None:
    found = {metric.name: counts(duck, metric) for metric in PROFILES["ses"]}
    assert found == {
        "delivery": (4, 9),
        "suppression": (2, 9),
        "bounce": (3, 9),
        "hard_bounce": (1, 9),
        "soft_bounce": (1, 9),
        "open": (3, 5),
        "click": (1, 5),
        "complaint": (2, 5),
        "unsubscribe": (2, 5),
    }


def test_the_columns_are_those_of_the_profile_and_say_the_formula_in_words() -> None:
    contract = region_summary(PROFILES["ses"])
    rates = [name for name in contract.columns if name.endswith("_rate")]
    assert rates == [f"{metric.name}_rate" for metric in PROFILES["ses"]]
    comment = contract.schema["click_rate"].metadata["comment"]
    assert comment.startswith("Of the messages sent (also to suppressed addresses), those clicked. By send date")
    assert region_summary(DEFAULT_PROFILE) == REGION_SUMMARY
    assert views(DEFAULT_PROFILE) == VIEWS


def test_bought_after_click_is_clicked_mail_of_sailthru_with_revenue() -> None:
    [view] = [view for view in VIEWS if view.name == "bought_after_click"]
    connection = duckdb.connect()
    connection.execute("""
        create table journeys as from (values
            ('sailthru', 'c', '1', true), ('sailthru', 'c', '2', false), ('sailthru', 'c', '3', true),
            ('sailthru', 'd', '1', true), ('sailthru', 'c', '4', true), ('ses', 'c', '1', true),
            ('sailthru', 'c', '5', true)) as t(provider, account, message_id, is_clicked);
        create table sailthru_messages as from (values
            ('c', '1', 9.5), ('c', '2', 3.0), ('c', '3', 0.0), ('c', '4', null), ('c', '5', 2.0), ('c', '5', null))
            as t(client_id, message_id, message_revenue)""")
    found = connection.execute(
        f"select provider, message_id, message_revenue from ({view.sql}) order by all"
    ).fetchall()
    assert [(provider, message, float(revenue)) for provider, message, revenue in found] == [
        ("sailthru", "1", 9.5),
        ("sailthru", "5", 2.0),
    ]
