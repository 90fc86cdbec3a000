"""Jobs one after the other, each as `python -m jobs` runs it, in one Spark session that ends with the last.

    python -m tests.jobs.in_one_session '["stream_events", "--available-now"]' '["build_summaries"]'

Each argument is what `./spark-submit.sh` would be given, as a JSON array. Executors that have done a job are quick.
"""

import json
import sys
from unittest.mock import patch

from pyspark.sql import SparkSession

from jobs.__main__ import main

if __name__ == "__main__":
    with patch.object(SparkSession, "stop"):
        codes = [main(json.loads(argument)) for argument in sys.argv[1:]]
    sys.exit(max(codes))
