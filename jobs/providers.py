"""Who sends event files: how each one's records are read, and which tables they fill beside `events`."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pyspark.sql import DataFrame

from conf.settings import Settings
from schemas.contract import TableContract
from schemas.drift import SAILTHRU, SES, Shape
from schemas.sailthru import HISTORIES, STATES
from transforms import sailthru, ses
from transforms.records import Limits

Parser = Callable[[DataFrame, Limits], DataFrame]


def _one_data_set(_: str) -> str:
    return ""


@dataclass(frozen=True, kw_only=True)
class Provider:
    """One sender of event files: a folder below the input, and a streaming query of its own."""

    name: str
    parser: Callable[[Settings], Parser]
    """Gives the parser of the provider's files, which turns RAW_LINES into rows of events."""
    records: Callable[[DataFrame, Limits], DataFrame]
    """The records of RAW_LINES as texts, for whoever compares them with `shape`."""
    shape: Shape
    """What records look like by the pages of their format."""
    data_set_of: Callable[[str], str | None] = _one_data_set
    """The data set of a file by its name: empty if the provider has but one, None if it is none of the provider's."""
    states: Mapping[str, TableContract] = field(default_factory=dict)
    """Of each data set that has one the table of newest versions; rows hold a version in a column of its name."""
    histories: Mapping[str, TableContract] = field(default_factory=dict)
    """Of such a table, by its name, the one that keeps the newest version of each file date."""

    def states_of(self, data_sets: Iterable[str]) -> list[TableContract]:
        """The tables of newest versions that these data sets fill, each once."""
        wanted = set(data_sets)
        return list({table.name: table for name, table in self.states.items() if name in wanted}.values())

    @property
    def own_tables(self) -> list[TableContract]:
        """The tables of versions, each once; one that keeps those of each date before the one that names it."""
        return [*self.histories.values(), *self.states_of(self.states)]


def limits_of(settings: Settings, loaded_at: datetime) -> Limits:
    """What a record that is loaded at this time may be."""
    # To the hour: a literal that changed with every batch would make Spark compile the plan's code anew.
    latest = loaded_at.replace(minute=0, second=0, microsecond=0) + timedelta(
        hours=1, days=settings.latest_event_time_days_after_load
    )
    return Limits(max_record_bytes=int(settings.max_record_bytes), earliest=settings.earliest_event_time, latest=latest)


def _sailthru_parser(settings: Settings) -> Parser:
    account = sailthru.Account(client_id=settings.sailthru.client_id, time_zone=settings.sailthru.time_zone)
    return lambda lines, limits: sailthru.to_events(lines, limits, account)


PROVIDERS = {
    provider.name: provider
    for provider in (
        Provider(name="ses", parser=lambda _: ses.to_events, records=ses.to_records, shape=SES),
        Provider(
            name="sailthru",
            parser=_sailthru_parser,
            records=sailthru.to_records,
            shape=SAILTHRU,
            data_set_of=sailthru.data_set_of,
            states=STATES,
            histories=HISTORIES,
        ),
    )
}
