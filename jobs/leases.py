"""Locks on S3, which has none of its own: an object that its holder renews, and that others take over if it does not.

Each change of the object is a conditional PUT, so that of several who try one wins. Nobody compares clocks: who waits
watches whether the object changes, by its own clock.
"""

import json
import os
import socket
import sys
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from pyspark import SparkContext

from jobs import s3
from jobs.s3 import S3Path

_RENEWALS = 4
"""Times that a lease is renewed before it would be taken over."""
_SETTLING_SECONDS = 2.0
"""What a PUT without condition is given to be overwritten by another who tries at the same time."""
_in_this_process: defaultdict[S3Path, threading.RLock] = defaultdict(threading.RLock)
_held: set[S3Path] = set()


class HeldError(Exception):
    """Another holds the lease, and renews it; the text says who."""


@contextmanager
def lease(place: S3Path, *, waits: bool) -> Iterator[None]:
    """Hold the lease at the place; wait for it, or raise HeldError if its holder is alive.

    One whose holder was killed is taken over when it was not renewed for `s3.lease_seconds`. Should this process lose
    it, because it was halted or cut off from S3 for so long, it ends at once, as by `kill -9`: it must not commit.
    """
    with _in_this_process[place]:
        if place in _held:  # by this very thread, for no other comes here
            yield
            return
        held = _Lease(place)
        held.take(waits)
        done = threading.Event()
        renewing = threading.Thread(target=held.renew, args=(done,), name=f"lease {place.name}", daemon=True)
        renewing.start()
        _held.add(place)
        try:
            yield
        finally:
            _held.remove(place)
            done.set()
            renewing.join()
            held.release()


@dataclass
class _Lease:
    place: S3Path
    token: str = field(default_factory=lambda: uuid.uuid4().hex)
    etag: str = ""
    client: Any = field(default_factory=s3.client)
    renewals: int = 0
    renewed_at: float = 0.0

    def take(self, waits: bool) -> None:
        seconds = s3.in_use().lease_seconds
        watched, since, is_first = "", time.monotonic(), True
        while True:
            found = self._found()
            if found is None or found.is_free:
                if self._take_now(found.etag if found else ""):
                    return
                continue
            if found.etag != watched:
                if not waits and not is_first:
                    raise HeldError(found.holder)
                watched, since, is_first = found.etag, time.monotonic(), False
            elif time.monotonic() - since > seconds and self._take_now(watched):
                return
            time.sleep(min(0.5, seconds / _RENEWALS / 2))

    def _take_now(self, etag: str) -> bool:
        """Whether the lease is ours, and by an answer so new that nobody can have taken it over meanwhile."""
        is_ours = self._put(etag)
        while is_ours and time.monotonic() - self.renewed_at > s3.in_use().lease_seconds / _RENEWALS:
            is_ours = self._put(self.etag)
        return is_ours

    def renew(self, done: threading.Event) -> None:
        seconds = s3.in_use().lease_seconds
        # Else a request that hangs, a minute by default, would outlive the lease.
        self.client = s3.client("s3", seconds / _RENEWALS / 4)
        while not done.wait(seconds / _RENEWALS):
            try:
                is_ours = self._put(self.etag)
            except (BotoCoreError, ClientError) as problem:
                if time.monotonic() - self.renewed_at < seconds * (1 - 1 / _RENEWALS):
                    continue
                _end_at_once(f"The lock {self.place} could not be renewed for too long: {problem}")
            else:
                if not is_ours:
                    _end_at_once(f"The lock {self.place} was taken over: this process stood still for too long.")
        self.client = s3.client()

    def release(self) -> None:
        self._put(self.etag, is_free=True)

    def _found(self) -> "_Found | None":
        try:
            answer = self.client.get_object(Bucket=self.place.bucket, Key=self.place.key)
            said = json.loads(answer["Body"].read())
            return _Found(answer["ETag"], str(said["holder"]), str(said["token"]), bool(said["is_free"]))
        except ClientError as problem:
            if s3.is_absence(problem):
                return None
            raise
        except (ValueError, KeyError, TypeError):  # no lease: somebody else's object
            return _Found(answer["ETag"], f"what is no lock of ours in {self.place}", "", False)

    def _put(self, etag: str, *, is_free: bool = False) -> bool:
        """Write the lease if the object is still the one of the ETag, or for none still not there; whether it was."""
        asked_at = time.monotonic()
        self.renewals += 1
        holder = f"process {os.getpid()} on {socket.gethostname()}"
        said = {"holder": holder, "token": self.token, "renewals": self.renewals, "is_free": is_free}
        condition = {"IfMatch": etag} if etag else {"IfNoneMatch": "*"}
        if not s3.in_use().conditional_put:
            return self._put_and_look(said, etag, asked_at)
        try:
            body = json.dumps(said).encode()
            answer = self.client.put_object(Bucket=self.place.bucket, Key=self.place.key, Body=body, **condition)
        except ClientError as problem:
            if not s3.is_refused_condition(problem) and not s3.is_absence(problem):
                raise
            found = self._found()  # our own PUT, whose answer was lost and which boto3 then sent again?
            if found is None or found.token != self.token:
                return False
            self.etag = found.etag
        else:
            self.etag = answer["ETag"]
        self.renewed_at = asked_at
        return True

    def _put_and_look(self, said: dict[str, object], etag: str, asked_at: float) -> bool:
        """The same in a store without conditions: good against a mistake, not against a race of milliseconds."""
        before = self._found()
        if (before.etag if before else "") != etag:
            return False
        body = json.dumps(said).encode()
        self.client.put_object(Bucket=self.place.bucket, Key=self.place.key, Body=body)
        if before is None or before.token != self.token:
            time.sleep(_SETTLING_SECONDS)
        after = self._found()
        if after is None or after.token != self.token:
            return False
        self.etag, self.renewed_at = after.etag, asked_at
        return True


@dataclass(frozen=True)
class _Found:
    etag: str
    holder: str
    token: str
    is_free: bool


def _end_at_once(why: str) -> None:
    """End this process and its JVM, which may be about to commit what another has done meanwhile."""
    print(why, file=sys.stderr, flush=True)
    gateway = SparkContext._gateway
    if (jvm := getattr(gateway, "proc", None)) is not None:
        jvm.kill()
    os._exit(1)
