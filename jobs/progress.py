"""A line per batch: for a person, or as JSON for a machine."""

import dataclasses
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, kw_only=True)
class BatchReport:
    """What a batch did, for the operator."""

    provider: str
    batch: int
    files: int
    records: int
    new: int
    duplicate: int
    quarantined: int
    control: int
    reasons: Mapping[str, int]
    """Quarantined records by reason."""
    seconds: float
    backlog: int


def tell(report: BatchReport, form: str) -> None:
    """Print what a batch did to standard output."""
    if form == "json":
        print(json.dumps({"time": datetime.now(UTC).isoformat(), **dataclasses.asdict(report)}), flush=True)
        return
    parts = [
        f"{report.files:,} files",
        f"{report.records:,} records",
        f"{report.new:,} new",
        f"{report.duplicate:,} duplicate",
        f"{report.quarantined:,} quarantined",
    ]
    if report.control:
        parts.append(f"{report.control:,} control")
    print(
        f"{datetime.now(UTC):%H:%M:%S} {report.provider} batch {report.batch}: {', '.join(parts)} "
        f"in {report.seconds:.1f} s, {report.backlog:,} files waiting",
        flush=True,
    )


def say(text: str) -> None:
    """Tell the operator something that is no result, on standard error."""
    print(text, file=sys.stderr, flush=True)
