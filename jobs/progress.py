"""A line per batch: for a person, or as JSON for a machine."""

import dataclasses
import json
import sys
from datetime import UTC, datetime

from jobs.batches import BatchReport


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
