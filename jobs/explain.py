"""`explain`: all that is known of one message, and where it is known from."""

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import compress

from pyspark.sql import Column, DataFrame, Row, SparkSession
from pyspark.sql import functions as F
from rich.console import Console
from rich.text import Text

from conf.errors import ConfigurationError
from conf.settings import Settings
from jobs import tables
from jobs.progress import say
from jobs.providers import PROVIDERS, limits_of
from jobs.reading import lines_of, odd_among
from jobs.requests import read_requests
from jobs.session import build_session
from jobs.storage import FoundFile, Location, location, still_there
from jobs.story import elapsed, words_of
from schemas.events import EVENTS
from schemas.files import FILES, FileStatus
from schemas.quarantine import QUARANTINE
from schemas.sailthru import SAILTHRU_MESSAGES
from transforms.journeys import to_journeys
from transforms.lifecycle import to_lifecycle

Message = tuple[str, str]
"""Provider and account; the account is empty for SES."""


@dataclass(frozen=True)
class Copy:
    """An event that was found in a file and not kept, for it was there already."""

    event_class: str
    event_time: datetime
    filename: str


@dataclass(kw_only=True)
class Explanation:
    """What is known of a message id; several messages of several accounts may share it."""

    message_id: str
    events: list[Row]
    journeys: list[Row] = field(default_factory=list)
    requests: list[Row] = field(default_factory=list)
    states: list[Row] = field(default_factory=list)
    quarantined: list[Row] = field(default_factory=list)
    copies: list[Copy] | None = None
    """None if they were not looked for."""
    files_gone: int = 0
    """Files with duplicates that could not be looked into any more."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this job beside those of every job."""
    parser.add_argument("message_id", metavar="MESSAGE_ID", help="as in the column message_id of events")
    parser.add_argument(
        "--no-copies",
        action="store_true",
        help="do not read the files with duplicates again to show what was dropped of this message",
    )


def main(settings: Settings, arguments: argparse.Namespace) -> None:
    """Show a message's journey with the file of each event, its request and region, and the copies dropped."""
    found = explain(settings, arguments.message_id, with_copies=not arguments.no_copies)
    show(Console(highlight=False), found)


def explain(
    settings: Settings, message_id: str, *, with_copies: bool = True, spark: SparkSession | None = None
) -> Explanation:
    """Gather what is known; ConfigurationError if nothing is. With `spark` the session given is left running."""
    warehouse = location(settings.warehouse)
    if not tables.is_there(warehouse, EVENTS):
        raise ConfigurationError(f"No table `events` in {warehouse}: run stream_events first, or name its --warehouse.")
    session = spark or build_session(settings, "explain")
    try:
        return _gathered(session, settings, warehouse, message_id, with_copies)
    finally:
        if spark is None:
            session.stop()


def _gathered(
    spark: SparkSession, settings: Settings, warehouse: Location, message_id: str, with_copies: bool
) -> Explanation:
    is_message = F.col("message_id") == message_id
    stored = tables.read(spark, warehouse, EVENTS).where(is_message)
    events = stored.orderBy("event_time", "event_class", "event_id").collect()
    found = Explanation(message_id=message_id, events=events)
    requests = read_requests(spark, settings)
    found.requests = requests.where(is_message).orderBy("request_time", "recipient").collect()
    found.quarantined = _quarantined(spark, warehouse, message_id)
    if not (events or found.requests or found.quarantined):
        raise ConfigurationError(
            f"Nothing is known of message `{message_id}` in {warehouse}: no event, no request, no quarantined record."
        )
    if events:
        rows = spark.createDataFrame(events, stored.schema)
        found.journeys = to_journeys(to_lifecycle(rows, settings.email_kind_tag)).collect()
    if tables.is_there(warehouse, SAILTHRU_MESSAGES):
        found.states = tables.read(spark, warehouse, SAILTHRU_MESSAGES).where(is_message).collect()
    if with_copies and events:
        _add_copies(spark, settings, warehouse, found)
    return found


def _quarantined(spark: SparkSession, warehouse: Location, message_id: str) -> list[Row]:
    """Quarantined records in whose text the id stands."""
    if not tables.is_there(warehouse, QUARANTINE):
        return []
    table = tables.read(spark, warehouse, QUARANTINE)
    named = table.where(F.contains("record", F.lit(message_id).cast("binary")))
    return named.select("filename", "position", "reason", "detail").orderBy("filename", "position").collect()


def _add_copies(spark: SparkSession, settings: Settings, warehouse: Location, found: Explanation) -> None:
    """Read the files with duplicates again: a copy that was dropped is nowhere else."""
    found.copies = []
    kept = Counter((event.event_id, event.filename) for event in found.events)
    for provider in sorted({event.provider for event in found.events}):
        ledger = tables.read(spark, warehouse, FILES).where(F.col("provider") == provider)
        with_duplicates = ledger.where(F.col("events_duplicate") > 0).withColumn("at", F.unix_micros("modified_at"))
        lines = with_duplicates.select("filename", "at", "length_bytes", "status").collect()
        there = list(compress(lines, still_there([FoundFile(r.at, r.filename, r.length_bytes) for r in lines])))
        found.files_gone += len(lines) - len(there)
        if not there:
            continue
        say(f"Reading {len(there):,} files of {provider} that hold duplicates …")
        for row in _occurrences(spark, settings, provider, found.message_id, there):
            if kept[row.event_id, row.filename]:
                kept[row.event_id, row.filename] -= 1
            else:
                found.copies.append(Copy(row.event_class, row.event_time, row.filename))
    found.copies.sort(key=lambda copy: (copy.event_time, copy.event_class, copy.filename))


def _occurrences(
    spark: SparkSession, settings: Settings, provider: str, message_id: str, files: Sequence[Row]
) -> list[Row]:
    """Every event of the message in these files, the first of a file first."""
    odd = {r.filename for r in files if r.status == FileStatus.CUT_OFF} | odd_among([r.filename for r in files])
    ordinary = [r.filename for r in files if r.filename not in odd]
    lines = lines_of(spark, ordinary, sorted(odd), int(settings.max_record_bytes)).where(_may_name(message_id))
    rows: DataFrame = PROVIDERS[provider].parser(settings)(lines, limits_of(settings, datetime.now(UTC)))
    own = rows.where((F.col("message_id") == message_id) & F.col("event_id").isNotNull())
    columns = ("event_id", "event_class", "event_time", "filename", "block", "place")
    return own.select(*columns).orderBy("filename", "block", "place").collect()


def _may_name(message_id: str) -> Column:
    """Lines that could speak of the message, so that the others need no parsing: Base64 hides it."""
    named = F.lit(True)
    for part in message_id.split("."):  # Sailthru's campaign and message are fields of their own
        named = named & F.contains("value", F.lit(part))
    return named | F.contains("value", F.lit("rawData"))


# --- for a person


class _Page:
    """Lines for a terminal, in which files are named by numbers and listed once at the end."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._files: dict[str, int] = {}

    def title(self, text: str) -> None:
        """Begin a part."""
        self._console.print(Text(f"\n{text}", style="bold"), soft_wrap=True)

    def line(self, text: str, filename: str | None = None) -> None:
        """A line, and the file it is known from."""
        shown = Text(f"  {text}")
        if filename is not None:
            shown.append(f"  [{self._files.setdefault(filename, len(self._files) + 1)}]", style="dim")
        self._console.print(shown, soft_wrap=True)

    def files(self) -> None:
        """List the files named so far."""
        if self._files:
            self.title("Files")
        for filename, number in self._files.items():
            self.line(f"[{number}] {filename}")


def show(console: Console, found: Explanation) -> None:
    """Print it, a block for each message of this id."""
    page = _Page(console)
    messages = sorted({_message(event) for event in found.events}) or [("", "")]
    for message in messages:
        events = [event for event in found.events if _message(event) == message]
        _about(page, found, message, events)
        _requests(page, found)
        if events:
            _what_happened(page, events, [j for j in found.journeys if (j.provider, j.account) == message])
        _state(page, [s for s in found.states if ("sailthru", s.client_id) == message])
    _dropped(page, found)
    if found.quarantined:
        page.title("Quarantined records that name it")
    for row in found.quarantined:
        page.line(f"record {row.position:,}: {row.reason}" + (f" ({row.detail})" if row.detail else ""), row.filename)
    page.files()


def _message(event: Row) -> Message:
    return event.provider, "" if event.provider == "ses" else event.account or ""


def _about(page: _Page, found: Explanation, message: Message, events: Sequence[Row]) -> None:
    provider, account = message
    of_provider = f" of {provider}" if provider else ", of which there is no event"
    page.title(f"Message {found.message_id}{of_provider}" + (f", account {account}" if account else ""))
    for name, column in (("subject", "subject"), ("from", "source"), ("kind of email", "campaign")):
        if fact := next((event[column] for event in events if event[column]), None):
            page.line(f"{name}: {fact}")


def _requests(page: _Page, found: Explanation) -> None:
    page.title("Requests")
    for row in found.requests:
        asked = f"{row.request_time:%Y-%m-%d %H:%M:%S} UTC" if row.request_time else "at a time not stated"
        page.line(f"{row.recipient or 'recipient not stated'}: region {row.region or 'not stated'}, asked {asked}")
    if not found.requests:
        page.line("none: its region is unknown")


def _what_happened(page: _Page, events: Sequence[Row], journeys: Sequence[Row]) -> None:
    page.title("What happened (UTC), and the file that says so")
    began = events[0].event_time
    for event in events:
        after = f"+ {elapsed(began, event.event_time)}" if event is not events[0] else ""
        words = words_of(event.asDict(), with_recipients=len(journeys) > 1)
        page.line(f"{event.event_time:%Y-%m-%d %H:%M:%S}  {after:<14} {words}", event.filename)
    page.title("Where it ended")
    for row in sorted(journeys, key=lambda j: (j.recipient is None, j.recipient)):
        page.line(f"{row.recipient or 'not said of whom'}: {row.last_state} ({row.path})")


def _state(page: _Page, states: Sequence[Row]) -> None:
    for row in states:
        page.title("Newest version that Sailthru sent")
        facts = {
            "device": row.device,
            "delivery status": row.delivery_status,
            "revenue": row.message_revenue,
            "opens": len(row.opens or []),
            "clicks": len(row.clicks or []),
        }
        page.line(", ".join(f"{name} {value}" for name, value in facts.items() if value is not None), row.filename)


def _dropped(page: _Page, found: Explanation) -> None:
    if found.copies is None:
        return
    page.title("Dropped as duplicates")
    for copy in found.copies:
        page.line(f"{copy.event_time:%Y-%m-%d %H:%M:%S}  {copy.event_class}", copy.filename)
    if not found.copies:
        page.line("none")
    if found.files_gone:
        page.line(f"{found.files_gone:,} files with duplicates are gone or replaced and could not be looked into")
