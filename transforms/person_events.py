"""`person_events`: what happened to each person and what each did, whoever told it, under one key."""

from collections.abc import Mapping

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from schemas.person_events import PERSON_EVENTS, PersonEventClass
from transforms.lifecycle import account_of_message, recipients, stage
from transforms.people import AddressRules, person_key


def people_of_profiles(profiles: DataFrame, rules: AddressRules) -> DataFrame:
    """Who is behind each row of `profiles`: client_id, profile_id, person_key."""
    key = person_key(F.col("email"), rules, F.col("client_id"), F.col("id"))
    return profiles.select("client_id", F.col("id").alias("profile_id"), key.alias("person_key"))


def to_person_events(events: DataFrame, profiles: DataFrame, rules: AddressRules) -> DataFrame:
    """The rows of `person_events` out of those of `events`; `profiles` say whose Sailthru's are."""
    reads = F.col("event_class").isin("open", "click")
    rows = events.select(
        "event_time",
        stage().alias("event_class"),
        "event_id",
        "provider",
        account_of_message().alias("account"),
        "message_id",
        "campaign",
        "link",
        F.get("from", F.lit(0)).alias("sender"),
        F.when(reads, F.col("user_agent")).alias("user_agent"),
        "event_date",
        "profile_id",
        F.transform(recipients(), lambda address: person_key(address, rules)).alias("persons"),
    ).where(F.col("event_class").isNotNull())
    is_ses = F.col("provider") == "ses"
    # Two spellings of an address in one event may be one person.
    of_addresses = rows.where(is_ses).withColumn("person_key", F.explode(F.array_distinct("persons")))
    addresses = profiles.select(F.col("client_id").alias("account"), F.col("id").alias("profile_id"), "email")
    of_profiles = (
        rows.where(~is_ses)
        .join(addresses, on=["account", "profile_id"], how="left")
        .withColumn("person_key", person_key(F.col("email"), rules, F.col("account"), F.col("profile_id")))
    )
    return _with_hash(of_addresses).unionByName(_with_hash(of_profiles))


def purchases_of_people(purchases: DataFrame) -> DataFrame:
    """The rows of `person_events` out of those of `purchases`: those of a known person and time.

    A refund is nothing that a person does at an email: it has no row.
    """
    kind = F.col("kind")
    nothing = F.lit(None).cast("string")
    given: Mapping[str, Column] = {
        "event_time": F.col("purchased_at"),
        "event_class": F.when(kind.isin(*PersonEventClass), kind),
        "event_id": F.col("purchase_id"),
        "provider": nothing,
        "account": F.col("client_id"),
        "campaign": nothing,
        "link": nothing,
        "sender": nothing,
        "user_agent": nothing,
        "event_date": F.to_date("purchased_at"),
    }
    rows = purchases.select("person_key", "message_id", *[column.alias(name) for name, column in given.items()])
    return _with_hash(rows.where(F.col("event_class").isNotNull() & F.col("event_time").isNotNull()))


def _with_hash(rows: DataFrame) -> DataFrame:
    """The rows of people with the contract's columns; those of nobody are left out."""
    own = [name for name in PERSON_EVENTS.columns if name not in (*PERSON_EVENTS.key, "row_hash")]
    # A column more says which are NULL, for the hash of a list alone does not: a link is no sender.
    nulls = F.concat(*[F.when(F.col(name).isNull(), "1").otherwise("0") for name in own])
    hashed = rows.where(F.col("person_key").isNotNull()).withColumn("row_hash", F.xxhash64(*own, nulls))
    return hashed.select(*PERSON_EVENTS.columns)
