"""A standalone Spark cluster for tests: a master and workers on this machine that know nothing of the project."""

import json
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pyspark

from tests.servers import QUICK_ENVIRONMENT, QUICK_JAVA, free_port

SPARK_HOME = Path(pyspark.__file__).parent
PATIENCE_SECONDS = 600
"""For what takes some seconds where nothing else runs."""


def as_client() -> dict[str, str]:
    """Settings of Spark with which a driver on this machine uses the cluster; the last two spare tasks and waits."""
    return {
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.executor.memory": "600m",
        "spark.executor.extraJavaOptions": QUICK_JAVA,
        "spark.databricks.delta.snapshotPartitions": "1",
        "spark.locality.wait": "0s",
    }


class Worker:
    """A worker of one core; its executor and their Python processes stand below its folder."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        self.process, self.folder = process, folder

    def processes(self, of: str = "") -> list[int]:
        """The ids of the executor and its Python processes; only those whose command line has `of` in it."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # it has ended meanwhile, or is not ours
                is_below = (entry / "cwd").readlink().is_relative_to(self.folder)
                if is_below and of in (entry / "cmdline").read_bytes().decode(errors="replace"):
                    found.append(int(entry.name))
        return found

    @property
    def runs_python(self) -> bool:
        """Whether its executor has started Python for a task."""
        return bool(self.processes("pyspark.daemon"))

    def kill(self) -> int:
        """SIGKILL to the worker and all below it; how many processes of executors that hit."""
        self.process.kill()
        self.process.wait()
        ids = self.processes()
        for process in ids:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        return len(ids)


@dataclass
class Cluster:
    """A running cluster. `environment` is what workers and executors have beside what Spark itself needs."""

    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    workers: list[Worker] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._port, self._page = free_port(), free_port()
        self._master = self._start("Master", "--port", str(self._port), "--webui-port", str(self._page))

    @property
    def master(self) -> str:
        """For `--master`."""
        return f"spark://127.0.0.1:{self._port}"

    @property
    def alive(self) -> list[Worker]:
        """The workers that were not killed."""
        return [worker for worker in self.workers if worker.process.poll() is None]

    def add_worker(self) -> Worker:
        """One more worker, of one core and one GB."""
        folder = self.folder / f"worker-{len(self.workers)}"
        folder.mkdir()
        size = ("--cores", "1", "--memory", "1g", "--webui-port", "0", "--work-dir", str(folder))
        self.workers.append(Worker(self._start("Worker", *size, self.master), folder))
        return self.workers[-1]

    def wait_for_workers(self) -> None:
        """Until all that were started and not killed are at the master's disposal."""
        alive = len(self.alive)
        wait_until(lambda: self._registered() == alive, f"{alive} workers")

    def stop(self) -> None:
        """End every process of the cluster."""
        for worker in self.workers:
            worker.kill()
        self._master.kill()
        self._master.wait()

    def _registered(self) -> int:
        # Just after its start the page answers whatever it is asked for, and not with JSON.
        with (
            suppress(OSError, ValueError),
            urllib.request.urlopen(f"http://127.0.0.1:{self._page}/json/", timeout=10) as page,
        ):
            return int(json.load(page)["aliveworkers"])
        return -1

    def _start(self, daemon: str, *arguments: str) -> subprocess.Popen[bytes]:
        needed = {name: os.environ[name] for name in ("PATH", "HOME", "JAVA_HOME") if name in os.environ}
        own = {"SPARK_HOME": str(SPARK_HOME), "SPARK_LOCAL_IP": "127.0.0.1", "SPARK_DAEMON_MEMORY": "256m"}
        command = [str(SPARK_HOME / "bin" / "spark-class"), f"org.apache.spark.deploy.{daemon.lower()}.{daemon}"]
        with (self.folder / f"{daemon.lower()}-{len(self.workers)}.log").open("wb") as log:
            return subprocess.Popen(
                [*command, "--host", "127.0.0.1", *arguments],
                cwd=self.folder,
                env={**needed, **own, **QUICK_ENVIRONMENT, "SPARK_DAEMON_JAVA_OPTS": QUICK_JAVA, **self.environment},
                stdout=log,
                stderr=log,
            )


@contextmanager
def running(folder: Path, workers: int = 2, environment: Mapping[str, str] | None = None) -> Iterator[Cluster]:
    """A cluster with its logs and the executors' folders below `folder`; all its processes end with the block."""
    cluster = Cluster(folder, environment or {})
    try:
        for _ in range(workers):
            cluster.add_worker()
        cluster.wait_for_workers()
        yield cluster
    finally:
        cluster.stop()


def wait_until(is_so: Callable[[], bool], what: str) -> None:
    """Look again and again until it is so."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < end, f"waited {PATIENCE_SECONDS} s for {what}"
        time.sleep(0.2)
