"""Views over the tables, in SQL that Spark and DuckDB both read."""

from dataclasses import dataclass

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
