"""The notebook from a clean kernel on the sample, and the job that shows it."""

import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from pyspark.sql import SparkSession

from conf.settings import Settings
from docs.run_notebook import COMMAND, run
from jobs.__main__ import main
from jobs.build_summaries import build
from jobs.notebook import NOTEBOOK, environment
from jobs.stream_events import load
from tests.conftest import settings_for

PROJECT = Path(__file__).parents[2]
PICTURE = "image/png"
CLOCK = "clock"
"""The tag of cells whose outputs hold the time of the load."""


@pytest.fixture(scope="module")
def sample(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings of a warehouse with the sample in it."""
    folder = tmp_path_factory.mktemp("notebook")
    settings = settings_for(folder, "spark.driver_memory=2g", source=PROJECT / "input")
    load(settings, spark=spark)
    build(settings, spark=spark)
    return settings


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


def test_the_committed_outputs_are_those_of_the_sample(sample: Settings, committed: list[Any], tmp_path: Path) -> None:
    ran = code_cells(run(sample, tmp_path))
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
def server(sample: Settings) -> Iterator[subprocess.Popen[str]]:
    """The job at work."""
    command = ["-P", "-m", "jobs", "notebook", "--no-browser", "--warehouse", sample.warehouse]
    started = subprocess.Popen(
        [sys.executable, *command],
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    yield started
    started.terminate()
    started.wait(timeout=30)


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
