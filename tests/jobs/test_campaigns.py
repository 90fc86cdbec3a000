"""Campaigns, recipients and answers to invitations against DuckDB, which computes them from `events` its way."""

from datetime import timedelta
from typing import Any

import duckdb
import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from jobs import tables
from jobs.build_summaries import build
from jobs.generator import generate_ses
from jobs.stream_events import load
from schemas.campaign_regions import CAMPAIGN_REGIONS
from schemas.campaigns import CAMPAIGNS
from schemas.invitations import ANSWERS, RECENT
from schemas.messages import CampaignKind
from schemas.recipient_totals import RECIPIENT_TOTALS
from tests.conftest import settings_for
from tests.jobs.conftest import Built
from tests.summaries import COUNT_OF_CLASS, PARTS, RATES, asked, duckdb_fractions, picked, rates_hold
from tests.tables import rows_of, same_bag

COUNTS = tuple(COUNT_OF_CLASS.values())
FRACTIONS = tuple(f"{name}_{part}" for name in RATES for part in PARTS)

ABOUT = """
create or replace temp table about as
select m.*, coalesce(m.stated, 'unknown') as campaign,
       case when m.stated is null then 'unknown' when m.provider = 'ses' then 'configuration_set'
            when s.blast_id is not null then 'blast' else 'template' end as campaign_kind,
       case when m.provider = 'sailthru' then s.message_revenue end as revenue
from (select d.*, l.stated from duck_messages d
      join (select provider, account, message_id, max(campaign) as stated from lifecycle group by all) l
      using (provider, account, message_id)) m
left join sailthru_messages s
    on m.provider = 'sailthru' and m.account = s.client_id and m.message_id = s.message_id
"""
NAMED = """
create or replace temp table named as
select j.*, a.campaign, a.campaign_kind, a.revenue, a.send_date, a.is_unsubscribed as anybody_left,
       exists (from duck_journeys o where o.recipient is null and o.is_clicked
               and (o.provider, o.account, o.message_id) = (j.provider, j.account, j.message_id)) as somebody_clicked
from duck_journeys j join about a using (provider, account, message_id)
where j.recipient is not null
"""
CAMPAIGN = "provider, account, campaign_kind, campaign"
DUCKDB_CAMPAIGNS = f"""
with people as (
    select {CAMPAIGN}, count(distinct recipient) as recipients,
           count(distinct recipient) filter (where opened + clicked > 0) as recipients_opened,
           count(distinct recipient) filter (where clicked > 0) as recipients_clicked
    from named group by all),
sums as (
    select {CAMPAIGN}, count(*) as messages, {", ".join(f"sum({n})::bigint as {n}" for n in COUNTS)},
           min(send_date) as first_send_date, max(send_date) as last_send_date, sum(revenue) as revenue,
           {{fractions}}
    from about group by all)
select s.*, coalesce(recipients, 0) as recipients, coalesce(recipients_opened, 0) as recipients_opened,
       coalesce(recipients_clicked, 0) as recipients_clicked,
       (select name from blasts b
        where s.campaign_kind = 'blast' and b.client_id = s.account and b.id = s.campaign) as name
from sums s left join people p using ({CAMPAIGN})
"""
DUCKDB_CAMPAIGN_REGIONS = f"""
with regions as (
    select distinct a.provider, a.account, a.message_id, a.campaign_kind, a.campaign,
           coalesce(r.region, 'unknown') as region
    from about a left join requests r on r.message_id = a.message_id),
counted as (
    select g.*, case when exists (from about o where o.message_id = g.message_id
                                  and (o.provider, o.account) < (g.provider, g.account)) then 0
                     else (select count(*) from requests r where r.message_id = g.message_id
                           and coalesce(r.region, 'unknown') = g.region) end as requests
    from regions g),
people as (
    select n.provider, n.account, n.campaign_kind, n.campaign, g.region, count(distinct n.recipient) as recipients
    from named n join regions g using (provider, account, message_id)
    where exists (from requests r where r.message_id = n.message_id and r.recipient = n.recipient
                  and coalesce(r.region, 'unknown') = g.region)
       or not exists (from requests r where r.message_id = n.message_id and r.recipient = n.recipient)
    group by all)
select c.provider, c.account, c.campaign_kind, c.campaign, c.region, sum(requests)::bigint as requests,
       count(*) as messages, coalesce(any_value(recipients), 0) as recipients
from counted c left join people using ({CAMPAIGN}, region)
group by all
"""
DUCKDB_RECIPIENTS = f"""
with dated as (
    select provider, account, recipient, {
    ", ".join(
        f"min(event_time) filter (where stage = '{c}') as first_{c}_at, "
        f"max(event_time) filter (where stage = '{c}') as last_{c}_at"
        for c in ("send", "open", "click")
    )
}
    from (select *, unnest(people) as recipient from lifecycle) group by all),
totals as (
    select provider, account, recipient, count(distinct message_id) as messages,
           count(distinct message_id) filter (where opened + clicked > 0) as messages_opened,
           count(distinct message_id) filter (where clicked > 0) as messages_clicked,
           count(distinct campaign) filter (where campaign_kind in ('blast', 'configuration_set')) as campaigns,
           count(distinct campaign) filter (where campaign_kind in ('blast', 'configuration_set')
                                            and opened + clicked > 0) as campaigns_opened,
           count(distinct campaign) filter (where campaign_kind in ('blast', 'configuration_set')
                                            and clicked > 0) as campaigns_clicked,
           {", ".join(f"sum({n})::bigint as {n}" for n in COUNTS)}, sum(revenue) as revenue
    from named group by all)
select *, campaigns > 2 as has_many_campaigns, clicked > 2 as has_many_clicks
from totals join dated using (provider, account, recipient)
"""


def answers(prefix: str, condition: str) -> str:
    """A statement that gives the answers to some of the sends."""
    is_open = "coalesce(somebody_clicked or (anybody_left and unsubscribed = 0), false)"
    return f"""
    select {CAMPAIGN}, count(*) as {prefix}invited, count_if(got or clicks > 0 or leaves > 0) as {prefix}reached,
           count_if(clicks > 0) as {prefix}responded, count_if(clicks = 0 and leaves > 0) as {prefix}declined,
           count_if(got and clicks + leaves = 0 and unclear) as {prefix}not_known,
           count_if(got and clicks + leaves = 0 and not unclear) as {prefix}not_answered
    from (select {CAMPAIGN}, recipient, bool_or(is_delivered) as got, sum(clicked) as clicks,
                 sum(unsubscribed) as leaves, bool_or(is_delivered and {is_open}) as unclear
          from named where is_sent and {condition} group by all)
    group by all
    """


@pytest.fixture(scope="module")
def numbers(built: Built, duck: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    """DuckDB with what it knows of messages and their recipients, each with its campaign."""
    for name in ("sailthru_messages", "blasts"):
        duck.register(name, DeltaTable(str(built.warehouse / name)).to_pyarrow_table())
    for statement in (ABOUT, NAMED):
        duck.execute(statement)
    return duck


def test_duckdb_counts_the_same_campaigns(built: Built, numbers: duckdb.DuckDBPyConnection) -> None:
    names = tuple(name for name in CAMPAIGNS.columns if not name.endswith("_rate"))
    found = built.rows("campaigns")
    same_bag(picked(found, names), picked(asked(numbers, DUCKDB_CAMPAIGNS.format(fractions=duckdb_fractions())), names))
    rates_hold(found)
    assert {row["campaign_kind"] for row in found} == set(CampaignKind)
    assert sum(row["messages"] for row in found) == len(built.truth.messages)
    assert any(row["revenue"] for row in found)
    assert not any(row["revenue"] is not None for row in found if row["provider"] == "ses")
    assert any(row["recipients"] < row["messages"] for row in found)


def test_a_blast_has_its_newest_name_and_the_revenue_of_the_truth(built: Built) -> None:
    rows = [row for row in built.rows("campaigns") if row["campaign_kind"] == "blast"]
    names = {(blast["client_id"], blast["id"]): blast["name"] for blast in built.sailthru.blasts}
    assert {(row["account"], row["campaign"]): row["name"] for row in rows} == names
    revenues: dict[tuple[object, object], float] = {}
    for message in built.sailthru.messages:
        if message["blast_id"] is not None and (revenue := message["message_revenue"]) is not None:
            key = message["client_id"], message["blast_id"]
            revenues[key] = revenues.get(key, 0) + float(str(revenue))
    assert {(r["account"], r["campaign"]): float(r["revenue"]) for r in rows if r["revenue"] is not None} == (
        pytest.approx(revenues)
    )


def test_duckdb_counts_the_same_people_of_each_region(built: Built, numbers: duckdb.DuckDBPyConnection) -> None:
    names, found = tuple(CAMPAIGN_REGIONS.columns), built.rows("campaign_regions")
    same_bag(picked(found, names), picked(asked(numbers, DUCKDB_CAMPAIGN_REGIONS), names))
    assert any(row["region"] != "unknown" and row["recipients"] > 1 for row in found)
    assert sum(row["requests"] for row in found) < len(built.requests.requests), "some are without events"


def test_duckdb_counts_the_same_for_each_recipient(built: Built, numbers: duckdb.DuckDBPyConnection) -> None:
    found, wanted = built.rows("recipient_totals"), asked(numbers, DUCKDB_RECIPIENTS)
    same_bag(picked(found, tuple(RECIPIENT_TOTALS.columns)), picked(wanted, tuple(RECIPIENT_TOTALS.columns)))
    for flag in ("has_many_campaigns", "has_many_clicks"):
        assert {row[flag] for row in found if row["provider"] == "sailthru"} == {True, False}


def test_pairs_of_profile_and_blast_are_as_many_counted_by_either(built: Built, spark: SparkSession) -> None:
    tables.register(spark, built.warehouse)
    totals = spark.table("blast_totals").collect()
    profiles = [row for row in built.rows("recipient_totals") if row["provider"] == "sailthru"]
    blasts = {(event.account, event.campaign) for event in built.sailthru.events if "." in event.message_id}
    assert sum(row.blasts for row in totals) == len(blasts)
    for name in ("opened", "clicked"):
        pairs = sum(row[f"profile_blasts_{name}"] for row in totals)
        assert 0 < pairs == sum(row[f"campaigns_{name}"] for row in profiles)


def test_duckdb_counts_the_same_answers(built: Built, numbers: duckdb.DuckDBPyConnection) -> None:
    found = built.rows("invitations")
    newest = max(message["send_date"] for message in built.truth.messages.values())
    assert {row["as_of_date"] for row in found} == {newest}
    recent = answers(RECENT, f"send_date > date '{newest - timedelta(days=2)}'")
    columns = [f"coalesce({prefix}{name}, 0) as {prefix}{name}" for prefix in ("", RECENT) for name in ANSWERS]
    wanted = asked(
        numbers,
        f"select {CAMPAIGN}, {', '.join(columns)} from (select distinct {CAMPAIGN} from about) "
        f"left join ({answers('', 'true')}) using ({CAMPAIGN}) left join ({recent}) using ({CAMPAIGN})",
    )
    names = (*CAMPAIGN.split(", "), *ANSWERS, *(RECENT + name for name in ANSWERS))
    same_bag(picked(found, names), picked(wanted, names))
    for row in found:
        adds_up_to_reached(row, "")
        adds_up_to_reached(row, RECENT)
    for name in (*ANSWERS, "recent_responded"):
        assert any(row[name] for row in found), name
    assert sum(row["recent_invited"] for row in found) < sum(row["invited"] for row in found)


def adds_up_to_reached(row: dict[str, Any], prefix: str) -> None:
    """The answers are parts of those reached, and the rate is made of them."""
    invited, reached, responded, *others = (row[prefix + name] for name in ANSWERS)
    assert responded + sum(others) == reached <= invited
    assert row[f"{prefix}response_rate"] == (responded / reached if reached else None)


def test_without_sailthru_there_is_no_revenue_and_no_name(spark: SparkSession, tmp_path: Any) -> None:
    generate_ses(tmp_path / "input", events=50, seed=5)
    settings = settings_for(tmp_path)
    load(settings, spark=spark)
    build(settings, only=[CAMPAIGNS.name, RECIPIENT_TOTALS.name], spark=spark)
    rows = rows_of(tmp_path / "warehouse", CAMPAIGNS)
    assert rows
    assert {(row["name"], row["revenue"]) for row in rows} == {(None, None)}
    assert {row["revenue"] for row in rows_of(tmp_path / "warehouse", RECIPIENT_TOTALS)} == {None}
