"""How a summary is made: of what, anew or, where little is new, by parts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from pyspark.sql import DataFrame

from jobs.sources import Sources
from schemas.contract import TableContract
from transforms.increments import without_rows

Since = Mapping[str, int]
"""The versions that a stored summary was made of, by `<table>_version`."""
Days = frozenset[date | None]


@dataclass(frozen=True)
class Part:
    """What replaces the rows of some days of a summary, or all of its rows."""

    rows: DataFrame
    days: Days | None = None
    """None: `rows` are the whole summary."""


def with_keys_anew(stored: DataFrame, rows: DataFrame, keys: DataFrame, names: Sequence[str]) -> Part:
    """The whole of a summary: `rows` in place of those stored whose columns `names` are as those of one of `keys`."""
    return Part(without_rows(stored, keys, names).unionByName(rows.select(*stored.columns)))


PartOf = Callable[[Sources, Since], Part | None]


@dataclass(frozen=True)
class Summary:
    """A table of answers, and how its rows come out of the sources."""

    contract: TableContract
    of: tuple[TableContract, ...]
    """The tables that it is made of: as they were, so is it. None of what has no versions."""
    rows: Callable[[Sources], DataFrame]
    part: PartOf | None = None
    """Of what is new since; None if the summary should be made anew. Both ways give the same rows."""
    uses: tuple[TableContract, ...] = ()
    """Summaries that are not in `of` and are read as they are stored, if the run that makes this one makes them."""

    @property
    def after(self) -> frozenset[str]:
        """The tables that must be as they will be before this one is made."""
        return frozenset(table.name for table in (*self.of, *self.uses))


def anew_if_changed(_: Sources, __: Since) -> None:
    """The `part` of a summary that is made anew unless all that it is made of is as it was."""
