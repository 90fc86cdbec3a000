"""Views over the tables, in SQL that Spark and DuckDB both read."""

from dataclasses import dataclass

from schemas.invitations import ANSWERS, RECENT
from schemas.metrics import DEFAULT_PROFILE, Profile
from schemas.stages import STAGES


@dataclass(frozen=True, kw_only=True)
class View:
    """A named question; `of` are the tables it reads."""

    name: str
    comment: str
    sql: str
    of: tuple[str, ...]


ALL = "all"
"""The region of the row that counts every message."""


def _sum(count: str) -> str:
    return f"cast(sum({count}) as bigint) as {count}"


def _total_sql(profile: Profile) -> str:
    sums = [_sum(s.count) for s in STAGES]
    by_region, overall = [], []
    for metric in profile:
        (numerator, _), (denominator, _), (rate, _) = metric.columns.items()
        by_region += [
            _sum(numerator),
            _sum(denominator),
            f"cast(sum({numerator}) as double) / nullif(sum({denominator}), 0) as {rate}",
        ]
        overall += [f"{sql} as {name}" for name, sql in metric.columns.items()]
    per_region = [_sum("requests"), _sum("messages"), *sums, *by_region]
    of_all = [f"(select {_sum('requests')} from region_summary) as requests", "count(*) as messages", *sums, *overall]

    def columns(region: str, rest: list[str]) -> str:
        return ",\n       ".join([f"select {region}", *rest])

    regions, everything = columns("region", per_region), columns(f"'{ALL}' as region", of_all)
    return f"{regions}\nfrom region_summary group by region\nunion all\n{everything}\nfrom messages"


def _total(profile: Profile) -> View:
    return View(
        name="region_summary_total",
        of=("region_summary", "messages"),
        comment="One row per region over all kinds and days, and the row `all`, in which a message asked for in two "
        "regions counts once. Medians and percentiles do not add up: they stand in region_summary alone.",
        sql=_total_sql(profile),
    )


VIEWS = (
    View(
        name="ses_mail",
        of=("events",),
        comment="`events` under the name that the analysts' existing SQL uses; it holds Sailthru's too, if loaded.",
        sql="select * from events",
    ),
    _total(DEFAULT_PROFILE),
    View(
        name="campaigns_per_region",
        of=("campaign_regions",),
        comment="Per region in how many campaigns its people got mail, with their messages and requests. Recipients do "
        "not add up over campaigns: they stand in campaign_regions alone.",
        sql=f"""
            select region, cast(sum(case when campaign_kind <> 'unknown' then 1 else 0 end) as bigint) as campaigns,
                   {_sum("requests")}, {_sum("messages")}
            from campaign_regions group by region
        """,
    ),
    View(
        name="blast_totals",
        of=("campaigns",),
        comment="Sailthru's blasts all together, per account: sends, opens, clicks, and the distinct pairs of profile "
        "and blast that were opened (or clicked) and clicked.",
        sql=f"""
            select account, count(*) as blasts, {_sum("messages")}, {_sum("sent")}, {_sum("opened")}, {_sum("clicked")},
                   cast(sum(recipients_opened) as bigint) as profile_blasts_opened,
                   cast(sum(recipients_clicked) as bigint) as profile_blasts_clicked
            from campaigns where campaign_kind = 'blast' group by account
        """,
    ),
    View(
        name="campaign_attribution",
        of=("attribution", "campaigns"),
        comment="Per campaign and way of crediting our credited_revenue beside provider_revenue, which Sailthru itself "
        "attributes (campaigns.revenue). The latter has no time, so it is the same whatever the window, and NULL where "
        "none is stated. Campaigns without either have no row, and revenue credited to no email is not there.",
        sql="""
            with ours as (
                select provider, account, coalesce(campaign, 'unknown') as campaign, model, touch_kind, window_days,
                       sum(credit) as revenue
                from attribution where reason is null
                group by provider, account, coalesce(campaign, 'unknown'), model, touch_kind, window_days
            ), theirs as (
                select provider, account, campaign, model, touch_kind, window_days, sum(revenue) as revenue
                from campaigns cross join (select distinct model, touch_kind, window_days from attribution) ways
                where revenue is not null
                group by provider, account, campaign, model, touch_kind, window_days
            )
            select provider, account, campaign, model, touch_kind, window_days,
                   cast(coalesce(ours.revenue, 0) as decimal(30, 4)) as credited_revenue,
                   cast(theirs.revenue as decimal(30, 4)) as provider_revenue
            from ours full join theirs using (provider, account, campaign, model, touch_kind, window_days)
        """,
    ),
    View(
        name="recipients_with_many_campaigns",
        of=("recipient_totals",),
        comment="Recipients of more campaigns than the setting campaigns.many (Sailthru: profiles of many blasts).",
        sql="select * from recipient_totals where has_many_campaigns",
    ),
    View(
        name="recipients_with_many_clicks",
        of=("recipient_totals",),
        comment="Recipients with more clicks than the setting campaigns.many.",
        sql="select * from recipient_totals where has_many_clicks",
    ),
    View(
        name="recent_response",
        of=("invitations",),
        comment="Per provider and account the answers to the sends of the last days (setting campaigns.response_days), "
        "over all campaigns; a recipient counts once in each campaign.",
        sql=f"""
            select provider, account, as_of_date, {", ".join(_sum(RECENT + name) for name in ANSWERS)},
                   cast(sum(recent_responded) as double) / nullif(sum(recent_reached), 0) as recent_response_rate
            from invitations group by provider, account, as_of_date
        """,
    ),
    View(
        name="opened_not_clicked",
        of=("journeys",),
        comment="Journeys opened and never clicked. One whose recipient is NULL is a message of which SES does not say "
        "who opened it.",
        sql="select * from journeys where is_opened and not is_clicked",
    ),
    View(
        name="delivered_not_opened",
        of=("journeys",),
        comment="Journeys delivered and not opened, but for those of which an open of the message names nobody.",
        sql="select * from journeys where is_delivered and not is_opened and not message_opened",
    ),
    View(
        name="delayed_then_delivered",
        of=("journeys",),
        comment="Journeys held up at least once and delivered in the end, with no bounce since.",
        sql="select * from journeys where delayed > 0 and is_delivered and last_delivery_at >= first_delivery_delay_at",
    ),
    View(
        name="clicked_without_open",
        of=("journeys",),
        comment="Journeys clicked without an open: the picture that tells of opens was blocked.",
        sql="select * from journeys where clicked > 0 and opened = 0",
    ),
    View(
        name="bought_after_click",
        of=("journeys", "sailthru_messages"),
        comment="Clicked journeys to whose message Sailthru attributes revenue (message_revenue more than 0). Sailthru "
        "states no time of the revenue, so it is not known that the purchase came after the click.",
        sql="""
        select journeys.*, bought.message_revenue
        from journeys
        join (select client_id, message_id, max(message_revenue) as message_revenue
              from sailthru_messages group by client_id, message_id) bought
          on journeys.account = bought.client_id and journeys.message_id = bought.message_id
        where journeys.provider = 'sailthru' and journeys.is_clicked and bought.message_revenue > 0
        """,
    ),
    View(
        name="bounced_after_delivery",
        of=("journeys",),
        comment="Journeys that bounced at or after their first delivery.",
        sql="select * from journeys where is_bounced and last_bounce_at >= first_delivery_at",
    ),
)


def views(profile: Profile) -> tuple[View, ...]:
    """All views, with the metrics of the profile."""
    total = _total(profile)
    return tuple(total if view.name == total.name else view for view in VIEWS)
