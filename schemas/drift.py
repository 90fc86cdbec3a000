"""`drift`: where records do not have the shape that the formats' pages promise."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from pyspark.sql.types import LongType, StringType, StructType, TimestampType

from schemas.contract import Role, TableContract, column


class Drift(StrEnum):
    """In what way a record differs."""

    NEW_CLASS = "new_class"
    """A class of event that is not known here: it is loaded under its own name."""
    MISSING_FIELD = "missing_field"
    """A known class without its body or the time in it, which may have another key now."""
    UNKNOWN_FIELD = "unknown_field"
    """A field that no page of the format names."""
    OTHER_TYPE = "other_type"
    """A known field whose value has another JSON type than it should."""


NO_TYPE = "none"
"""The `json_type` of what is about a whole record, not about a field of it."""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What records of a provider look like, as its format's pages say."""

    fields: Mapping[str, str]
    """JSON types by path, several divided by |; a path goes through arrays as if each element stood there."""
    needed: Mapping[str, str]
    """Per class of event the path that its records must have, if any; empty if a provider's records have no classes."""

    @property
    def levels(self) -> list[str]:
        """The paths of the objects whose keys are looked at, the record itself (an empty path) first."""
        return list(dict.fromkeys(path.rpartition(".")[0] for path in self.fields))


_MAIL = {
    "mail": "object",
    "mail.timestamp": "string",
    "mail.messageId": "string",
    "mail.source": "string",
    "mail.sourceArn": "string",
    "mail.sourceIp": "string",
    "mail.callerIdentity": "string",
    "mail.sendingAccountId": "string",
    "mail.destination": "array",
    "mail.headersTruncated": "boolean|string",
    "mail.headers": "array",
    "mail.headers.name": "string",
    "mail.headers.value": "string",
    "mail.commonHeaders": "object",
    **{f"mail.commonHeaders.{name}": "array" for name in ("from", "to", "cc", "bcc", "replyTo")},
    **{f"mail.commonHeaders.{name}": "string" for name in ("date", "subject", "messageId", "sender", "returnPath")},
    "mail.tags": "object",
}
_STATUS = {"action": "string", "status": "string", "diagnosticCode": "string"}
_PREFERENCES = {
    "unsubscribeAll": "boolean",
    **{
        f"{topics}{field}": kind
        for topics in ("topicSubscriptionStatus", "topicDefaultSubscriptionStatus")
        for field, kind in (("", "array"), (".topicName", "string"), (".subscriptionStatus", "string"))
    },
}


def _body(name: str, **fields: str) -> dict[str, str]:
    return {name: "object", **{f"{name}.{field}": kind for field, kind in fields.items()}}


def _each(path: str, kind: str, fields: Mapping[str, str]) -> dict[str, str]:
    return {path: kind, **{f"{path}.{field}": of for field, of in fields.items()}}


_ENGAGED = {"timestamp": "string", "ipAddress": "string", "userAgent": "string", "isBotEvent": "string"}

SES = Shape(
    fields={
        "eventType": "string",
        "notificationType": "string",
        **_MAIL,
        **_body("send"),
        **_body("delivery", timestamp="string", processingTimeMillis="number", recipients="array"),
        **{f"delivery.{name}": "string" for name in ("smtpResponse", "reportingMTA", "remoteMtaIp")},
        **_body("bounce", bounceType="string", bounceSubType="string", timestamp="string", feedbackId="string"),
        **{f"bounce.{name}": "string" for name in ("reportingMTA", "remoteMtaIp")},
        **_each("bounce.bouncedRecipients", "array", {"emailAddress": "string", **_STATUS}),
        **_body("complaint", timestamp="string", feedbackId="string", complaintSubType="string|null"),
        **{f"complaint.{name}": "string" for name in ("userAgent", "complaintFeedbackType", "arrivalDate")},
        **_each("complaint.complainedRecipients", "array", {"emailAddress": "string"}),
        **_body("reject", reason="string"),
        **_body("open", **_ENGAGED),
        **_body("click", **_ENGAGED, link="string", linkTags="object|null"),
        **_body("failure", templateName="string", errorMessage="string"),
        **_body("deliveryDelay", timestamp="string", delayType="string", expirationTime="string"),
        "deliveryDelay.reportingMTA": "string",
        **_each("deliveryDelay.delayedRecipients", "array|object", {"emailAddress": "string", **_STATUS}),
        **_body("subscription", contactList="string", timestamp="string", source="string"),
        **{
            path: kind
            for which in ("newTopicPreferences", "oldTopicPreferences")
            for path, kind in _each(f"subscription.{which}", "object", _PREFERENCES).items()
        },
    },
    needed={
        "delivery": "delivery.timestamp",
        "bounce": "bounce.timestamp",
        "complaint": "complaint.timestamp",
        "open": "open.timestamp",
        "click": "click.timestamp",
        "delivery_delay": "deliveryDelay.timestamp",
        "subscription": "subscription.timestamp",
        "reject": "reject",
        "rendering_failure": "failure",
        "send": "",
    },
)
"""The Amazon SES developer guide: "Contents of event data", and its page on notification contents."""

_MESSAGE = {
    "profile_id": "string",
    "send_time": "string",
    "opens": "array",
    "opens.ts": "object",
    "clicks": "array",
    "clicks.ts": "object",
    "clicks.url": "string",
    "device": "string|null",
    "message_revenue": "number|null",
    "delivery_status": "string|null",
    "open_time": "string|null",
    "click_time": "string|null",
    "engagement": "string|null",
    "optout_time": "string|null",
}
_COUNTS = ("opens", "clicks", "unique_opens", "unique_clicks", "pageviews", "messages")

SAILTHRU = Shape(
    fields={
        **_MESSAGE,
        "id": "string|number",
        "blast_id": "number",
        "message_id": "number",
        "template": "string",
        "name": "string",
        "day": "string",
        "list_name": "string|null",
        "link_params": "object|array|string|null",
        "email": "string",
        **dict.fromkeys(("create_date", "signup_time", "optout_reason"), "string|null"),
        **{f"last_{name}": "string|null" for name in ("open", "click", "pageview")},
        **{f"total_{name}": "number" for name in _COUNTS},
        **dict.fromkeys(("lists_signup", "lists_remove", "vars", "browser", "geo"), "object|array|null"),
        **dict.fromkeys(("purchases", "purchase_incomplete"), "array|object|null"),
    },
    needed={},
)
"""All data sets of Sailthru's Data Exporter together; what no source states the type of may have several."""

DRIFT = TableContract(
    name="drift",
    grain="one way in which records of one class or data set differ from the format's pages",
    key=("provider", "name", "kind", "path", "json_type"),
    written_by=("build_summaries",),
    statistics=("first_seen_at",),
    schema=StructType(
        [
            column(
                "provider", StringType(), nullable=False, role=Role.IDENTITY, comment="Whose records: ses, sailthru."
            ),
            column(
                "name",
                StringType(),
                nullable=False,
                role=Role.IDENTITY,
                comment="SES: class of the event, empty if not stated; Sailthru: data set.",
            ),
            column(
                "kind",
                StringType(),
                nullable=False,
                role=Role.IDENTITY,
                comment="One of: " + ", ".join(Drift) + ".",
            ),
            column(
                "path",
                StringType(),
                nullable=False,
                role=Role.IDENTITY,
                comment="Path of the field in the record, without its wrapper; names divided by dots, elements of an "
                "array as if each stood there. Of new_class empty.",
            ),
            column(
                "json_type",
                StringType(),
                nullable=False,
                role=Role.IDENTITY,
                comment="string, number, boolean, object, array or null; none of new_class and missing_field.",
            ),
            column(
                "first_seen_at",
                TimestampType(),
                nullable=False,
                comment="Modification time of the oldest file that has it, UTC.",
            ),
            column(
                "last_seen_at",
                TimestampType(),
                nullable=False,
                comment="Modification time of the newest file that has it, UTC.",
            ),
            column(
                "records",
                LongType(),
                nullable=False,
                comment="How often it was found; copies of a record count, and so does each element of an array.",
            ),
            column(
                "sample",
                StringType(),
                comment="A value as JSON text, from the oldest file, its first 200 characters; NULL if there is none.",
            ),
            column("filename", StringType(), nullable=False, comment="URI of the file that the sample is from."),
        ]
    ),
)
