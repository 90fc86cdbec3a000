"""A worked example: sessions of a taxi app out of its event table. `python -m docs.examples.app_sessions`.

`app_events.csv` beside this file is made up, in the form that a customer data platform loads: `event` names what was
tracked or the screen that was shown, ids come in any case, some rows have but one of the two.
"""

from datetime import timedelta
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from conf.settings import load_settings
from jobs.session import build_session
from transforms.instants import instant
from transforms.sessions import Key, Milestone, RunningCount, SessionRules, to_sessions

APP_EVENTS = Path(__file__).with_name("app_events.csv")
RIDES = SessionRules(
    keys=[Key("anonymous_id", F.lower), Key("context_device_id", F.lower)],
    time="received_at",
    event="event",
    gap=timedelta(minutes=30),
    starts=["Application Opened"],
    success=["Ride Booked Screen", "Ride In Progress Screen"],
    milestones=[
        Milestone("open_to_booking", ["Application Opened"], ["Ride Booked"]),
        Milestone("booking_to_done", ["Ride Booked"], ["Ride Finished"]),
    ],
    counts=[RunningCount("rides_so_far", ["Ride Finished"])],
)


def read_app_events(spark: SparkSession) -> DataFrame:
    """The rows of the sample."""
    rows = spark.read.option("header", "true").csv(APP_EVENTS.as_uri())
    return rows.withColumn("received_at", instant(F.col("received_at")))


def main() -> None:
    """Print the sessions of the sample."""
    spark = build_session(load_settings(), "app_sessions")
    try:
        sessions = to_sessions(read_app_events(spark), RIDES).drop("session_id")
        sessions.orderBy("started_at").show(truncate=False)
    finally:
        spark.stop()


if __name__ == "__main__":
    main()
