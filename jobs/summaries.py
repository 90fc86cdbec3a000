"""Every summary: how its rows come out of the sources, made anew or, where little is new, by parts."""

from collections.abc import Callable
from datetime import timedelta

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.parts import Days, Part, PartOf, Since, Summary, with_keys_anew
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
from schemas.messages import MESSAGE_KEY, MESSAGES, CampaignKind
from schemas.quality import QUALITY
from schemas.recipient_totals import RECIPIENT_KEY, RECIPIENT_TOTALS
from schemas.region_summary import REGION_SUMMARY
from schemas.requests import REQUESTS
from schemas.restatement import RESTATEMENT
from schemas.sailthru import BLASTS, SAILTHRU_MESSAGES
from transforms.campaign_regions import COUNTS, messages_by_region, recipients_by_region, to_campaign_regions
from transforms.campaigns import RECIPIENTS, message_revenues, of_campaign, recipients_of_campaigns, to_campaigns
from transforms.freshness import to_freshness
from transforms.increments import is_of, is_on, summed, with_rows, without_rows
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


def _days_touched(sources: Sources, touched: Touched, since: Since) -> Days:
    """The days on which the touched messages were sent, as it was known then and as it is now."""
    both = (sources.messages_were(touched, since), touched.messages)
    return sources.days_of(*[messages.select("send_date") for messages in both])


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
    near = bounds(ids)
    days = _days_touched(sources, touched, since) | sources.days_of(
        # Until its first event was there, a message was a request without events, of the day of the request.
        with_rows(requests.where(near), ids, ["message_id"]).select("request_date"),
        changed.select("request_date"),
        with_rows(messages.where(near), ids, ["message_id"]).select("send_date"),
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
    return _campaigns_out_of(sources, sources.of(MESSAGES), recipients_of_campaigns(sources.of(JOURNEYS)))


def _campaigns_out_of(sources: Sources, messages: DataFrame, recipients: DataFrame) -> DataFrame:
    revenues, blasts = message_revenues(sources.state(SAILTHRU_MESSAGES)), sources.state(BLASTS)
    return to_campaigns(messages, recipients, revenues, blasts, sources.settings.metrics.chosen)


def _campaigns_part(sources: Sources, since: Since) -> Part | None:
    """Anew out of the messages of campaigns of which one is touched; its recipients, with those of whom one is."""
    touched, renamed = sources.touched(since, MESSAGES), _renamed_blasts(sources, since)
    theirs = sources.recipients(since)
    if touched is None or renamed is None or theirs is None:
        return None
    stored = sources.stored(CAMPAIGNS)
    now, then = recipients_of_campaigns(theirs.now), recipients_of_campaigns(theirs.then)
    recipients = summed(CAMPAIGN_KEY, RECIPIENTS, [stored, now], less=[then])
    keys = kept(_campaigns_of(sources, touched, since).unionByName(renamed).distinct())
    messages = with_rows(of_campaign(sources.of(MESSAGES)), keys, CAMPAIGN_KEY)
    rows = _campaigns_out_of(sources, messages, recipients)
    return with_keys_anew(stored, rows, keys, CAMPAIGN_KEY)


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


def _campaign_regions(sources: Sources) -> DataFrame:
    return to_campaign_regions(sources.requests, sources.of(MESSAGES), sources.of(JOURNEYS))


def _campaign_regions_part(sources: Sources, since: Since) -> Part | None:
    """What is counted, less what the touched messages and their recipients were counted as, and with what they are."""
    theirs, messages = sources.recipients(since), sources.of(MESSAGES)
    requests = sources.requests_of(theirs, since) if theirs is not None else None
    if theirs is None or requests is None or sources.touched(since, MESSAGES) is None:
        return None

    def counted(requests: DataFrame, messages: DataFrame, journeys: DataFrame) -> list[DataFrame]:
        of_ids = with_rows(messages.where(theirs.near), theirs.ids, ["message_id"])
        return [messages_by_region(requests, of_ids), recipients_by_region(requests, journeys)]

    now = counted(requests.now, messages, theirs.now)
    then = counted(requests.then, sources.before(MESSAGES, since), theirs.then)
    stored = sources.stored(CAMPAIGN_REGIONS)
    return Part(summed(CAMPAIGN_REGIONS.key, COUNTS, [stored, *now], less=then).where(F.col("messages") > 0))


def _recipient_totals(sources: Sources) -> DataFrame:
    return _totals_of(sources, sources.of(JOURNEYS))


def _totals_of(sources: Sources, journeys: DataFrame) -> DataFrame:
    revenues, many = message_revenues(sources.state(SAILTHRU_MESSAGES)), sources.settings.campaigns.many
    return to_recipient_totals(journeys, revenues, many)


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
    ever = summed(CAMPAIGN_KEY, ANSWERS, [stored, answers(theirs.now)], less=[answers(theirs.then)])
    ((newest,),) = newest_send(journeys).collect()
    as_of = F.lit(newest).cast("date")
    recent = answers(journeys.where(is_recent(as_of, sources.settings.campaigns.response_days)))
    recent = recent.withColumnsRenamed({name: RECENT + name for name in ANSWERS})
    campaigns = of_campaign(sources.of(MESSAGES)).select(*CAMPAIGN_KEY).distinct()
    rows = campaigns.join(ever, on=list(CAMPAIGN_KEY), how="left").join(recent, on=list(CAMPAIGN_KEY), how="left")
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
    large = [table for table in there if table.partitioned_by and sources.is_large(table)]
    changes = {
        table.name: change
        for table in ([*large, FILES] if large else [])
        if table.name not in same and (change := sources.change(table, since)) is not None
    }
    results = {tuple(row[name] for name in QUALITY.key): row for row in sources.stored(QUALITY).collect()}
    return Part(_quality(sources, Known(results, same, changes)))


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
        Summary(QUALITY, tuple(table for table in TABLES if table is not QUALITY), _quality, _quality_part),
    )
}
"""In the order in which they are made: a summary may use those before it, and `quality` checks all of them."""
