"""What went wrong, in one line, out of what Java, Spark and Python say about it."""

from botocore.exceptions import BotoCoreError, ClientError

from conf.errors import PipelineError

_OF_THE_MACHINE = (
    "No space left on device",
    "Disk quota exceeded",
    "Permission denied",
    "Read-only file system",
    "Input/output error",
    "Too many open files",
)


class MachineError(PipelineError):
    """The machine refused what a job needs: room, a right, a working disk. Mended, the job can be started again."""


def of_machine(problem: BaseException) -> MachineError | None:
    """The failure as the operator is to read it, if the machine is its cause; None if it may be ours."""
    text = str(problem)
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
