"""Instants out of the texts that mail systems and their re-exports write for them."""

from pyspark.sql import Column
from pyspark.sql import functions as F

_ISO = (
    r"^\s*[0-9]{4,6}-[0-9]{1,2}-[0-9]{1,2}[T ][0-9]{1,2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,9})?)?"
    r"\s*(Z|[+-][0-9]{2}:?[0-9]{2})?\s*$"
)
_EPOCH = r"^-?[0-9](?:[0-9]{7,13}([.][0-9]{1,9})?|[.][0-9]{1,20}E(?:9|1[0-2]))$"
_NO_ZONE = r"^\s*[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,9})?)?\s*$"
_DIGITS = r"^-?[0-9]{1,15}$"
_FIRST_MILLISECOND_VALUE = 100_000_000_000
"""Epoch values from here on are milliseconds: as seconds they would lie after the year 5000."""


def instant(text: Column) -> Column:
    """The instant that `text` states, in UTC; NULL if it states none.

    Read are: ISO 8601 with `T` or a space, seconds with up to 9 digits of fraction (6 are kept), `Z`, an offset
    with or without its colon, or no zone, which means UTC; seconds or milliseconds since 1970 as a whole number
    or with a fraction, also in the notation Spark gives a JSON number (1.76E9). Not read: a date without a time,
    a time without a date, a year alone, all of which a plain cast takes. Never an error.
    """
    iso = F.regexp_replace(F.trim(text), r"([+-][0-9]{2})([0-9]{2})$", "$1:$2").try_cast("timestamp")
    number = text.try_cast("decimal(24,9)")
    seconds = F.when(F.abs(number) < _FIRST_MILLISECOND_VALUE, number).otherwise(number / 1000)
    epoch = F.timestamp_micros((seconds * 1_000_000).try_cast("long"))
    is_usual = (
        F.endswith(text, F.lit("Z")) & F.length(text).between(20, 27) & (F.substring(text, 11, 1) == "T")
    )  # spares most times the patterns
    return F.when(is_usual, text.try_cast("timestamp")).when(text.rlike(_ISO), iso).when(text.rlike(_EPOCH), epoch)


def local_instant(text: Column, zone: str) -> Column:
    """The instant of a wall clock in `zone` (IANA name); NULL if `text` states none. Never an error.

    Read are `YYYY-MM-DDTHH:MM`, with or without seconds and a fraction. A text with a zone of its own keeps it. An
    hour that comes twice, when clocks go back, means its first coming; one that does not exist is moved on by what
    the clocks skip (02:30 is 03:30).
    """
    wall_clock = F.trim(text).try_cast("timestamp")  # as if it were UTC
    return F.when(text.rlike(_NO_ZONE), F.to_utc_timestamp(wall_clock, zone)).otherwise(instant(text))


def milliseconds_or_text(text: Column) -> Column:
    """The instant of a MongoDB `$date` as text: milliseconds since 1970, or ISO 8601; NULL if it states none."""
    micros = F.try_multiply(text.try_cast("long"), F.lit(1000))
    return F.when(text.rlike(_DIGITS), F.timestamp_micros(micros)).otherwise(instant(text))
