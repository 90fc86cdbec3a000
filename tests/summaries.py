"""What the summaries must hold, computed anew: from the generator's truth in Python, and from `events` by DuckDB."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import duckdb

from jobs.generator import RequestsTruth, SailthruTruth, Truth

Key = tuple[str, str, str]
COUNT_OF_CLASS = {
    "reject": "rejected",
    "send": "sent",
    "delivery": "delivered",
    "bounce": "bounced",
    "open": "opened",
    "click": "clicked",
    "complaint": "complained",
    "delivery_delay": "delayed",
    "unsubscribe": "unsubscribed",
    "rendering_failure": "failed",
}
PARTS = ("numerator", "denominator")
RATES = (
    "delivery",
    "bounce",
    "hard_bounce",
    "soft_bounce",
    "open",
    "click",
    "click_to_open",
    "complaint",
    "unsubscribe",
)
FRACTIONS = tuple(f"{name}_{part}" for name in RATES for part in PARTS)
OF_KINDS = tuple(f"{kind}_bounce_{part}" for kind in ("hard", "soft") for part in PARTS)
"""Told by DuckDB alone, for the made-up truth has no statuses."""
SUMS = ("requests", "messages", *COUNT_OF_CLASS.values(), *FRACTIONS)
"""Columns of `region_summary`."""
USUAL = (
    *("send", "reject", "rendering_failure", "delivery_delay", "delivery", "bounce"),
    *("open", "click", "complaint", "unsubscribe"),
)
NEVER_TRIED = {
    "suppressed",
    "onaccountsuppressionlist",
    "ontenantsuppressionlist",
    "emailvalidationsuppressed",
    "unsubscribedrecipient",
}


@dataclass(frozen=True)
class Fact:
    """One event of the truth, whoever reported it."""

    key: Key
    event_class: str
    at: int
    timestamp: int | None
    people: tuple[str | None, ...]
    is_suppression: bool
    is_report: bool
    counts_as: str | None


def facts(ses: Truth, sailthru: SailthruTruth) -> Iterator[Fact]:
    """The events of both providers."""
    for e in ses.events:
        only = e.destination if len(e.destination) == 1 else None
        named = () if e.event_class == "subscription" else e.event_recipients
        subtype = {"bounce": e.event_subclass, "complaint": e.event_type}.get(e.event_class) or ""
        listed = subtype in NEVER_TRIED
        report = e.event_class == "complaint" and not listed and e.event_subclass != "not-spam"
        counts_as = "unsubscribe" if e.unsubscribes else e.event_class
        yield Fact(
            key=("ses", "", e.message_id),
            event_class=e.event_class,
            at=e.event_time,
            timestamp=e.timestamp,
            people=tuple(map(lower_domain, only or named or ())) or (None,),
            is_suppression=listed,
            is_report=report,
            counts_as=counts_as if counts_as in COUNT_OF_CLASS else None,
        )
    for s in sailthru.events:
        key = ("sailthru", s.account, s.message_id)
        yield Fact(key, s.event_class, s.event_time, s.timestamp, (s.profile_id,), False, False, s.event_class)


def lower_domain(address: str) -> str:
    """An address as journeys name it."""
    local, at, domain = address.rpartition("@")
    return local + at + domain.lower()


@dataclass
class Expected:
    """Rows of the three summaries by key, the columns that need no knowledge of email kinds."""

    journeys: dict[tuple[Any, ...], dict[str, Any]] = field(default_factory=dict)
    messages: dict[Key, dict[str, Any]] = field(default_factory=dict)
    regions: dict[tuple[str, date | None], Counter[str]] = field(default_factory=dict)


def expected(ses: Truth, sailthru: SailthruTruth, requests: RequestsTruth) -> Expected:
    """The summaries of a truth."""
    result = Expected()
    by_message: dict[Key, list[Fact]] = defaultdict(list)
    for fact in facts(ses, sailthru):
        by_message[fact.key].append(fact)
    for key, events in by_message.items():
        _one_message(result, key, events)
    _regions(result, requests)
    return result


def _one_message(result: Expected, key: Key, events: list[Fact]) -> None:
    stamps = [e.timestamp for e in events if e.timestamp is not None]
    timestamp = min(stamps, default=None)
    by_person: dict[str | None, list[Fact]] = defaultdict(list)
    for event in events:
        for person in event.people:
            by_person[person].append(event)
    rows = {person: _one_journey(key[0], own, timestamp) for person, own in by_person.items()}
    nobody = rows.get(None, {})
    for person, row in rows.items():
        row["message_opened"] = bool(nobody.get("is_opened"))
        row["message_clicked"] = bool(nobody.get("is_clicked"))
        result.journeys[(*key, person)] = row
    units = [row for person, row in rows.items() if person is not None] or list(rows.values())
    message = dict.fromkeys(COUNT_OF_CLASS.values(), 0)
    message |= Counter(COUNT_OF_CLASS[e.counts_as] for e in events if e.counts_as)
    for state in ("sent", "suppressed", "delivered", "bounced"):
        message[f"recipients_{state}"] = sum(row[f"is_{state}"] for row in units)
    for flag in ("is_opened", "is_clicked", "is_complained", "is_unsubscribed"):
        message[flag] = any(row[flag] for row in rows.values())
    message["is_delivered"] = message["recipients_delivered"] > 0
    first = timestamp if timestamp is not None else min(e.at for e in events)
    result.messages[key] = {**message, "send_date": day(first)}


def day(at: int) -> date:
    """The UTC date of microseconds since 1970."""
    return datetime.fromtimestamp(at // 1_000_000, UTC).date()


def _one_journey(provider: str, events: list[Fact], timestamp: int | None) -> dict[str, Any]:
    times: dict[str, list[int]] = defaultdict(list)
    for e in events:
        if e.counts_as:
            times[e.counts_as].append(e.at)
    counts = {name: len(times[stage]) for stage, name in COUNT_OF_CLASS.items()}
    bounces = [e.at for e in events if e.counts_as == "bounce" and not e.is_suppression]
    sent = any(counts[n] for n in counts if n not in ("rejected", "failed"))
    delivered = bool(times["delivery"]) and (not bounces or max(times["delivery"]) > max(bounces))
    suppressed = any(e.is_suppression for e in events) and not times["delivery"] and not bounces
    order = sorted(
        events, key=lambda e: (e.at, USUAL.index(e.event_class) if e.event_class in USUAL else 99, e.event_class)
    )
    path: list[str] = []
    for e in order:
        if path[-1:] != [e.event_class]:
            path.append(e.event_class)
    row: dict[str, Any] = {
        **counts,
        "is_sent": sent,
        "is_suppressed": suppressed,
        "is_delivered": sent and not bounces if provider == "sailthru" else delivered,
        "is_bounced": bool(bounces),
        "is_opened": bool(times["open"] or times["click"]),
        "is_clicked": bool(times["click"]),
        "is_complained": any(e.is_report for e in events),
        "is_unsubscribed": bool(times["unsubscribe"]),
        "bounced_after_delivery": bool(bounces and times["delivery"]) and max(bounces) >= min(times["delivery"]),
        "delayed_then_delivered": bool(times["delivery_delay"] and times["delivery"])
        and max(times["delivery"]) >= min(times["delivery_delay"])
        and not (bounces and max(bounces) >= max(times["delivery"])),
        "path": " > ".join(path),
        "steps": len(events),
    }
    start = min(times["send"], default=timestamp)
    for name, stage in (("deliver", "delivery"), ("open", "open"), ("click", "click")):
        until = min(times[stage], default=None)
        known = until is not None and start is not None
        row[f"seconds_to_{name}"] = round((until - start) / 1e6, 6) if known else None  # type: ignore[operator]
    states = ("complained", "unsubscribed", "clicked", "opened", "delivered", "bounced", "suppressed")
    reached = [s for s in states if row[f"is_{s}"]] + [s for s in ("rejected", "failed", "delayed") if counts[s]]
    row["last_state"] = (reached + ["sent"] * sent + ["unknown"])[0]
    return row


def _regions(result: Expected, requests: RequestsTruth) -> None:
    asked: dict[str, dict[str, list[int | None]]] = defaultdict(lambda: defaultdict(list))
    for r in requests.requests:
        asked[r.message_id][r.region or "unknown"].append(r.request_time)
    sums: dict[tuple[str, date | None], Counter[str]] = defaultdict(Counter)
    known: set[str] = set()
    for key, message in sorted(result.messages.items()):
        is_first = key[2] not in known
        known.add(key[2])
        for region, times in asked.get(key[2], {"unknown": []}).items():
            add = sums[region, message["send_date"]]
            add.update({name: message[name] for name in COUNT_OF_CLASS.values()})
            add.update(requests=len(times) * is_first, messages=1)
            add.update(fractions(message))
    for message_id, regions in asked.items():
        for region, times in regions.items() if message_id not in known else ():
            stated = [t for t in times if t is not None]
            sums[region, day(min(stated)) if stated else None]["requests"] += len(times)
    result.regions = dict(sums)


def assert_regions_are(rows: Iterable[dict[str, Any]], truth: Expected) -> None:
    """The rows of `region_summary`, all kinds of email together, are those of the truth."""
    found: dict[Any, Counter[str]] = {}
    for row in rows:
        told = {name: row[name] for name in SUMS if name not in OF_KINDS}
        found.setdefault((row["region"], row["send_date"]), Counter()).update(told)
    assert set(found) == set(truth.regions)
    for key, sums in truth.regions.items():
        assert +found[key] == +sums, key


def fractions(message: dict[str, Any]) -> dict[str, int]:
    """What a message adds to each metric's numerator and denominator."""
    tried = message["recipients_sent"] - message["recipients_suppressed"]
    arrived = message["is_delivered"]
    opened, clicked = arrived and message["is_opened"], arrived and message["is_clicked"]
    pairs = {
        "delivery": (message["recipients_delivered"], tried),
        "bounce": (message["recipients_bounced"], tried),
        "open": (opened, arrived),
        "click": (clicked, arrived),
        "click_to_open": (clicked, opened),
        "complaint": (arrived and message["is_complained"], arrived),
        "unsubscribe": (arrived and message["is_unsubscribed"], arrived),
    }
    return {f"{name}_{part}": int(v) for name, pair in pairs.items() for part, v in zip(PARTS, pair, strict=True)}


DUCKDB_LIFECYCLE = """
create temp table lifecycle as
select provider, case when provider = 'ses' then '' else account end as account, message_id, event_class, event_time,
       epoch_us(event_time) as micros, epoch_us("timestamp") as stamped, profile_id, campaign,
       case when len(destination) = 1 then list_transform(destination, lambda a: lower_domain(a))
            when provider = 'sailthru' then [profile_id]
            when event_recipients is not null and event_class <> 'subscription' then event_recipients
            else [null] end as people,
       event_type, destination, case when event_class = 'bounce' then event_data end as bounce_body,
       coalesce(case event_class when 'bounce' then event_subclass when 'complaint' then event_type end, '') in (
           'suppressed', 'onaccountsuppressionlist', 'ontenantsuppressionlist', 'emailvalidationsuppressed',
           'unsubscribedrecipient') as listed,
       case when event_class <> 'subscription' then event_class
            when coalesce(try_cast(event_data ->> '$.newTopicPreferences.unsubscribeAll' as boolean), false)
              or len(list_filter(out_of(event_data, '$.newTopicPreferences'),
                                 lambda t: not list_contains(out_of(event_data, '$.oldTopicPreferences'), t))) > 0
            then 'unsubscribe' else event_class end as stage,
       event_subclass
from events
"""
DUCKDB_MACROS = """
create temp macro lower_domain(a) as
    case when contains(a, '@') then regexp_replace(a, '@[^@]*$', '') || lower(regexp_extract(a, '@[^@]*$'))
         else lower(a) end;
create temp macro out_of(body, preferences) as coalesce(list_transform(
    list_filter(from_json(json_extract(body, preferences || '.topicSubscriptionStatus'),
                          '[{"topicName":"VARCHAR","subscriptionStatus":"VARCHAR"}]'),
                lambda t: t.subscriptionStatus = 'OptOut'), lambda t: t.topicName), []);
"""


def _counts(prefix: str = "") -> str:
    return ", ".join(
        f"count(*) filter (where stage = '{stage}') as {prefix}{name}" for stage, name in COUNT_OF_CLASS.items()
    )


DUCKDB_BOUNCES = """
create temp table bounces as
with labelled as (
    select *, case event_type when 'permanent' then 'hard' when 'transient' then 'soft' end as label,
           from_json(json_extract(bounce_body, '$.bouncedRecipients'),
                     '[{"emailAddress":"VARCHAR","status":"VARCHAR"}]') as named
    from lifecycle where event_class = 'bounce' and not listed),
each as (
    select *, unnest(named) as bounced from labelled where len(named) > 0)
select provider, account, message_id,
       lower_domain(case when len(destination) = 1 then destination[1] else bounced.emailAddress end) as recipient,
       case left(trim(bounced.status), 2) when '5.' then 'hard' when '4.' then 'soft' else label end as kind
from each
union all
select provider, account, message_id, unnest(people), label from labelled where coalesce(len(named), 0) = 0
union all
select l.provider, l.account, l.message_id, unnest(l.people),
       case when trim(s.delivery_status) ilike 'hard%' then 'hard'
            when trim(s.delivery_status) ilike 'soft%' then 'soft' end
from labelled l join sailthru_messages s
  on l.provider = 'sailthru' and l.account = s.client_id and l.message_id = s.message_id
"""
DUCKDB_JOURNEYS = f"""
create temp table duck_journeys as
with each as (select *, unnest(people) as recipient from lifecycle),
stamps as (
    select provider, account, message_id, min(stamped) as stamped, max(campaign) as kind from lifecycle group by all),
grouped as (
    select provider, account, message_id, recipient, {_counts()},
           count(*) filter (where stage in ('send', 'delivery', 'bounce', 'delivery_delay', 'open', 'click',
                                            'complaint', 'unsubscribe')) > 0 as is_sent,
           max(micros) filter (where stage = 'delivery') as last_delivery,
           max(micros) filter (where stage = 'bounce' and not listed) as last_bounce,
           min(micros) filter (where stage = 'send') as first_send,
           min(micros) filter (where stage = 'delivery') as first_delivery,
           min(micros) filter (where stage = 'open') as first_open,
           min(micros) filter (where stage = 'click') as first_click,
           bool_or(listed) as was_listed,
           count(*) filter (where event_class = 'complaint' and not listed
                            and event_subclass is distinct from 'not-spam') > 0 as is_complained,
           list(event_class order by micros,
                coalesce(list_position({list(USUAL)}, event_class), 99), event_class) as classes
    from each group by all),
kinds as (
    select provider, account, message_id, recipient, coalesce(bool_or(kind = 'hard'), false) as is_hard_bounced,
           coalesce(bool_or(kind = 'soft'), false) as was_soft
    from bounces group by all)
select g.provider, g.account, g.message_id, g.recipient, {", ".join(COUNT_OF_CLASS.values())}, is_sent,
       was_listed and first_delivery is null and last_bounce is null as is_suppressed,
       case when g.provider = 'sailthru' then is_sent and last_bounce is null
            else first_delivery is not null and coalesce(last_delivery > last_bounce, true) end as is_delivered,
       last_bounce is not null as is_bounced, coalesce(is_hard_bounced, false) as is_hard_bounced,
       coalesce(was_soft and not is_hard_bounced, false) as is_soft_bounced,
       opened + clicked > 0 as is_opened, clicked > 0 as is_clicked,
       is_complained, unsubscribed > 0 as is_unsubscribed, coalesce(kind, 'unknown') as email_kind,
       array_to_string(list_filter(classes, lambda c, i: i = 1 or classes[i - 1] <> c), ' > ') as path,
       len(classes) as steps,
       (first_delivery - coalesce(first_send, stamped)) / 1e6 as seconds_to_deliver,
       (first_open - coalesce(first_send, stamped)) / 1e6 as seconds_to_open,
       (first_click - coalesce(first_send, stamped)) / 1e6 as seconds_to_click
from grouped g join stamps s using (provider, account, message_id)
left join kinds k on (g.provider, g.account, g.message_id) = (k.provider, k.account, k.message_id)
                 and g.recipient is not distinct from k.recipient
"""
WAITS = {"deliver": "delivery", "open": "open", "click": "click"}
WAIT_SHARES = {"median": 0.5, "p95": 0.95}


def _waits() -> str:
    sent = "coalesce(min(micros) filter (where stage = 'send'), min(stamped))"
    return ", ".join(
        f"(min(micros) filter (where stage = '{stage}') - {sent}) / 1e6 as seconds_to_{name}"
        for name, stage in WAITS.items()
    )


DUCKDB_MESSAGES = f"""
create temp table duck_messages as
with counted as (
    select provider, account, message_id, {_counts()}, coalesce(max(campaign), 'unknown') as email_kind,
           {_waits()},
           make_timestamp(coalesce(min(stamped), min(micros)))::date as send_date
    from lifecycle group by all),
named as (
    select j.* from duck_journeys j where recipient is not null
    or not exists (from duck_journeys o where o.recipient is not null
                   and (o.provider, o.account, o.message_id) = (j.provider, j.account, j.message_id))),
units as (
    select provider, account, message_id, count_if(is_sent) as recipients_sent,
           count_if(is_suppressed) as recipients_suppressed, count_if(is_delivered) as recipients_delivered,
           count_if(is_bounced) as recipients_bounced, count_if(is_hard_bounced) as recipients_hard_bounced,
           count_if(is_soft_bounced) as recipients_soft_bounced, bool_or(is_delivered) as is_delivered
    from named group by all),
anyone as (
    select provider, account, message_id, bool_or(is_opened) as is_opened, bool_or(is_clicked) as is_clicked,
           bool_or(is_complained) as is_complained, bool_or(is_unsubscribed) as is_unsubscribed
    from duck_journeys group by all)
from counted join units using (provider, account, message_id) join anyone using (provider, account, message_id)
"""
DUCKDB_REGIONS = f"""
with asked as (
    select message_id, coalesce(region, 'unknown') as region, count(*) as requests, min(request_time) as request_time
    from requests group by 1, 2),
entered as (
    select coalesce(a.region, 'unknown') as region, coalesce(m.email_kind, 'unknown') as email_kind,
           coalesce(m.send_date, a.request_time::date) as send_date,
           case when coalesce(m.of_id, 1) = 1 then coalesce(a.requests, 0) else 0 end as requests, m.*
           exclude (email_kind, send_date)
    from (select *, row_number() over (partition by message_id order by provider, account) as of_id
          from duck_messages) m
    full join asked a on m.message_id = a.message_id)
select region, email_kind, send_date, sum(requests)::bigint as requests, count(provider) as messages,
       {", ".join(f"coalesce(sum({n}), 0)::bigint as {n}" for n in COUNT_OF_CLASS.values())},
       {{fractions}}, {{waits}}
from entered group by all
"""


def duckdb_fractions() -> str:
    """Numerator and denominator of each metric, as aggregates over `duck_messages`."""
    conditions = {
        "delivery": ("recipients_delivered", "recipients_sent - recipients_suppressed"),
        "bounce": ("recipients_bounced", "recipients_sent - recipients_suppressed"),
        "hard_bounce": ("recipients_hard_bounced", "recipients_sent - recipients_suppressed"),
        "soft_bounce": ("recipients_soft_bounced", "recipients_sent - recipients_suppressed"),
        "open": ("(is_delivered and is_opened)::int", "is_delivered::int"),
        "click": ("(is_delivered and is_clicked)::int", "is_delivered::int"),
        "click_to_open": ("(is_delivered and is_clicked)::int", "(is_delivered and is_opened)::int"),
        "complaint": ("(is_delivered and is_complained)::int", "is_delivered::int"),
        "unsubscribe": ("(is_delivered and is_unsubscribed)::int", "is_delivered::int"),
    }
    return ", ".join(
        f"coalesce(sum({sql}), 0)::bigint as {name}_{part}"
        for name, pair in conditions.items()
        for part, sql in zip(PARTS, pair, strict=True)
    )


def duckdb_regions() -> str:
    """The statement that gives `region_summary`, from the temp tables and a table `requests`."""
    waits = [
        f"quantile_cont(seconds_to_{name}, {share}) as seconds_to_{name}_{suffix}"
        for name in WAITS
        for suffix, share in WAIT_SHARES.items()
    ]
    return DUCKDB_REGIONS.format(fractions=duckdb_fractions(), waits=", ".join(waits))


def rates_hold(rows: Iterable[dict[str, Any]]) -> None:
    """Every rate is its numerator over its denominator, none above 1, and NULL over 0."""
    for row in rows:
        for name in RATES:
            n, d, rate = (row[f"{name}_{part}"] for part in ("numerator", "denominator", "rate"))
            assert 0 <= n <= d, (name, row)
            assert rate == (n / d if d else None), (name, row)


def picked(rows: list[dict[str, Any]], names: tuple[str, ...]) -> list[tuple[Any, ...]]:
    """Some columns of rows; seconds to the microsecond."""
    return [tuple(round(v, 6) if isinstance(v := row[n], float) else v for n in names) for row in rows]


def asked(duck: duckdb.DuckDBPyConnection, sql: str) -> list[dict[str, Any]]:
    """DuckDB's answer as rows."""
    answer = duck.sql(sql)
    return [dict(zip(answer.columns, row, strict=True)) for row in answer.fetchall()]
