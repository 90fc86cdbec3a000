"""What a newcomer runs on the sample: `demo`, the lines that it prints, and the notebook from a clean kernel."""

import os
import re
import shlex
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import pytest
from pyspark.sql import SparkSession
from rich.console import Console

from conf.settings import Settings, load_settings
from docs.run_notebook import COMMAND, run
from jobs import explain
from jobs.__main__ import main
from jobs.demo import load_and_show
from jobs.generator import write_sample
from jobs.notebook import NOTEBOOK, environment
from jobs.stream_events import Stop
from tests.servers import PROJECT, QUICK_JAVA
from tests.tables import assert_events_are_truth, assert_files_are_truth, assert_is_sailthru_truth

PICTURE = "image/png"
COLUMNS = 80
CLOCK = "clock"
"""The tag of cells whose outputs hold the time of the load."""


def output_of(*command: str) -> str:
    """What a program prints that ends well."""
    done = subprocess.run(
        [sys.executable, "-P", *command],
        env={**os.environ, "PYTHONPATH": str(PROJECT), "COLUMNS": str(COLUMNS)},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@dataclass(frozen=True)
class Sample:
    """The warehouse that `demo` makes of the sample, by the settings that a newcomer has, and what it printed."""

    settings: Settings
    printed: str


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    """What all the tests look at."""
    places = {"input": str(PROJECT / "input"), "warehouse": str(tmp_path_factory.mktemp("sample") / "warehouse")}
    options = [f"--{name}={place}" for name, place in places.items()]
    quick = f"spark.conf.spark.driver.extraJavaOptions={QUICK_JAVA}"
    demo = ("-m", "jobs", "demo", *options, "--set", quick)
    return Sample(load_settings(environ={}, **places), output_of(*demo))


@pytest.fixture(scope="module")
def committed() -> list[Any]:
    """The code cells as they are in the project."""
    return code_cells(nbformat.read(NOTEBOOK, as_version=4))


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def texts(cell: Any) -> list[str]:
    """A cell's outputs as text; of a picture its size."""
    return [output["text"] if output.output_type == "stream" else output.data["text/plain"] for output in cell.outputs]


def has_picture(cell: Any) -> list[bool]:
    return [PICTURE in output.get("data", {}) for output in cell.outputs]


@pytest.mark.slow
def test_the_demo_shows_the_sample_and_the_second_time_that_nothing_is_new(
    sample: Sample, spark: SparkSession, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(COLUMNS))
    first = sample.printed
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
    assert max(map(len, shown.splitlines())) <= COLUMNS
    assert len(shown.splitlines()) < 80
    capsys.readouterr()
    load_and_show(sample.settings, spark, Stop())
    again = capsys.readouterr().out
    assert "Nothing new since the last run." in again
    assert again.split("What came in", 1)[1] == first.split("What came in", 1)[1]
    query, story = (shlex.split(line) for line in lines.splitlines() if line.startswith("  "))
    assert query[0] == "python3"
    assert "LATAM" in output_of(*query[1:])
    command, job, message_id, *_ = story
    assert (command, job) == ("./spark-submit.sh", "explain")
    explain.show(Console(width=COLUMNS), explain.explain(sample.settings, message_id, spark=spark))
    assert "What happened" in capsys.readouterr().out


@pytest.mark.slow
def test_the_sample_is_loaded_as_the_truth_says(sample: Sample, tmp_path: Path) -> None:
    ses, sailthru, *_ = write_sample(tmp_path)
    warehouse, source = Path(sample.settings.warehouse), Path(sample.settings.input)
    files, quarantine = [*ses.files, *sailthru.files], [*ses.quarantine, *sailthru.quarantine]
    assert_files_are_truth(warehouse, source, files, quarantine)
    assert_events_are_truth(warehouse, ses)
    assert_is_sailthru_truth(warehouse, sailthru)


@pytest.mark.slow
def test_the_committed_outputs_are_those_of_the_sample(sample: Sample, committed: list[Any], tmp_path: Path) -> None:
    ran = code_cells(run(sample.settings, tmp_path))
    for kept, now in zip(committed, ran, strict=True):
        assert kept.execution_count == now.execution_count
        assert [o.output_type for o in kept.outputs] == [o.output_type for o in now.outputs], now.source
        assert has_picture(kept) == has_picture(now)
        if CLOCK not in kept.metadata.get("tags", []) and texts(kept) != texts(now):
            pytest.fail(f"The outputs of this cell changed; run {COMMAND}\n\n{now.source}\n\n{texts(now)}")
    lines = (tmp_path / "out" / "opened_not_clicked.csv").read_text("utf-8").splitlines()
    assert f"{len(lines) - 1} rows in out/opened_not_clicked.csv" in "".join(t for cell in ran for t in texts(cell))


def test_the_committed_notebook_shows_its_pictures_and_no_warnings(committed: list[Any]) -> None:
    outputs = [output for cell in committed for output in cell.outputs]
    assert sum(sum(has_picture(cell)) for cell in committed) == 7
    assert {output.get("name", "stdout") for output in outputs} == {"stdout"}
    assert not any(output.output_type == "error" for output in outputs)


@pytest.fixture
def server(sample: Sample) -> Iterator[subprocess.Popen[str]]:
    """The job at work."""
    command = ["-P", "-m", "jobs", "notebook", "--no-browser", "--warehouse", sample.settings.warehouse]
    started = subprocess.Popen(
        [sys.executable, *command],
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    yield started
    started.terminate()
    started.wait(timeout=30)


@pytest.mark.slow
def test_the_job_serves_the_notebook(server: subprocess.Popen[str]) -> None:
    assert server.stderr is not None
    lines = (re.search(r"(http://127\.0\.0\.1:\d+)/lab/tree/(\S+)\?token=(\w+)", line) for line in server.stderr)
    address, notebook, token = next(found.groups() for found in lines if found)
    assert '"path": "notebooks/journeys.ipynb"' in answer(f"{address}/api/contents/{notebook}?content=0&token={token}")


def answer(url: str) -> str:
    """What a server says that tells its address a moment before it listens."""
    until = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(url, timeout=30) as reply:
                return str(reply.read().decode())
        except urllib.error.URLError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


def test_without_tables_one_line_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["notebook", "--warehouse", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"No table `events` in {tmp_path}: run `demo` first")
    assert said.count("\n") == 1


def test_a_notebook_gets_whole_paths_wherever_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    given = environment(Settings(warehouse="here"))
    assert given["EMAIL_EVENTS_WAREHOUSE"] == str(tmp_path / "here")
    assert given["EMAIL_EVENTS_INPUT"] == str(tmp_path / "input")
