"""Which shapes and delivery forms are mixed into generated files, and with what share."""

import dataclasses
from dataclasses import dataclass
from typing import Self

SHAPES = (
    "body_string",  # "send": "{}"
    "body_null",  # send, reject, rendering failure only: no time is lost
    "body_missing",  # likewise
    "type_spelling",  # RENDERING_FAILURE, "rendering failure"
    "times",  # offsets, no zone, space for T, epoch
    "key_order",
    "extra_keys",
    "identity",  # notificationType, neither tags nor headers
    "other_bodies_null",
    "recipients",  # other order, domain in other letter case
    "escapes",  # \u escapes and spaces after separators
    "short_mail",  # no headers, no sourceArn
    "delayed_object",  # delayedRecipients as an object
)

WRAPPERS = (
    "sns",
    "eventbridge",
    "eventbridge_untyped",  # no detail.eventType: detail-type says the class
    "sns_eventbridge",
    "lambda",  # {"Records": [{"Sns": …}]}
    "sqs",  # {"Records": [{"body": …}]}
    "firehose_error",
)

ODD_FILES = (
    "zero_bytes",
    "blank_lines_only",
    "bom_only",
    "gz_of_nothing",
    "hidden_underscore",
    "hidden_dot",
    "hidden_folder",
    "zip",
    "parquet",
    "orc",
    "snappy",
)

ODD_NAMES = (
    "brackets",
    "hive_folder",
    "percent",
    "old_mtime",
)

BROKEN = {
    "truncated": "not_json",
    "truncated_in_sns": "not_json",
    "unclosed_before_object": "not_json",
    "unclosed_after_object": "not_json",
    "garbage": "not_json",
    "garbage_between": "not_json",
    "garbage_after": "not_json",
    "single_quotes": "not_json",
    "nan": "not_json",
    "trailing_comma": "not_json",
    "invalid_utf8": "not_json",
    "array": "not_an_object",
    "array_of_events": "not_an_object",
    "number": "not_an_object",
    "text": "not_an_object",
    "null": "not_an_object",
    "empty_object": "unknown_shape",
    "other_object": "unknown_shape",
    "received": "unknown_shape",
    "no_mail": "unknown_shape",
    "mail_null": "unknown_shape",
    "only_mail": "unknown_shape",
    "firehose_error_without_data": "unknown_shape",
    "s3_records": "unknown_shape",
    "no_message_id": "no_message_id",
    "empty_message_id": "no_message_id",
    "null_message_id": "no_message_id",
    "no_message_id_in_records": "no_message_id",
    "bad_time": "bad_time",
    "bad_time_in_sns": "bad_time",
    "no_time": "bad_time",
    "time_out_of_range": "time_out_of_range",
}

CONTROL = (
    "subscription_confirmation",
    "unsubscribe_confirmation",
    "validation_text",
    "sending_status",
    "advisor",
    "validation_in_records",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Forms:
    """Shares between 0 and 1, each of what its comment says; an empty tuple leaves those forms out."""

    duplicates: float = 0.10  # of events: delivered again, 1 to 8 times, in whatever form
    wrapped: float = 0.25  # of deliveries
    wrappers: tuple[str, ...] = WRAPPERS
    reshaped: float = 0.25  # of deliveries
    shapes: tuple[str, ...] = SHAPES
    without_body: float = 0.01  # of events: body or its time is missing, mail.timestamp stands in
    unknown_class: float = 0.01  # of delivered messages
    lost: float = 0.01  # of events: never written, as if the provider had lost them; a message keeps at least one
    broken: float = 0.02  # records per event, besides the events
    broken_kinds: tuple[str, ...] = tuple(BROKEN)
    too_large: int = 1  # records beyond the limit, and as many events of exactly the limit
    control: float = 0.005  # records per event, besides the events
    control_kinds: tuple[str, ...] = CONTROL
    joined: float = 0.03  # of lines: several objects on it
    blank_lines: float = 0.02  # blank lines per line
    padded: float = 0.01  # of lines: white space around
    gz: float = 0.30  # of files
    gz_members: float = 0.05  # of files: gzip of two members
    gz_named_json: float = 0.05  # of files
    plain_named_gz: float = 0.05  # of files
    cut_off: float = 0.05  # of files: gzip whose end is missing
    crlf: float = 0.10  # of files
    bom: float = 0.10  # of files
    no_final_newline: float = 0.20  # of files
    odd_names: float = 0.10  # of files
    odd_name_kinds: tuple[str, ...] = ODD_NAMES
    odd_files: float = 0.05  # odd files per file, and one of each kind to begin with
    odd_file_kinds: tuple[str, ...] = ODD_FILES

    @classmethod
    def plain(cls) -> Self:
        """Every event once, in plain newline-delimited files as Firehose leaves them: for benchmarks."""
        nothing: dict[str, int | float] = {
            share.name: 0 for share in dataclasses.fields(cls) if isinstance(share.default, int | float)
        }
        return cls(**nothing)  # type: ignore[arg-type]  # every number of this class is a share or a count
