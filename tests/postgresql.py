"""A real PostgreSQL server for tests, on a free port of this machine, installed if it has to be."""

import fcntl
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

USER, PASSWORD = "postgres", "s3cret-of-the-tests"


@dataclass(frozen=True)
class Server:
    """A running server, and how a test asks it without the code under test."""

    binaries: Path
    port: int
    log: Path

    @property
    def url(self) -> str:
        """The database in the form of a setting."""
        return f"jdbc:postgresql://127.0.0.1:{self.port}/postgres"

    def sql(self, *statements: str) -> list[list[Any]]:
        """Run statements by psql, each on its own; the rows of the last, each value a text or None."""
        command = [str(self.binaries / "psql"), "-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1"]
        command += ["-F", "\x1f", "-R", "\x1e", "-P", "null=\x1d", "-h", "127.0.0.1", "-p", str(self.port), "postgres"]
        for statement in statements:
            command += ["-c", statement]
        environment = {**os.environ, "PGUSER": USER, "PGPASSWORD": PASSWORD, "PGTZ": "UTC"}
        run = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        assert run.returncode == 0, run.stderr
        rows = [row.split("\x1f") for row in run.stdout.removesuffix("\n").removesuffix("\x1e").split("\x1e") if row]
        return [[None if value == "\x1d" else value for value in row] for row in rows]


@contextmanager
def running() -> Iterator[Server]:
    """A server with an empty database, where nobody comes in without the password; stopped at the end."""
    binaries = _binaries()
    folder = Path(tempfile.mkdtemp(prefix="postgresql-"))
    as_user: dict[str, Any] = {}
    if os.geteuid() == 0:  # the server refuses to be root
        as_user = {"user": "postgres", "group": "postgres", "extra_groups": []}
        shutil.chown(folder, "postgres")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    secret, data, log = folder / "secret", folder / "data", folder / "log"
    secret.write_text(PASSWORD)
    secret.chmod(0o644)

    def run(program: str, *arguments: str) -> None:
        # Not to a pipe: the server would inherit it, and this wait for it to end.
        with (folder / "said").open("w+b") as said:
            command = [str(binaries / program), "-D", str(data), *arguments]
            if subprocess.run(command, cwd=folder, stdout=said, stderr=said, check=False, **as_user).returncode:
                said.seek(0)
                pytest.fail(f"{program}: {said.read().decode()}", pytrace=False)

    try:
        run("initdb", "-A", "scram-sha-256", "-U", USER, f"--pwfile={secret}", "-E", "UTF8", "--locale=C")
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c log_statement=all"
        run("pg_ctl", "-o", f"{options} -c fsync=off -c timezone=Asia/Tokyo", "-w", "-l", str(log), "start")
        try:
            yield Server(binaries, port, log)
        finally:
            run("pg_ctl", "-m", "fast", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _binaries() -> Path:
    """The folder of initdb and pg_ctl; Debian's package is installed if there is none and we may."""
    with (Path(tempfile.gettempdir()) / f"postgresql-install-{os.geteuid()}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests run two at a time
        reason = "no PostgreSQL server here, and only root can install one: apt-get install postgresql"
        if not (found := _found()) and os.geteuid() == 0 and shutil.which("apt-get"):
            reason = _install()
            found = _found()
    if found:
        return found
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def _found() -> Path | None:
    on_path = [Path(program).resolve().parent] if (program := shutil.which("initdb")) else []
    of_debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name))
    return next((folder for folder in [*on_path, *reversed(of_debian)] if (folder / "initdb").exists()), None)


def _install() -> str:
    """Install Debian's package; what was said last if that failed."""
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"  # where dpkg looks for its helpers
    environment = {**os.environ, "PATH": path, "DEBIAN_FRONTEND": "noninteractive"}
    said = ""
    for arguments in (["install", "-y", "postgresql"], ["update"], ["install", "-y", "postgresql"]):
        run = subprocess.run(["apt-get", *arguments], capture_output=True, text=True, env=environment, check=False)
        said = (run.stdout + run.stderr).strip()
        if run.returncode == 0 and arguments[0] == "install":
            break
    return f"PostgreSQL could not be installed: {' '.join(said.splitlines()[-1:])}"
