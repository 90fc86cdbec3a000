"""The log store for S3 is built the same everywhere."""

import hashlib
from pathlib import Path

from jobs.log_store import build


def test_the_jar_has_the_same_bytes_whenever_it_is_built(tmp_path: Path) -> None:
    # given
    jars = [tmp_path / name for name in ("first.jar", "second.jar")]
    # when
    for jar in jars:
        build(jar)
    # then
    sums = {hashlib.sha256(jar.read_bytes()).hexdigest() for jar in jars}
    assert sums == {"f46558e3ced89051d3c6f1cbd32ef996d7745eeae815ec039142c176439ef678"}
