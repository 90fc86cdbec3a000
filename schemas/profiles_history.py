"""`profiles_history`: what each Sailthru profile was, and from when to when."""

from pyspark.sql.types import DateType, StructType

from schemas.contract import Role, TableContract, column, flag
from schemas.sailthru import PROFILE_KEY, PROFILES

TRACKED = (
    "email",
    "create_date",
    "signup_time",
    "optout_time",
    "optout_reason",
    "lists_signup",
    "lists_remove",
    "vars",
)
"""The columns of `profiles` of which a change begins a new row. Counters, `last_*`, `browser` and `geo` move with every
open, `purchases` and `purchase_incomplete` with every purchase: those have tables of their own."""

PROFILES_HISTORY = TableContract(
    name="profiles_history",
    grain="one Sailthru profile as long as nothing changed that is tracked",
    key=("client_id", "id", "valid_from"),
    written_by=("build_summaries",),
    statistics=("client_id", "id"),
    schema=StructType(
        [
            *PROFILE_KEY,
            column(
                "valid_from",
                DateType(),
                role=Role.IDENTITY,
                comment="Date in the name of the first file that states it so. NULL: an undated export does, which "
                "counts as older than any dated file.",
            ),
            column(
                "valid_to",
                DateType(),
                role=Role.SETTLED,
                comment="Date in the name of the first file that states it otherwise: valid_from of the next row, and "
                "no more a day of this one. NULL of the current row.",
            ),
            flag("is_current", "Whether it is the newest, as in profiles: one row of each profile."),
            *[PROFILES.schema[name] for name in TRACKED],
        ]
    ),
)
