"""Run `notebooks/journeys.ipynb` from a clean kernel; as a command with the sample, keeping the outputs.

`python -m docs.run_notebook` makes them anew; `tests/jobs/test_sample.py` compares.
"""

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from nbclient import NotebookClient

from conf.settings import Settings, load_settings
from jobs.build_summaries import build
from jobs.notebook import NOTEBOOK, environment
from jobs.session import PROJECT, build_session
from jobs.stream_events import load

COMMAND = ".venv/bin/python -m docs.run_notebook"


def run(settings: Settings, folder: Path) -> nbformat.NotebookNode:
    """The notebook with the outputs that the settings' warehouse gives; its files are written below `folder`."""
    notebook: nbformat.NotebookNode = nbformat.read(NOTEBOOK, as_version=4)
    client = NotebookClient(
        notebook, timeout=600, kernel_name="python3", record_timing=False, resources={"metadata": {"path": str(folder)}}
    )
    client.execute(env={**os.environ, "PYTHONPATH": str(PROJECT), **environment(settings)})
    return notebook


def main() -> None:
    """Write the notebook with the outputs of the sample."""
    with TemporaryDirectory() as folder:
        settings = load_settings(environ={}, input=str(PROJECT / "input"), warehouse=f"{folder}/warehouse")
        spark = build_session(settings, "run_notebook")
        try:
            load(settings, spark=spark)
            build(settings, spark=spark)
        finally:
            spark.stop()
        nbformat.write(run(settings, Path(folder)), NOTEBOOK)
    print(NOTEBOOK.relative_to(PROJECT))


if __name__ == "__main__":
    main()
