"""People: one key for whoever is behind an address of SES and a profile of Sailthru."""

from dataclasses import dataclass

from pyspark.sql import Column
from pyspark.sql import functions as F

from schemas.mailbox_providers import MAILBOX_PROVIDERS


@dataclass(frozen=True, kw_only=True)
class AddressRules:
    """Which spellings of an address are one person's."""

    folds_case: bool = True
    """`Ada@example.com` is `ada@example.com`; the domain's case never matters."""
    drops_plus_tags: bool = False
    """`ada+news@example.com` is `ada@example.com`."""


def person_address(address: Column, rules: AddressRules) -> Column:
    """The address as the person is known by; NULL if it is none: NULL, blank or without a part on each side of the @.

    Only the address itself, as `events` and `profiles` have it (RFC 5321, section 4.1.2); names beside it are none.
    """
    bare = F.btrim(address, F.lit(" \t\r\n"))
    domain = F.substring_index(bare, "@", -1)
    local = F.left(bare, F.length(bare) - F.length(domain) - 1)  # before it is folded, which may make it longer
    if rules.folds_case:
        local = F.lower(local)
    if rules.drops_plus_tags:
        # A tag in front would leave nobody: `+ada@example.com` stays as it is.
        local = F.regexp_replace(local, r"(?<=.)\+.*$", "")
    return F.when((local != "") & (domain != ""), F.concat(local, F.lit("@"), F.lower(domain)))


def person_key(
    address: Column, rules: AddressRules, client_id: Column | None = None, profile_id: Column | None = None
) -> Column:
    """The key of a person in every table about people: the address, else the profile, else NULL.

    The only place that makes one: keyed tokens in place of addresses would be made here. A profile's key holds no @.
    """
    known = person_address(address, rules)
    if client_id is None or profile_id is None:
        return known
    return F.coalesce(known, F.concat(F.lit("profile:"), F.coalesce(client_id, F.lit("")), F.lit("/"), profile_id))


def mailbox_provider(address: Column) -> Column:
    """Who keeps the mailbox of an address: a name of MAILBOX_PROVIDERS, else the domain; NULL if it is no address."""
    domain = F.lower(F.nullif(F.regexp_extract(address, r"@([^@]+)$", 1), F.lit("")))
    named = F.lit(None).cast("string")
    for name, domains in MAILBOX_PROVIDERS.items():
        named = F.when(domain.isin(*domains), F.lit(name)).otherwise(named)
    return F.coalesce(named, domain)
