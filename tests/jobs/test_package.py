"""The code as one zip, and `spark-submit` with it where the project is not."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from jobs.__main__ import main
from jobs.generator import Forms, generate_ses
from jobs.jars import CACHE, DELTA, Jars
from jobs.package import properties, without
from jobs.session import PROJECT
from jobs.shipping import zip_of
from tests.cluster import SPARK_HOME
from tests.tables import assert_is_truth


def elsewhere() -> dict[str, str]:
    """An environment that does not know where the project is."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "JAVA_HOME") if name in os.environ}
    return {**kept, "SPARK_HOME": str(SPARK_HOME), "SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": sys.executable}


def test_the_same_code_gives_the_same_zip_and_other_code_another(tmp_path: Path) -> None:
    for package in ("conf", "jobs"):
        shutil.copytree(PROJECT / package, tmp_path / "copy" / package)
    one = zip_of(tmp_path / "copy", tmp_path / "1")
    os.utime(tmp_path / "copy" / "jobs" / "session.py", (0, 0))
    assert zip_of(tmp_path / "copy", tmp_path / "2").read_bytes() == one.read_bytes()
    (tmp_path / "copy" / "conf" / "local.yaml").write_text("max_files_per_batch: 7\n")
    other = zip_of(tmp_path / "copy", tmp_path / "1")
    assert other.name != one.name
    assert zipfile.ZipFile(other).read("conf/local.yaml") == b"max_files_per_batch: 7\n"


def test_settings_are_read_from_within_the_zip(tmp_path: Path) -> None:
    code = zip_of(PROJECT, tmp_path)
    program = (
        "from conf.settings import load_settings as load\n"
        "print(load().max_files_per_batch)\n"
        "try: load('locla')\n"
        "except Exception as problem: print(problem)\n"
    )
    environment = {**elsewhere(), "PYTHONPATH": str(code)}
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert run.stdout.splitlines()[0] == "1000"
    assert "no such file; name a YAML file, or one of conf/: local" in run.stdout


def test_packages_of_spark_itself_are_left_to_the_platform() -> None:
    numpy = "numpy==2 ; python_version < '3.12' \\\n    --hash=sha256:1\n"
    lock = f"{numpy}py4j==1 \\\n    --hash=sha256:2\n    # via pyspark\nsix==1\n"
    assert without(lock, ("py4j", "pyspark")) == f"{numpy}six==1\n"


def test_spark_is_told_of_jars_by_their_names() -> None:
    told = properties([Jars("A", "g:a:1", ()), Jars("B", "g:b:2", ())], ["x:*", "y:*"], {"spark.z": "1"})
    assert told.startswith("spark.jars.packages g:a:1,g:b:2\nspark.jars.excludes x:*,y:*\n")
    assert told.endswith("\nspark.z 1\n")


def test_a_master_of_ones_own_is_refused_where_spark_is_given(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PYSPARK_GATEWAY_PORT", "1")  # as spark-submit does
    assert main(["stream_events", "--master", "local[1]"]) == 2
    assert "has chosen it" in capsys.readouterr().err


@pytest.mark.slow
def test_spark_submit_runs_a_job_out_of_the_package_alone(tmp_path: Path) -> None:
    truth = generate_ses(tmp_path / "input", events=100, seed=23, forms=Forms(odd_file_kinds=()), events_per_file=50)
    assert main(["package", "--to", str(tmp_path / "package")]) == 0
    submit = [str(SPARK_HOME / "bin" / "spark-submit"), "--master", "local[2]", "--properties-file", "spark.conf"]
    ivy = CACHE / "ivy" / DELTA.package.replace(":", "_")  # where the jars are already
    submit += ["--conf", f"spark.jars.ivy={ivy}", "--py-files", "emailevents.zip", "main.py"]
    folders = ("--input", str(tmp_path / "input"), "--warehouse", str(tmp_path / "warehouse"))
    job = ("stream_events", "--available-now", "--provider", "ses", "--set", "spark.shuffle_partitions=2", *folders)
    run = subprocess.run(
        [*submit, *job], cwd=tmp_path / "package", env=elsewhere(), capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert_is_truth(tmp_path / "warehouse", tmp_path / "input", truth)
