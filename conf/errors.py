"""What can go wrong, by what a caller can do about it."""

from collections.abc import Sequence


class PipelineError(Exception):
    """The root of all errors this project raises on purpose; its text is made for the operator's eyes."""

    exit_code = 1


class ConfigurationError(PipelineError):
    """A job cannot start as it was called or configured; only a person can help, a retry cannot.

    `problems` holds one complete line each.
    """

    exit_code = 2

    def __init__(self, *problems: str) -> None:
        self.problems: Sequence[str] = problems
        super().__init__("\n".join(problems))
