"""`freshness`: how new each data set is, and the days it lacks."""

from datetime import datetime

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from schemas.files import FileStatus
from schemas.freshness import FRESHNESS, LONGEST_GAP_DAYS
from transforms.sailthru import file_date, told_by_name


def to_freshness(files: DataFrame, events: DataFrame, client_id: str, as_of: datetime) -> DataFrame:
    """The rows of `freshness` as of an instant; `client_id` is that of Sailthru files whose name holds none.

    An event is of the data set of the file that its row names, for the record itself does not say it.
    """
    now, key = F.lit(as_of), list(FRESHNESS.key)
    is_read = F.col("status") != FileStatus.NOT_READABLE
    stated = file_date(F.col("stated_date"))
    # A client's day may have begun before the UTC day; a later date is a slip that would hide what is missing.
    is_date = is_read & (stated <= F.date_add(F.to_date(now), 1))
    of_client = Window.partitionBy("provider", "client_id")
    loaded = (
        _of_data_set(files.where(F.col("status") != FileStatus.SKIPPED), client_id)
        .groupBy(*key)
        .agg(
            F.count(F.lit(1)).alias("files"),
            F.count_if(~is_read).alias("files_not_readable"),
            F.collect_set(F.when(is_date, stated)).alias("dates"),
            F.max("modified_at").alias("newest_modified_at"),
            F.max("etl_time").alias("newest_load_at"),
        )
        .withColumn("newest_file_date", F.array_max("dates"))
        .withColumn("first_date_of_client", F.min(F.array_min("dates")).over(of_client))
        .withColumn("newest_date_of_client", F.max("newest_file_date").over(of_client))
    )
    # All of SES is one data set, whatever its files are called, and their names are long to group by.
    named = F.when(F.col("provider") == "sailthru", F.col("filename")).alias("filename")
    by_file = events.groupBy("provider", named, "event_date").agg(F.max("event_time").alias("newest"))
    happened = (
        _of_data_set(by_file, client_id)
        .groupBy(*key)
        .agg(F.max("newest").alias("newest_event_at"), F.collect_set("event_date").alias("days"))
    )
    last_day = F.least(F.array_max("days"), F.to_date(now))
    return loaded.join(happened, on=key, how="left").select(
        *key,
        now.alias("as_of"),
        "files",
        "files_not_readable",
        "newest_event_at",
        "newest_file_date",
        "newest_modified_at",
        "newest_load_at",
        F.timestamp_diff("SECOND", F.col("newest_event_at"), now).alias("event_lag_seconds"),
        F.timestamp_diff("SECOND", F.col("newest_modified_at"), now).alias("modified_lag_seconds"),
        F.timestamp_diff("SECOND", F.col("newest_load_at"), now).alias("load_lag_seconds"),
        _missing("dates", F.col("first_date_of_client"), F.col("newest_date_of_client")).alias("missing_dates"),
        _missing("days", F.array_min("days"), last_day).alias("days_without_events"),
    )


def _of_data_set(rows: DataFrame, client_id: str) -> DataFrame:
    """Rows with the key of `freshness` and `stated_date`, all from the name of their file."""
    client, data_set, date = told_by_name(F.substring_index("filename", "/", -1), client_id)
    is_sailthru = F.col("provider") == "sailthru"
    return rows.withColumns(
        {
            "client_id": F.when(is_sailthru, client).otherwise(""),
            "data_set": F.when(is_sailthru, data_set).otherwise(""),
            "stated_date": F.when(is_sailthru, date),
        }
    )


def _missing(there: str, first: Column, last: Column) -> Column:
    """The days from first to last that are not there, in order; NULL if none is there at all."""
    begin = F.greatest(first, F.date_sub(last, LONGEST_GAP_DAYS - 1))
    days = F.when(begin <= last, F.sequence(begin, last)).otherwise(F.array().cast("array<date>"))
    return F.when(F.size(there) > 0, F.array_except(days, F.col(there)))
