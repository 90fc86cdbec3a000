"""`demo` as a newcomer runs it: twice, and then the lines it prints for one's own questions."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]


def run(*command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-P", *command],
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_demo_shows_the_sample_and_the_second_time_that_nothing_is_new(tmp_path: Path) -> None:
    demo = ["-m", "jobs", "demo", "--input", str(PROJECT / "input"), "--warehouse", str(tmp_path / "warehouse")]
    first = run(*demo)
    assert "19 files, 416 records, 300 new, 54 duplicate, 51 quarantined, 11 control" in first
    assert "51 files, 337 records, 304 new, 132 duplicate, 24 quarantined" in first
    assert "Ledger: 70 files, 753 records = 667 accepted + 75 quarantined + 11 control" in first
    assert "790 events = 604 new + 186 duplicate" in first
    assert "150 sailthru_messages, 10 blasts, 50 profiles" in first
    assert "not_json" in first
    again = run(*demo)
    assert "Nothing new since the last run." in again
    assert again.split("events by class", 1)[1] == first.split("events by class", 1)[1]
    lines = [
        line.strip() for line in first.splitlines() if line.startswith("  ") and ("duckdb" in line or "Delta" in line)
    ]
    answer = run("-c", "\n".join(lines))
    assert "delivery" in answer
