"""Every rate we publish, in one place: what is counted, of what, in which unit, on which day.

A numerator counts some of its denominator's units, by construction, so no rate exceeds 1 and none is clamped.
Expressions are SQL over one row of `messages`, as Spark and DuckDB read it; a table holds their sums.
"""

from dataclasses import dataclass
from enum import StrEnum


class Unit(StrEnum):
    """What a metric counts."""

    MESSAGE = "message"
    RECIPIENT = "message x recipient"


class Cohort(StrEnum):
    """The day on which a unit counts."""

    SEND_DATE = "send date"
    """Everything that ever became of a message counts on the day it was sent: a young day's rates still grow."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One rate: `<name>_numerator`, `<name>_denominator` and `<name>_rate` in the tables that publish it."""

    name: str
    numerator: str
    denominator: str
    unit: Unit
    words: str
    """The rate as a sentence for the person who decides by it."""
    cohort: Cohort = Cohort.SEND_DATE

    @property
    def columns(self) -> dict[str, str]:
        """Name and SQL of the metric's columns as aggregates over rows of `messages`."""
        numerator, denominator = (
            f"cast(sum(cast({sql} as bigint)) as bigint)" for sql in (self.numerator, self.denominator)
        )
        return {
            f"{self.name}_numerator": numerator,
            f"{self.name}_denominator": denominator,
            f"{self.name}_rate": f"cast({numerator} as double) / nullif({denominator}, 0)",
        }


DEFAULT_PROFILE = (
    Metric(
        name="delivery",
        numerator="recipients_delivered",
        denominator="recipients_sent - recipients_suppressed",
        unit=Unit.RECIPIENT,
        words="of the recipients a message was sent to, those who got it: a delivery and no bounce since (Sailthru, "
        "which states no delivery: no bounce). Sends to suppressed addresses are left out, for nobody tried.",
    ),
    Metric(
        name="bounce",
        numerator="recipients_bounced",
        denominator="recipients_sent - recipients_suppressed",
        unit=Unit.RECIPIENT,
        words="of the recipients a message was sent to, those it bounced for, also after a delivery. Suppressed "
        "addresses are left out.",
    ),
    Metric(
        name="open",
        numerator="is_delivered and is_opened",
        denominator="is_delivered",
        unit=Unit.MESSAGE,
        words="of the delivered messages, those opened or clicked at least once: a click without an open is an open "
        "whose picture was blocked.",
    ),
    Metric(
        name="click",
        numerator="is_delivered and is_clicked",
        denominator="is_delivered",
        unit=Unit.MESSAGE,
        words="of the delivered messages, those clicked at least once.",
    ),
    Metric(
        name="click_to_open",
        numerator="is_delivered and is_clicked",
        denominator="is_delivered and is_opened",
        unit=Unit.MESSAGE,
        words="of the delivered messages opened or clicked, those clicked.",
    ),
    Metric(
        name="complaint",
        numerator="is_delivered and is_complained",
        denominator="is_delivered",
        unit=Unit.MESSAGE,
        words="of the delivered messages, those reported as spam; reports of the type not-spam are none.",
    ),
    Metric(
        name="unsubscribe",
        numerator="is_delivered and is_unsubscribed",
        denominator="is_delivered",
        unit=Unit.MESSAGE,
        words="of the delivered messages, those after which the recipient opted out.",
    ),
)
"""Delivered means delivered and not bounced since; engagement over delivered; bounces over sent less suppressed."""
