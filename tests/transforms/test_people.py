"""Which spellings of an address are one person, and whose events without an address are."""

import pytest
from pyspark.sql import Row, SparkSession
from pyspark.sql import functions as F

from transforms.people import AddressRules, person_key

DEFAULT = AddressRules()
AS_SPELT = AddressRules(folds_case=False)
WITHOUT_TAGS = AddressRules(drops_plus_tags=True)


@pytest.mark.parametrize(
    ("address", "rules", "key"),
    [
        pytest.param("Ada@Example.COM", DEFAULT, "ada@example.com", id="case-folded"),
        pytest.param("Ada@Example.COM", AS_SPELT, "Ada@example.com", id="domain-always-folded"),
        pytest.param(" ada@example.com\t", DEFAULT, "ada@example.com", id="blanks-around"),
        pytest.param("ada+news@example.com", DEFAULT, "ada+news@example.com", id="tag-kept"),
        pytest.param("ada+news+x@example.com", WITHOUT_TAGS, "ada@example.com", id="tag-dropped"),
        pytest.param("+news@example.com", WITHOUT_TAGS, "+news@example.com", id="nobody-before-the-tag"),
        pytest.param('"a@b"@example.com', DEFAULT, '"a@b"@example.com', id="quoted-at"),
        pytest.param("ÉVA@example.com", DEFAULT, "éva@example.com", id="non-ascii"),
        pytest.param("adb@\u0130x.com", DEFAULT, "adb@i\u0307x.com", id="a-letter-that-grows-when-folded"),
        pytest.param("example.com", DEFAULT, "profile:4321/p1", id="no-at"),
        pytest.param("@example.com", DEFAULT, "profile:4321/p1", id="nobody-at-a-domain"),
        pytest.param("ada@", DEFAULT, "profile:4321/p1", id="no-domain"),
        pytest.param("", DEFAULT, "profile:4321/p1", id="empty"),
        pytest.param(None, DEFAULT, "profile:4321/p1", id="null"),
    ],
)
def test_an_address_is_its_person_else_the_profile_is(
    spark: SparkSession, address: str | None, rules: AddressRules, key: str
) -> None:
    row = spark.createDataFrame([(address, "4321", "p1")], "address string, client string, profile string")
    found = row.select(person_key(F.col("address"), rules, F.col("client"), F.col("profile")).alias("key"))
    assert found.collect() == [Row(key=key)]


def test_profiles_of_two_clients_are_two_people_and_nothing_is_nobody(spark: SparkSession) -> None:
    rows = spark.createDataFrame(
        [(None, "1", "p1"), (None, "2", "p1"), (None, None, "p1"), (None, "1", None)],
        "address string, client string, profile string",
    )
    keys = rows.select(person_key(F.col("address"), DEFAULT, F.col("client"), F.col("profile")).alias("key"))
    assert [row.key for row in keys.collect()] == ["profile:1/p1", "profile:2/p1", "profile:/p1", None]
