"""What must come out of generated files: known when they were made, never read back from them."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Self


@dataclass(slots=True)
class EventTruth:
    """One distinct event; times in microseconds since 1970-01-01 UTC, None where the record states none.

    `campaign` is the configuration set of the message, also where no copy shows it. `unsubscribes` says whether new
    preferences end a subscription: all of it, or a topic that was not out before.
    """

    event_class: str
    message_id: str
    event_time: int
    completion_time: int | None
    timestamp: int
    source: str
    event_type: str | None
    event_subclass: str | None
    event_recipients: tuple[str, ...] | None
    destination: tuple[str, ...]
    link: str | None
    ip_address: str | None
    user_agent: str | None
    feedback_id: str | None
    campaign: str | None
    unsubscribes: bool
    copies: int = 0

    @property
    def key(self) -> tuple[Any, ...]:
        """The identity of the event as the design defines it for SES."""
        return (
            self.event_class,
            self.message_id,
            self.event_time,
            self.event_recipients,
            self.feedback_id,
            self.link,
            self.ip_address,
            self.user_agent,
        )

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Self:
        """Undo what JSON does to tuples."""
        recipients = row["event_recipients"]
        row["event_recipients"] = None if recipients is None else tuple(recipients)
        row["destination"] = tuple(row["destination"])
        return cls(**row)


@dataclass(slots=True)
class FileTruth:
    """One line of the `files` ledger; `filename` is relative to the output folder, with `/`."""

    filename: str
    records: int = 0
    accepted: int = 0
    quarantined: int = 0
    control: int = 0
    events: int = 0
    status: str = "ok"


@dataclass(slots=True)
class QuarantineTruth:
    """One quarantined record; hash and length are None for an element of a `Records` dump."""

    filename: str
    reason: str
    sha256: str | None
    length: int | None


@dataclass(slots=True)
class Truth:
    """Everything that must come out, and how often each form was used (`forms`)."""

    events: list[EventTruth] = field(default_factory=list)
    files: list[FileTruth] = field(default_factory=list)
    quarantine: list[QuarantineTruth] = field(default_factory=list)
    forms: dict[str, int] = field(default_factory=dict)


def write_truth(truth: Truth, folder: Path) -> None:
    """Write events.jsonl, files.jsonl, quarantine.jsonl and forms.json to `folder`."""
    write_lists(folder, events=truth.events, files=truth.files, quarantine=truth.quarantine)
    write_object(folder / "forms.json", truth.forms)


def read_truth(folder: Path) -> Truth:
    """Read back what `write_truth` wrote."""
    return Truth(
        events=[EventTruth.from_json(row) for row in _read_lines(folder / "events.jsonl")],
        files=[FileTruth(**row) for row in _read_lines(folder / "files.jsonl")],
        quarantine=[QuarantineTruth(**row) for row in _read_lines(folder / "quarantine.jsonl")],
        forms=json.loads((folder / "forms.json").read_text("utf-8")),
    )


def write_object(path: Path, content: Mapping[str, Any]) -> None:
    """Write one JSON object."""
    path.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", "utf-8")


def write_lists(folder: Path, **lists: Iterable[Any]) -> None:
    """Write each list, of dataclasses or mappings, to a file of JSON lines named after it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in lists.items():
        with (folder / f"{name}.jsonl").open("w", encoding="utf-8", newline="\n") as out:
            for row in rows:
                # `asdict` copies deeply, which is slow over millions of rows.
                plain = {c.name: getattr(row, c.name) for c in fields(row)} if is_dataclass(row) else row
                out.write(json.dumps(plain, ensure_ascii=False) + "\n")


def _read_lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8", newline="\n") as lines:
        for line in lines:
            yield json.loads(line)
