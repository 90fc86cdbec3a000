"""The generator's truth, checked against a reader of the files that knows only the rules of splitting."""

import hashlib
import json
import zlib
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from jobs.generator import (
    Forms,
    RequestsTruth,
    SailthruTruth,
    Truth,
    generate_ses,
    read_truth,
    write_sample,
    write_truth,
)
from jobs.generator.forms import BROKEN, CONTROL, ODD_FILES, ODD_NAMES, SHAPES, WRAPPERS
from jobs.generator.regions import REGIONS

WHITE = b" \t\r"
FILE_FORMS = (
    "file_plain",
    "file_gz",
    "file_gz_members",
    "file_gz_named_json",
    "file_plain_named_gz",
    "file_cut_off",
    "file_crlf",
    "file_bom",
    "file_without_final_newline",
)
Sample = tuple[Path, Truth, SailthruTruth, RequestsTruth]
LINE_FORMS = ("joined", "line_blank", "line_padded", "duplicates", "too_large", "unknown_class", "lost")


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Truth]:
    output = tmp_path_factory.mktemp("mixed")
    return output, generate_ses(output, events=3000, events_per_file=60, max_record_bytes=65536)


def records_of(line: bytes) -> list[bytes]:
    """Split a line by the rule of the design: complete objects, and what lies between them."""
    line = line.removeprefix(b"\xef\xbb\xbf").strip(WHITE)
    if not line.startswith(b"{"):
        return [line] if line else []
    found, begin, depth, in_string, escaped = [], 0, 0, False, False
    for position, byte in enumerate(line):
        if in_string:
            in_string = escaped or byte != ord('"')
            escaped = byte == ord("\\") and not escaped
        elif depth and byte == ord('"'):
            in_string = True
        elif byte == ord("{"):
            if not depth:
                found.append(line[begin:position])
                begin = position
            depth += 1
        elif byte == ord("}") and depth:
            depth -= 1
            if not depth:
                found.append(line[begin : position + 1])
                begin = position + 1
    found.append(line[begin:])
    return [record.strip(WHITE) for record in found if record.strip(WHITE)]


def content_of(path: Path) -> bytes:
    content, readable = path.read_bytes(), b""
    if not content.startswith(b"\x1f\x8b"):
        return content
    while content:
        member = zlib.decompressobj(wbits=31)
        readable += member.decompress(content)
        content = member.unused_data
    return readable


def number_of(record: bytes) -> int:
    """How many records of the ledger one record of a line is: the elements of a dump count singly."""
    try:
        dump = json.loads(record)
    except ValueError:
        return 1
    return len(dump["Records"]) if isinstance(dump, dict) and "Records" in dump else 1


def bytes_below(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_same_seed_gives_same_bytes_and_truth(tmp_path: Path) -> None:
    first = generate_ses(tmp_path / "a", events=200, events_per_file=20, forms=Forms(too_large=0))
    second = generate_ses(tmp_path / "b", events=200, events_per_file=20, forms=Forms(too_large=0))
    other = generate_ses(tmp_path / "c", events=200, events_per_file=20, forms=Forms(too_large=0), seed=2)
    assert bytes_below(tmp_path / "a") == bytes_below(tmp_path / "b")
    assert first == second
    assert first.events != other.events


def test_every_form_appears_in_a_run_of_3000_events(mixed: tuple[Path, Truth]) -> None:
    _, truth = mixed
    wanted = {*FILE_FORMS, *LINE_FORMS, "without_body", "without_body_time"}
    wanted |= {f"shape_{name}" for name in SHAPES} | {f"wrapper_{name}" for name in WRAPPERS}
    wanted |= {f"odd_{name}" for name in ODD_FILES} | {f"name_{name}" for name in ODD_NAMES}
    wanted |= {f"broken_{name}" for name in BROKEN} | {f"control_{name}" for name in CONTROL}
    assert wanted - truth.forms.keys() == set()
    assert {entry.reason for entry in truth.quarantine} == {*BROKEN.values(), "cut_off", "too_large"}
    assert {entry.status for entry in truth.files} == {"ok", "cut_off", "empty", "skipped", "not_readable"}
    assert len({event.event_class for event in truth.events}) == 11


def test_ledger_balances(mixed: tuple[Path, Truth]) -> None:
    _, truth = mixed
    quarantined = Counter(entry.filename for entry in truth.quarantine)
    for entry in truth.files:
        assert entry.records == entry.accepted + entry.quarantined + entry.control
        assert entry.quarantined == quarantined[entry.filename]
    assert sum(entry.events for entry in truth.files) == sum(event.copies for event in truth.events)


def test_events_are_distinct_and_each_is_delivered(mixed: tuple[Path, Truth]) -> None:
    _, truth = mixed
    assert len(truth.events) == 3000
    assert len({event.key for event in truth.events}) == 3000
    assert min(event.copies for event in truth.events) == 1
    assert max(event.copies for event in truth.events) > 2


def test_files_hold_the_records_of_the_ledger(mixed: tuple[Path, Truth]) -> None:
    output, truth = mixed
    assert {entry.filename for entry in truth.files} == {name.replace("\\", "/") for name in bytes_below(output)}
    hashes = {(entry.filename, entry.sha256) for entry in truth.quarantine if entry.sha256}
    found = set()
    for entry in truth.files:
        if entry.status not in ("ok", "cut_off"):
            continue
        content = content_of(output / entry.filename)
        *lines, tail = content.split(b"\n")
        if entry.status == "cut_off":
            records = [record for line in lines for record in records_of(line)] + [tail.strip(WHITE)]
        else:
            records = [record for line in [*lines, tail] for record in records_of(line)]
        assert sum(map(number_of, records)) == entry.records, entry.filename
        found |= {(entry.filename, hashlib.sha256(record).hexdigest()) for record in records}
    assert hashes <= found


def test_plain_files_hold_each_event_once_as_ses_writes_it(tmp_path: Path) -> None:
    # when
    truth = generate_ses(tmp_path, events=3, seed=2, forms=Forms.plain(), start=datetime(2025, 10, 25, 18, tzinfo=UTC))
    # then
    [entry] = truth.files
    lines = (tmp_path / entry.filename).read_bytes().decode().splitlines()
    assert (entry.records, entry.events, entry.quarantined, entry.control) == (3, 3, 0, 0)
    by_class = {event.event_class: event for event in truth.events}
    for line in lines:
        record = json.loads(line)
        event = by_class[record["eventType"].lower()]
        mail, body = record["mail"], record[record["eventType"].lower()]
        assert event.message_id == mail["messageId"]
        assert event.source == mail["source"]
        assert list(event.destination) == mail["destination"]
        time = datetime.fromisoformat(body.get("timestamp", mail["timestamp"]))
        assert event.event_time == round(time.timestamp() * 1_000_000)
        assert (event.completion_time is None) == (body == {})
        assert event.copies == 1


def test_truth_survives_writing_and_reading(mixed: tuple[Path, Truth], tmp_path: Path) -> None:
    _, truth = mixed
    write_truth(truth, tmp_path)
    assert read_truth(tmp_path) == truth


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    output = tmp_path_factory.mktemp("sample")
    ses, sailthru, requests, _ = write_sample(output)
    return output, ses, sailthru, requests


def test_sample_is_small_and_shows_what_its_readme_says(sample: Sample) -> None:
    output, truth, sailthru, requests = sample
    files = bytes_below(output)
    assert len(files) < 95
    assert sum(map(len, files.values())) < 1_500_000
    assert {entry.status for entry in truth.files} == {"ok", "cut_off", "empty", "skipped", "not_readable"}
    assert {file.status for file in sailthru.files} == {"ok", "empty", "skipped"}
    wanted = {"file_gz", "file_gz_named_json", "file_plain_named_gz", "file_cut_off", "file_crlf", "file_bom", "joined"}
    wanted |= {f"shape_{name}" for name in SHAPES if name != "delayed_object"}
    wanted |= {f"wrapper_{name}" for name in WRAPPERS} | {f"control_{name}" for name in CONTROL}
    wanted |= {f"broken_{name}" for name in BROKEN}
    assert wanted - truth.forms.keys() == set()
    assert len({event.event_class for event in truth.events}) == 11
    assert {event.event_class for event in sailthru.events} == {"send", "open", "click", "unsubscribe", "bounce"}
    assert {request.region for request in requests.requests} == {*REGIONS, None}
    assert min(requests.repeated, requests.rejected) > 0


def test_few_records_of_the_sample_are_broken(sample: Sample) -> None:
    _, truth, sailthru, _ = sample
    for files in (truth.files, sailthru.files):
        assert 0.02 < sum(file.quarantined for file in files) / sum(file.records for file in files) < 0.06


def test_the_providers_of_the_sample_share_their_days(sample: Sample) -> None:
    _, truth, sailthru, _ = sample
    days = [
        {event.timestamp // 86_400_000_000 for event in truth.events if event.event_class == "send"},
        {event.timestamp // 86_400_000_000 for event in sailthru.events if event.event_class == "send"},
    ]
    assert len(days[0] & days[1]) >= 5


def test_committed_sample_is_what_the_generator_writes(sample: Sample) -> None:
    committed = Path(__file__).parents[3] / "input"
    for folder in ("ses", "sailthru"):  # their gzip bytes may differ from one zlib to the next
        assert bytes_below(committed / folder).keys() == bytes_below(sample[0] / folder).keys()
    assert bytes_below(committed / "requests") == bytes_below(sample[0] / "requests")


def test_a_start_without_a_zone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="names no zone"):
        generate_ses(tmp_path, events=1, start=datetime(2025, 10, 20))
