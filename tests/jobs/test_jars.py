"""Jars are fetched once, however many jobs start first at the same time."""

import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from jobs.jars import DELTA, JarsNotFetchedError, fetch_jars


def test_two_first_starts_fetch_the_jars_one_after_the_other_and_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[str] = []

    def slowly(*_: Any, **__: Any) -> subprocess.CompletedProcess[str]:
        fetched.append("begun")
        time.sleep(0.3)
        jars = tmp_path / DELTA.package.replace(":", "_") / "jars"
        jars.mkdir()  # fails where another fetches at the same time
        (jars / "delta.jar").touch()
        return subprocess.CompletedProcess((), 0, "", "")

    monkeypatch.setattr(subprocess, "run", slowly)
    found: list[list[Path]] = []
    starts = [threading.Thread(target=lambda: found.append(fetch_jars(tmp_path, DELTA))) for _ in range(3)]
    for start in starts:
        start.start()
    for start in starts:
        start.join()
    assert len(fetched) == 1
    assert [[jar.name for jar in jars] for jars in found] == [["delta.jar"]] * 3


def test_jars_that_cannot_be_fetched_are_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = subprocess.CompletedProcess((), 1, "", "no route to the registry")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    for _ in range(2):
        with pytest.raises(JarsNotFetchedError, match="the next start tries again"):
            fetch_jars(tmp_path, DELTA)
