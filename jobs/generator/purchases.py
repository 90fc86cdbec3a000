"""Purchases as CSV in the form of Sailthru's purchase log, with the truth of all that log and profiles tell."""

import csv
import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import date, timedelta
from hashlib import md5
from io import StringIO
from pathlib import Path
from random import Random

from jobs.generator.files import BOM, Chances
from jobs.generator.history import DAY
from jobs.generator.sailthru import SailthruTruth
from jobs.generator.sailthru_history import WallClock
from jobs.generator.shop import CATALOGUE, Bought, Item
from jobs.generator.truth import write_lists, write_object

COLUMNS = (
    *("date", "email_hash", "extid", "message_id", "price", "channel"),
    *("items", "urls", "unit_prices", "quantities"),
)
TOLD_BY_BOTH = 0.6  # of what a profile tells
UNKNOWN_BUYERS = 0.08  # of what people buy, as much again is bought by people of unknown address
CHANNELS = ("online", "app", "store")
UNREADABLE_DATES = ("", "2025-10-25", "25/10/2025 18:04", "yesterday", "2025-02-30 10:00:00")
UNREADABLE_PRICES = ("free", "17,99 €", "-")
DIVIDERS = ("|", ";", ",", "json")

ItemTruth = tuple[str, str | None, int, int, str, tuple[str, ...] | None]


@dataclass(frozen=True, slots=True)
class PurchaseTruth:
    """One purchase that must come out: instants in microseconds since 1970 UTC, money in cents, as the contract says.

    `email` is the buyer's address, though the log tells only its hash. An item is id, title, units, cents, URL, tags.
    """

    kind: str
    email: str
    purchased_at: int | None
    cents: int | None
    quantity: int
    items: tuple[ItemTruth, ...]
    message_id: str | None
    client_id: str
    channel: str | None
    order_id: str | None
    email_hash: str | None
    source: str


@dataclass(slots=True)
class PurchasesTruth:
    """Everything that must come out, and how often each form was used (`forms`).

    `rejected` counts the rows of the log that are no purchase: without date, price and items.
    """

    purchases: list[PurchaseTruth] = field(default_factory=list)
    rejected: int = 0
    forms: dict[str, int] = field(default_factory=dict)


def write_purchases_truth(truth: PurchasesTruth, folder: Path) -> None:
    """Write purchases.jsonl, counts.json and forms.json to `folder`."""
    write_lists(folder, purchases=truth.purchases)
    write_object(folder / "counts.json", {"rejected": truth.rejected})
    write_object(folder / "forms.json", truth.forms)


def generate_purchases(
    output: Path, sailthru: SailthruTruth, *, seed: int = 1, zone: str = "America/New_York", odd: bool = True
) -> PurchasesTruth:
    """Write `output/purchases/<Monday>.csv`, the log of each week, and return what log and profiles tell together.

    The log tells what no profile told, and much of what one did; some buyers have addresses that nothing else names.
    `odd` adds repeated and unreadable rows, lists divided in several ways, files with columns in another order, without
    one of them, and as Windows writes them. The same arguments give the same bytes.
    """
    log = _Log(Random(f"purchase log {seed}"), WallClock(zone), odd=odd)
    for bought in sailthru.purchases:
        if bought.is_cart:
            log.add_told_by_profile(bought)
            continue
        log.add(bought)
        if log.chances.of("unknown_buyer", UNKNOWN_BUYERS):
            log.add_unknown_buyer(bought.at)
    log.write(output / "purchases")
    return log.truth()


class _Log:
    """Collects rows by week, and the truth of them."""

    def __init__(self, rng: Random, clock: WallClock, *, odd: bool) -> None:
        self.rng, self.clock, self.odd = rng, clock, odd
        self.seen: Counter[str] = Counter()
        self.chances = Chances(rng, self.seen)
        self.rows: defaultdict[date, list[tuple[int, dict[str, str]]]] = defaultdict(list)
        self.told: list[PurchaseTruth] = []
        self.orders = 1000
        self.rejected = 0

    def truth(self) -> PurchasesTruth:
        """What must come out of all that was told so far."""
        return PurchasesTruth(self.told, self.rejected, dict(sorted(self.seen.items())))

    def add_told_by_profile(self, bought: Bought) -> None:
        """What a profile alone tells, if it was written while it told it."""
        if bought.is_in_profile:
            self.told.append(_truth(bought, None))

    def add(self, bought: Bought) -> None:
        """A purchase or refund, as log, profile, or both tell it, and what is odd about it."""
        if bought.is_in_profile and not self.chances.of("told_by_both", TOLD_BY_BOTH):
            self.add_told_by_profile(bought)
            return
        row = self._row(bought)
        known_at: int | None = bought.at
        known_cents: int | None = bought.cents
        if not bought.is_in_profile:
            if self._is_odd("date_unreadable", 0.03):
                row["date"], known_at = self.rng.choice(UNREADABLE_DATES), None
            elif self._is_odd("price_unreadable", 0.03):
                row["price"], known_cents = self.rng.choice(UNREADABLE_PRICES), None
            elif bought.cents > 0 and self._is_odd("price_of_items", 0.05):
                row["price"] = ""
        self.told.append(_truth(bought, row, known_at, known_cents))
        self._enter(row, bought.at)
        if self._is_odd("repeated", 0.1):
            self._enter(row, bought.at)
        if self._is_odd("repeated_a_week_later", 0.05):
            self._enter(row, bought.at + 7 * DAY)
        if self._is_odd("no_purchase", 0.03):
            self._enter(dict.fromkeys(COLUMNS, "") | {"email_hash": row["email_hash"], "channel": "online"}, bought.at)
            self.rejected += 1

    def add_unknown_buyer(self, at: int) -> None:
        """A purchase by somebody of whom nothing else is known."""
        self.orders += 1
        item = self.rng.choice(CATALOGUE)
        self.add(Bought("", f"walk-in-{self.orders}@example.net", 0, at, item.cents, (item,)))

    def write(self, folder: Path) -> None:
        """One file for each week that has rows."""
        folder.mkdir(parents=True, exist_ok=True)
        weeks = sorted(self.rows)
        forms = ["file_bom_and_crlf", "file_in_other_order", "file_with_more_columns"]
        of_week = dict(zip(weeks, forms, strict=False)) if self.odd else {}
        for week in weeks:
            form = of_week.get(week)
            names = list(COLUMNS)
            if form == "file_in_other_order":
                names = names[::-1]
            elif form == "file_with_more_columns":
                names = ["Row", *names]
            out = StringIO()
            writer = csv.DictWriter(out, names, restval="x", lineterminator="\n")
            writer.writeheader()
            writer.writerows(row for _, row in sorted(self.rows[week], key=lambda row: row[0]))
            data = out.getvalue().encode()
            if form == "file_bom_and_crlf":
                data = BOM + data.replace(b"\n", b"\r\n")
            if form is not None:
                self.seen[form] += 1
            (folder / f"{week}.csv").write_bytes(data)

    def _row(self, bought: Bought) -> dict[str, str]:
        rng = self.rng
        self.orders += 1
        email_hash = md5(bought.email.encode(), usedforsecurity=False).hexdigest()
        if self._is_odd("hash_in_capitals", 0.05):
            email_hash = email_hash.upper()
        divider = rng.choice(DIVIDERS) if self.odd else "|"
        self.seen[f"divider_{divider}"] += 1
        return {
            "date": self._spelled(bought.at),
            "email_hash": email_hash,
            "extid": str(self.orders) if rng.random() < 0.9 else "",
            "message_id": bought.message_id or "",
            "price": _whole(bought.cents),
            "channel": rng.choice(CHANNELS),
            "items": _cell([item.id for item in bought.items], divider),
            "urls": _cell([item.url for item in bought.items], divider),
            "unit_prices": _cell([_whole(item.cents) for item in bought.items], divider),
            "quantities": _cell([str(item.quantity) for item in bought.items], divider),
        }

    def _spelled(self, at: int) -> str:
        """The wall clock, now and then with a zone."""
        if self._is_odd("date_with_zone", 0.05):
            return WallClock("UTC").local(at).isoformat() + "Z"
        return self.clock.local(at).isoformat(sep=" ")

    def _enter(self, row: dict[str, str], at: int) -> None:
        day = self.clock.local(at).date()
        self.rows[day - timedelta(days=day.weekday())].append((at, row))

    def _is_odd(self, form: str, share: float) -> bool:
        return self.odd and self.chances.of(form, share)


def _truth(
    bought: Bought, row: dict[str, str] | None, at: int | None = None, cents: int | None = None
) -> PurchaseTruth:
    """What comes out of the profile's purchase, of the row, or of both; without a row all of it is known."""
    if row is None:
        at, cents = bought.at, bought.cents
    told = row or {}
    return PurchaseTruth(
        kind="cart" if bought.is_cart else "refund" if cents is not None and cents < 0 else "purchase",
        email=bought.email,
        purchased_at=at,
        cents=cents,
        quantity=bought.quantity,
        items=tuple(_item(item, is_in_profile=bought.is_in_profile) for item in bought.items),
        message_id=told.get("message_id") or None,
        client_id=bought.account if bought.is_in_profile else "",
        channel=told.get("channel"),
        order_id=told.get("extid") or None,
        email_hash=told["email_hash"].lower() if row else None,
        source="profile" if bought.is_in_profile else "log",
    )


def _item(item: Item, *, is_in_profile: bool) -> ItemTruth:
    title, tags = (item.title, item.tags) if is_in_profile else (None, None)
    return item.id, title, item.quantity, item.cents, item.url, tags


def _whole(cents: int) -> str:
    sign = "-" if cents < 0 else ""
    return f"{sign}{abs(cents) // 100}.{abs(cents) % 100:02}"


def _cell(values: list[str], divider: str) -> str:
    return json.dumps(values) if divider == "json" else divider.join(values)
