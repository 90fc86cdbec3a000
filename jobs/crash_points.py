"""Named moments of a batch at which the tests kill the job, to prove that nothing is lost or doubled.

Without the environment variable this does nothing; with it, it can only end the process, which must be harmless.
"""

import os
import signal

VARIABLE = "CRASH_TEST_KILL_AT"  # e.g. "events committed:2" kills at that step of batch 2


def reached(step: str, batch: int) -> None:
    """Kill this process group with SIGKILL if a test asked for it here."""
    if os.environ.get(VARIABLE) == f"{step}:{batch}":
        os.killpg(os.getpgrp(), signal.SIGKILL)
