"""What programs that tests start need: a port of this machine, the moment of its first answer, a Java that is quick."""

import contextlib
import os
import random
import socket
import subprocess
import time
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
CLASSES = os.environ.get("SPARK_CLASSES", "")
"""An archive of Spark's classes as Java has them in memory, made by `tests.class_archive`; empty: there is none."""
BARE_JAVA = (
    "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m -XX:+UseSerialGC "
    "-XX:+UnlockDiagnosticVMOptions -XX:-BytecodeVerificationRemote -Xlog:disable "
    f'"-Dlog4j2.configurationFile={PROJECT / "conf" / "log4j2.properties"}"'
)
"""Java's quick compiler alone: a start takes a fifth less, and tests a quarter of the processor's time.

Spark's classes are not verified, which spares a tenth of a short job. With that compiler alone Java keeps room for a
fifth of the code, too little for Spark: what was compiled is thrown away and compiled again, for ever.
"""
QUICK_JAVA = f'{BARE_JAVA} "-XX:SharedArchiveFile={CLASSES}"' if CLASSES else BARE_JAVA
"""The same with the archive, which spares another tenth."""
QUICK_ENVIRONMENT = {"SPARK_CONF_DIR": f"{CLASSES}.conf"} if CLASSES else {}
"""For who starts Spark so: Java takes an archive only if all folders of its class path are empty."""
_PATIENCE_SECONDS = 60


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
