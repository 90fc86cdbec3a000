"""What made-up people buy, give back and leave in carts, and how their Sailthru profiles tell it."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from jobs.generator.files import Chances
from jobs.generator.history import DAY, HOUR, SECOND
from jobs.generator.sailthru_history import Json, Mail, Profile, WallClock

BUYERS, LEAVERS, GIVEN_BACK = 0.25, 0.15, 0.12
LEAD_DAYS = 10
"""People bought in the days before the first message as well."""


@dataclass(frozen=True, slots=True)
class Item:
    """So many units of one thing, `cents` each."""

    id: str
    title: str
    url: str
    tags: tuple[str, ...]
    quantity: int
    cents: int


CATALOGUE = (
    Item("BK-204", "Field guide", "https://www.example.com/p/bk-204", ("books",), 1, 1799),
    Item("MP-7", "Map of “Köln”", "https://www.example.com/p/mp-7?layer=a,b", ("maps", "books"), 1, 950),
    Item("PN-31", "Pen; blue, fine", "https://www.example.org/p/pn-31", ("paper & pens",), 1, 249),
    Item("BG-9", "Bag", "https://www.example.net/p;bg-9", (), 1, 6400),
)


@dataclass(slots=True)
class Bought:
    """One purchase; a refund costs less than nothing. `at` is a whole second, in microseconds since 1970 UTC.

    `message_id` is the message that led to it. A cart is on the profile `until` an instant, None for ever.
    `is_in_profile` says whether the newest version of the profile tells it.
    """

    account: str
    email: str
    number: int
    at: int
    cents: int
    items: tuple[Item, ...]
    message_id: str | None = None
    is_cart: bool = False
    until: int | None = None
    is_in_profile: bool = False

    @property
    def own_id(self) -> str:
        """Sailthru's id of it."""
        return f"65f0c0ffee{self.number:014x}"

    @property
    def quantity(self) -> int:
        """Units of all items."""
        return sum(item.quantity for item in self.items)


class Shop:
    """Sells to the people of one account, with chances of its own: nothing else that is made up changes by it."""

    def __init__(
        self, rng: Random, seen: Counter[str], clock: WallClock, account: str, people: Sequence[Profile], seconds: range
    ) -> None:
        """People buy between the first and the last of `seconds` since 1970 UTC."""
        self.rng, self.clock, self.account = rng, clock, account
        self.chances = Chances(rng, seen)
        self.bought: defaultdict[int, list[Bought]] = defaultdict(list)
        self._number = 0
        for profile in people:
            if rng.random() < BUYERS:
                for _ in range(rng.choice((1, 1, 2, 3))):
                    self._sell(profile, rng.choice(seconds) * SECOND, self._chosen())
            if rng.random() < LEAVERS:
                cart = self._enter(profile, rng.choice(seconds) * SECOND, self._chosen())
                cart.is_cart = True
                cart.until = cart.at + rng.randrange(1, 5) * DAY if rng.random() < 0.5 else None

    @property
    def all_bought(self) -> list[Bought]:
        """Everything, told or not."""
        return [one for of_person in self.bought.values() for one in of_person]

    def sell_after(self, mail: Mail) -> None:
        """What the message's revenue is made of."""
        before = 0
        for at, cents in mail.revenues:
            if cents > before:
                item = self.rng.choice(CATALOGUE)
                sold = Item(item.id, item.title, item.url, item.tags, 1, cents - before)
                self._sell(mail.profile, at - at % SECOND, (sold,), mail.message_id)
            before = cents

    def as_told(self, profile: Profile, until: int, *, odd: bool) -> Json:
        """The fields of the profile's record at an instant; none for who did not buy anything."""
        done: list[Json] = []
        carts: list[Json] = []
        for one in self.bought[profile.number]:
            one.is_in_profile = one.at < until and not (one.until is not None and one.until <= until)
            if one.is_in_profile:
                (carts if one.is_cart else done).append(self._record(one, odd=odd))
        told: Json = {}
        if done:
            told["purchases"] = done
        if carts:
            told["purchase_incomplete"] = carts[0] if odd and self.chances.of("cart_as_object", 0.5) else carts
        return told

    def _sell(self, profile: Profile, at: int, items: tuple[Item, ...], message_id: str | None = None) -> None:
        sold = self._enter(profile, at, items)
        sold.message_id = message_id
        if self.chances.of("given_back", GIVEN_BACK):
            back = self._enter(profile, sold.at + self.rng.randrange(HOUR, 5 * DAY) // SECOND * SECOND, items)
            back.cents = -sold.cents

    def _enter(self, profile: Profile, at: int, items: tuple[Item, ...]) -> Bought:
        """A purchase, or what becomes one of another kind, at a second at which the person bought nothing else."""
        if self.clock.instant(self.clock.local(at)) != at:
            at += 2 * HOUR  # else the log would tell the first of an hour that comes twice
        theirs = self.bought[profile.number]
        while any(one.at == at for one in theirs):
            at += SECOND
        self._number += 1
        cents = sum(item.cents * item.quantity for item in items)
        theirs.append(Bought(self.account, profile.email, self._number, at, cents, items))
        return theirs[-1]

    def _chosen(self) -> tuple[Item, ...]:
        rng = self.rng
        chosen = rng.sample(CATALOGUE, rng.choice((1, 1, 2, 3)))
        return tuple(Item(i.id, i.title, i.url, i.tags, rng.choice((1, 1, 2)), i.cents) for i in chosen)

    def _record(self, one: Bought, *, odd: bool) -> Json:
        has_other_name = odd and self.chances.of("purchase_time_named_so", 0.1)
        record: Json = {"id": one.own_id, "purchase_time" if has_other_name else "time": one.at // SECOND}
        if one.cents < 0 or not (odd and self.chances.of("purchase_without_price", 0.1)):
            record |= {"price": one.cents, "qty": one.quantity}
        if odd and self.chances.of("purchase_numbers_as_text", 0.1):
            record = {name: str(value) for name, value in record.items()}
        record["items"] = [
            {"id": i.id, "title": i.title, "qty": i.quantity, "price": i.cents, "url": i.url, "tags": list(i.tags)}
            for i in one.items
        ]
        return record
