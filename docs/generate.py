"""The pages of tables, metrics and settings from contracts, profiles and settings: `python -m docs.generate`."""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import AwareDatetime, ByteSize
from pydantic.fields import FieldInfo

from conf.settings import FREE_SECTION, PROFILES_SECTION, MetricSettings, Section, Settings, environment_variable
from schemas.attribution import Model, NotCredited, TouchKind
from schemas.campaigns import CAMPAIGNS
from schemas.catalog import TABLES
from schemas.contract import Role, TableContract
from schemas.features import NOT_COVERED, Feature, Rows, features
from schemas.files import FileStatus
from schemas.messages import MESSAGES, CampaignKind
from schemas.metrics import CONDITIONS, PROFILES, Metric, Profile, Unit
from schemas.purchases import PurchaseKind, PurchaseSource
from schemas.quality import CheckKind, Severity
from schemas.quarantine import Reason, ReplayOutcome
from schemas.views import VIEWS, View

PROJECT = Path(__file__).parents[1]
COMMAND = ".venv/bin/python -m docs.generate"
NOTICE = f"<!-- Made by `{COMMAND}`; tests/test_docs.py compares. Change the code, not this page. -->"
VALUES: Mapping[tuple[str, str], type[StrEnum]] = {
    ("quarantine", "reason"): Reason,
    ("quarantine", "replay_outcome"): ReplayOutcome,
    ("files", "status"): FileStatus,
    ("quality", "check_kind"): CheckKind,
    ("quality", "severity"): Severity,
    (CAMPAIGNS.name, "campaign_kind"): CampaignKind,
    ("purchases", "kind"): PurchaseKind,
    ("purchases", "source"): PurchaseSource,
    ("attribution", "model"): Model,
    ("attribution", "touch_kind"): TouchKind,
    ("attribution", "reason"): NotCredited,
}
"""Of a table's column the values it may have, where each is explained."""

TABLES_HEAD = """\
The tables of a warehouse, each a Delta table in `<warehouse>/<table>` with the comments in it; only `requests` is not
stored but read where it lies.

The role of a column says how far its value depends on which copy of a row was kept:"""

METRICS_HEAD = """\
The setting `metrics.profile` chooses whose metrics are columns of `region_summary`, `campaigns` and the view
`region_summary_total`. A metric is three columns: `<metric>_numerator`, `<metric>_denominator`, `<metric>_rate`. The
numerator counts those units of the denominator of which its condition is true as well, so no rate exceeds 1; a
denominator of 0 gives NULL. All count on the day of the send. The source columns are those of `messages`.

Delivery and bounces count recipients, for SES says of each what became of it; engagement counts messages, for SES does
not say which of several recipients opened. A condition is true of a message if it is of one of its recipients.

Profiles of your own are settings, in terms of the conditions at the end of this page:

    metrics:
      profile: ours
      profiles:
        ours:
          reach: {numerator: opened, denominator: sent}
          click_to_open: {numerator: clicked, denominator: delivered and opened}
          hard_bounce: {numerator: hard_bounced, denominator: tried, unit: recipient}"""

FEATURES_HEAD = """\
What `recipient_features` (one row per value) and `recipient_features_wide` (one column per feature and window) tell of
each person at an instant, `as_of`. The column of all time is named as the feature, that of a window
`<feature>_<days>d`.

Nothing after `as_of` is used. A window of n days is what lies after `as_of` less n times 24 hours, and not after
`as_of`. Purchases that state no time, or no person that is known, are left out: they cannot be placed. Events that
arrive late, but happened before `as_of`, change what a later run says of it. Vars are those that `profiles_history`
has for that day.

A feature is an entry of `features` in `schemas/features.py`: its name, the rows it is computed over, an SQL aggregate
over them, its windows. Columns, comments and this page follow from it."""

SETTINGS_HEAD = f"""\
Every setting has a default, so a job starts without any. A later source wins over an earlier one:

1. the defaults below;
2. the YAML file: `conf/local.yaml`, or what `--config` names (a path, or the name of a file in `conf/`);
3. environment variables;
4. `--set key=value`, as often as needed; of one key the last wins;
5. the options `--input`, `--warehouse` and `--master` (the key `spark.master`).

A key with a dot is a key of a section. In YAML the section is a mapping, with `--set` the key is written with its dot,
in an environment variable the dot is `__`. An unknown key is refused, and so is a value of the wrong type: exit code 2
and one line per problem. Secrets are not settings: Spark, boto3 and the driver of PostgreSQL look for them where they
always do.

`{FREE_SECTION}` takes further settings of Spark by Spark's own names: a mapping in YAML and in its
environment variable, or `--set {FREE_SECTION}.<name>=<value>`. `{PROFILES_SECTION}` takes profiles under names
of your own, in its environment variable as a mapping, too."""


def main() -> None:
    """Write the pages."""
    for path, page in pages().items():
        (PROJECT / path).write_text(page, encoding="utf-8", newline="\n")
        print(path)


def pages() -> dict[str, str]:
    """The text of each page by its path in the project."""
    return {
        "docs/tables.md": tables_page(TABLES, VIEWS),
        "docs/metrics.md": metrics_page(PROFILES),
        "docs/features.md": features_page(features()),
        "docs/settings.md": settings_page(Settings),
    }


# --- tables


def tables_page(tables: Iterable[TableContract], views: Iterable[View]) -> str:
    """Every table with its columns, then every view with its SQL."""
    roles = [f"- **{role}**: {meaning}" for role, meaning in explained(Role).items()]
    parts = ["# Tables", NOTICE, TABLES_HEAD, "\n".join(roles), *map(_table, tables)]
    shown = list(map(_view, views))
    if shown:
        parts += ["## Views", *shown]
    return "\n\n".join(parts) + "\n"


def _table(table: TableContract) -> str:
    facts = {
        "Grain": table.grain,
        "Key": _names(table.key),
        "Partitioned by": _names(table.partitioned_by),
        "Statistics (minimum and maximum per data file)": _names(table.statistics),
        "Written by": _names(table.written_by),
    }
    columns = [
        (
            f"`{f.name}`",
            f"`{f.dataType.simpleString()}`",
            "yes" if f.nullable else "no",
            f.metadata["role"],
            f.metadata["comment"],
        )
        for f in table.schema.fields
    ]
    parts = [
        f"## `{table.name}`",
        "\n".join(f"- {fact}: {what}" for fact, what in facts.items()),
        _grid(("column", "type", "may be NULL", "role", "meaning"), columns),
    ]
    for name in table.columns:
        if values := VALUES.get((table.name, name)):
            rows = [(f"`{value}`", meaning) for value, meaning in explained(values).items()]
            parts += [f"Values of `{name}`:", _grid(("value", "meaning"), rows)]
    return "\n\n".join(parts)


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "none"


def _view(view: View) -> str:
    sql = textwrap.dedent(view.sql).strip()
    return f"### `{view.name}`\n\n{view.comment}\n\n```sql\n{sql}\n```"


def explained(values: type[StrEnum]) -> dict[str, str]:
    """Each value of an enum with the text that stands below it in the code."""
    [definition] = ast.parse(textwrap.dedent(inspect.getsource(values))).body
    assert isinstance(definition, ast.ClassDef)
    texts: dict[str, str] = {}
    for line, following in pairwise(definition.body):
        match line, following:
            case ast.Assign(targets=[ast.Name(id=name)]), ast.Expr(value=ast.Constant(value=str(text))):
                texts[values[name].value] = inspect.cleandoc(text)
    if unexplained := [value.name for value in values if value.value not in texts]:
        raise ValueError(f"{values.__name__}: no text stands below {unexplained}; write one for docs/tables.md.")
    return texts


# --- metrics


def metrics_page(profiles: Mapping[str, Profile]) -> str:
    """Every metric of every profile, then the conditions that metrics are made of."""
    parts = ["# Metrics", NOTICE, METRICS_HEAD]
    for name, profile in profiles.items():
        meanings = [(f"`{metric.name}`", metric.words) for metric in profile]
        parts += [f"## Profile `{name}`", metrics_table(profile), _grid(("metric", "in words"), meanings)]
    rows = [
        (f"`{name}`", one.words, f"`{one.of_message}`", f"`{one.recipients}`" if one.recipients else "not known")
        for name, one in CONDITIONS.items()
    ]
    parts += ["## Conditions", _grid(("condition", "meaning", "of a message", "recipients of a message"), rows)]
    return "\n\n".join(parts) + "\n"


def metrics_table(profile: Profile) -> str:
    """The metrics of a profile: what is divided by what, and the columns that it is counted from."""
    rows = [
        (
            f"`{metric.name}`",
            metric.numerator,
            metric.denominator,
            "messages" if metric.unit is Unit.MESSAGE else "recipients",
            _names(_sources_of(metric)),
        )
        for metric in profile
    ]
    return _grid(("metric", "numerator", "denominator", "counts", "columns of `messages`"), rows)


def _sources_of(metric: Metric) -> list[str]:
    words = re.findall(r"\w+", f"{metric.numerator_sql} {metric.denominator_sql}")
    return [name for name in MESSAGES.columns if name in words]


# --- features


def features_page(shown: Iterable[Feature]) -> str:
    """Every feature with its rows, windows and meaning, the rows, and what is no feature and why."""
    meanings = [
        (
            f"`{feature.name}`",
            feature.of,
            ", ".join(["all time", *map(str, feature.windows)]),
            feature.comment,
        )
        for feature in shown
    ]
    parts = [
        "# Features of people",
        NOTICE,
        FEATURES_HEAD,
        _grid(("feature", "computed over", "windows in days", "meaning"), meanings),
        "## Rows",
        inspect.cleandoc(Rows.__doc__ or ""),
        _grid(("rows", "what they are"), [(f"`{name}`", words) for name, words in explained(Rows).items()]),
        "## Not covered",
        _grid(("what", "why not"), NOT_COVERED.items()),
    ]
    return "\n\n".join(parts) + "\n"


# --- settings


def settings_page(settings: type[Section]) -> str:
    """Every setting, grouped by section."""
    parts = ["# Settings", NOTICE, SETTINGS_HEAD]
    for prefix, section in _sections(settings):
        rows = [
            _setting(prefix + name, field)
            for name, field in section.model_fields.items()
            if not _is_section(prefix + name, field)
        ]
        parts += [
            f"## `{prefix.rstrip('.')}`" if prefix else "## General",
            inspect.cleandoc(section.__doc__ or ""),
            _grid(("key", "type", "default", "meaning", "environment variable"), rows),
        ]
    return "\n\n".join(parts) + "\n"


def _sections(model: type[Section], prefix: str = "") -> Iterator[tuple[str, type[Section]]]:
    yield prefix, model
    for name, field in model.model_fields.items():
        if inner := _inner(field):
            yield from _sections(inner, f"{prefix}{name}.")
        elif f"{prefix}{name}" == PROFILES_SECTION:
            yield f"{PROFILES_SECTION}.<profile>.<metric>.", MetricSettings


def _inner(field: FieldInfo) -> type[Section] | None:
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, Section) else None


def _is_section(key: str, field: FieldInfo) -> bool:
    return _inner(field) is not None or key == PROFILES_SECTION


def _setting(key: str, field: FieldInfo) -> tuple[str, ...]:
    is_free = key == FREE_SECTION
    return (
        f"`{key}.<name>`" if is_free else f"`{key}`",
        in_words(key, field.annotation, field.metadata),
        "none" if is_free or field.is_required() else f"`{_as_yaml(field.get_default(call_default_factory=True))}`",
        field.description or "",
        f"`{environment_variable(PROFILES_SECTION if key.startswith(PROFILES_SECTION) else key)}`",
    )


def in_words(key: str, kind: Any, limits: Iterable[object] = ()) -> str:
    """A setting's type for a person, with the limits that pydantic checks."""
    limits = list(limits)
    if get_origin(kind) is Annotated:
        kind, *more = get_args(kind)
        limits += [one for info in more for one in (info.metadata if isinstance(info, FieldInfo) else [info])]
        return in_words(key, kind, limits)
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return " or ".join(in_words(key, one, limits) for one in inner if one is not NoneType) + (
            ", or null" if NoneType in inner else ""
        )
    if origin is Literal:
        return " or ".join(f"`{one}`" for one in inner)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return " or ".join(f"`{one}`" for one in kind)
    if origin in (tuple, list):
        return f"list, each a {in_words(key, inner[0], limits)}"
    if origin is not None and issubclass(origin, Mapping):
        return in_words(key, inner[1], limits)
    words = {
        str: "text",
        bool: "true or false",
        int: "whole number",
        float: "number",
        ByteSize: "bytes, plain or with a unit",
        datetime: "date and time with a zone",
        AwareDatetime: "date and time with a zone",
    }
    if kind not in words:
        raise TypeError(f"`{key}`: there are no words for the type {kind}; add them in docs/generate.py.")
    return words[kind] + "".join(map(_limit, limits))


def _limit(limit: object) -> str:
    bounds = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
    said = [f", {words} {getattr(limit, name)}" for name, words in bounds.items() if hasattr(limit, name)]
    return "".join(said) + (", not empty" if getattr(limit, "min_length", 0) else "")


def _as_yaml(value: object) -> str:
    """A default as one would write it in the YAML file."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case ByteSize():
            units = {"GiB": 1024**3, "MiB": 1024**2, "KiB": 1024}
            return next((f"{value // size}{unit}" for unit, size in units.items() if value % size == 0), f"{value:d}")
        case datetime():
            return value.isoformat().replace("+00:00", "Z")
        case tuple() | list():
            return f"[{', '.join(map(_as_yaml, value))}]"
        case "":
            return '""'
    return str(value)


# --- Markdown


def _grid(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [heads, tuple("---" for _ in heads), *[tuple(map(_cell, row)) for row in rows]]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(text: str) -> str:
    """Text on one line that ends no cell; outside of `code` it is no HTML and no emphasis either."""
    parts = " ".join(text.replace("|", "\\|").split()).split("`")
    parts[::2] = [re.sub(r"[<*]", r"\\\g<0>", part) for part in parts[::2]]
    return "`".join(parts)


if __name__ == "__main__":
    main()
