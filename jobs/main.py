"""`spark-submit --py-files emailevents.zip main.py JOB [options]`: a job where others start Spark.

`package` writes this file as main.py.
"""

import sys

import pyspark

NEEDED = (4, 2)
"""The first Spark whose Python data sources know `SupportsTriggerAvailableNow`, which finding files needs."""


def _found() -> tuple[int, ...]:
    return tuple(int(number) for number in pyspark.__version__.split(".")[:2])


if __name__ == "__main__":
    if _found() < NEEDED:
        print(f"This is Spark {pyspark.__version__}: the jobs need {'.'.join(map(str, NEEDED))}.", file=sys.stderr)
        sys.exit(2)
    from jobs.__main__ import main

    if code := main(sys.argv[1:]):  # a platform may take any SystemExit for a failure
        sys.exit(code)
