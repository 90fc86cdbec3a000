"""Content keys: the same event, however often and however wrapped it comes, has the same key."""

from collections.abc import Sequence

from pyspark.sql import Column
from pyspark.sql import functions as F


def content_key(fields: Sequence[Column]) -> Column:
    """The first 128 bits of a SHA-256 over text `fields`, as 32 hex digits.

    Each field goes in with its length in front, so that no two lists of fields run together; NULL goes in as a
    mark without a length, so that it differs from the empty text.
    """
    parts = [F.coalesce(F.concat(F.octet_length(f).cast("string"), F.lit(":"), f), F.lit("-")) for f in fields]
    return F.left(F.sha2(F.concat(*parts), 256), F.lit(32))


def as_text(values: Column) -> Column:
    """An array of texts as one text that no other array gives; NULL stays NULL."""

    def with_length(value: Column) -> Column:
        return F.concat(F.octet_length(value).cast("string"), F.lit(":"), value)

    single = with_length(F.get(values, F.lit(0)))  # the usual case, without a higher-order function
    return F.when(F.size(values) == 1, single).otherwise(
        F.when(values.isNotNull(), F.concat_ws("", F.transform(values, with_length)))
    )


def address_key(address: Column) -> Column:
    """A mail address with its domain in lower case; the part before the @ is the receiver's to interpret."""
    domain = F.substring_index(address, "@", -1)
    local = F.left(address, F.length(address) - F.length(domain))
    return F.concat(local, F.lower(domain))


def recipients_key(addresses: Column) -> Column:
    """Addresses by `address_key`, sorted; NULL instead of an empty list."""
    first = F.get(addresses, F.lit(0))
    named = F.sort_array(F.transform(F.filter(addresses, lambda a: a.isNotNull()), address_key))
    return F.when((F.size(addresses) == 1) & first.isNotNull(), F.array(address_key(first))).when(
        F.size(named) > 0, named
    )
