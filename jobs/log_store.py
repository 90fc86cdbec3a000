"""The log store with which several writers of one Delta table on S3 lose no commit, as a jar."""

import hashlib
import os
import subprocess
import tempfile
import zipfile
from pathlib import Path

import pyspark

from conf.errors import PipelineError
from jobs.jars import CACHE, DELTA, Jars, fetch_jars
from jobs.locks import alone

LOG_STORE = "spark.delta.logStore.s3a.impl"
LOG_STORE_CLASS = "emailevents.ConditionalPutLogStore"
"""What the setting `LOG_STORE` of Spark has to say."""
# Eclipse's compiler is a jar without dependencies that runs on a Java without one: nobody needs a JDK.
COMPILER = Jars("Eclipse's Java compiler", "org.eclipse.jdt:ecj:3.46.100", ())
_SOURCE = Path(__file__).parent / "java" / "emailevents" / "ConditionalPutLogStore.java"
_OPTIONS = ("-source", "17", "-target", "17", "-encoding", "UTF-8", "-g:lines,source", "-proc:none")


class LogStoreNotBuiltError(PipelineError):
    """The Java compiler refused the log store; a retry does not help."""


def log_store_jar() -> Path:
    """The jar, built on the first call only; the same source and compiler give the same bytes everywhere."""
    made_of = _SOURCE.read_bytes() + repr((COMPILER, DELTA, _OPTIONS)).encode()
    folder = CACHE / "log-store"
    jar = folder / f"conditional-put-log-store-{hashlib.sha256(made_of).hexdigest()[:16]}.jar"
    if not jar.exists():
        with alone(folder, "building"):
            if not jar.exists():
                build(jar)
    return jar


def build(jar: Path) -> None:
    """Compile the log store into a jar, which is there as a whole or not at all."""
    (compiler,) = fetch_jars(CACHE / "ivy", COMPILER)
    needed = [*Path(pyspark.__file__).parent.glob("jars/hadoop-client-api-*.jar"), *fetch_jars(CACHE / "ivy", DELTA)]
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home) / "bin" / "java") if home else "java"
    with tempfile.TemporaryDirectory(dir=jar.parent) as folder:
        classes, partial = Path(folder) / "classes", Path(folder) / jar.name
        command = [java, "-cp", str(compiler), "org.eclipse.jdt.internal.compiler.batch.Main", *_OPTIONS]
        command += ["-classpath", os.pathsep.join(map(str, needed)), "-d", str(classes), str(_SOURCE)]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        if run.returncode:
            raise LogStoreNotBuiltError(f"{run.stdout}{run.stderr}\nThe log store for S3 could not be compiled.")
        with zipfile.ZipFile(partial, "w") as archive:  # not compressed: zlib's versions differ in bytes
            for file in sorted(classes.rglob("*.class")):
                archive.writestr(zipfile.ZipInfo(file.relative_to(classes).as_posix()), file.read_bytes())
        partial.rename(jar)
