"""A made-up history of one Sailthru account: its profiles, campaigns and messages, and what became of them.

Wall-clock times are naive `datetime`s in the account's zone; instants are microseconds since 1970-01-01 UTC.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from itertools import accumulate
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

from jobs.generator.files import Chances
from jobs.generator.history import DAY, DOMAINS, EPOCH, FIRST, HOUR, LAST, SECOND
from jobs.generator.regions import habits_of

Json = dict[str, Any]
Rank = tuple[str, int, int, str, str]

DEVICES = ("iPhone", "Android", "Chrome", "Apple Mail", "Internet Explorer", "Café Mail")
ENGAGEMENTS = ("engaged", "active", "passive", "disengaged")
TEMPLATES = ("Order confirmation", "Welcome", "Password reset", "Bestätigung: Café & Co")
TOPICS = ("Weekly digest", "Autumn list", "Grüße aus Köln · “neu”", "本日のおすすめ", "VIP & friends: 50% off")
LISTS = ("Readers", "Weekly digest 1", "VIP - 2025", "Köln & Umgebung")
URLS = (
    "https://www.example.com/lists/autumn?src=mail&n=1",
    "https://www.example.com/p/bk-204",
    "https://www.example.org/zurück?q=a%20b",
    "https://accounts.example.net/confirm?token=abc#top",
)
CITIES = (("Oslo", "NO", "0150"), ("Köln", "DE", "50667"), ("Springfield", "US", "00000"))
BOUNCES = ("hardbounce", "softbounce")
ODD_BOUNCES = ("hard", "soft", "Bounced", "BOUNCE", "hard bounce", "Soft_Bounce", "HardBounce")
OPTOUT_REASONS = ("Unsubscribe-email", "Spam", "UI", "API")
LATEST_ACTIVITY = 9 * DAY
FIRST_BLAST, FIRST_FOREIGN_BLAST = 7_310_452, 9_310_452
ODD_HOUR_SHARE = 0.04


class WallClock:
    """Reads wall-clock times of one zone: an hour that comes twice is the first one, a missing one moves forward."""

    def __init__(self, zone: str) -> None:
        self.zone = ZoneInfo(zone)

    def instant(self, local: datetime) -> int:
        """The instant that a wall-clock time means."""
        # `fold=0` gives both rules: it takes the offset that held before the change.
        offset = local.replace(tzinfo=self.zone, fold=0).utcoffset() or timedelta()
        since = local.replace(tzinfo=UTC) - EPOCH - offset
        return (since.days * 86400 + since.seconds) * SECOND + since.microseconds

    def local(self, instant: int) -> datetime:
        """What the clock on the wall shows at an instant."""
        shown = (EPOCH + timedelta(microseconds=instant)).astimezone(self.zone)
        return shown.replace(tzinfo=None, fold=0)

    def midnight(self, day: date) -> int:
        """The instant at which a local day begins."""
        return self.instant(datetime.combine(day, time()))

    def odd_quarters(self, day: date) -> list[tuple[str, datetime]]:
        """Quarter hours of the day that come twice (`twice`) or never (`missing`)."""
        found = []
        for quarter in range(96):
            local = datetime.combine(day, time()) + timedelta(minutes=15 * quarter)
            first = local.replace(tzinfo=self.zone, fold=0).utcoffset() or timedelta()
            second = local.replace(tzinfo=self.zone, fold=1).utcoffset() or timedelta()
            if first != second:
                found.append(("twice" if first > second else "missing", local))
        return found


def spelled(local: datetime, rng: Random) -> str:
    """The wall-clock time as text, with no more precision left out than is zero."""
    if local.microsecond or rng.random() < 0.2:
        return local.isoformat(timespec="milliseconds")
    if local.second or rng.random() < 0.4:
        return local.isoformat(timespec="seconds")
    return local.isoformat(timespec="minutes")


def address_of(number: int) -> str:
    """The address of a made-up person; the SES history gives the same number the same one."""
    first, last = FIRST[number % len(FIRST)], LAST[number // 7 % len(LAST)]
    return f"{first}.{last}{number}@{DOMAINS[number % 3]}"


@dataclass(slots=True)
class Blast:
    """A campaign as its newest export names it."""

    id: int
    name: str
    day: date
    template: str | None
    list_name: str | None
    link_params: object


@dataclass(slots=True)
class Profile:
    """The current state of a person at the account; wall-clock times, None for what never happened."""

    number: int
    id: str
    email: str
    created: datetime
    signed_up: datetime
    last_open: datetime | None = None
    last_click: datetime | None = None
    last_pageview: datetime | None = None
    opted_out: datetime | None = None
    optout_reason: str | None = None
    opens: int = 0
    clicks: int = 0
    unique_opens: int = 0
    unique_clicks: int = 0
    pageviews: int = 0
    messages: int = 0
    browser: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Mail:
    """One message with all that will become of it, and how much of that was written to files so far.

    `opens`, `clicks`, `statuses` and `revenues` (cumulative) begin with an instant and are in order of it;
    `opted_out_at` is when it really happened, `opted_out` what the clock showed.
    """

    day: int
    message_id: str
    blast_id: int | None
    sequence: int | None
    template: str | None
    profile: Profile
    sent: datetime
    sent_at: int
    variant: int
    opens: list[int] = field(default_factory=list)
    clicks: list[tuple[int, str]] = field(default_factory=list)
    statuses: list[tuple[int, str]] = field(default_factory=list)
    revenues: list[tuple[int, int]] = field(default_factory=list)
    opted_out: datetime | None = None
    opted_out_at: int | None = None
    opens_written: int = 0
    clicks_written: int = 0
    optout_written: bool = False
    bounce_written: bool = False
    rank: Rank | None = None
    row: dict[str, object] = field(default_factory=dict)

    @property
    def campaign(self) -> str:
        """The blast's id as text, or the template's name."""
        return str(self.template if self.blast_id is None else self.blast_id)


@dataclass(frozen=True, slots=True)
class Activity:
    """Something a person did, for the profile; `is_first` of its kind for the message."""

    at: int
    kind: str
    profile: Profile
    device: str
    is_first: bool


class AccountHistory:
    """Makes the messages of one account day by day, and keeps its profiles current.

    Run number n happens at the midnight that begins the local day `start` + n, and reports the day before. Two
    accounts have the same blast, message and profile ids on purpose, unless one of them is `foreign`.
    """

    def __init__(
        self,
        rng: Random,
        chances: Chances,
        clock: WallClock,
        *,
        messages: int,
        profiles: int,
        start: date,
        days: int,
        update_days: int,
        foreign: bool,
        odd: bool,
    ) -> None:
        self.rng, self.chances, self.clock, self.odd = rng, chances, clock, odd
        self.start, self.days, self.update_days, self.foreign = start, days, update_days, foreign
        self.runs = days + update_days
        self.midnights = [clock.midnight(start + timedelta(days=day)) for day in range(self.runs + 1)]
        self.profiles = [self._profile(number) for number in range(profiles)]
        self.updates: defaultdict[int, list[Mail]] = defaultdict(list)
        self.activities: defaultdict[int, list[Activity]] = defaultdict(list)
        weights = list(accumulate(rng.uniform(0.5, 1.5) for _ in range(days)))
        self._until = [round(messages * weight / weights[-1]) for weight in weights]
        self._next_blast = FIRST_FOREIGN_BLAST if foreign else FIRST_BLAST
        self._next_triggered = 0
        self._odd_quarters: list[tuple[str, datetime]] = []
        self._odd_share = 0.0

    def day(self, day: int) -> tuple[list[Blast], list[Mail]]:
        """The campaigns of a day, and its messages in order of sending."""
        count = self._until[day] - (self._until[day - 1] if day else 0)
        today = self.start + timedelta(days=day)
        self._odd_quarters = self.clock.odd_quarters(today)
        self._odd_share = max(ODD_HOUR_SHARE, min(3 / max(count, 1), 0.5)) if self._odd_quarters else 0.0
        campaign_mails = round(count * self.rng.uniform(0.65, 0.75))
        blasts = [self._blast(today) for _ in range(min(self.rng.randint(1, 3), campaign_mails))]
        mails: list[Mail] = []
        for number, blast in enumerate(blasts):
            size = campaign_mails // len(blasts) + (number < campaign_mails % len(blasts))
            mails.extend(self._campaign(day, blast, size))
        mails.extend(self._triggered(day, self._sent(day, None)) for _ in range(count - campaign_mails))
        mails.sort(key=lambda mail: mail.sent_at)
        for mail in mails:
            mail.profile.messages += 1
        return blasts, mails

    def changed_profiles(self, run: int) -> list[Profile]:
        """The profiles that did something on the day before the run, brought up to date."""
        changed: dict[int, Profile] = {}
        for activity in sorted(self.activities.pop(run, ()), key=lambda one: one.at):
            self._apply(activity)
            changed[activity.profile.number] = activity.profile
        return list(changed.values())

    def _profile(self, number: int) -> Profile:
        rng = self.rng
        created = datetime.combine(self.start, time()) - timedelta(seconds=rng.randrange(40 * DAY, 900 * DAY) // SECOND)
        if rng.random() < 0.1:
            created = created.replace(second=0)
        signed_up = created + timedelta(milliseconds=rng.randrange(9000))
        prefix = "65f0c0ffef" if self.foreign else "65f0c0ffee"
        return Profile(number, f"{prefix}{number:014x}", address_of(number), created, signed_up)

    def _blast(self, today: date) -> Blast:
        rng = self.rng
        self._next_blast += 1
        topic = rng.choice(TOPICS)
        if not topic.isascii():
            self.chances.of("blast_not_ascii", 1)
        late = self.odd and rng.random() < 0.6
        params: object = None
        if late:
            utm = {"utm_source": "sailthru", "utm_medium": "email", "utm_campaign": "autumn & co"}
            params = rng.choice((utm, utm, [], ""))
            self.chances.of("blast_link_params", 1)
        template = topic.lower().replace(" ", "-") if late else None
        return Blast(
            self._next_blast, f"{today:%m/%d} {topic}", today, template, rng.choice(LISTS) if late else None, params
        )

    def _campaign(self, day: int, blast: Blast, size: int) -> Iterator[Mail]:
        hour = self.rng.randrange(5, 19)
        sent = sorted(self._sent(day, hour) for _ in range(size))
        for sequence, local in enumerate(sent, 1):
            yield self._mail(day, f"{blast.id}.{sequence}", local, blast_id=blast.id, sequence=sequence)

    def _triggered(self, day: int, local: datetime) -> Mail:
        self._next_triggered += 1
        seconds = self.clock.instant(local) // SECOND
        message_id = f"{seconds:08x}{'c0ffef' if self.foreign else 'c0ffee'}{self._next_triggered:010x}"
        return self._mail(day, message_id, local, template=self.rng.choice(TEMPLATES))

    def _sent(self, day: int, hour: int | None) -> datetime:
        """A wall-clock time of the day, some in an hour that the clock shows twice or never."""
        rng = self.rng
        if self.chances.of("send_time_odd_hour", self._odd_share):
            kind, quarter = rng.choice(self._odd_quarters)
            self.chances.of(f"send_time_{kind}", 1)
            local = quarter + timedelta(milliseconds=rng.randrange(900_000))
        else:
            midnight = datetime.combine(self.start + timedelta(days=day), time())
            first, width = (0, 24) if hour is None else (hour, 1)
            local = midnight + timedelta(hours=first, milliseconds=rng.randrange(width * 3_600_000))
        chance = rng.random()
        if chance < 0.03:
            return local.replace(second=0, microsecond=0)
        return local.replace(microsecond=0) if chance < 0.15 else local

    def _mail(
        self,
        day: int,
        message_id: str,
        sent: datetime,
        *,
        blast_id: int | None = None,
        sequence: int | None = None,
        template: str | None = None,
    ) -> Mail:
        rng = self.rng
        profile = self.profiles[int(rng.random() ** 2 * len(self.profiles))]
        variant = rng.getrandbits(30)
        sent_at = self.clock.instant(sent)
        mail = Mail(day, message_id, blast_id, sequence, template, profile, sent, sent_at, variant)
        if not self._bounces(mail):
            self._reads(mail)
        self._report(mail)
        return mail

    def _bounces(self, mail: Mail) -> bool:
        """Now and then a bounce, known at once or days later."""
        rng, chances = self.rng, self.chances
        words = ODD_BOUNCES if self.odd and rng.random() < 0.3 else BOUNCES
        later = mail.sent_at + int(rng.uniform(1.1, 3.5) * DAY)
        usual = habits_of(mail.profile.email).bounces
        if chances.of("bounce_at_once", 0.015 * usual):
            mail.statuses = [(mail.sent_at, rng.choice(words))]
        elif chances.of("bounce_null_first", 0.006 * usual):
            mail.statuses = [(later, rng.choice(words))]
        elif chances.of("bounce_soft_then_hard", 0.004 * usual):
            mail.statuses = [(mail.sent_at, "softbounce"), (later, "hardbounce")]
        return bool(mail.statuses)

    def _reads(self, mail: Mail) -> None:
        rng, chances, habits = self.rng, self.chances, habits_of(mail.profile.email)
        if self.odd and chances.of("status_no_bounce", 0.006):
            mail.statuses = [(mail.sent_at, rng.choice(("delivered", "sent")))]
        if rng.random() < 0.42 * habits.opens:
            mail.opens = sorted(self._after(mail) for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4, 5))))
            if chances.of("opens_equal", 0.05):
                mail.opens = sorted(mail.opens + [rng.choice(mail.opens)] * rng.choice((1, 1, 2)))
        if rng.random() < (0.3 * habits.clicks if mail.opens else 0.025):
            mail.clicks = sorted((self._after(mail), rng.choice(URLS)) for _ in range(rng.choice((1, 1, 2, 3))))
            if chances.of("clicks_one_instant", 0.05):
                mail.clicks = sorted({*mail.clicks, *((mail.clicks[0][0], url) for url in URLS)})
            if chances.of("clicks_equal", 0.06):
                mail.clicks = sorted(mail.clicks + [rng.choice(mail.clicks)] * rng.choice((1, 1, 2)))
            if chances.of("revenue", 0.15):
                self._earn(mail)
        if chances.of("optout", 0.015 * habits.unsubscribes):
            mail.opted_out_at = max(mail.sent_at, self.midnights[mail.day + 1]) + rng.randrange(60, 3 * 86400) * SECOND
            mail.opted_out = self.clock.local(mail.opted_out_at)

    def _after(self, mail: Mail) -> int:
        """An instant after the send: mostly hours, up to 9 days; seldom with a fraction of a second."""
        rng = self.rng
        waited = rng.expovariate(1 / (5 * HOUR)) if rng.random() < 0.7 else rng.random() * LATEST_ACTIVITY
        at = mail.sent_at + SECOND + int(min(waited, LATEST_ACTIVITY - SECOND))
        return at - at % 1000 if rng.random() < 0.03 else at - at % SECOND

    def _earn(self, mail: Mail) -> None:
        cents = 0
        for at, _ in mail.clicks:
            cents += self.rng.choice((1799, 1200, 50, 0, 100_010))
            mail.revenues.append((at + 30 * SECOND, cents))

    def _report(self, mail: Mail) -> None:
        """Enter which runs must report the message again, and what its person did."""
        instants = [*mail.opens, *(at for at, _ in mail.clicks), *(at for at, _ in mail.revenues)]
        instants += [at for at, _ in mail.statuses]
        if mail.opted_out_at is not None:
            instants.append(mail.opted_out_at)
        last = mail.day + 1 + self.update_days
        runs = {self._run(at) for at in instants}
        for run in sorted(runs):
            if mail.day + 2 <= run <= last:
                self.updates[run].append(mail)
        if any(run > last for run in runs):
            self.chances.of("activity_after_updates", 1)
        self._report_person(mail)

    def _report_person(self, mail: Mail) -> None:
        device = DEVICES[mail.variant % len(DEVICES)]
        for number, at in enumerate(mail.opens):
            self._add(Activity(at, "open", mail.profile, device, number == 0))
        for number, (at, _) in enumerate(mail.clicks):
            self._add(Activity(at, "click", mail.profile, device, number == 0))
        if mail.opted_out_at is not None:
            self._add(Activity(mail.opted_out_at, "optout", mail.profile, device, is_first=True))

    def _add(self, activity: Activity) -> None:
        run = self._run(activity.at)
        if run <= self.runs:
            self.activities[run].append(activity)

    def _run(self, at: int) -> int:
        """The first run after an instant."""
        return bisect_right(self.midnights, at)

    def _apply(self, activity: Activity) -> None:
        profile, at = activity.profile, self.clock.local(activity.at).replace(microsecond=0)
        match activity.kind:
            case "open":
                profile.last_open = at
                profile.opens += 1
                profile.unique_opens += activity.is_first
            case "click":
                profile.last_click = at
                # Some of the vendor's times state no seconds.
                profile.last_pageview = at.replace(second=0) if at.second % 5 == 0 else at
                profile.clicks += 1
                profile.unique_clicks += activity.is_first
                profile.pageviews += 1 + at.second % 3
            case _:
                profile.opted_out = at
                profile.optout_reason = OPTOUT_REASONS[at.second % len(OPTOUT_REASONS)]
        profile.browser[activity.device] = profile.browser.get(activity.device, 0) + 1
