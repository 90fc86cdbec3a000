"""`profile_lists`, `profile_vars`, `profile_geo`, `profile_browser`: what the newest state of a profile holds."""

from pyspark.sql.types import LongType, StringType, StructField, StructType, TimestampType

from schemas.contract import Role, TableContract, column, flag
from schemas.sailthru import PROFILE_KEY

GEO_KINDS = ("city", "state", "country", "zip")

_COUNT = column("count", LongType(), role=Role.SETTLED, comment="As stated; NULL if it is no whole number.")


def _name(name: str, comment: str) -> StructField:
    return column(name, StringType(), nullable=False, role=Role.IDENTITY, comment=comment)


def _at(name: str, comment: str) -> StructField:
    return column(name, TimestampType(), role=Role.SETTLED, comment=comment)


def _child(name: str, grain: str, key: tuple[str, ...], *columns: StructField) -> TableContract:
    return TableContract(
        name=name,
        grain=grain,
        key=("client_id", "id", *key),
        written_by=("build_summaries",),
        statistics=("client_id", "id"),
        schema=StructType([*PROFILE_KEY, *columns]),
    )


PROFILE_LISTS = _child(
    "profile_lists",
    "one list that the newest state of a Sailthru profile names",
    ("list_name",),
    _name("list_name", "As stated; `null` is a name as any other."),
    _at(
        "signed_up_at",
        "When the profile came to the list, UTC, from a local time of the account's zone; NULL if not stated or not "
        "readable.",
    ),
    _at("removed_at", "When it was taken off, in the same way."),
    flag("is_removed", "Whether it is named among those removed, without a later signed_up_at."),
)

PROFILE_VARS = _child(
    "profile_vars",
    "one variable of the newest state of a Sailthru profile",
    ("name",),
    _name("name", "As stated."),
    column(
        "value",
        StringType(),
        role=Role.SETTLED,
        comment="As text: objects and arrays as JSON; NULL if it is null.",
    ),
    column(
        "value_type",
        StringType(),
        role=Role.SETTLED,
        comment="string, number, boolean, null, array or object; NULL of what is not null in a profile of which a "
        "variable is an object with a key twice.",
    ),
)

PROFILE_GEO = _child(
    "profile_geo",
    "one place that the newest state of a Sailthru profile names",
    ("kind", "label"),
    _name("kind", f"What kind of place: {', '.join(GEO_KINDS)}."),
    _name("label", "The place as stated, such as `Oslo, NO`."),
    _COUNT,
)

PROFILE_BROWSER = _child(
    "profile_browser",
    "one browser or device that the newest state of a Sailthru profile names",
    ("browser",),
    _name("browser", "Browser, mail client or device as stated."),
    _COUNT,
)
