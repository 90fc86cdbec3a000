"""The team's own send requests with their region, as CSV, with the truth of what must be left after reading them."""

import csv
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from io import StringIO
from pathlib import Path
from random import Random

from jobs.generator.files import BOM, Chances
from jobs.generator.history import EPOCH, HOUR, MINUTE, SECOND, iso, uuid_from, with_lower_domain
from jobs.generator.regions import region_of
from jobs.generator.sailthru import SailthruTruth
from jobs.generator.truth import Truth, write_lists, write_object

COLUMNS = ("message_id", "recipient", "request_time", "region")
REQUESTED = 0.96  # of messages
WITHOUT_EVENTS = 0.01  # of requests: the provider lost the message
UNREADABLE_TIMES = ("", "pending", "25/10/2025 18:04:11", "2025-02-30T10:00:00.000Z", "yesterday")
EMPTY_REGIONS = ("", "  ")
ODD_RECIPIENTS = (
    '"fay, the 2nd"@example.com',
    "o'brien+news@example.net",
    '"gus ""g"" gray"@example.org',
    "hána@EXAMPLE.org",
)


@dataclass(frozen=True, slots=True)
class RequestTruth:
    """One request that is left; the time in microseconds since 1970-01-01 UTC, None where it cannot be read.

    The domain of `recipient` is in lower case; a Sailthru profile of unknown address stands there by its id.
    """

    message_id: str
    recipient: str
    request_time: int | None
    region: str | None

    @property
    def rank(self) -> tuple[bool, int, bool, str]:
        """The least of several requests with equal message id and recipient is the one that is left."""
        return self.request_time is None, self.request_time or 0, self.region is None, self.region or ""


@dataclass(slots=True)
class RequestsTruth:
    """Everything that must be left, one by (message_id, recipient), and how often each form was used (`forms`).

    `repeated` counts the rows that lost against another one, `rejected` those without a message id.
    """

    requests: list[RequestTruth] = field(default_factory=list)
    repeated: int = 0
    rejected: int = 0
    forms: dict[str, int] = field(default_factory=dict)


def write_requests_truth(truth: RequestsTruth, folder: Path) -> None:
    """Write requests.jsonl, counts.json and forms.json to `folder`."""
    write_lists(folder, requests=truth.requests)
    write_object(folder / "counts.json", {"repeated": truth.repeated, "rejected": truth.rejected})
    write_object(folder / "forms.json", truth.forms)


def generate_requests(
    output: Path, ses: Truth, sailthru: SailthruTruth | None = None, *, seed: int = 1, odd: bool = True
) -> RequestsTruth:
    """Write `output/requests/<UTC day>.csv`, and return what must be left after reading them all.

    Most messages of `ses`, and most triggered ones of `sailthru`, have one request for each recipient; a few
    requests are of messages without events. `odd` adds repeated and unreadable rows, other spellings, a file as
    Windows writes it and one without rows. The same arguments give the same bytes.
    """
    requests = _Requests(Random(f"requests {seed}"), odd=odd)
    asked = list(_asked(ses, sailthru))
    people = [recipient for _, recipient, _ in asked]
    chosen: tuple[str, bool] = ("", False)
    for message_id, recipient, sent_at in asked:
        if message_id != chosen[0]:
            chosen = message_id, requests.rng.random() < REQUESTED
        if chosen[1]:
            requests.add(message_id, recipient, sent_at)
            if requests.chances.of("without_events", WITHOUT_EVENTS):
                requests.add_without_events(people, sent_at)
    requests.write(output / "requests")
    return requests.truth()


def _asked(ses: Truth, sailthru: SailthruTruth | None) -> Iterator[tuple[str, str, int]]:
    """Message id, recipient as the files spell it, and instant of the send of all that was asked for."""
    messages: dict[str, tuple[tuple[str, ...], int]] = {}
    for event in ses.events:
        _, known = messages.get(event.message_id, ((), event.timestamp))
        # A late bounce may state its own time as that of the message.
        messages[event.message_id] = event.destination, min(known, event.timestamp)
    for message_id, (destination, sent_at) in messages.items():
        for address in destination:
            yield message_id, address, sent_at
    if sailthru is None:
        return
    addresses = {(profile["client_id"], profile["id"]): str(profile["email"]) for profile in sailthru.profiles}
    for message in sailthru.messages:
        sent = message["send_time"]
        if message["template"] is not None and isinstance(sent, int):
            profile_id = str(message["profile_id"])
            yield str(message["message_id"]), addresses.get((message["client_id"], profile_id), profile_id), sent


class _Requests:
    """Collects rows by day, and of each message and recipient the row that is left."""

    def __init__(self, rng: Random, *, odd: bool) -> None:
        self.rng, self.odd = rng, odd
        self.seen: Counter[str] = Counter()
        self.chances = Chances(rng, self.seen)
        self.rows: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
        self.left: dict[tuple[str, str], RequestTruth] = {}
        self.repeated = self.rejected = 0

    def truth(self) -> RequestsTruth:
        """What must be left of the rows so far."""
        return RequestsTruth(list(self.left.values()), self.repeated, self.rejected, dict(sorted(self.seen.items())))

    def add(self, message_id: str, recipient: str, sent_at: int) -> None:
        """The request of a message, shortly before its send, and what is odd about it."""
        waited = 50_000 + int(min(self.rng.expovariate(1 / (3 * SECOND)), 29.9 * SECOND))
        at, region = sent_at - waited, region_of(recipient)
        at -= at % 1000
        time, stated = iso(at), region
        read_time: int | None = at
        read_region: str | None = region
        if self._is_odd("region_empty", 0.006):
            stated, read_region = self.rng.choice(EMPTY_REGIONS), None
        elif self._is_odd("region_padded", 0.02):
            stated = self.rng.choice((f" {region}", f"{region} ", f"  {region} "))
        if self._is_odd("time_unreadable", 0.003):
            time, read_time = self.rng.choice(UNREADABLE_TIMES), None
        else:
            time = self._spelled(at)
        kept = RequestTruth(message_id, with_lower_domain(recipient), read_time, read_region)
        self._enter(kept, (message_id, recipient, time, stated), at)
        if self._is_odd("without_message_id", 0.004):
            self._write_row(("", recipient, time, stated), at)
            self.rejected += 1
        if self._is_odd("repeated", 0.01):
            self._enter(kept, (message_id, recipient, time, stated), at)
        if self._is_odd("repeated_later", 0.01):
            later = at + self.rng.choice((SECOND, 5 * MINUTE, 30 * HOUR))
            again = RequestTruth(message_id, kept.recipient, later, region)
            self._enter(again, (message_id, recipient, self._spelled(later), region), later)
        if self._is_odd("repeated_with_other_region", 0.004):
            other = self.rng.choice(("APAC", "NA", ""))
            again = RequestTruth(message_id, kept.recipient, read_time, other or None)
            self._enter(again, (message_id, recipient, time, other), at)

    def add_without_events(self, people: list[str], at: int) -> None:
        """A request of a message that no provider tells anything of."""
        recipient = self.rng.choice(people)
        if self._is_odd("recipient_odd", 0.5):
            recipient = self.rng.choice(ODD_RECIPIENTS)
        self.add(f"0102{at // 1000:012x}-{uuid_from(self.rng)}-000000", recipient, at)

    def write(self, folder: Path) -> None:
        """One file for each UTC day that has rows."""
        folder.mkdir(parents=True, exist_ok=True)
        days = sorted(self.rows)
        from_windows = self.rng.choice(days) if self.odd and days else None
        for day in days:
            content = (
                ",".join(COLUMNS) + "\n" + "".join(row for _, row in sorted(self.rows[day], key=lambda row: row[0]))
            )
            data = content.encode()
            if day == from_windows:
                data = BOM + data.replace(b"\n", b"\r\n")
                self.seen["file_bom_and_crlf"] += 1
            (folder / f"{day}.csv").write_bytes(data)
        if self.odd:
            (folder / "none.csv").write_text(",".join(COLUMNS) + "\n", "utf-8", newline="\n")
            self.seen["file_without_rows"] += 1

    def _is_odd(self, form: str, share: float) -> bool:
        return self.odd and self.chances.of(form, share)

    def _enter(self, request: RequestTruth, fields: tuple[str, ...], at: int) -> None:
        """Write a row, and keep it if it is the one that is left so far."""
        self._write_row(fields, at)
        key = request.message_id, request.recipient
        known = self.left.get(key)
        self.repeated += known is not None
        if known is None or request.rank < known.rank:
            self.left[key] = request

    def _write_row(self, fields: tuple[str, ...], at: int) -> None:
        out = StringIO()
        quoted = self._is_odd("row_quoted", 0.05)
        csv.writer(out, quoting=csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL, lineterminator="\n").writerow(fields)
        self.rows[f"{EPOCH + timedelta(microseconds=at):%Y-%m-%d}"].append((at, out.getvalue()))

    def _spelled(self, at: int) -> str:
        """ISO 8601: in `Z`, now and then with an offset or without a zone, which means UTC."""
        if self._is_odd("time_with_offset", 0.03):
            hours, offset = self.rng.choice(((-5, "-05:00"), (2, "+02:00"), (9, "+09:00")))
            return iso(at + hours * HOUR)[:-1] + offset
        return iso(at)[:-1] if self._is_odd("time_without_zone", 0.03) else iso(at)
