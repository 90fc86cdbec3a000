"""What programs that tests start need: a port of this machine, the moment of its first answer, a Java that is quick."""

import contextlib
import fcntl
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
import zlib
from functools import cache
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
QUICK_COMPILER = "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m -XX:+UseSerialGC -Xlog:disable"
"""Java's quick compiler alone: a start takes a fifth less, and tests a quarter of the processor's time.

With it Java keeps room for a fifth of the code, too little for Spark: what was compiled is thrown away and compiled
again, for ever.
"""
_PATIENCE_SECONDS = 60
_PATIENCE_WITH_ARCHIVE_SECONDS = 300


def quick_java() -> str:
    """Options of a Java that starts Spark quickly, for processes with `quick_environment`."""
    return f"{QUICK_COMPILER} -XX:SharedArchiveFile={_archive()}"


def quick_driver() -> str:
    """The same of one that logs as jobs do."""
    return f"{quick_java()} {_AS_JOBS_LOG}"


_AS_JOBS_LOG = f"-Dlog4j2.configurationFile={(PROJECT / 'conf' / 'log4j2.properties').as_uri()}"


def quick_environment() -> dict[str, str]:
    """What is here, but for a folder on the class path of Java, with which it takes no archive."""
    return {name: value for name, value in os.environ.items() if name != "SPARK_CONF_DIR"}


@cache
def _archive() -> Path:
    """The classes of Spark as Java holds them once they are loaded and verified: spares a third of a short job.

    Made the first time, by a job. Java goes without if the file is none, or is not of this Java and these jars.
    """
    java = Path(os.environ["JAVA_HOME"]) / "bin" / "java"
    told = subprocess.run([java, "-version"], capture_output=True, check=True).stderr
    key = zlib.crc32(told + (PROJECT / "requirements.lock").read_bytes() + bytes(PROJECT))
    cache_folder = PROJECT / ".cache"
    archive = cache_folder / f"spark-{key}.jsa"
    with (cache_folder / "archive.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests run two at a time
        if not archive.exists():
            with tempfile.TemporaryDirectory(dir=cache_folder, prefix="archive-") as folder:
                made = Path(folder) / "made.jsa"
                options = f"{QUICK_COMPILER} -XX:ArchiveClassesAtExit={made} {_AS_JOBS_LOG}"
                job = ("stream_events", "--available-now", "--provider", "ses", "--master", "local[2]")
                places = ("--input", str(PROJECT / "input"), "--warehouse", f"{folder}/warehouse")
                setting = f"spark.conf.spark.driver.extraJavaOptions={options}"
                command = [sys.executable, "-P", "-m", "jobs", *job, *places, "--set", setting]
                process = subprocess.Popen(
                    command,
                    env=quick_environment(),
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
                try:
                    process.communicate(timeout=_PATIENCE_WITH_ARCHIVE_SECONDS)  # until Java, too, has ended
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.communicate()
                # It only spares time: where it could not be made, jobs do without, and nobody tries again.
                if process.returncode or not made.exists():
                    made.write_bytes(b"")
                made.rename(archive)
    return archive


def free_port() -> int:
    """A port that nothing listens on, and that the system gives to no client."""
    while True:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", random.randrange(20_000, 32_000)))
            return int(probe.getsockname()[1])


def wait_until_open(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Until the process listens; fails with the end of its log if it ends, or takes too long."""
    end = time.monotonic() + _PATIENCE_SECONDS
    while process.poll() is None and time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    pytest.fail(f"{process.args!r} did not start: {log.read_text(errors='replace')[-1000:]}", pytrace=False)
