"""Every summary: how its rows come out of the sources, made anew or, where little is new, by parts."""

from collections.abc import Callable
from datetime import timedelta

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.parts import Days, Part, PartOf, Since, Summary
from jobs.people import PEOPLE
from jobs.providers import PROVIDERS
from jobs.quality import run_checks
from jobs.sources import Sources, Touched
from jobs.tables import kept
from schemas.campaign_regions import CAMPAIGN_REGIONS
from schemas.campaigns import CAMPAIGN_KEY, CAMPAIGNS
from schemas.checks import quality_checks
from schemas.contract import TableContract
from schemas.drift import DRIFT
from schemas.events import EVENTS
from schemas.files import FILES
from schemas.freshness import FRESHNESS
from schemas.invitations import INVITATIONS, RECENT
from schemas.journeys import JOURNEYS
from schemas.messages import MESSAGE_KEY, MESSAGES, CampaignKind
from schemas.quality import QUALITY
from schemas.recipient_totals import RECIPIENT_KEY, RECIPIENT_TOTALS
from schemas.region_summary import REGION_SUMMARY
from schemas.requests import REQUESTS
from schemas.restatement import RESTATEMENT
from schemas.sailthru import BLASTS, SAILTHRU_MESSAGES
from transforms.campaign_regions import messages_by_region, recipients_by_region, summed, to_campaign_regions
from transforms.campaigns import message_revenues, of_campaign, to_campaigns
from transforms.freshness import to_freshness
from transforms.increments import is_of, is_on, with_rows, without_rows
from transforms.invitations import newest_send, to_invitations
from transforms.recipient_totals import to_recipient_totals
from transforms.region_summary import to_region_summary
from transforms.restatement import to_restatement

_STREAMED = (FILES, EVENTS, SAILTHRU_MESSAGES, BLASTS)
_OF_MESSAGES = (*_STREAMED, REQUESTS, JOURNEYS, MESSAGES)
MOST_OF_CAMPAIGNS = 0.5
"""The share of messages up to which their campaigns are made anew alone."""
_RECIPIENT = (*CAMPAIGN_KEY, "recipient")


# --- One row per message, or message and recipient: those of which something is new


def _messages_part(contract: TableContract, new: Callable[[Touched], DataFrame]) -> PartOf:
    def part(sources: Sources, since: Since) -> Part | None:
        touched = sources.touched(since)
        if touched is None:
            return None
        stored, rows = sources.stored(contract), new(touched)
        days = sources.days_of(with_rows(stored, touched.keys, MESSAGE_KEY), "send_date")
        days |= sources.days_of(rows, "send_date")
        others = without_rows(stored.where(is_of(contract, days)), touched.keys, MESSAGE_KEY)
        return Part(others.unionByName(rows), days)

    return part


# --- One row per day and what not: the days of such messages


def _days_touched(sources: Sources, touched: Touched, since: Since) -> Days:
    """The days on which the touched messages were sent, as it was known then and as it is now."""
    were = sources.messages_were(touched, since)
    return sources.days_of(were, "send_date") | sources.days_of(touched.messages, "send_date")


def _restatement(sources: Sources) -> DataFrame:
    return to_restatement(sources.of(MESSAGES), sources.state(RESTATEMENT), sources.as_of)


def _restatement_part(sources: Sources, since: Since) -> Part | None:
    touched = sources.touched(since, MESSAGES)
    if touched is None:
        return None
    is_touched = is_on("send_date", _days_touched(sources, touched, since))
    published = sources.stored(RESTATEMENT)
    now = to_restatement(sources.of(MESSAGES).where(is_touched), published.where(is_touched), sources.as_of)
    return Part(published.where(~is_touched).unionByName(now.select(*published.columns)))


def _regions(sources: Sources) -> DataFrame:
    return to_region_summary(sources.requests, sources.of(MESSAGES), sources.settings.metrics.chosen)


def _regions_part(sources: Sources, since: Since) -> Part | None:
    requests, messages = sources.requests, sources.of(MESSAGES)
    touched, changed = sources.touched(since, MESSAGES), sources.changed_rows(REQUESTS, since, "request_date")
    if touched is None or changed is None:
        return None
    ids = kept(changed.select("message_id").unionByName(touched.keys.select("message_id")).distinct())
    # Until its first event was there, a message was a request without events, of the day of the request.
    days = sources.days_of(with_rows(requests, ids, ["message_id"]), "request_date")
    days |= sources.days_of(changed, "request_date") | _days_touched(sources, touched, since)
    days |= sources.days_of(with_rows(messages, ids, ["message_id"]), "send_date")
    # All that may be of these days: their messages with their requests, their requests with their messages.
    of_days = messages.where(is_on("send_date", days)).select("message_id")
    ids = kept(of_days.unionByName(requests.where(is_of(REQUESTS, days)).select("message_id")).distinct())
    elsewhere = with_rows(messages.where(~is_on("send_date", days)), ids, ["message_id"])
    near = messages.where(is_on("send_date", days | sources.days_of(elsewhere, "send_date")))
    rows = to_region_summary(
        with_rows(requests, ids, ["message_id"]),
        with_rows(near, ids, ["message_id"]),
        sources.settings.metrics.chosen,
    ).where(is_on("send_date", days))
    stored = sources.stored(REGION_SUMMARY)
    return Part(stored.where(~is_on("send_date", days)).unionByName(rows.select(*stored.columns)))


# --- One row per campaign or recipient: those of such messages


def _campaigns(sources: Sources) -> DataFrame:
    revenues, blasts = message_revenues(sources.state(SAILTHRU_MESSAGES)), sources.state(BLASTS)
    return to_campaigns(sources.of(MESSAGES), sources.of(JOURNEYS), revenues, blasts, sources.settings.metrics.chosen)


def _campaigns_part(sources: Sources, since: Since) -> Part | None:
    touched, renamed = sources.touched(since, MESSAGES), _renamed_blasts(sources, since)
    if touched is None or renamed is None:
        return None
    keys = _few(sources, _campaigns_of(sources, touched, since).unionByName(renamed).distinct())
    if keys is None:
        return None
    rows = to_campaigns(
        with_rows(of_campaign(sources.of(MESSAGES)), keys, CAMPAIGN_KEY),
        with_rows(of_campaign(sources.of(JOURNEYS)), keys, CAMPAIGN_KEY),
        message_revenues(sources.state(SAILTHRU_MESSAGES)),
        sources.state(BLASTS),
        sources.settings.metrics.chosen,
    )
    return _with(sources.stored(CAMPAIGNS), rows, keys)


def _campaigns_of(sources: Sources, touched: Touched, since: Since) -> DataFrame:
    """The campaigns of the touched messages, as it was known then and as it is now."""
    were = sources.messages_were(touched, since).select(*CAMPAIGN_KEY)
    return of_campaign(were.unionByName(touched.messages.select(*CAMPAIGN_KEY)))


def _renamed_blasts(sources: Sources, since: Since) -> DataFrame | None:
    """The blasts that have another name than then; None if then there was no table of them."""
    if sources.is_as_it_was(BLASTS, since):
        return sources.stored(CAMPAIGNS).select(*CAMPAIGN_KEY).limit(0)
    if f"{BLASTS.name}_version" not in since:
        return None  # there were none
    named = ["client_id", "id", "name"]
    new = without_rows(sources.stored(BLASTS), sources.before(BLASTS, since), named)
    provider, kind = F.lit("sailthru").alias("provider"), F.lit(CampaignKind.BLAST.value).alias("campaign_kind")
    return new.select(provider, F.col("client_id").alias("account"), kind, F.col("id").alias("campaign"))


def _few(sources: Sources, keys: DataFrame) -> DataFrame | None:
    """The campaigns, or None if theirs are so many of all messages that all campaigns may as well be made anew."""
    keys = kept(keys)
    of_keys = with_rows(sources.campaign_sizes, keys, CAMPAIGN_KEY)
    few, some = (sum(row.messages for row in sizes.collect()) for sizes in (of_keys, sources.campaign_sizes))
    return keys if few <= MOST_OF_CAMPAIGNS * some else None


def _with(stored: DataFrame, rows: DataFrame, keys: DataFrame) -> Part:
    """The rows of the campaigns in place of those that are stored."""
    return Part(without_rows(stored, keys, CAMPAIGN_KEY).unionByName(rows.select(*stored.columns)))


def _campaign_regions(sources: Sources) -> DataFrame:
    return to_campaign_regions(sources.requests, sources.of(MESSAGES), sources.of(JOURNEYS))


def _campaign_regions_part(sources: Sources, since: Since) -> Part | None:
    """What is counted, less what the touched messages and their recipients were counted as, and with what they are."""
    touched, changed = sources.touched(since, MESSAGES, JOURNEYS), sources.changed_rows(REQUESTS, since, "request_date")
    if touched is None or changed is None:
        return None
    ids = kept(changed.select("message_id").unionByName(touched.keys.select("message_id")).distinct())
    then, now = (
        (
            sources.before(REQUESTS, since),
            sources.before(MESSAGES, since),
            of_campaign(sources.before(JOURNEYS, since)),
        ),
        (sources.requests, sources.of(MESSAGES), of_campaign(sources.of(JOURNEYS))),
    )
    of_ids = then[2].select(*_RECIPIENT, "message_id").unionByName(now[2].select(*_RECIPIENT, "message_id"))
    recipients = kept(with_rows(of_ids, ids, ["message_id"]).select(*_RECIPIENT).distinct())

    def counted(requests: DataFrame, messages: DataFrame, journeys: DataFrame) -> list[DataFrame]:
        journeys = kept(with_rows(journeys.select(*_RECIPIENT, "message_id"), recipients, _RECIPIENT))
        theirs = kept(journeys.select("message_id").unionByName(ids).distinct())
        requests = with_rows(requests, theirs, ["message_id"]).localCheckpoint()
        return [
            messages_by_region(requests, with_rows(messages, ids, ["message_id"])),
            recipients_by_region(requests, journeys),
        ]

    stored = sources.stored(CAMPAIGN_REGIONS)
    return Part(summed([stored, *counted(*now)], less=counted(*then)))


def _recipient_totals(sources: Sources) -> DataFrame:
    return _totals_of(sources, sources.of(JOURNEYS))


def _totals_of(sources: Sources, journeys: DataFrame) -> DataFrame:
    revenues, many = message_revenues(sources.state(SAILTHRU_MESSAGES)), sources.settings.campaigns.many
    return to_recipient_totals(journeys, revenues, many)


def _recipient_totals_part(sources: Sources, since: Since) -> Part | None:
    touched = sources.touched(since, JOURNEYS)
    if touched is None:
        return None
    was = with_rows(sources.before(JOURNEYS, since), touched.keys, MESSAGE_KEY).select(*RECIPIENT_KEY)
    keys = kept(was.unionByName(touched.journeys.select(*RECIPIENT_KEY)).distinct())
    rows = _totals_of(sources, with_rows(sources.of(JOURNEYS), keys, RECIPIENT_KEY))
    stored = sources.stored(RECIPIENT_TOTALS)
    return Part(without_rows(stored, keys, RECIPIENT_KEY).unionByName(rows.select(*stored.columns)))


def _invitations(sources: Sources) -> DataFrame:
    return to_invitations(sources.of(JOURNEYS), sources.settings.campaigns.response_days)


def _invitations_part(sources: Sources, since: Since) -> Part | None:
    touched = sources.touched(since, MESSAGES)
    if touched is None:
        return None
    stored, as_of = sources.stored(INVITATIONS), newest_send(sources.of(JOURNEYS)).localCheckpoint()
    # Whose sends were recent may have none any more, now that the newest send is another.
    recent = stored.where(F.col(f"{RECENT}invited") > 0).select(*CAMPAIGN_KEY)
    keys = _few(sources, _campaigns_of(sources, touched, since).unionByName(recent).distinct())
    if keys is None:
        return None
    journeys = with_rows(of_campaign(sources.of(JOURNEYS)), keys, CAMPAIGN_KEY)
    rows = to_invitations(journeys, sources.settings.campaigns.response_days, as_of)
    others = stored.drop("as_of_date").crossJoin(F.broadcast(as_of)).select(*stored.columns)
    return _with(others, rows, keys)


# --- Of the warehouse as a whole


def _freshness(sources: Sources) -> DataFrame:
    client_id = sources.settings.sailthru.client_id
    return to_freshness(sources.stored(FILES), sources.stored(EVENTS), client_id, sources.as_of)


def _quality(sources: Sources) -> DataFrame:
    after_load = timedelta(days=sources.settings.latest_event_time_days_after_load)
    metrics = sources.settings.metrics.chosen
    features = sources.settings.features.wanted
    checks = quality_checks(tuple(PROVIDERS), sources.settings.earliest_event_time, after_load, metrics, features)
    sources.refuse_other_profile()
    return run_checks(sources.spark, sources.everything, checks)


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
        ),
        Summary(REGION_SUMMARY, _OF_MESSAGES, _regions, _regions_part),
        Summary(RESTATEMENT, _OF_MESSAGES, _restatement, _restatement_part),
        Summary(CAMPAIGNS, _OF_MESSAGES, _campaigns, _campaigns_part),
        Summary(CAMPAIGN_REGIONS, _OF_MESSAGES, _campaign_regions, _campaign_regions_part),
        Summary(RECIPIENT_TOTALS, _OF_MESSAGES, _recipient_totals, _recipient_totals_part),
        Summary(INVITATIONS, _OF_MESSAGES, _invitations, _invitations_part),
        *PEOPLE,
        Summary(DRIFT, _OF_MESSAGES, lambda sources: sources.drift),
        Summary(FRESHNESS, _OF_MESSAGES, _freshness),
        Summary(QUALITY, _OF_MESSAGES, _quality),
    )
}
"""In the order in which they are made: a summary may use those before it, and `quality` checks all of them."""
