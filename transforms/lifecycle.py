"""`events` as the summaries of messages see them: of which message, of whom, and what they mean."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from schemas.stages import STAGES
from transforms.identity import address_key, recipients_key

UNKNOWN = "unknown"
_SUPPRESSIONS = ("suppressed", "emailvalidationsuppressed", "unsubscribedrecipient")
_SUPPRESSION_LIST = r"^on.*suppressionlist$"
_PREFERENCES = (
    "unsubscribeAll:boolean,topicSubscriptionStatus:array<struct<topicName:string,subscriptionStatus:string>>"
)
_BOUNCED = "bouncedRecipients array<struct<emailAddress:string,status:string>>"
HARD, SOFT = "hard", "soft"
_SUBSCRIPTION = f"newTopicPreferences struct<{_PREFERENCES}>, oldTopicPreferences struct<{_PREFERENCES}>"


def to_lifecycle(events: DataFrame, email_kind_tag: str | None) -> DataFrame:
    """Narrow rows, one per event.

    Gives provider, account (empty for SES), message_id, event_class as stated, `stage` (the class it counts as; NULL
    for classes that are not counted), event_time, timestamp, `email_tag` (the tag that says the kind of email; NULL if
    the event has none), campaign, profile_id, `recipients` (whom it is about: an array, of one NULL where the event
    names nobody), `is_suppression` (nobody tried to deliver), `is_report` (a complaint that is one) and `bounces` (of a
    bounce that is no suppression whom it is about, each with `kind`: hard, soft, or NULL if nothing says which).
    """
    is_suppression = _is_suppression()
    is_report = (F.col("event_class") == "complaint") & ~is_suppression
    is_not_spam = F.coalesce(F.col("event_subclass") == "not-spam", F.lit(False))
    tag = F.lit(None).cast("string")
    if email_kind_tag is not None:
        stated = F.trim(F.get(F.col("tags")[email_kind_tag], F.lit(0)))
        tag = F.when(stated != "", stated)
    return events.select(
        "provider",
        account_of_message().alias("account"),
        "message_id",
        "event_class",
        stage().alias("stage"),
        "event_time",
        "timestamp",
        tag.alias("email_tag"),
        "campaign",
        "profile_id",
        recipients().alias("recipients"),
        is_suppression.alias("is_suppression"),
        (is_report & ~is_not_spam).alias("is_report"),
        _bounces(is_suppression).alias("bounces"),
    )


def stage() -> Column:
    """The class that an event counts as: its own, or `unsubscribe`; NULL for classes that are not counted."""
    # Of other classes NULL, which costs nothing: Spark parses before it looks whether the parse is needed.
    subscription = F.when(F.col("event_class") == "subscription", F.col("event_data"))
    is_counted = F.col("event_class").isin([s.event_class for s in STAGES])
    return F.when(_is_opt_out(subscription), F.lit("unsubscribe")).when(is_counted, F.col("event_class"))


def account_of_message() -> Column:
    """The account in the key of the message that an event is of: empty for SES, whose message ids are unique alone."""
    return F.when(F.col("provider") == "ses", F.lit("")).otherwise(F.coalesce("account", F.lit("")))


def recipients() -> Column:
    """Whom an event is about: an array, of one NULL where it names nobody.

    Of a message with one recipient it is about that one, whomever it names: a bounce may name the address that the
    mail was forwarded to. Of several it is about those it names, as the message's destination spells them: a bounce may
    spell them otherwise. Sailthru's messages have one recipient each, whom `to_journeys` names.
    """
    named, nobody = F.col("event_recipients"), F.array(F.lit(None).cast("string"))
    return (
        F.when(F.size("destination") == 1, recipients_key(F.col("destination")))
        .when(named.isNull() | (F.col("event_class") == "subscription"), nobody)  # SES gives all for one who subscribed
        .otherwise(F.array_distinct(F.transform(named, _as_sent)))
    )


def _as_sent(address: Column) -> Column:
    """An address as the message's destination spells it."""
    same = F.filter(recipients_key(F.col("destination")), lambda sent: F.lower(sent) == F.lower(address))
    return F.when(F.size(same) == 1, F.get(same, F.lit(0))).otherwise(address)


def _bounces(is_suppression: Column) -> Column:
    """Of a bounce whom it is about and of which kind it is for each; NULL for other events.

    SES labels the bounce, but the label misleads (transient with status 5.1.1, permanent with 4.2.2): where a recipient
    has an enhanced SMTP status (RFC 3463), its first digit decides. Sailthru's events do not say the kind.
    """
    is_bounce = (F.col("event_class") == "bounce") & ~is_suppression
    stated = F.from_json(F.when(is_bounce, F.col("event_data")), _BOUNCED)["bouncedRecipients"]
    label = F.when(F.col("event_type") == "permanent", F.lit(HARD)).when(
        F.col("event_type") == "transient", F.lit(SOFT)
    )
    is_only = F.size("destination") == 1

    def bounce(recipient: Column, kind: Column) -> Column:
        return F.struct(recipient.alias("recipient"), kind.alias("kind"))

    def by_status(one: Column) -> Column:
        kind = F.when(one["status"].rlike(r"^\s*5\."), F.lit(HARD)).when(one["status"].rlike(r"^\s*4\."), F.lit(SOFT))
        address = _as_sent(address_key(one["emailAddress"]))
        only = F.get(recipients_key(F.col("destination")), F.lit(0))
        return bounce(F.when(is_only, only).otherwise(address), F.coalesce(kind, label))

    by_label = F.transform(recipients(), lambda recipient: bounce(recipient, label))
    return F.when(is_bounce, F.when(F.size(stated) > 0, F.transform(stated, by_status)).otherwise(by_label))


def _is_suppression() -> Column:
    """A bounce or complaint that SES made up itself, for the address is on a list: the message never left."""
    subtype = F.when(F.col("event_class") == "bounce", F.col("event_subclass")).when(
        F.col("event_class") == "complaint", F.col("event_type")
    )
    return F.coalesce(subtype.isin(*_SUPPRESSIONS) | subtype.rlike(_SUPPRESSION_LIST), F.lit(False))


def _is_opt_out(event_data: Column) -> Column:
    """Whether a subscription event leaves all topics, or one that was not left before; never NULL."""
    body = F.from_json(event_data, _SUBSCRIPTION)

    def left(preferences: str) -> Column:
        status = body[preferences]["topicSubscriptionStatus"]
        return F.transform(F.filter(status, lambda t: t["subscriptionStatus"] == "OptOut"), lambda t: t["topicName"])

    before = F.coalesce(left("oldTopicPreferences"), F.array().cast("array<string>"))
    leaves_topic = F.size(F.array_except(left("newTopicPreferences"), before)) > 0
    return F.coalesce(body["newTopicPreferences"]["unsubscribeAll"], F.lit(False)) | F.coalesce(
        leaves_topic, F.lit(False)
    )
