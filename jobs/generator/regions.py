"""Where made-up people live, and what they do there more or less often than others."""

from dataclasses import dataclass
from zlib import crc32


@dataclass(frozen=True, kw_only=True, slots=True)
class Habits:
    """How many of 100 people live in a region, and their chances as multiples of the usual ones."""

    people: int
    bounces: float = 1.0
    opens: float = 1.0
    clicks: float = 1.0
    unsubscribes: float = 1.0


REGIONS = {
    "NA": Habits(people=40, bounces=0.85, opens=0.95, clicks=1.05),
    "EU": Habits(people=30, bounces=0.8, opens=1.15, unsubscribes=1.15),
    "LATAM": Habits(people=17, bounces=1.9, opens=0.9, clicks=0.85),
    "APAC": Habits(people=13, opens=0.95, clicks=1.15, unsubscribes=0.8),
}
SPREAD = 277  # with it, the few people of small runs live in all regions as well, in about these shares
_BY_HUNDREDTH = tuple(region for region, habits in REGIONS.items() for _ in range(habits.people))


def region_of(address: str) -> str:
    """The region of a person: always the same one for an address, whatever its letter case."""
    return _BY_HUNDREDTH[crc32(address.lower().encode(), SPREAD) % len(_BY_HUNDREDTH)]


def habits_of(address: str) -> Habits:
    """What the person does more or less often than others."""
    return REGIONS[region_of(address)]
