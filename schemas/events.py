"""`events`: one flat row per event, whoever reported it."""

from pyspark.sql.types import ArrayType, DateType, MapType, StringType, StructType, TimestampType

from schemas.contract import Role, TableContract, column

_TEXT = StringType()
_TEXTS = ArrayType(StringType())
_INSTANT = TimestampType()

REPLAYED = "replay-"
"""How the `batch_id` of a row begins that replay brought: no ledger line counts it."""

EVENTS = TableContract(
    name="events",
    grain="one event: something that happened to one message, once",
    key=("event_id",),
    written_by=("stream_events", "replay_quarantine"),
    partitioned_by=("event_date",),
    statistics=("event_time",),
    schema=StructType(
        [
            column(
                "event_class",
                _TEXT,
                role=Role.IDENTITY,
                nullable=False,
                comment="What happened: send, delivery, bounce, complaint, reject, open, click, "
                "rendering_failure, delivery_delay, subscription, unsubscribe; a class not known here is kept "
                "under its own name in snake case.",
            ),
            column("etl_time", _INSTANT, nullable=False, comment="When this row was loaded, UTC."),
            column(
                "timestamp",
                _INSTANT,
                role=Role.SETTLED,
                comment="When the provider accepted the message (SES mail.timestamp, Sailthru send_time), UTC; NULL if "
                "not stated.",
            ),
            column(
                "source",
                _TEXT,
                role=Role.SETTLED,
                comment="Envelope sender as stated (SES mail.source), bare or with a display name; NULL if not stated.",
            ),
            column(
                "account",
                _TEXT,
                comment="Sending account, text with leading zeros (SES: sendingAccountId, else the owner in "
                "sourceArn, else the EventBridge account), NULL if none is stated; Sailthru: the client id, empty if "
                "neither file name nor setting names it.",
            ),
            column(
                "message_id",
                _TEXT,
                role=Role.IDENTITY,
                nullable=False,
                comment="The provider's id of the message, always text: SES mail.messageId; Sailthru "
                "<blast_id>.<message_id> of a campaign, the send id of triggered mail.",
            ),
            column("from", _TEXTS, comment="From header's addresses as stated; NULL if headers are not reported."),
            column(
                "to",
                _TEXTS,
                comment="To header as stated: one element may hold several comma-separated addresses; NULL if "
                "headers are not reported. All recipients of the message: see destination.",
            ),
            column(
                "messageId",
                _TEXT,
                comment="Message-ID header, possibly the sender's own: never join on it. NULL if not reported.",
            ),
            column("subject", _TEXT, comment="Subject header; NULL if headers are not reported."),
            column(
                "event_time",
                _INSTANT,
                role=Role.IDENTITY,
                nullable=False,
                comment="When it happened, UTC: the event's own time, else the time the message was accepted.",
            ),
            column(
                "event_type",
                _TEXT,
                role=Role.SETTLED,
                comment="Lower case: bounce type (permanent, transient, undetermined), complaint subtype, or type "
                "of delay; NULL for other classes and where not stated.",
            ),
            column(
                "event_subclass",
                _TEXT,
                role=Role.SETTLED,
                comment="Lower case: bounce subtype, or the complaint's feedback type; NULL for other classes and "
                "where not stated.",
            ),
            column(
                "event_recipients",
                _TEXTS,
                role=Role.IDENTITY,
                comment="Whom the event names, sorted, domains in lower case; NULL where it names nobody, such as "
                "an open or click of a message with several recipients.",
            ),
            column(
                "event_data",
                _TEXT,
                comment="The event's body as JSON text, keys sorted (as it came where sorting would change it: "
                "repeated keys, numbers beyond a double); NULL if the record has none. Sailthru: the entry of opens "
                "or clicks, or of a send what no later version changes.",
            ),
            column("bucket", _TEXT, nullable=False, comment="S3 bucket of the file; empty on a local disk."),
            column("filename", _TEXT, nullable=False, comment="URI of the file the kept copy came from, decoded."),
            column(
                "completion_time",
                _INSTANT,
                role=Role.SETTLED,
                comment="The event's own time, UTC; NULL where its body states none (send, reject, a Sailthru bounce, "
                "...).",
            ),
            column(
                "event_id",
                _TEXT,
                role=Role.IDENTITY,
                nullable=False,
                comment="Content key: equal for every copy of one event, different for different events (first 128 "
                "bits of a SHA-256, hex).",
            ),
            column(
                "event_date",
                DateType(),
                role=Role.IDENTITY,
                nullable=False,
                comment="UTC date of event_time; the table is partitioned by it.",
            ),
            column(
                "batch_id",
                _TEXT,
                nullable=False,
                comment="The batch that brought the row: the checkpoint's id, a dash, and the batch's number; of one "
                f"that replay brought, {REPLAYED} and the time that quarantine has in replayed_at.",
            ),
            column(
                "provider",
                _TEXT,
                role=Role.IDENTITY,
                nullable=False,
                comment="Who reported it: ses or sailthru.",
            ),
            column(
                "profile_id",
                _TEXT,
                role=Role.SETTLED,
                comment="Sailthru profile of the recipient; NULL for SES.",
            ),
            column(
                "campaign",
                _TEXT,
                comment="SES: the configuration set; Sailthru: the blast's id (its name may change: blasts.name), or "
                "the template's name of triggered mail; NULL if not stated.",
            ),
            column("link", _TEXT, role=Role.IDENTITY, comment="The link of a click; NULL otherwise."),
            column(
                "user_agent",
                _TEXT,
                role=Role.IDENTITY,
                comment="User agent of an open or click; of a complaint: the report's generator, not a person.",
            ),
            column("ip_address", _TEXT, role=Role.IDENTITY, comment="IP address of an open or click, as text."),
            column(
                "tags",
                MapType(StringType(), ArrayType(StringType())),
                comment="Message tags, automatic (ses:...) and the sender's own; NULL where the copy has none.",
            ),
            column(
                "destination",
                _TEXTS,
                role=Role.SETTLED,
                comment="All recipients of the message, as stated (SES mail.destination); NULL if not stated.",
            ),
            column(
                "feedback_id",
                _TEXT,
                role=Role.IDENTITY,
                comment="SES id of a bounce or complaint; NULL otherwise.",
            ),
            column(
                "bot_likelihood",
                _TEXT,
                comment="SES isBotEvent of an open or click, lower case: likely, unlikely; NULL means unknown, not "
                "human (records before August 2026 lack it).",
            ),
        ]
    ),
)
