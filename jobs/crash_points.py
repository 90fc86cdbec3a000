"""Named moments of a job at which the tests kill it, to prove that nothing is lost or doubled.

Without the environment variable this does nothing; with it, it can only end the process, which must be harmless.
"""

import os
import signal
from collections import Counter

VARIABLE = "CRASH_TEST_KILL_AT"  # for example "events committed", or "events committed:2" for the second time

_times: Counter[str] = Counter()


def reached(step: str) -> None:
    """Kill the whole job with SIGKILL if a test, which starts it in a session of its own, asked for it at this step.

    Spark's Python workers, one of which finds the files, have a process group of their own.
    """
    if wanted := os.environ.get(VARIABLE):
        _times[step] += 1
        if wanted in (step, f"{step}:{_times[step]}"):
            os.killpg(os.getsid(0), signal.SIGKILL)
            os.killpg(os.getpgrp(), signal.SIGKILL)
