"""Make the archive of Spark's classes that SPARK_CLASSES names, of those that loading the sample takes.

    python -m tests.class_archive

It is empty where Java makes none, as one without an archive of its own classes does.
"""

import os
import tempfile
from pathlib import Path

from jobs.session import build_session
from jobs.stream_events import load
from tests.conftest import settings_for
from tests.servers import BARE_JAVA, CLASSES, PROJECT, QUICK_ENVIRONMENT


def main() -> None:
    """Load the sample, and let Java keep the classes when it ends."""
    os.environ.update(QUICK_ENVIRONMENT)
    partial = Path(f"{CLASSES}.partial")
    with tempfile.TemporaryDirectory() as folder:
        java = f'{BARE_JAVA} "-XX:ArchiveClassesAtExit={partial}"'
        option = f"spark.conf.spark.driver.extraJavaOptions={java}"
        settings = settings_for(Path(folder), option, source=PROJECT / "input")
        spark = build_session(settings, "classes")
        load(settings, provider="ses", spark=spark)
        gateway = spark.sparkContext._gateway
        assert gateway
        java_process = gateway.proc
        spark.stop()
        java_process.stdin.close()  # the word for it to end
        java_process.wait()
    partial.touch()
    partial.rename(CLASSES)


if __name__ == "__main__":
    main()
