"""What summaries are made of, and what of it is new since they were last made."""

import json
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cached_property, partial, reduce
from typing import TypeVar, cast

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from conf.errors import ConfigurationError
from conf.settings import Settings
from jobs import requests, tables
from jobs.drift import read_drift
from jobs.purchases import read_purchases
from jobs.quality import Change
from jobs.rules import made_by
from jobs.storage import Location, location
from schemas.campaigns import CAMPAIGN_KEY
from schemas.catalog import TABLES
from schemas.contract import TableContract
from schemas.drift import DRIFT
from schemas.events import EVENTS
from schemas.files import FILES
from schemas.journeys import JOURNEYS
from schemas.messages import MESSAGE_KEY, MESSAGES
from schemas.person_events import PERSON_EVENTS
from schemas.purchases import PURCHASES
from schemas.recipient_totals import RECIPIENT_KEY
from schemas.requests import REQUESTS
from schemas.sailthru import BLASTS, PROFILE_VERSIONS, PROFILES, SAILTHRU_MESSAGES
from schemas.stages import DATED, STAGES
from transforms.increments import is_of, signed, with_rows, without_rows
from transforms.journeys import to_journeys
from transforms.lifecycle import account_of_message, to_lifecycle
from transforms.messages import to_messages
from transforms.people import AddressRules
from transforms.person_events import purchases_of_people, to_person_events
from transforms.purchases import known_hashes

T = TypeVar("T")
_LOADED = (FILES, EVENTS, SAILTHRU_MESSAGES, BLASTS, PROFILES, PROFILE_VERSIONS)
_MADE = (REQUESTS, JOURNEYS, MESSAGES, PURCHASES, PERSON_EVENTS)
_OF_PEOPLE = (PURCHASES, PERSON_EVENTS)
_READ_AGAIN = (BLASTS, PROFILES, REQUESTS, JOURNEYS, MESSAGES, PERSON_EVENTS)
"""Those of which the version before is looked at beside the one of now."""
_OF_ANSWERS = (
    *MESSAGE_KEY,
    *("recipient", "campaign_kind", "campaign", "message_clicked", "message_unsubscribed"),
    *(f"is_{name}" for name in ("sent", "delivered", "opened", "clicked", "unsubscribed")),
)
"""The columns of `journeys` that say who answered a campaign."""
_OF_RECIPIENTS = (
    *_OF_ANSWERS,
    *(stage.count for stage in STAGES),
    *(f"{end}_{event_class}_at" for end in ("first", "last") for event_class in DATED),
)
"""Those that summaries of recipients are made of."""
SMALL_BYTES = 2**23
"""Of data files as stored: some 50,000 events. Below it, checking all rows costs no more than finding the new ones."""
LARGE_BYTES = 2**30
"""Of `events`, some 7 million. Below it, counting those of every file costs no more than finding files to count."""
MOST_TOUCHED = 0.2
"""The share of messages up to which only what is new of them is computed: above it, making all anew is as quick."""
MOST_CHANGED = 0.2
"""The share of a table's bytes up to which its checks look at the rows alone that are new."""


@dataclass(frozen=True)
class Touched:
    """The messages of which something is new since a summary was made, and all that is known of them now."""

    keys: DataFrame
    """Distinct, of MESSAGE_KEY."""
    near: Column
    """True of all rows of these messages, and of few others: literals that prune files."""
    journeys: DataFrame
    messages: DataFrame


@dataclass(frozen=True)
class Ids:
    """The messages of which something is new, or whose requests changed, since a summary was made."""

    ids: DataFrame
    """Distinct, of `message_id`."""
    near: Column
    """True of all rows of these messages, and of few others: literals that prune files."""


@dataclass(frozen=True)
class Recipients:
    """The recipients of the messages of `Ids`."""

    keys: DataFrame
    """Distinct, of RECIPIENT_KEY; without NULL."""
    journeys: DataFrame
    """All their journeys, as they are, with what totals are made of."""
    both: DataFrame
    """Their journeys in the campaigns of those messages, as they are and as they were then: who answered, with SIGN."""


class Sources:
    """One and the same version of each table for all summaries of a run, and each other.

    Several threads may ask at the same time.
    """

    def __init__(self, spark: SparkSession, settings: Settings, *, full: bool) -> None:
        self.spark, self.settings, self._full = spark, settings, full
        self._warehouse = location(settings.warehouse)
        self.as_of = datetime.now(UTC)
        self._looking_up = threading.RLock()
        self._versions: dict[str, int] = {}
        # The ledger first: what its lines count is then in the version of every other table, whenever it is looked at.
        for contract in _LOADED:
            if tables.is_there(self._warehouse, contract):
                self.version_of(contract)
        self._written: set[str] = set()
        self._computed: dict[str, DataFrame] = {}
        self._finding: dict[tuple[object, ...], threading.Lock] = {}
        self._found: dict[tuple[object, ...], object] = {}

    def _once(self, key: tuple[object, ...], find: Callable[[], T]) -> T:
        """What `find` gives, found when a key is first asked for; who asks meanwhile waits."""
        with self._finding.setdefault(key, threading.Lock()):
            if key not in self._found:
                self._found[key] = find()
        return cast(T, self._found[key])

    # --- The tables as they are

    @cached_property
    def lifecycle(self) -> DataFrame:
        """The rows of `to_lifecycle`."""
        return to_lifecycle(self.stored(EVENTS), self.settings.email_kind_tag)

    @cached_property
    def requests(self) -> DataFrame:
        """The rows of `requests`, as the source says now."""
        requests.snapshot(self.spark, self.settings, full=self._full)
        return self.stored(REQUESTS)

    def refuse_other_profile(self) -> None:
        """Raise ConfigurationError if a stored table has the metrics of another profile than the settings say."""
        tables.refuse_other_profile(self.spark, self._warehouse, self.settings.metrics.chosen)

    @cached_property
    def everything(self) -> dict[str, DataFrame]:
        """By its name every table that is stored, and `requests`, as they are when they are first asked for."""
        found = {table.name: self.stored(table) for table in TABLES if tables.is_there(self._warehouse, table)}
        return {**found, REQUESTS.name: self.requests}

    def version_of(self, contract: TableContract) -> int:
        """The version of a stored table that this run reads: the newest when it is first asked for."""
        with self._looking_up:
            if contract.name not in self._versions:
                if not tables.is_there(self._warehouse, contract):
                    raise without(contract, self._warehouse)
                self._versions[contract.name] = tables.version(self.spark, self._warehouse, contract)
            return self._versions[contract.name]

    def stored(self, contract: TableContract) -> DataFrame:
        """A stored table, in the one version that this run reads."""
        return tables.read(self.spark, self._warehouse, contract, self.version_of(contract))

    def state(self, contract: TableContract) -> DataFrame:
        """A stored table, in the one version that this run reads; without rows if it was never made."""
        if tables.is_there(self._warehouse, contract):
            return self.stored(contract)
        # Of what is never true Spark knows that it is empty, and leaves out what would be joined to it.
        return self.spark.createDataFrame([], contract.stored_schema).where(F.lit(False))

    @cached_property
    def drift(self) -> DataFrame:
        """The rows of `drift`: those of files that it does not stand for yet are read, with `full` all files."""
        said = None if self._full else tables.note_of(self._warehouse, DRIFT)
        known, now = json.loads(said)[_version(FILES)] if said else None, self.version_of(FILES)
        if known is not None and self._between(FILES, known, now) is None:
            known = None
        return read_drift(self.spark, self.settings, now, known)

    def of(self, contract: TableContract) -> DataFrame:
        """A table that others are made of: read if the stored one is of what this run reads, else computed.

        Those are `journeys`, `messages`, `purchases` and `person_events`.
        """
        if self.is_fresh(contract):
            return self.stored(contract)
        if contract.name not in self._computed:
            self._computed[contract.name] = tables.shaped_as(self._computing[contract.name](), contract)
        return self._computed[contract.name]

    @property
    def _computing(self) -> Mapping[str, Callable[[], DataFrame]]:
        return {
            JOURNEYS.name: lambda: to_journeys(self.lifecycle, self.state(SAILTHRU_MESSAGES)),
            MESSAGES.name: lambda: to_messages(self.lifecycle, self.of(JOURNEYS)),
            PURCHASES.name: self._purchases,
            PERSON_EVENTS.name: lambda: self.person_events(self.stored(EVENTS)).unionByName(self.bought),
        }

    # --- People

    @cached_property
    def address_rules(self) -> AddressRules:
        """Which spellings of an address are one person's."""
        people = self.settings.people
        return AddressRules(folds_case=people.fold_case, drops_plus_tags=people.drop_plus_tags)

    def _purchases(self) -> DataFrame:
        """Of all versions of profiles, for one that comes later may not have a purchase any more."""
        versions = self.state(PROFILE_VERSIONS).unionByName(self.state(PROFILES))
        of_addresses = self.of(JOURNEYS).where(F.col("provider") == "ses")
        sent_to = of_addresses.select(F.col("recipient").alias("address")).distinct()
        known = known_hashes(versions, sent_to, self.address_rules)
        return read_purchases(self.spark, self.settings, versions, known, self.address_rules)

    def person_events(self, events: DataFrame) -> DataFrame:
        """The rows of `person_events` out of those rows of `events`."""
        return to_person_events(events, self.state(PROFILES), self.address_rules)

    @property
    def bought(self) -> DataFrame:
        """The rows of `person_events` that are of `purchases`."""
        return purchases_of_people(self.of(PURCHASES))

    # --- What was made of which versions

    def note(self, of: Collection[TableContract]) -> str:
        """What the commit of a summary of these tables says: of which versions, by which code and settings."""
        read = [t for t in of if t.name in self._versions and (t.name in self._written or t.name not in self._computed)]
        versions = {_version(t): self._versions[t.name] for t in read}
        return json.dumps({**versions, "made_by": self._made_by})

    @cached_property
    def _made_by(self) -> str:
        of = self.settings
        return made_by(
            [
                of.email_kind_tag,
                of.metrics.model_dump(mode="json"),
                of.campaigns.model_dump(mode="json"),
                of.sailthru.model_dump(mode="json"),
                [of.earliest_event_time, of.latest_event_time_days_after_load],
                of.people.model_dump(mode="json"),
                of.sessions.model_dump(mode="json"),
                of.activity.model_dump(mode="json"),
                of.attribution.model_dump(mode="json"),
                of.purchases.model_dump(mode="json"),
                of.features.model_dump(mode="json"),
            ]
        )

    def since(self, contract: TableContract) -> Mapping[str, int] | None:
        """The versions that a stored summary was made of, by `<table>_version`; None if it must be made anew.

        It must if other code or settings made it, or if a version of which it was made cannot be read any more.
        """
        said = None if self._full else tables.note_of(self._warehouse, contract)
        found = json.loads(said) if said else {}
        if found.pop("made_by", None) != self._made_by:
            return None
        return found if all(self._can_be_read(t, found) for t in _READ_AGAIN) else None

    def _can_be_read(self, contract: TableContract, since: Mapping[str, int]) -> bool:
        before = since.get(_version(contract))
        if before is None or before == self._versions.get(contract.name):
            return True
        if not tables.is_there(self._warehouse, contract):
            return False
        now = self._versions.get(contract.name)
        if now is None:  # not read yet by this run, and not to be noted as if it were
            now = tables.version(self.spark, self._warehouse, contract)
        return self._between(contract, before, now) is not None

    def is_current(self, contract: TableContract) -> bool:
        """Whether stored `journeys` or `messages` are of the versions that this run reads."""
        since = self.since(contract)
        if since is None:
            return False
        return all(self.is_as_it_was(t, since) for t in (EVENTS, SAILTHRU_MESSAGES))

    def is_fresh(self, contract: TableContract) -> bool:
        """Whether a summary as it is stored is what this run would make of it.

        Without looking that can be told of `journeys` and `messages` alone: where purchases are has no version.
        """
        return contract.name in self._written or (contract in (JOURNEYS, MESSAGES) and self.is_current(contract))

    def use_written(self, contract: TableContract) -> None:
        """From now on read the summary as it is stored: this run wrote it, or found that nothing of it is new."""
        with self._looking_up:
            self._versions.pop(contract.name, None)
            self.version_of(contract)
            self._written.add(contract.name)

    # --- What is new

    def before(self, contract: TableContract, since: Mapping[str, int]) -> DataFrame:
        """A table as it was when a summary was made."""
        version = since[_version(contract)]
        # One frame for all who ask: with each Delta would read the table's state anew.
        read = partial(tables.read, self.spark, self._warehouse, contract, version)
        return self._once(("before", contract.name, version), read)

    def is_unchanged(self, since: Mapping[str, int], of: Collection[TableContract]) -> bool:
        """Whether each of the tables of which a summary was made is as it was."""
        loaded = all(self.is_as_it_was(t, since) for t in of if t in _LOADED)
        others = [t for t in of if t not in _LOADED and t not in _MADE]
        made = [t for t in of if t in _MADE and (t in _OF_PEOPLE or _version(t) in since)]
        # Stored ones of people may be older than what they are made of: a run may make some tables only.
        are_fresh = all(self.is_fresh(t) for t in made if t in _OF_PEOPLE)
        return (
            loaded
            and are_fresh
            and all(self._is_same(t, since, self.version_of(t)) for t in made)
            and all(self._is_same(t, since, self._newest(t)) for t in others)
        )

    def _newest(self, contract: TableContract) -> int | None:
        return self.version_of(contract) if tables.is_there(self._warehouse, contract) else None

    def is_as_it_was(self, contract: TableContract, since: Mapping[str, int]) -> bool:
        """Whether a table has the rows of which a summary was made, be it in other files."""
        return self._is_same(contract, since, self._versions.get(contract.name))

    def _is_same(self, contract: TableContract, since: Mapping[str, int], now: int | None) -> bool:
        before = since.get(_version(contract))
        if before is None or now is None or before == now:
            return before == now
        key = ("is_same", contract.name, before, now)
        return self._once(key, partial(tables.has_same_rows, self._warehouse, contract, before, now))

    def difference(self, contract: TableContract, since: Mapping[str, int]) -> tables.Difference | None:
        """What is new of a table since a summary was made; None if that cannot be told any more."""
        before, now = since.get(_version(contract)), self._versions.get(contract.name)
        if now is None and before is None:
            return tables.Difference(frozenset(), frozenset(), frozenset())
        if before is None or now is None:
            return None
        return self._between(contract, before, now)

    def _between(self, contract: TableContract, before: int, now: int) -> tables.Difference | None:
        key = ("difference", contract.name, before, now)
        return self._once(key, lambda: tables.difference(self._warehouse, contract, before, now))

    def touched(self, since: Mapping[str, int], *before: TableContract) -> Touched | None:
        """The messages of which something is new since a summary was made; None if all should be made anew.

        So they should, too, if it was not made of stored rows of the tables `before`, as they can be read again.
        A message's events are looked for on the days on which its journeys, as they are stored, have events, and on
        those that have new ones.
        """
        if not all(_version(contract) in since for contract in before):
            return None
        key = ("touched", *_key(since, EVENTS, SAILTHRU_MESSAGES))
        return self._once(key, lambda: self._find_touched(since))

    def changed_ids(self, since: Mapping[str, int]) -> Ids | None:
        """The messages of which something is new, or whose requests changed; None if all should be made anew.

        Changed requests only if the summary was made of `requests`.
        """
        key = ("changed_ids", *_key(since, EVENTS, SAILTHRU_MESSAGES, REQUESTS))
        return self._once(key, lambda: self._find_ids(since))

    def _find_ids(self, since: Mapping[str, int]) -> Ids | None:
        touched = self.touched(since)
        changed = self.changed_rows(REQUESTS, since, "request_date") if _version(REQUESTS) in since else None
        if touched is None:
            return None
        ids = touched.keys.select("message_id")
        if changed is None:
            return Ids(ids, touched.near)
        ids = tables.kept(ids.unionByName(changed.select("message_id")).distinct())
        return Ids(ids, tables.bounds(ids))

    def changed_messages(self, since: Mapping[str, int]) -> DataFrame | None:
        """The messages of `changed_ids` as they are and as they were when a summary was made: with SIGN."""
        key = ("changed_messages", *_key(since, EVENTS, SAILTHRU_MESSAGES, MESSAGES, REQUESTS))
        return self._once(key, lambda: self._find_changed_messages(since))

    def _find_changed_messages(self, since: Mapping[str, int]) -> DataFrame | None:
        changed = self.changed_ids(since)
        if changed is None or self.touched(since, MESSAGES) is None:
            return None
        both = signed(self.of(MESSAGES), self.before(MESSAGES, since)).where(changed.near)
        return with_rows(both, changed.ids, ["message_id"]).localCheckpoint()

    def recipients(self, since: Mapping[str, int]) -> Recipients | None:
        """Those of whom something is new since a summary was made; None if all should be made anew."""
        key = ("recipients", *_key(since, EVENTS, SAILTHRU_MESSAGES, JOURNEYS, REQUESTS))
        return self._once(key, lambda: self._find_recipients(since))

    def _find_recipients(self, since: Mapping[str, int]) -> Recipients | None:
        touched, changed = self.touched(since, JOURNEYS), self.changed_ids(since)
        if touched is None or changed is None:
            return None
        before, new = self.before(JOURNEYS, since), touched.journeys.where("recipient is not null")
        in_campaign = (*CAMPAIGN_KEY, "recipient")
        were = with_rows(before.where(changed.near), changed.ids, ["message_id"]).where("recipient is not null")
        pairs = tables.kept(were.select(*in_campaign).unionByName(new.select(*in_campaign)).distinct())
        keys = tables.kept(pairs.select(*RECIPIENT_KEY).distinct())
        all_then = with_rows(before, keys, RECIPIENT_KEY).select(*_OF_RECIPIENTS).localCheckpoint()
        same = without_rows(all_then, touched.keys, MESSAGE_KEY)
        all_now = same.unionByName(new.select(*_OF_RECIPIENTS))
        answered = [rows.select(*_OF_ANSWERS) for rows in (all_now, all_then)]
        # Each frame in the union brings its own tasks to all who read it.
        few = 2 * self.spark.sparkContext.defaultParallelism
        both = with_rows(signed(*answered), pairs, in_campaign).coalesce(few).localCheckpoint()
        return Recipients(keys, all_now, both)

    def requests_of(self, theirs: Recipients, since: Mapping[str, int]) -> DataFrame | None:
        """The requests for the messages of `changed_ids` and of their recipients, as they are and as they were.

        With SIGN; None if nothing says which of them changed.
        """
        changed, messages = self.changed_rows(REQUESTS, since, "request_date"), self.changed_ids(since)
        difference = self.difference(REQUESTS, since)
        if changed is None or messages is None or difference is None:
            return None
        ids = tables.kept(theirs.both.select("message_id").unionByName(messages.ids).distinct())
        now = with_rows(self.requests, ids, ["message_id"]).localCheckpoint()
        were = self.before(REQUESTS, since).where(is_of(REQUESTS, difference.days))
        gone = with_rows(with_rows(were, changed, REQUESTS.key), ids, ["message_id"])
        return signed(now, without_rows(now, changed, REQUESTS.key).unionByName(gone)).localCheckpoint()

    def _find_touched(self, since: Mapping[str, int]) -> Touched | None:
        events = self.difference(EVENTS, since)
        states = self.difference(SAILTHRU_MESSAGES, since)
        known = self.since(JOURNEYS)
        if events is None or states is None or known is None or known[_version(EVENTS)] < since[_version(EVENTS)]:
            return None
        keys, there = (
            tables.kept(self._new_keys(events, states, since)),
            tables.read(self.spark, self._warehouse, JOURNEYS),
        )
        if keys.count() > MOST_TOUCHED * there.count():
            return None
        near = tables.bounds(keys)
        steps = with_rows(there.where(near), keys, MESSAGE_KEY).select(F.explode("steps").alias("step"))
        dates = self.days_of(steps.select(F.to_date("step.event_time"))) | events.days
        lifecycle = with_rows(
            _with_message_account(self.stored(EVENTS).where(is_of(EVENTS, dates) & near)),
            keys,
            ("provider", "message_account", "message_id"),
            MESSAGE_KEY,
        )
        lifecycle = to_lifecycle(lifecycle, self.settings.email_kind_tag).localCheckpoint()
        own = with_rows(self.state(SAILTHRU_MESSAGES), keys, ("client_id", "message_id"), ("account", "message_id"))
        journeys = tables.shaped_as(to_journeys(lifecycle, own), JOURNEYS).localCheckpoint()
        messages = tables.shaped_as(to_messages(lifecycle, journeys), MESSAGES).localCheckpoint()
        return Touched(keys, near, journeys, messages)

    def changed_rows(self, contract: TableContract, since: Mapping[str, int], name: str) -> DataFrame | None:
        """The rows of a table with hashes that are new, changed or gone since a summary was made; None if all may be.

        The table's key, `row_hash`, and the column `name`; of a row that changed both what it was and what it is.
        """
        changed = self.difference(contract, since)
        if changed is None or _version(contract) not in since:
            return None
        days = changed.days

        def find() -> DataFrame:
            row = [*contract.key, "row_hash"]
            was, now = (
                rows.where(is_of(contract, days)).select(*row, name)
                for rows in (self.before(contract, since), self.stored(contract))
            )
            return tables.kept(without_rows(was, now, row).unionByName(without_rows(now, was, row)))

        return self._once(("changed_rows", contract.name, *_key(since, contract)), find)

    def changes(self, since: Mapping[str, int]) -> Mapping[str, Change]:
        """What became of those stored tables whose new rows alone are worth a look, since a summary was made."""
        found = {}
        for table in (table for table in TABLES if table.partitioned_by and table.name in self.everything):
            difference = self.difference(table, since)
            if difference is None or self.is_small(table):
                continue
            if difference.added_bytes <= MOST_CHANGED * self._bytes_of(table):
                found[table.name] = self.change(table, since)
        if EVENTS.name in found and self._bytes_of(EVENTS) >= LARGE_BYTES and not self.is_as_it_was(FILES, since):
            found[FILES.name] = self.change(FILES, since)
        return {name: change for name, change in found.items() if change is not None}

    def is_small(self, contract: TableContract) -> bool:
        """Whether looking at all rows of a stored table costs about as little as finding out which of them are new."""
        return self._bytes_of(contract) < SMALL_BYTES

    def _bytes_of(self, contract: TableContract) -> int:
        return tables.size_in_bytes(self.spark, self._warehouse, contract, self.version_of(contract))

    def change(self, contract: TableContract, since: Mapping[str, int]) -> Change | None:
        """What became of a stored table since a summary was made; None if nothing says it."""
        difference = self.difference(contract, since)
        if difference is None or _version(contract) not in since:
            return None
        before, days = self.before(contract, since), difference.days
        gone = _in_files(before, contract, days, difference.removed)
        new = _in_files(self.stored(contract), contract, days, difference.added)
        return Change(before, gone, new, difference.added_bytes)

    def new_events(self, since: Mapping[str, int]) -> DataFrame | None:
        """The rows of `events` that are new since a summary was made; None if nothing says which.

        So it is, too, if they are so many that all may as well be looked at.
        """
        events = self.difference(EVENTS, since)
        if events is None:
            return None
        new = self._added(events, since)
        return None if new.count() > MOST_TOUCHED * self.stored(EVENTS).count() else new

    def _added(self, events: tables.Difference, since: Mapping[str, int]) -> DataFrame:
        """The rows of `events` in added files, without those that a compaction took over from removed ones."""
        found = _in_files(self.stored(EVENTS), EVENTS, events.days, events.added)
        if not events.removed:
            return found
        were = _in_files(self.before(EVENTS, since), EVENTS, events.days, events.removed)
        return without_rows(found, were, EVENTS.key)

    def _new_keys(self, events: tables.Difference, states: tables.Difference, since: Mapping[str, int]) -> DataFrame:
        """The messages that new events, or new versions of Sailthru's records, are of."""
        found = _with_message_account(self._added(events, since))
        keys = found.select("provider", F.col("message_account").alias("account"), "message_id")
        if states.days:
            version = ("client_id", "message_id", "version", "record")
            change = self.change(SAILTHRU_MESSAGES, since)
            assert change is not None  # or nothing would say on which days
            changed = without_rows(change.new.select(*version), change.gone.select(*version), version)
            own = changed.select(F.lit("sailthru").alias("provider"), F.col("client_id").alias("account"), "message_id")
            keys = keys.unionByName(own)
        return keys.distinct()

    @staticmethod
    def days_of(*columns: DataFrame) -> frozenset[date | None]:
        """The days in frames of one column each."""
        return frozenset(row[0] for row in reduce(DataFrame.union, columns).distinct().collect())


def _version(contract: TableContract) -> str:
    return f"{contract.name}_version"


def _key(since: Mapping[str, int], *contracts: TableContract) -> tuple[int, ...]:
    return tuple(since.get(_version(contract), -1) for contract in contracts)


def _in_files(
    rows: DataFrame, contract: TableContract, days: frozenset[date | None], names: frozenset[str]
) -> DataFrame:
    """The rows of a table that files of these names hold, all of them of `days` if it is partitioned by day."""
    near = rows.where(is_of(contract, days)) if contract.partitioned_by else rows
    return near.where(F.col("_metadata.file_name").isin(sorted(names)))


def _with_message_account(events: DataFrame) -> DataFrame:
    return events.withColumn("message_account", account_of_message())


def without(contract: TableContract, warehouse: Location) -> ConfigurationError:
    """A warehouse lacks a table that the stream makes."""
    return ConfigurationError(
        f"No table `{contract.name}` in {warehouse}: run stream_events first, or name its --warehouse."
    )
