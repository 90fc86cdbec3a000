"""State of Sailthru: the newest version of each message, campaign and profile, named as the Data Exporter names it.

The newest is the version of the latest file date, then of an update set, then with more opens and clicks, then of the
last file name: the same whatever the order in which files come. Of profiles the versions of earlier days are kept too.
"""

from pyspark.sql.types import (
    ArrayType,
    DataType,
    DateType,
    DecimalType,
    LongType,
    StringType,
    StructField,
    StructType,
    TimestampType,
)

from schemas.contract import Role, TableContract, column

_TEXT, _INSTANT, _COUNT = StringType(), TimestampType(), LongType()
_OPENS = ArrayType(StructType([StructField("ts", _INSTANT)]))
_CLICKS = ArrayType(StructType([StructField("url", _TEXT), StructField("ts", _INSTANT)]))


def _key(name: str, comment: str) -> StructField:
    return column(name, _TEXT, role=Role.IDENTITY, nullable=False, comment=comment)


def _settled(name: str, comment: str, data_type: DataType = _TEXT) -> StructField:
    return column(name, data_type, role=Role.SETTLED, comment=comment)


_CLIENT = _key("client_id", "Sailthru client: from the file's name, else the setting sailthru.client_id, else empty.")
_VERSION = (
    column(
        "data_set", _TEXT, role=Role.SETTLED, nullable=False, comment="Data set of the version's file, in the singular."
    ),
    _settled("file_date", "Date in the name of the version's file; NULL in a historical export.", DateType()),
    column(
        "record",
        _TEXT,
        nullable=False,
        comment="The version's record as it came, JSON text: also what is no column here.",
    ),
    column(
        "version",
        _TEXT,
        nullable=False,
        comment="The version's rank; of two versions the one with the greater text is kept.",
    ),
    column("filename", _TEXT, nullable=False, comment="URI of the file the version came from, decoded."),
    column("batch_id", _TEXT, nullable=False, comment="The batch that brought the version."),
    column("etl_time", _INSTANT, nullable=False, comment="When the version was loaded, UTC."),
)
_LOCAL = "UTC, from a local time of the account's zone; NULL if not stated or not readable."

SAILTHRU_MESSAGES = TableContract(
    name="sailthru_messages",
    grain="newest version of one Sailthru message: what may still change after the send",
    key=("client_id", "message_id", "send_date"),
    written_by=("stream_events", "replay_quarantine"),
    partitioned_by=("send_date",),
    statistics=("send_time",),
    schema=StructType(
        [
            _CLIENT,
            _key("message_id", "As in events: <blast_id>.<message_id> of a campaign, the send id of triggered mail."),
            column(
                "send_date",
                DateType(),
                role=Role.IDENTITY,
                nullable=False,
                comment="UTC date of send_time; the table is partitioned by it. A message whose stated send time moved "
                "to another day would have a row for each.",
            ),
            _settled("send_time", "When it was sent, " + _LOCAL, _INSTANT),
            _settled("profile_id", "The recipient: profiles.id; NULL if not stated."),
            _settled("blast_id", "Campaign: blasts.id; NULL for triggered mail."),
            _settled("template", "Template's name; NULL for campaign mail."),
            _settled("opens", "All opens stated, in the record's order; empty if none.", _OPENS),
            _settled("clicks", "All clicks stated, in the record's order; empty if none.", _CLICKS),
            _settled("open_time", "First or last open (not said which), " + _LOCAL, _INSTANT),
            _settled("click_time", "First or last click (not said which), " + _LOCAL, _INSTANT),
            _settled("optout_time", "When the recipient opted out, " + _LOCAL, _INSTANT),
            _settled("device", "The reader's mail client or browser; NULL without activity."),
            _settled(
                "message_revenue",
                "Revenue Sailthru attributes to the message, in the account's unit (not documented); NULL if none.",
                DecimalType(20, 4),
            ),
            _settled("delivery_status", "As stated, such as hardbounce or softbounce; NULL if not stated."),
            _settled("engagement", "The recipient's level of engagement as stated; NULL if not stated."),
            *_VERSION,
        ]
    ),
)

BLASTS = TableContract(
    name="blasts",
    grain="newest version of one Sailthru campaign",
    key=("client_id", "id"),
    written_by=("stream_events", "replay_quarantine"),
    statistics=("client_id", "id"),
    schema=StructType(
        [
            _CLIENT,
            _key("id", "Campaign id: events.campaign and sailthru_messages.blast_id."),
            _settled("name", "Campaign name."),
            _settled("day", "Local day of the send; NULL if not readable.", DateType()),
            _settled("template", "Template's name; NULL if not stated."),
            _settled("list_name", "List's name; NULL if not stated."),
            _settled("link_params", "JSON text as it came; NULL if not stated."),
            *_VERSION,
        ]
    ),
)

PROFILE_TIMES = ("create_date", "signup_time", "last_open", "last_click", "last_pageview", "optout_time")
PROFILE_COUNTS = (
    "total_opens",
    "total_clicks",
    "total_unique_opens",
    "total_unique_clicks",
    "total_pageviews",
    "total_messages",
)
PROFILE_OBJECTS = (
    "lists_signup",
    "lists_remove",
    "vars",
    "browser",
    "geo",
    "purchases",
    "purchase_incomplete",
)

PROFILE_KEY = (_CLIENT, _key("id", "Profile id: profile_id of events and sailthru_messages."))
_PROFILE = StructType(
    [
        *PROFILE_KEY,
        _settled("email", "Address as stated; NULL if not stated."),
        *[_settled(name, _LOCAL, _INSTANT) for name in PROFILE_TIMES],
        _settled("optout_reason", "Reason as stated; NULL if not opted out or not stated."),
        *[_settled(name, "Lifetime count; NULL if not stated or no number.", _COUNT) for name in PROFILE_COUNTS],
        *[_settled(name, "JSON text as it came, keys free; NULL if not stated.") for name in PROFILE_OBJECTS],
        *_VERSION,
    ]
)

PROFILE_VERSIONS = TableContract(
    name="profile_versions",
    grain="newest version of one Sailthru profile of one file date; of all undated files together one",
    key=("client_id", "id", "file_date"),
    written_by=("stream_events", "replay_quarantine"),
    partitioned_by=("file_date",),
    statistics=("client_id", "id"),
    schema=_PROFILE,
)

VERSIONS_TABLE = "versions_table"
"""The property of a table of newest versions that names the table which keeps one of each file date."""

PROFILES = TableContract(
    name="profiles",
    grain="newest version of one Sailthru profile",
    key=("client_id", "id"),
    written_by=("stream_events", "replay_quarantine"),
    statistics=("client_id", "id"),
    properties={VERSIONS_TABLE: PROFILE_VERSIONS.name},
    schema=_PROFILE,
)

STATES = {
    "profile": PROFILES,
    "blast": BLASTS,
    "message_blast": SAILTHRU_MESSAGES,
    "message_blast_update": SAILTHRU_MESSAGES,
    "message_transactional": SAILTHRU_MESSAGES,
    "message_transactional_update": SAILTHRU_MESSAGES,
}
"""The table that holds what a data set states."""

HISTORIES = {PROFILES.name: PROFILE_VERSIONS}
"""Of a table of newest versions the one that keeps a version of each file date."""
