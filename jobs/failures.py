"""What went wrong, in one line, out of what Java, Spark and Python say about it."""

from collections.abc import Callable
from typing import TypeVar

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
)

from conf.errors import ConfigurationError, PipelineError
from jobs.progress import say

T = TypeVar("T")

_OF_THE_MACHINE = (
    "No space left on device",
    "Disk quota exceeded",
    "Permission denied",
    "Read-only file system",
    "Input/output error",
    "Too many open files",
)
_OF_SET_UP = (NoCredentialsError, PartialCredentialsError, ProfileNotFound, NoRegionError)
_LOST_ROWS = "CHECKPOINT_RDD_BLOCK_ID_NOT_FOUND"
_TRIES = 4
"""As often as Spark itself tries a task."""


class MachineError(PipelineError):
    """The machine refused what a job needs: room, a right, a working disk. Mended, the job can be started again."""


def of_machine(problem: BaseException) -> PipelineError | None:
    """The failure as the operator is to read it, if machine or set-up are its cause; None if it may be ours."""
    text = str(problem)
    if isinstance(problem, _OF_SET_UP):
        return ConfigurationError(f"{text}: docs/s3.md says where credentials and region of S3 are looked for.")
    if isinstance(problem, BotoCoreError | ClientError):
        return MachineError(f"S3: {text}")
    return MachineError(cause(text)) if any(words in text for words in _OF_THE_MACHINE) else None


def cause(text: str) -> str:
    """The part of a report of several lines that says why, in one line."""
    marks = [line.strip() for line in text.splitlines() if line.strip()]
    marks = [line.removeprefix("Caused by: ") for line in marks if not line.startswith(("at ", "File "))]
    of_machine = [line for line in marks if any(words in line for words in _OF_THE_MACHINE)]
    errors = [line for line in marks if "Error" in line or "Exception" in line]
    return (of_machine[-1:] or errors[-1:] or marks[:1] or ["no reason given"])[0][:1000]


def again_if_lost(work: Callable[[], T], what: str) -> T:
    """What `work` gives; it is done again, and so must be harmless twice, if an executor is lost with rows kept there.

    Rows kept by `localCheckpoint` are nowhere else, and Spark has forgotten how to make them.
    """
    for _ in range(_TRIES - 1):
        try:
            return work()
        except Exception as problem:
            if _LOST_ROWS not in str(problem):
                raise
            say(f"{what}: an executor was lost with rows in its keeping; done again.")
    return work()
