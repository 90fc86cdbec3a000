"""Every summary: how its rows come out of the sources, made anew or, where little is new, by parts."""

from collections.abc import Callable
from datetime import timedelta

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.parts import Part, PartOf, Since, Summary, with_keys_anew
from jobs.people import PEOPLE
from jobs.providers import PROVIDERS
from jobs.quality import Known, run_checks
from jobs.sources import Sources, Touched
from jobs.tables import bounds, kept
from schemas.campaign_regions import CAMPAIGN_REGIONS
from schemas.campaigns import CAMPAIGN_KEY, CAMPAIGNS
from schemas.catalog import TABLES
from schemas.checks import quality_checks
from schemas.contract import TableContract
from schemas.drift import DRIFT
from schemas.events import EVENTS
from schemas.files import FILES
from schemas.freshness import FRESHNESS
from schemas.invitations import ANSWERS, INVITATIONS, RECENT
from schemas.journeys import JOURNEYS
from schemas.messages import MESSAGE_KEY, MESSAGES
from schemas.quality import QUALITY
from schemas.recipient_totals import RECIPIENT_KEY, RECIPIENT_TOTALS
from schemas.region_summary import REGION_SUMMARY
from schemas.requests import REQUESTS
from schemas.restatement import RESTATEMENT
from schemas.sailthru import BLASTS, SAILTHRU_MESSAGES
from transforms.campaign_regions import COUNTS, messages_by_region, recipients_by_region, to_campaign_regions
from transforms.campaigns import (
    counts_of_campaigns,
    days_of_campaigns,
    message_revenues,
    moved_days,
    of_campaign,
    recipients_of_campaigns,
    revenues_of_campaigns,
    to_campaigns,
    told_in_full,
)
from transforms.freshness import to_freshness
from transforms.increments import SIGN, is_of, is_on, summed, with_rows, without_rows
from transforms.invitations import answers, is_recent, newest_send, to_invitations, with_rates
from transforms.recipient_totals import to_recipient_totals
from transforms.region_summary import to_region_summary
from transforms.restatement import to_restatement

_STREAMED = (FILES, EVENTS, SAILTHRU_MESSAGES, BLASTS)
_OF_MESSAGES = (*_STREAMED, REQUESTS, JOURNEYS, MESSAGES)


# --- One row per message, or message and recipient: those of which something is new


def _messages_part(contract: TableContract, new: Callable[[Touched], DataFrame]) -> PartOf:
    def part(sources: Sources, since: Since) -> Part | None:
        touched = sources.touched(since)
        if touched is None:
            return None
        stored, rows = sources.stored(contract), new(touched)
        were = with_rows(stored.where(touched.near), touched.keys, MESSAGE_KEY)
        days = sources.days_of(*[of.select("send_date") for of in (were, rows)])
        others = without_rows(stored.where(is_of(contract, days)), touched.keys, MESSAGE_KEY)
        return Part(others.unionByName(rows), days)

    return part


# --- One row per day and what not: the days of such messages


def _restatement(sources: Sources) -> DataFrame:
    return to_restatement(sources.of(MESSAGES), sources.state(RESTATEMENT), sources.as_of)


def _restatement_part(sources: Sources, since: Since) -> Part | None:
    changed = sources.changed_messages(since)
    if changed is None:
        return None
    is_touched = is_on("send_date", sources.days_of(changed.select("send_date")))
    published = sources.stored(RESTATEMENT)
    now = to_restatement(sources.of(MESSAGES).where(is_touched), published.where(is_touched), sources.as_of)
    return Part(published.where(~is_touched).unionByName(now.select(*published.columns)))


def _regions(sources: Sources) -> DataFrame:
    return to_region_summary(sources.requests, sources.of(MESSAGES), sources.settings.metrics.chosen)


def _regions_part(sources: Sources, since: Since) -> Part | None:
    requests, messages = sources.requests, sources.of(MESSAGES)
    changed, changed_messages = sources.changed_ids(since), sources.changed_messages(since)
    changed_requests = sources.changed_rows(REQUESTS, since, "request_date")
    if changed is None or changed_messages is None or changed_requests is None:
        return None
    days = sources.days_of(
        changed_messages.select("send_date"),
        changed_requests.select("request_date"),
        # Until its first event was there, a message was a request without events, of the day of the request.
        with_rows(requests.where(changed.near), changed.ids, ["message_id"]).select("request_date"),
    )
    # All that may be of these days: their messages with their requests, their requests with their messages.
    of_days = messages.where(is_on("send_date", days)).select("message_id")
    ids = kept(of_days.unionByName(requests.where(is_of(REQUESTS, days)).select("message_id")).distinct())
    near = bounds(ids)
    elsewhere = with_rows(messages.where(near & ~is_on("send_date", days)), ids, ["message_id"])
    messages = messages.where(near & is_on("send_date", days | sources.days_of(elsewhere.select("send_date"))))
    requests, messages = (with_rows(rows, ids, ["message_id"]) for rows in (requests.where(near), messages))
    rows = to_region_summary(requests, messages, sources.settings.metrics.chosen).where(is_on("send_date", days))
    stored = sources.stored(REGION_SUMMARY)
    return Part(stored.where(~is_on("send_date", days)).unionByName(rows.select(*stored.columns)))


# --- One row per campaign or recipient: those of such messages


def _campaigns(sources: Sources) -> DataFrame:
    recipients = recipients_of_campaigns(sources.of(JOURNEYS))
    profile, blasts = sources.settings.metrics.chosen, sources.state(BLASTS)
    return to_campaigns(sources.of(MESSAGES), recipients, _revenues(sources), blasts, profile)


def _revenues(sources: Sources) -> DataFrame:
    return message_revenues(sources.state(SAILTHRU_MESSAGES))


def _campaigns_part(sources: Sources, since: Since) -> Part | None:
    """What is counted, less what the touched messages and their recipients were counted as, and with what they are."""
    theirs, changed = sources.recipients(since), sources.changed_messages(since)
    if theirs is None or changed is None:
        return None
    stored, profile = sources.stored(CAMPAIGNS), sources.settings.metrics.chosen
    changes = [counts_of_campaigns(changed, profile, SIGN), recipients_of_campaigns(theirs.both, SIGN)]
    names = [name for rows in changes for name in rows.columns if name not in (*CAMPAIGN_KEY, SIGN)]
    rows = summed(CAMPAIGN_KEY, names, [stored, *changes]).where(F.col("messages") > 0)
    for others in (
        _days_part(sources, stored, changed),
        revenues_of_campaigns(sources.of(MESSAGES), _revenues(sources)),
    ):
        rows = rows.join(others, on=list(CAMPAIGN_KEY), how="left")
    return Part(told_in_full(rows, sources.state(BLASTS), profile))


def _days_part(sources: Sources, campaigns: DataFrame, changed: DataFrame) -> DataFrame:
    """CAMPAIGN_KEY and the days of the first and last send; of all messages where what changed does not tell them."""
    moved = kept(moved_days(campaigns, changed))
    days, lost = moved.where("known").drop("known"), moved.where("not known")
    if not lost.isEmpty():
        messages = with_rows(of_campaign(sources.of(MESSAGES)), lost, CAMPAIGN_KEY)
        days = days.unionByName(days_of_campaigns(messages))
    others = without_rows(campaigns, moved, CAMPAIGN_KEY)
    return days.unionByName(others.select(*days.columns))


def _campaign_regions(sources: Sources) -> DataFrame:
    return to_campaign_regions(sources.requests, sources.of(MESSAGES), sources.of(JOURNEYS))


def _campaign_regions_part(sources: Sources, since: Since) -> Part | None:
    """As of `campaigns`."""
    theirs, changed = sources.recipients(since), sources.changed_messages(since)
    requests = sources.requests_of(theirs, since) if theirs is not None else None
    if theirs is None or changed is None or requests is None:
        return None
    counted = [messages_by_region(requests, changed, SIGN), recipients_by_region(requests, theirs.both, SIGN)]
    counts = summed(CAMPAIGN_REGIONS.key, COUNTS, [sources.stored(CAMPAIGN_REGIONS), *counted])
    return Part(counts.where(F.col("messages") > 0))


def _recipient_totals(sources: Sources) -> DataFrame:
    return _totals_of(sources, sources.of(JOURNEYS))


def _totals_of(sources: Sources, journeys: DataFrame) -> DataFrame:
    return to_recipient_totals(journeys, _revenues(sources), sources.settings.campaigns.many)


def _recipient_totals_part(sources: Sources, since: Since) -> Part | None:
    theirs = sources.recipients(since)
    if theirs is None:
        return None
    stored = sources.stored(RECIPIENT_TOTALS)
    return with_keys_anew(stored, _totals_of(sources, theirs.journeys), theirs.keys, RECIPIENT_KEY)


def _invitations(sources: Sources) -> DataFrame:
    return to_invitations(sources.of(JOURNEYS), sources.settings.campaigns.response_days)


def _invitations_part(sources: Sources, since: Since) -> Part | None:
    """The answers to all sends, with those of whom something is new; to recent ones anew."""
    theirs, journeys = sources.recipients(since), sources.of(JOURNEYS)
    if theirs is None:
        return None
    stored = sources.stored(INVITATIONS)
    ever = summed(CAMPAIGN_KEY, ANSWERS, [stored, answers(theirs.both, SIGN)])
    ((newest,),) = newest_send(journeys).collect()
    as_of = F.lit(newest).cast("date")
    recent = answers(journeys.where(is_recent(as_of, sources.settings.campaigns.response_days)))
    recent = recent.withColumnsRenamed({name: RECENT + name for name in ANSWERS})
    campaigns = sources.stored(CAMPAIGNS) if sources.is_fresh(CAMPAIGNS) else of_campaign(sources.of(MESSAGES))
    there = campaigns.select(*CAMPAIGN_KEY).distinct()
    rows = there.join(ever, on=list(CAMPAIGN_KEY), how="left").join(recent, on=list(CAMPAIGN_KEY), how="left")
    counts = [prefix + name for prefix in ("", RECENT) for name in ANSWERS]
    return Part(with_rates(rows.fillna(0, counts)).withColumn("as_of_date", as_of).select(*stored.columns))


# --- Of the warehouse as a whole


def _freshness(sources: Sources) -> DataFrame:
    client_id = sources.settings.sailthru.client_id
    return to_freshness(sources.stored(FILES), sources.stored(EVENTS), client_id, sources.as_of)


def _quality(sources: Sources, known: Known | None = None) -> DataFrame:
    after_load = timedelta(days=sources.settings.latest_event_time_days_after_load)
    metrics = sources.settings.metrics.chosen
    features = sources.settings.features.wanted
    checks = quality_checks(tuple(PROVIDERS), sources.settings.earliest_event_time, after_load, metrics, features)
    sources.refuse_other_profile()
    return run_checks(sources.spark, sources.everything, checks, known)


def _quality_part(sources: Sources, since: Since) -> Part | None:
    there = [table for table in TABLES if table.name in sources.everything]
    same = frozenset(table.name for table in there if sources.is_as_it_was(table, since))
    changes = {name: change for name, change in sources.changes(since).items() if name not in same}
    small = frozenset(table.name for table in there if sources.is_small(table) and table.name not in changes)
    results = {tuple(row[name] for name in QUALITY.key): row for row in sources.stored(QUALITY).collect()}
    return Part(_quality(sources, Known(results, same, changes, small)))


SUMMARIES = {
    summary.contract.name: summary
    for summary in (
        Summary(
            JOURNEYS,
            _STREAMED,
            lambda sources: sources.of(JOURNEYS),
            _messages_part(JOURNEYS, lambda new: new.journeys),
        ),
        Summary(
            MESSAGES,
            _STREAMED,
            lambda sources: sources.of(MESSAGES),
            _messages_part(MESSAGES, lambda new: new.messages),
            uses=(JOURNEYS,),
        ),
        Summary(REGION_SUMMARY, _OF_MESSAGES, _regions, _regions_part),
        Summary(RESTATEMENT, _OF_MESSAGES, _restatement, _restatement_part),
        Summary(CAMPAIGNS, _OF_MESSAGES, _campaigns, _campaigns_part),
        Summary(CAMPAIGN_REGIONS, _OF_MESSAGES, _campaign_regions, _campaign_regions_part),
        Summary(RECIPIENT_TOTALS, _OF_MESSAGES, _recipient_totals, _recipient_totals_part),
        Summary(INVITATIONS, _OF_MESSAGES, _invitations, _invitations_part, uses=(CAMPAIGNS,)),
        *PEOPLE,
        Summary(DRIFT, (FILES,), lambda sources: sources.drift),
        Summary(FRESHNESS, (FILES, EVENTS), _freshness),
        Summary(QUALITY, tuple(table for table in TABLES if table is not QUALITY), _quality, _quality_part),
    )
}
"""A summary may use those before it, and says which it is made `after`; `quality` checks all of them."""
