"""The lines of `files` while they are made: what became of each file's records."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from jobs.storage import FoundFile
from schemas.files import FILES, FileStatus


@dataclass(slots=True)
class Line:
    """A file's line of the ledger while it is made."""

    file: FoundFile
    data_set: str | None = None
    counts: Counter[str] = field(default_factory=Counter)
    status: FileStatus = FileStatus.OK
    reason: str | None = None
    reasons: Counter[str] = field(default_factory=Counter)
    """Quarantined records by reason."""
    starts: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Per block of the file: its least `place`, and how many rows lie in the blocks before."""


def to_ledger(
    spark: SparkSession, lines: Iterable[Line], provider: str, batch_id: str, loaded_at: datetime
) -> DataFrame:
    """The rows of `files` that a provider's batch adds."""

    def row(line: Line) -> dict[str, Any]:
        c = line.counts
        return {
            "filename": line.file.uri,
            "provider": provider,
            "data_set": line.data_set or None,
            "modified_at": line.file.modified_micros,
            "length_bytes": line.file.length,
            "records": c["records"],
            "accepted": c["accepted"],
            "quarantined": c["quarantined"],
            "control": c["control"],
            "events": c["events"],
            "events_new": c["events"] - c["duplicate"],
            "events_duplicate": c["duplicate"],
            "status": line.status.value,
            "reason": line.reason,
            "batch_id": batch_id,
            "etl_time": int(loaded_at.timestamp() * 1_000_000),
        }

    return spark.createDataFrame(pa.Table.from_pylist([row(line) for line in lines], _arrow_ledger()))


def _arrow_ledger() -> pa.Schema:
    kinds = {"string": pa.string(), "bigint": pa.int64(), "timestamp": pa.timestamp("us", "UTC")}
    return pa.schema([(f.name, kinds[f.dataType.simpleString()]) for f in FILES.schema.fields])
