"""Lines into files: names, line ends, compression, odd files, and what each file must count."""

import gzip
import hashlib
import os
import zlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from random import Random

from jobs.generator.broken import Broken, Line
from jobs.generator.forms import Forms
from jobs.generator.history import EPOCH, uuid_from
from jobs.generator.truth import EventTruth, FileTruth, QuarantineTruth, Truth

BOM = b"\xef\xbb\xbf"
BLANK = b" \t\r"
BLANK_LINES = (b"", b"", b"   ", b"\t", b" \r")
OLD_MTIME = 1_577_880_000  # 2020-01-01 12:00 UTC
CUT_TRIES = 200


class Chances:
    """Chances that come up at least once where their share lets one expect it: no form is left out."""

    def __init__(self, rng: Random, seen: Counter[str]) -> None:
        self._rng, self._seen, self._tries = rng, seen, Counter[str]()

    def of(self, name: str, share: float) -> bool:
        """Whether it comes up now; counts it."""
        if share <= 0:
            return False
        self._tries[name] += 1
        due = not self._seen[name] and self._tries[name] >= 1 / share
        if not due and self._rng.random() >= share:
            return False
        self._seen[name] += 1
        return True


@dataclass(slots=True)
class FileWriter:
    """Collects the lines of one file at a time, and writes it when it holds enough records."""

    output: Path
    truth: Truth
    forms: Forms
    events_per_file: int
    rng: Random
    seen: Counter[str]
    chances: Chances
    stream: str = "ses-events"
    lines: list[Line] = field(default_factory=list)
    records: int = 0
    arrived_at: int = 0
    odd_kinds: list[str] = field(default_factory=list)
    odd_names: int = 0

    def add(self, line: Line, at: int) -> None:
        """Put a line into the current file; writes the file when it is full."""
        if not self.lines:
            self.arrived_at = at
        self.lines.append(line)
        self.records += len(line[1])
        if self.records >= self.events_per_file:
            self.close()

    def close(self) -> None:
        """Write what is collected; lines lost in a cut-off file come again in the next ones."""
        forms, lines = self.forms, self.lines
        self.lines, self.records = [], 0
        if not lines:
            return
        if forms.odd_file_kinds:
            self._write_odd_files(lines)
        if len(lines) > 3 and self.chances.of("file_cut_off", forms.cut_off):
            lost = self._write_cut_off(lines)
            if lost:
                self.lines, self.records = lost, sum(len(outcomes) for _, outcomes in lost)
            return
        content = b"".join(self._assembled(lines, self._line_end()))
        if self.chances.of("file_without_final_newline", forms.no_final_newline):
            content = content.rstrip(b"\r\n")
        if self.chances.of("file_bom", forms.bom):
            content = BOM + content
        name = self._name()
        if self.chances.of("file_gz_named_json", forms.gz_named_json):
            name, content = name + ".json", compressed(content)
        elif self.chances.of("file_plain_named_gz", forms.plain_named_gz):
            name += ".gz"
        elif self.chances.of("file_gz_members", forms.gz_members):
            middle = len(content) // 2
            name, content = name + ".gz", compressed(content[:middle]) + compressed(content[middle:])
        elif self.chances.of("file_gz", forms.gz):
            name, content = name + ".gz", compressed(content)
        else:
            self.seen["file_plain"] += 1
            if forms.odd_names and self.rng.random() < 0.3:
                name += ".json"
        self._write(name, content)
        self._account(name, lines, "ok")

    def finish(self) -> None:
        """Write the last file, and what cut-off files lost, whole."""
        while self.lines:
            self.close()

    def _line_end(self) -> bytes:
        return b"\r\n" if self.chances.of("file_crlf", self.forms.crlf) else b"\n"

    def _assembled(self, lines: Iterable[Line], end: bytes) -> list[bytes]:
        """The lines as bytes, with blank lines and white space among them; each of our lines is one entry."""
        forms, rng = self.forms, self.rng
        if not (forms.blank_lines or forms.padded):
            return [data + end for data, _ in lines]
        assembled = []
        for data, _ in lines:
            if self.chances.of("line_padded", forms.padded):
                data = b"  " + data + b" \t"
            before = b""
            if self.chances.of("line_blank", forms.blank_lines):
                before = rng.choice(BLANK_LINES) + end
            assembled.append(before + data + end)
        return assembled

    def _name(self) -> str:
        forms = self.forms
        at = EPOCH + timedelta(microseconds=self.arrived_at)
        stamp = f"{self.stream}-1-{at:%Y-%m-%d-%H-%M-%S}-{uuid_from(self.rng)}"
        if forms.odd_name_kinds and self.chances.of("file_odd_name", forms.odd_names):
            kind = forms.odd_name_kinds[self.odd_names % len(forms.odd_name_kinds)]
            self.odd_names += 1
            self.seen[f"name_{kind}"] += 1
            number = self.odd_names
            if kind == "brackets":
                return f"ses/{at:%Y/%m/%d/%H}/[{number}]{{a}} =é"
            if kind == "hive_folder":
                return f"ses/dt=1/hour={at:%H}/{stamp}"
            if kind == "percent":
                return f"ses/{at:%Y/%m/%d/%H}/100%25 a+b #{number}?"
            stamp += "-old"
        return f"ses/{at:%Y/%m/%d/%H}/{stamp}"

    def _write(self, name: str, content: bytes) -> None:
        path = self.output / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        if "-old" in name:
            os.utime(path, (OLD_MTIME, OLD_MTIME))

    def _write_cut_off(self, lines: list[Line]) -> list[Line]:
        """Write a gzip that ends too early, and return the lines that are not whole in it.

        What can be read is what zlib gives up to the break; its last, incomplete line is one broken record.
        """
        entries = self._assembled(lines, self._line_end())
        whole = compressed(b"".join(entries))
        name = self._name() + ".gz"
        for _ in range(CUT_TRIES):
            content = whole[: self.rng.randrange(len(whole) // 3, len(whole) - 9)]
            readable = zlib.decompressobj(wbits=31).decompress(content)
            end = readable.rfind(b"\n") + 1
            tail = readable[end:]  # as it is: where a record that breaks would end nobody knows
            kept = 0
            length = 0
            for entry in entries:
                length += len(entry)
                if length > end:
                    break
                kept += 1
            if tail.strip(BLANK) and not tail.strip(BLANK).endswith(b"}") and kept:
                break
        else:
            self._write(name, whole)
            self._account(name, lines, "ok")
            return []
        self._write(name, content)
        self._account(name, [*lines[:kept], (tail, (Broken("cut_off", tail),))], "cut_off")
        return lines[kept:]

    def _account(self, name: str, lines: Iterable[Line], status: str) -> None:
        """Enter the file and its records into the truth."""
        ledger = FileTruth(name, status=status)
        for _, outcomes in lines:
            for outcome in outcomes:
                ledger.records += 1
                if isinstance(outcome, EventTruth):
                    outcome.copies += 1
                    ledger.accepted += 1
                    ledger.events += 1
                elif isinstance(outcome, Broken):
                    ledger.quarantined += 1
                    self.truth.quarantine.append(_quarantined(name, outcome))
                else:
                    ledger.control += 1
        self.truth.files.append(ledger)

    def _write_odd_files(self, lines: list[Line]) -> None:
        """One odd file of each kind to begin with, later one now and then."""
        kinds = self.forms.odd_file_kinds
        if self.forms.odd_files <= 0:
            return
        if not self.odd_kinds:
            self.odd_kinds = list(kinds)
            due = self.odd_kinds
        elif self.rng.random() < self.forms.odd_files:
            due = [self.rng.choice(kinds)]
        else:
            due = []
        for kind in due:
            self.seen[f"odd_{kind}"] += 1
            name, content, status = self._odd_file(kind, lines)
            self._write(name, content)
            self._account(name, [], status)

    def _odd_file(self, kind: str, lines: list[Line]) -> tuple[str, bytes, str]:
        name = self._name_of_odd_file()
        folder, _, base = name.rpartition("/")
        # Would be an event nobody made, if it were read.
        hidden = lines[0][0].replace(b'"0102', b'"dead') + b"\n"
        noise = self.rng.randbytes(300)
        match kind:
            case "zero_bytes":
                return name, b"", "empty"
            case "blank_lines_only":
                return name, b"\n\r\n  \t\n \n", "empty"
            case "bom_only":
                return name, BOM + b"\r\n", "empty"
            case "gz_of_nothing":
                return name + ".gz", compressed(b""), "empty"
            case "hidden_underscore":
                return f"{folder}/_tmp-{base}", hidden, "skipped"
            case "hidden_dot":
                return f"{folder}/.hidden-{base}", hidden, "skipped"
            case "hidden_folder":
                return f"{folder}/_temporary/0/{base}", hidden, "skipped"
            case "zip":
                return name + ".zip", b"PK\x03\x04\x14\x00\x00\x00\x08\x00" + noise, "not_readable"
            case "parquet":
                return name + ".parquet", b"PAR1" + noise + b"PAR1", "not_readable"
            case "orc":
                return name, b"ORC" + noise + b"ORC", "not_readable"
            case "snappy":
                return name + ".snappy", b"\xff\x06\x00\x00sNaPpY" + noise, "not_readable"
            case _:
                raise ValueError(f"Unknown kind of odd file {kind!r}.")

    def _name_of_odd_file(self) -> str:
        at = EPOCH + timedelta(microseconds=self.arrived_at)
        return f"ses/{at:%Y/%m/%d/%H}/{self.stream}-1-{at:%Y-%m-%d-%H-%M-%S}-{uuid_from(self.rng)}"


def compressed(content: bytes) -> bytes:
    """Gzip without a time stamp, so that the same content gives the same bytes."""
    return gzip.compress(content, compresslevel=4, mtime=0)


def _quarantined(name: str, broken: Broken) -> QuarantineTruth:
    if broken.raw is None:
        return QuarantineTruth(name, broken.reason, None, None)
    return QuarantineTruth(name, broken.reason, hashlib.sha256(broken.raw).hexdigest(), len(broken.raw))
