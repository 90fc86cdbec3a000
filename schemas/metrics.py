"""Every rate we publish, in one place: what is counted, of what, in which unit, on which day.

A numerator counts the units of its denominator of which its own condition is true as well, by construction, so no rate
exceeds 1 and none is clamped. Expressions are SQL over one row of `messages`, as Spark and DuckDB read it; a table
holds their sums.
"""

import difflib
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
class Condition:
    """What may be true of a message, or of each of its recipients, and so can be counted."""

    words: str
    of_message: str
    """SQL: whether it is true of the message, or of one of its recipients."""
    recipients: str = ""
    """SQL: of how many recipients it is true; empty if that is not known, for SES does not say who opened."""
    within: tuple[str, ...] = ()
    """The conditions that are true of each of these recipients, too."""


_OF_TRIED = ("tried", "sent")
CONDITIONS = {
    "sent": Condition(
        words="sent (also to suppressed addresses)", of_message="recipients_sent > 0", recipients="recipients_sent"
    ),
    "suppressed": Condition(
        words="not tried, for the address was on a suppression list",
        of_message="recipients_suppressed > 0",
        recipients="recipients_suppressed",
        within=("sent",),
    ),
    "tried": Condition(
        words="sent to an address on no suppression list",
        of_message="recipients_sent > recipients_suppressed",
        recipients="recipients_sent - recipients_suppressed",
        within=("sent",),
    ),
    "delivered": Condition(
        words="delivered (a delivery and no bounce since; Sailthru, which states no delivery: no bounce)",
        of_message="is_delivered",
        recipients="recipients_delivered",
        within=_OF_TRIED,
    ),
    "bounced": Condition(
        words="bounced (also after a delivery; suppressed addresses are none)",
        of_message="recipients_bounced > 0",
        recipients="recipients_bounced",
        within=_OF_TRIED,
    ),
    "hard_bounced": Condition(
        words="bounced for good (SMTP status 5.x.x, else labelled so)",
        of_message="recipients_hard_bounced > 0",
        recipients="recipients_hard_bounced",
        within=("bounced", *_OF_TRIED),
    ),
    "soft_bounced": Condition(
        words="bounced for the time being and never for good (SMTP status 4.x.x, else labelled so)",
        of_message="recipients_soft_bounced > 0",
        recipients="recipients_soft_bounced",
        within=("bounced", *_OF_TRIED),
    ),
    "opened": Condition(
        words="opened or clicked (a click without an open is an open whose picture was blocked)",
        of_message="is_opened",
    ),
    "clicked": Condition(words="clicked", of_message="is_clicked"),
    "complained": Condition(
        words="reported as spam (reports of the type not-spam are none)", of_message="is_complained"
    ),
    "unsubscribed": Condition(words="followed by an opt-out", of_message="is_unsubscribed"),
    "delayed": Condition(words="held up for a while", of_message="delayed > 0"),
}
"""By its name everything that a numerator or denominator can count."""


def named_conditions(text: str) -> tuple[str, ...]:
    """The names in a text such as `delivered and opened`; ValueError with the nearest name if one is not known."""
    names = tuple(text.split(" and "))
    for name in names:
        if name not in CONDITIONS:
            [nearest] = difflib.get_close_matches(name, CONDITIONS, n=1, cutoff=0.0)
            raise ValueError(
                f"one of {', '.join(CONDITIONS)}, or several joined by ` and `; the nearest is `{nearest}`"
            )
    return names


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One rate: `<name>_numerator`, `<name>_denominator` and `<name>_rate` in the tables that publish it."""

    name: str
    numerator: str
    """Name of a condition, or several joined by ` and `."""
    denominator: str
    unit: Unit
    cohort: Cohort = Cohort.SEND_DATE

    def __post_init__(self) -> None:
        """Refuse what cannot be counted, or not as a part of the denominator."""
        numerator, denominator = named_conditions(self.numerator), named_conditions(self.denominator)
        if self.unit is Unit.MESSAGE:
            return
        countable = [name for name, condition in CONDITIONS.items() if condition.recipients]
        if other := [text for text in (self.numerator, self.denominator) if text not in countable]:
            raise ValueError(f"`{other[0]}` cannot be counted per recipient; one of {', '.join(countable)} can")
        wholes = CONDITIONS[self.numerator].within
        if denominator != numerator and self.denominator not in wholes:
            raise ValueError(
                f"recipients {self.numerator} are no part of those {self.denominator}, but of those "
                f"{', '.join(wholes) or self.numerator}"
            )

    @property
    def denominator_sql(self) -> str:
        """What a row of `messages` adds to the denominator: a number, or true for one."""
        return self._sql(named_conditions(self.denominator))

    @property
    def numerator_sql(self) -> str:
        """The same of the numerator: messages of which both are true, recipients of whom the one is a part."""
        if self.unit is Unit.RECIPIENT:
            return self._sql((self.numerator,))
        return self._sql((*named_conditions(self.denominator), *named_conditions(self.numerator)))

    def _sql(self, names: tuple[str, ...]) -> str:
        conditions = [CONDITIONS[name] for name in dict.fromkeys(names)]
        if self.unit is Unit.RECIPIENT:
            return conditions[0].recipients
        return " and ".join(condition.of_message for condition in conditions)

    @property
    def words(self) -> str:
        """The rate as a sentence for the person who decides by it."""
        whole, part = (
            " and ".join(CONDITIONS[name].words for name in named_conditions(text))
            for text in (self.denominator, self.numerator)
        )
        units = "messages" if self.unit is Unit.MESSAGE else "recipients of messages"
        return f"Of the {units} {whole}, those {part}."

    @property
    def sums(self) -> dict[str, str]:
        """Name and SQL of the columns that are counted, as aggregates over rows of `messages`."""
        counted = {"numerator": self.numerator_sql, "denominator": self.denominator_sql}
        return {f"{self.name}_{part}": f"cast(sum(cast({sql} as bigint)) as bigint)" for part, sql in counted.items()}

    @property
    def rate(self) -> str:
        """SQL of the rate, of a row with the columns that are counted."""
        return _share(f"{self.name}_numerator", f"{self.name}_denominator")

    @property
    def columns(self) -> dict[str, str]:
        """Name and SQL of all of the metric's columns as aggregates over rows of `messages`."""
        return {**self.sums, f"{self.name}_rate": _share(*self.sums.values())}


def _share(part: str, whole: str) -> str:
    return f"cast({part} as double) / nullif({whole}, 0)"


Profile = tuple[Metric, ...]
"""The metrics that a table carries, in the order of its columns."""


def _metrics(unit: Unit, of: dict[str, tuple[str, str]]) -> Profile:
    return tuple(Metric(name=n, numerator=part, denominator=whole, unit=unit) for n, (part, whole) in of.items())


DEFAULT_PROFILE: Profile = (
    *_metrics(
        Unit.RECIPIENT,
        {
            "delivery": ("delivered", "tried"),
            "bounce": ("bounced", "tried"),
            "hard_bounce": ("hard_bounced", "tried"),
            "soft_bounce": ("soft_bounced", "tried"),
        },
    ),
    *_metrics(
        Unit.MESSAGE,
        {
            "open": ("opened", "delivered"),
            "click": ("clicked", "delivered"),
            "click_to_open": ("clicked", "delivered and opened"),
            "complaint": ("complained", "delivered"),
            "unsubscribe": ("unsubscribed", "delivered"),
        },
    ),
)
"""Delivered means delivered and not bounced since; engagement over delivered; bounces over sent less suppressed."""

SES_PROFILE: Profile = (
    *_metrics(
        Unit.RECIPIENT,
        {
            "delivery": ("delivered", "sent"),
            "suppression": ("suppressed", "sent"),
            "bounce": ("bounced", "sent"),
            "hard_bounce": ("hard_bounced", "sent"),
            "soft_bounce": ("soft_bounced", "sent"),
        },
    ),
    *_metrics(
        Unit.MESSAGE,
        {
            "open": ("opened", "sent"),
            "click": ("clicked", "sent"),
            "complaint": ("complained", "sent"),
            "unsubscribe": ("unsubscribed", "sent"),
        },
    ),
)
"""Everything over sends, as SES and its Virtual Deliverability Manager divide; a suppressed address is a send there."""

PROFILES = {"default": DEFAULT_PROFILE, "ses": SES_PROFILE}
"""The profiles that need no configuration."""
