"""Named moments of a batch at which the tests kill the job, to prove that nothing is lost or doubled.

Without the environment variable this does nothing; with it, it can only end the process, which must be harmless.
"""

import os
import signal

VARIABLE = "CRASH_TEST_KILL_AT"  # for example "events committed"


def reached(step: str) -> None:
    """Kill this process group with SIGKILL if a test asked for it at this step."""
    if os.environ.get(VARIABLE) == step:
        os.killpg(os.getpgrp(), signal.SIGKILL)
