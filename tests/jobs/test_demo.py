"""`demo` as a newcomer runs it: twice, and then the line it prints for one's own questions."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]


def run(*command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-P", *command],
        env={**os.environ, "PYTHONPATH": str(PROJECT), "COLUMNS": "80"},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_demo_shows_the_sample_and_the_second_time_that_nothing_is_new(tmp_path: Path) -> None:
    demo = ["-m", "jobs", "demo", "--input", str(PROJECT / "input"), "--warehouse", str(tmp_path / "warehouse")]
    first = run(*demo)
    assert "14 files, 1,266 records, 1,000 new, 218 duplicate, 35 quarantined, 13 control" in first
    assert "68 files, 618 records, 579 new, 396 duplicate, 29 quarantined" in first
    assert "1,884 records = 1,807 accepted + 64 quarantined + 13 control" in first
    assert "2,193 events = 1,579 new + 614 duplicate" in first
    assert "151 of 234 opened journeys never clicked" in first
    assert first.count("sent by") == 2
    assert first.count("newest event") == 2
    for word in ("APAC", "EU", "LATAM", "NA", "unknown", "not_json", "bounced: permanent"):
        assert word in first
    shown, lines = first.split("What came in", 1)[1].split("The tables are Delta tables in")
    assert max(map(len, shown.splitlines())) <= 80
    assert len(shown.splitlines()) < 80
    again = run(*demo)
    assert "Nothing new since the last run." in again
    assert again.split("What came in", 1)[1] == first.split("What came in", 1)[1]
    query, explain = (shlex.split(line) for line in lines.splitlines() if line.startswith("  "))
    assert query[0] == "python3"
    assert "LATAM" in run(*query[1:])
    assert explain[:2] == ["./spark-submit.sh", "explain"]
    assert "What happened" in run("-m", "jobs", *explain[1:])
