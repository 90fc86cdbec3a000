"""The checks of `quality`, as data: what the contracts say by themselves, and what else must hold."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from schemas.campaigns import CAMPAIGNS
from schemas.catalog import tables_with, with_metrics
from schemas.contract import TableContract
from schemas.events import EVENTS, REPLAYED
from schemas.features import DEFAULT_FEATURES, Feature
from schemas.files import FILES, FileStatus
from schemas.invitations import INVITATIONS
from schemas.journeys import JOURNEYS, STATES
from schemas.messages import CampaignKind
from schemas.metrics import DEFAULT_PROFILE, Profile
from schemas.quality import QUALITY, CheckKind, Severity
from schemas.quarantine import QUARANTINE, STILL, Reason, ReplayOutcome
from schemas.requests import REQUESTS
from schemas.sailthru import BLASTS, PROFILE_TIMES, PROFILES, SAILTHRU_MESSAGES
from schemas.stages import STAGES


@dataclass(frozen=True, kw_only=True)
class Check:
    """One check of one table."""

    table: TableContract
    kind: CheckKind
    columns: tuple[str, ...]
    severity: Severity = Severity.ERROR
    condition: str = ""
    """Of a check that looks at each row alone: SQL that holds of a good row; NULL counts as holding."""
    of: TableContract | None = None
    """The other table of a relationship, or of a balance, where each row of it counts as one."""
    of_columns: tuple[str, ...] = ()
    """Of a relationship: the columns of `of` that the check's columns name, in their order."""
    only: str = "true"
    """Of a balance: SQL that says which rows of `of` the ledger counts."""

    @property
    def rule(self) -> str:
        """What holds of a good row, for a person."""
        if self.of is None:
            return self.condition or "no other row has this key"
        if self.kind is CheckKind.RELATIONSHIP:
            return f"named in {self.of.name} ({', '.join(self.of_columns)})"
        return f"as many rows of {self.of.name} are of this file" + f" where {self.only}" * (self.only != "true")


def quality_checks(
    providers: Collection[str],
    earliest: datetime,
    after_load: timedelta,
    profile: Profile = DEFAULT_PROFILE,
    wanted: Sequence[Feature] = DEFAULT_FEATURES,
) -> tuple[Check, ...]:
    """Every check; events lie between `earliest` and the time of load and `after_load`, metrics are those of `profile`,
    features those `wanted`.

    Only errors that no legal input can cause are of severity error. What others may send later or never (a campaign, a
    profile, a message that was asked for, a class that is not known yet) warns.
    """
    known_classes = (*[s.event_class for s in STAGES], "subscription")
    outcomes = (*ReplayOutcome, *(STILL + reason for reason in Reason))
    # An hour more: the stream rounds its bound up to the hour.
    seconds = (after_load + timedelta(hours=1)).total_seconds()
    loaded = f"between timestamp '{earliest.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}'"
    loaded += f" and etl_time + interval '{seconds:.6f}' second"
    times = (
        (EVENTS, ("event_time", "timestamp", "completion_time")),
        (SAILTHRU_MESSAGES, ("send_time", "open_time", "click_time", "optout_time")),
        (PROFILES, PROFILE_TIMES),
    )
    rates = [
        *[(table, f"{metric.name}_rate") for table in with_metrics(profile) for metric in profile],
        *[(INVITATIONS, f.name) for f in INVITATIONS.schema.fields if f.name.endswith("_rate")],
    ]
    return (
        *[check for table in tables_with(profile, wanted) if table is not QUALITY for check in of_contract(table)],
        _accepted(EVENTS, "event_class", known_classes, Severity.WARNING),
        _accepted(EVENTS, "provider", providers),
        _accepted(FILES, "provider", providers),
        _accepted(FILES, "status", list(FileStatus)),
        _accepted(QUARANTINE, "provider", providers),
        _accepted(QUARANTINE, "reason", list(Reason)),
        _accepted(QUARANTINE, "replay_outcome", outcomes),
        _accepted(JOURNEYS, "last_state", STATES),
        *[_range(table, name, loaded) for table, names in times for name in names],
        _accepted(CAMPAIGNS, "campaign_kind", list(CampaignKind)),
        *[_range(table, name, "between 0 and 1") for table, name in rates],
        _names(SAILTHRU_MESSAGES, ("client_id", "blast_id"), BLASTS, ("client_id", "id")),
        _names(SAILTHRU_MESSAGES, ("client_id", "profile_id"), PROFILES, ("client_id", "id")),
        _names(REQUESTS, ("message_id",), EVENTS, ("message_id",)),
        _adds_up("records", "accepted", "quarantined", "control"),
        _adds_up("events", "events_new", "events_duplicate"),
        _counts("events_new", EVENTS, f"not startswith(batch_id, '{REPLAYED}')"),
        _counts("quarantined", QUARANTINE),
    )


def of_contract(table: TableContract) -> Iterator[Check]:
    """What a contract promises by itself."""
    yield Check(table=table, kind=CheckKind.UNIQUE, columns=table.key)
    for f in table.schema.fields:
        if not f.nullable:
            condition = f"`{f.name}` is not null"
            yield Check(table=table, kind=CheckKind.NOT_NULL, columns=(f.name,), condition=condition)


def _accepted(table: TableContract, column: str, values: Collection[str], severity: Severity = Severity.ERROR) -> Check:
    listed = ", ".join(f"'{value}'" for value in values)
    return Check(
        table=table,
        kind=CheckKind.ACCEPTED_VALUES,
        columns=(column,),
        severity=severity,
        condition=f"`{column}` in ({listed})",
    )


def _range(table: TableContract, column: str, bounds: str) -> Check:
    return Check(table=table, kind=CheckKind.RANGE, columns=(column,), condition=f"`{column}` {bounds}")


def _names(table: TableContract, columns: tuple[str, ...], of: TableContract, of_columns: tuple[str, ...]) -> Check:
    return Check(
        table=table,
        kind=CheckKind.RELATIONSHIP,
        columns=columns,
        severity=Severity.WARNING,
        of=of,
        of_columns=of_columns,
    )


def _adds_up(total: str, *parts: str) -> Check:
    columns = (total, *parts)
    return Check(
        table=FILES, kind=CheckKind.LEDGER_BALANCE, columns=columns, condition=f"{total} = {' + '.join(parts)}"
    )


def _counts(column: str, of: TableContract, only: str = "true") -> Check:
    return Check(table=FILES, kind=CheckKind.LEDGER_BALANCE, columns=(column,), of=of, only=only)
