"""Generate files of Sailthru's Data Exporter, with the truth of what must come out of them."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from random import Random

from jobs.generator.files import Chances, compressed
from jobs.generator.history import DAY, SECOND, dumps
from jobs.generator.sailthru_history import AccountHistory, Blast, Mail, Profile, WallClock
from jobs.generator.sailthru_records import (
    BROKEN_BLAST_MESSAGE,
    BROKEN_STATE,
    BROKEN_TRIGGERED,
    RecordWriter,
    Version,
    broken_bytes,
    instant_or_none,
)
from jobs.generator.shop import LEAD_DAYS, Bought, Shop
from jobs.generator.truth import FileTruth, QuarantineTruth, write_lists, write_object

FIRST_START = date(2025, 10, 25)
HISTORY_MESSAGES = 200
BROKEN = {
    "blast": BROKEN_STATE,
    "profile": BROKEN_STATE,
    "message_blast": BROKEN_BLAST_MESSAGE,
    "message_blast_update": BROKEN_BLAST_MESSAGE,
    "message_transactional": BROKEN_TRIGGERED,
    "message_transactional_update": BROKEN_TRIGGERED,
}


@dataclass(slots=True)
class SailthruEventTruth:
    """One distinct event; times in microseconds since 1970-01-01 UTC.

    `account` is "" where neither a file name nor a setting names the client. `completion_time` is the own time of
    opens, clicks and unsubscribes, None for sends and bounces, which have none. `link` is None but for clicks.
    `ordinal` counts 1, 2, ... among the equal (time, url) entries of one array.
    """

    event_class: str
    account: str
    message_id: str
    event_time: int
    completion_time: int | None
    timestamp: int
    profile_id: str
    campaign: str
    link: str | None
    ordinal: int


@dataclass(slots=True)
class SailthruTruth:
    """Everything that must come out, and how often each form was used (`forms`).

    `messages`, `blasts` and `profiles` hold the newest version of each, instants in microseconds since 1970 UTC.
    `data_sets` names the data set of each file, None for names that are not the exporter's. `purchases` is all that
    people bought, told by a profile or not: `generate_purchases` says what must come out of it.
    """

    events: list[SailthruEventTruth] = field(default_factory=list)
    messages: list[dict[str, object]] = field(default_factory=list)
    blasts: list[dict[str, object]] = field(default_factory=list)
    profiles: list[dict[str, object]] = field(default_factory=list)
    files: list[FileTruth] = field(default_factory=list)
    data_sets: dict[str, str | None] = field(default_factory=dict)
    quarantine: list[QuarantineTruth] = field(default_factory=list)
    purchases: list[Bought] = field(default_factory=list)
    forms: dict[str, int] = field(default_factory=dict)


def write_sailthru_truth(truth: SailthruTruth, folder: Path) -> None:
    """Write each list of the truth as JSON lines, and data_sets.json and forms.json, to `folder`."""
    lists = ("events", "messages", "blasts", "profiles", "files", "quarantine")
    write_lists(folder, **{name: getattr(truth, name) for name in lists})
    write_object(folder / "data_sets.json", truth.data_sets)
    write_object(folder / "forms.json", truth.forms)


@dataclass(frozen=True, slots=True)
class Line:
    """A record as bytes: how many events it contains, or the reason why it is broken."""

    data: bytes
    events: int = 0
    reason: str | None = None


def generate_sailthru(
    output: Path,
    *,
    messages: int,
    seed: int = 1,
    start: date = FIRST_START,
    days: int = 14,
    update_days: int = 7,
    clients: tuple[str, ...] = ("4321",),
    zone: str = "America/New_York",
    odd: bool = True,
    profiles: int | None = None,
) -> SailthruTruth:
    """Write exporter files below `output/sailthru/`, and return what must come out of them.

    `messages` distinct messages of all clients together, sent on `days` local days from `start` in `zone`; each
    is exported on the next day, and again on each of the `update_days` after it that follow a day with activity.
    `profiles` is the number of people of each client. `odd` adds what the vendor's documents do not promise:
    broken records, an account whose file names hold no client id, unknown names, and more. Several clients have
    the same blast and message ids on purpose. The same arguments give the same bytes.
    """
    if messages < 0 or days < 1 or update_days < 0 or (profiles is not None and profiles < 1):
        raise ValueError(
            "Wanted messages >= 0, days >= 1, update_days >= 0, profiles >= 1; "
            f"found {messages}, {days}, {update_days}, {profiles}."
        )
    if not clients or not all(client.isascii() and client.isdigit() for client in clients):
        raise ValueError(f"Client ids are digits, as the exporter's file names have them; found {clients}.")
    truth, seen = SailthruTruth(), Counter[str]()
    files = _Files(output, truth, seen, Random(f"sailthru files {seed}"), odd=odd)
    clock = WallClock(zone)
    for number, (account, share) in enumerate(_shares(messages, clients, odd=odd)):
        rng = Random(f"sailthru {seed} {number}")
        history = AccountHistory(
            rng,
            files.chances,
            clock,
            messages=share,
            profiles=max(20, messages // 20) if profiles is None else profiles,
            start=start,
            days=days,
            update_days=update_days,
            foreign=not account,
            odd=odd,
        )
        opened, closed = history.midnights[0] - LEAD_DAYS * DAY, history.midnights[-1]
        seconds = range(opened // SECOND, closed // SECOND)
        shop = Shop(Random(f"shop {seed} {number}"), seen, clock, account, history.profiles, seconds)
        _Account(account, history, shop, files, is_main=number == 0).export()
    if odd:
        files.write_foreign_files(clients[0], start)
    truth.forms = dict(sorted(seen.items()))
    return truth


def _shares(messages: int, clients: Sequence[str], *, odd: bool) -> Iterator[tuple[str, int]]:
    """How many messages each account gets; the account "" is the one that no file name states."""
    nameless = min(max(10, messages // 40), messages) if odd else 0
    named = messages - nameless
    for number, client in enumerate(clients):
        yield client, named // len(clients) + (number < named % len(clients))
    if odd:
        yield "", nameless


class _Files:
    """Writes files and their lines of the ledger, with broken records among the good ones."""

    def __init__(self, output: Path, truth: SailthruTruth, seen: Counter[str], rng: Random, *, odd: bool) -> None:
        self.output, self.truth, self.seen, self.rng, self.odd = output, truth, seen, rng, odd
        self.chances = Chances(rng, seen)

    def is_odd(self, form: str, share: float) -> bool:
        """Whether an odd form comes up now; counts it."""
        return self.odd and self.chances.of(form, share)

    def ending(self) -> str:
        """How the next file's name ends; it is compressed if that is `.json.gz`."""
        if self.is_odd("file_plain", 0.1):
            return ".json"
        self.seen["file_gz"] += 1
        return ".json.gz"

    def write(self, name: str, data_set: str, lines: list[Line], broken_from: dict[str, object] | None = None) -> None:
        """Write a file of the exporter; `broken_from` is a record to make broken ones of."""
        if self.odd and broken_from is not None:
            self._break(lines, BROKEN[data_set], broken_from)
        content = b"".join(line.data + b"\n" for line in lines)
        if self.is_odd("file_blank_last_line", 0.1):
            content += self.rng.choice((b"\n", b"  \n", b"\r\n"))
        elif self.is_odd("file_no_final_newline", 0.05):
            content = content[:-1]
        self.seen[f"set_{data_set}"] += 1
        self._store(name, compressed(content) if name.endswith(".gz") else content)
        broken = [line for line in lines if line.reason is not None]
        self._account(
            FileTruth(
                name,
                records=len(lines),
                accepted=len(lines) - len(broken),
                quarantined=len(broken),
                events=sum(line.events for line in lines),
            ),
            data_set,
        )
        for line in broken:
            digest = hashlib.sha256(line.data).hexdigest()
            self.truth.quarantine.append(QuarantineTruth(name, line.reason or "", digest, len(line.data)))

    def write_foreign_files(self, client: str, day: date) -> None:
        """Names that are not the exporter's, and exporter files without a record."""
        stream = "client_id,event_id,event_time,message_id\n4321,019a162b,2025-10-24T12:22:11.480Z,7310452.27\n"
        skipped = {
            f"{client}_purchases_export.csv": "date,email_hash,extid\n2025-10-24 09:15:00,00,1001\n",
            f"campaign_send/dt={day:%Y%m%d}/client_id={client}/part-0.csv": stream,
            "notes.txt": "Made-up files; nothing here is real.\n",
            f"{client}_message_blast.{day:%Y-%m-%d}.json": '{"id":"hyphens in the date"}\n',
            f"{client}_blast_message.{day:%Y%m%d}.json": '{"id":1,"name":"no such set"}\n',
        }
        for name, text in skipped.items():
            self._store(f"sailthru/{name}", text.encode())
            self._account(FileTruth(f"sailthru/{name}", status="skipped"), None)
            self.seen["file_unknown_name"] += 1
        empty = {
            "message_blast": (".json", b""),
            "message_transactional_update": (".json.gz", compressed(b"")),
            "profile": (".json", b"\n \n"),
        }
        for data_set, (ending, content) in empty.items():
            name = f"sailthru/{client}_{data_set}.{day:%Y%m%d}{ending}"
            self._store(name, content)
            self._account(FileTruth(name, status="empty"), data_set)
            self.seen["file_empty"] += 1

    def _break(self, lines: list[Line], kinds: dict[str, str], record: dict[str, object]) -> None:
        """Put broken records between the good ones, first of all kinds that did not come up yet."""
        rng = self.rng
        due = [kind for kind in kinds if not self.seen[f"broken_{kind}"]][:2]
        if not due and rng.random() < 0.3:
            due = [rng.choice(list(kinds)) for _ in range(1 + len(lines) // 4000)]
        for kind in due:
            self.seen[f"broken_{kind}"] += 1
            line = Line(broken_bytes(kind, record, rng), reason=kinds[kind])
            lines.insert(rng.randrange(len(lines) + 1), line)

    def _store(self, name: str, content: bytes) -> None:
        path = self.output / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def _account(self, ledger: FileTruth, data_set: str | None) -> None:
        self.truth.files.append(ledger)
        self.truth.data_sets[ledger.filename] = data_set


class _Account:
    """Exports the history of one account run by run, and enters the truth of it."""

    def __init__(self, account: str, history: AccountHistory, shop: Shop, files: _Files, *, is_main: bool) -> None:
        self.account, self.history, self.shop, self.files, self.is_main = account, history, shop, files, is_main
        self.clock, self.rng = history.clock, history.rng
        self.records = RecordWriter(history.rng, files.chances, history.clock, odd=history.odd)
        self.mails: list[Mail] = []
        self.blasts: dict[int, dict[str, object]] = {}
        self.profiles: dict[int, dict[str, object]] = {}
        self.blasts_again: list[Blast] = []

    def export(self) -> None:
        """Write all files of the account."""
        history, truth = self.history, self.files.truth
        if self.is_main and history.odd:
            self._write_profiles(self._name("profile", None), history.profiles, 0)
        for run in range(1, history.runs + 1):
            self._export_run(run)
        if self.is_main and history.odd:
            self._write_old_versions()
        for mail in self.mails:
            truth.events.extend(_events(self.account, mail, self.clock))
            truth.messages.append(mail.row)
        truth.blasts.extend(self.blasts.values())
        truth.profiles.extend(self.profiles.values())
        truth.purchases.extend(self.shop.all_bought)

    def _export_run(self, run: int) -> None:
        history, files = self.history, self.files
        day = history.start + timedelta(days=run)
        blasts, self.blasts_again = self.blasts_again, []
        if run <= history.days:
            new_blasts, mails = history.day(run - 1)
            blasts += new_blasts
            self.mails += mails
            for mail in mails:
                self.shop.sell_after(mail)
            self._write_messages("message_blast", day, run, [mail for mail in mails if mail.blast_id is not None])
            self._write_messages("message_transactional", day, run, [mail for mail in mails if mail.blast_id is None])
            history.updates[run] += [mail for mail in mails if files.is_odd("update_on_first_day", 0.004)]
        self._write_blasts(day, blasts)
        updated = history.updates.pop(run, [])
        self._write_updates("message_blast_update", day, run, [mail for mail in updated if mail.blast_id is not None])
        triggered = [mail for mail in updated if mail.blast_id is None]
        self._write_updates("message_transactional_update", day, run, triggered)
        self._write_profiles(self._name("profile", day), history.changed_profiles(run), run)

    def _name(self, stated_set: str, day: date | None) -> str:
        """The next file's name below the output folder; without a date for a historical export."""
        client = f"{self.account}_" if self.account else ""
        if not client:
            self.files.seen["file_without_client"] += 1
        if day is None:
            self.files.seen["file_without_date"] += 1
            return f"sailthru/history/{client}{stated_set}{self.files.ending()}"
        return f"sailthru/{client}{stated_set}.{day:%Y%m%d}{self.files.ending()}"

    def _write_updates(self, data_set: str, day: date, run: int, mails: list[Mail]) -> None:
        """An update set under either of its names, now and then some of it under the other one as well."""
        if not mails:
            return
        names = [data_set, f"{data_set}s"]
        self.rng.shuffle(names)
        self.files.seen["update_plural" if names[0].endswith("s") else "update_singular"] += 1
        self._write_messages(data_set, day, run, mails, stated_set=names[0])
        if self.files.is_odd("update_under_both_names", 0.05):
            self._write_messages(data_set, day, run, mails[::2], stated_set=names[1], other_device=True)

    def _write_messages(
        self,
        data_set: str,
        day: date,
        run: int,
        mails: list[Mail],
        *,
        stated_set: str | None = None,
        other_device: bool = False,
    ) -> None:
        if not mails:
            return
        name, until = self._name(stated_set or data_set, day), self.history.midnights[run]
        update = data_set.endswith("_update")
        lines = []
        for mail in mails:
            version = self.records.version(mail, until, update=update, other_device=other_device)
            lines.append(self._line(version, name, f"{day:%Y%m%d}", update=update))
            if self.files.is_odd("record_repeated", 0.004):
                lines.append(lines[-1])
            if self.files.is_odd("record_twice_with_other_device", 0.004):
                version = self.records.version(mail, until, update=update, other_device=not other_device)
                lines.append(self._line(version, name, f"{day:%Y%m%d}", update=update))
        # Of the message with most in it, so that its broken version would show if it were read.
        richest = max(mails, key=lambda mail: mail.opens_written)
        version = self.records.version(richest, until, update=update)
        self.files.write(name, data_set, lines, self.records.message(version, update=update))

    def _write_old_versions(self) -> None:
        """An undated file with campaign messages as they stood before their last opens, which every dated one beats."""
        lines: list[Line] = []
        name = self._name("message_blast", None)
        for mail in self.mails:
            if mail.blast_id is not None and mail.opens_written > 1 and len(lines) < HISTORY_MESSAGES:
                version = self.records.version(
                    mail, mail.opens[mail.opens_written - 1], update=False, other_device=True
                )
                lines.append(self._line(version, name, "", update=False))
        if lines:
            self.files.write(name, "message_blast", lines)

    def _line(self, version: Version, name: str, day: str, *, update: bool) -> Line:
        """Spell the version, and note what of the message is written now, and whether nothing newer was."""
        mail = version.mail
        text = dumps(self.records.message(version, update=update))
        mail.opens_written = max(mail.opens_written, len(version.opens))
        mail.clicks_written = max(mail.clicks_written, len(version.clicks))
        mail.optout_written |= version.opted_out is not None
        mail.bounce_written |= version.is_bounce
        rank = (day, int(update), len(version.opens) + len(version.clicks), name.rpartition("/")[2], text)
        if mail.rank is None or rank > mail.rank:
            mail.rank, mail.row = rank, version.row(self.account, self.clock)
        return Line(text.encode(), version.events)

    def _write_blasts(self, day: date, blasts: list[Blast]) -> None:
        if not blasts:
            return
        lines = []
        for blast in blasts:
            lines.append(Line(dumps(self.records.blast(blast)).encode()))
            self.blasts[blast.id] = {
                "client_id": self.account,
                "id": str(blast.id),
                "name": blast.name,
                "day": blast.day.isoformat(),
                "template": blast.template,
                "list_name": blast.list_name,
            }
        self.files.write(self._name("blast", day), "blast", lines, self.records.blast(blasts[0]))
        for blast in blasts:
            if self.files.chances.of("blast_renamed", 0.2):
                blast.name += " (neu)"
                self.blasts_again.append(blast)

    def _write_profiles(self, name: str, profiles: Sequence[Profile], run: int) -> None:
        if not profiles:
            return
        lines = []
        for profile in profiles:
            bought = self.shop.as_told(profile, self.history.midnights[run], odd=self.history.odd)
            lines.append(Line(dumps(self.records.profile(profile) | bought).encode()))
            self.profiles[profile.number] = _profile_row(self.account, profile, self.clock)
        self.files.write(name, "profile", lines, self.records.profile(profiles[0]))


def _events(account: str, mail: Mail, clock: WallClock) -> Iterator[SailthruEventTruth]:
    """The distinct events that the files tell of the message."""

    def event(event_class: str, at: int | None = None, link: str | None = None, ordinal: int = 1) -> SailthruEventTruth:
        return SailthruEventTruth(
            event_class=event_class,
            account=account,
            message_id=mail.message_id,
            event_time=mail.sent_at if at is None else at,
            completion_time=at,
            timestamp=mail.sent_at,
            profile_id=mail.profile.id,
            campaign=mail.campaign,
            link=link,
            ordinal=ordinal,
        )

    yield event("send")
    seen = Counter[tuple[int, str | None]]()
    for at in mail.opens[: mail.opens_written]:
        seen[at, None] += 1
        yield event("open", at, ordinal=seen[at, None])
    for at, url in mail.clicks[: mail.clicks_written]:
        seen[at, url] += 1
        yield event("click", at, url, seen[at, url])
    if mail.optout_written:
        yield event("unsubscribe", instant_or_none(mail.opted_out, clock))
    if mail.bounce_written:
        yield event("bounce")


def _profile_row(account: str, profile: Profile, clock: WallClock) -> dict[str, object]:
    return {
        "client_id": account,
        "id": profile.id,
        "email": profile.email,
        "create_date": clock.instant(profile.created),
        "signup_time": clock.instant(profile.signed_up),
        "last_open": instant_or_none(profile.last_open, clock),
        "last_click": instant_or_none(profile.last_click, clock),
        "last_pageview": instant_or_none(profile.last_pageview, clock),
        "optout_time": instant_or_none(profile.opted_out, clock),
        "optout_reason": profile.optout_reason,
        "total_opens": profile.opens,
        "total_clicks": profile.clicks,
        "total_unique_opens": profile.unique_opens,
        "total_unique_clicks": profile.unique_clicks,
        "total_pageviews": profile.pageviews,
        "total_messages": profile.messages,
    }
