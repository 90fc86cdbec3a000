from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import ValidationError

from conf import settings as settings_module
from conf.errors import ConfigurationError
from conf.settings import Settings, as_environment, load_settings

WriteConfig = Callable[[str], str]


@pytest.fixture
def write_config(tmp_path: Path) -> WriteConfig:
    def write(text: str) -> str:
        path = tmp_path / "settings.yaml"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


def test_defaults_hold_when_nothing_is_said(write_config: WriteConfig) -> None:
    assert load_settings(write_config("# nothing\n"), environ={}) == Settings()


def test_local_is_read_when_no_config_is_named() -> None:
    assert load_settings(environ={}) == load_settings("local", environ={})


def test_local_states_the_defaults() -> None:
    assert load_settings("local", environ={}) == Settings()


def test_a_later_source_wins(write_config: WriteConfig) -> None:
    # given
    config = write_config("{input: file, warehouse: file, progress: json, spark: {master: file, driver_memory: 1g}}")
    environ = {
        "EMAIL_EVENTS_INPUT": "env",
        "EMAIL_EVENTS_WAREHOUSE": "env",
        "EMAIL_EVENTS_SPARK__MASTER": "env",
    }
    overrides = ["input=set", "spark.master=set"]
    # when
    settings = load_settings(config, overrides, environ, master="flag")
    # then
    assert (settings.progress, settings.spark.driver_memory) == ("json", "1g")
    assert (settings.warehouse, settings.input, settings.spark.master) == ("env", "set", "flag")


def test_the_last_of_two_overrides_wins() -> None:
    assert load_settings(overrides=["input=a", "input=b"], environ={}).input == "b"


def test_foreign_environment_variables_are_ignored() -> None:
    assert load_settings(environ={"INPUT": "x", "email_events_input": "x"}).input == "input"


def test_another_process_gets_the_same_settings_by_its_environment() -> None:
    overrides = [
        "warehouse=/data/ünïcode",
        "max_record_bytes=2KiB",
        "earliest_event_time=2001-02-03T04:05:06+01:00",
        "quarantine_limit.share=0.25",
        "spark.ui=true",
        "attribution.window_days=90,1",
        "features.windows=30,7",
        "metrics.profiles.ours.reach.numerator=opened",
        "metrics.profiles.ours.reach.denominator=tried and delivered",
        "metrics.profile=ours",
        "spark.conf.spark.executor.memory=2g",
        "spark.conf.spark.foo=a: '\\\\' # 😀",
    ]
    given = load_settings(overrides=overrides, environ={})
    assert load_settings(environ=as_environment(given)) == given


def test_settings_are_frozen() -> None:
    settings = Settings()
    with pytest.raises(ValidationError, match="frozen"):
        settings.input = "elsewhere"
    with pytest.raises(ValidationError, match="frozen"):
        settings.spark.master = "elsewhere"


def test_each_setting_is_described() -> None:
    models = (
        Settings,
        settings_module.SparkSettings,
        settings_module.SailthruSettings,
        settings_module.QuarantineLimit,
        settings_module.CampaignSettings,
        settings_module.AttributionSettings,
        settings_module.RequestsSettings,
        settings_module.RequestColumns,
        settings_module.ExportSettings,
        settings_module.MetricSettings,
        settings_module.MetricsSettings,
        settings_module.PurchasesSettings,
        settings_module.PurchaseColumns,
        settings_module.FeaturesSettings,
        settings_module.FeatureVars,
    )
    undescribed = {
        name for model in models for name, field in model.model_fields.items() if not field.description
    } - set(settings_module.SECTIONS)
    assert undescribed == set()


@pytest.mark.parametrize("windows", ["[90, 1, 90]", "90, 1", "'[90,1]'", "' 1,90'"])
def test_windows_are_a_list_or_a_text(write_config: WriteConfig, windows: str) -> None:
    config = write_config(f"attribution:\n  window_days: {windows}")
    assert load_settings(config, environ={}).attribution.window_days == (1, 90)


@pytest.mark.parametrize("windows", ["[]", "[0]", "[1, 3651]"])
def test_windows_are_days_within_ten_years(write_config: WriteConfig, windows: str) -> None:
    config = write_config(f"attribution: {{window_days: {windows}}}")
    line = r"`attribution.window_days` is a list; it should be whole numbers of days from 1 to 3650, at least one"
    with pytest.raises(ConfigurationError, match=line):
        load_settings(config, environ={})


def test_spark_settings_of_file_and_overrides_are_merged(write_config: WriteConfig) -> None:
    # given
    config = write_config("spark: {conf: {spark.sql.ansi.enabled: false, spark.a.b: 1}}")
    # when
    settings = load_settings(config, ["spark.conf.spark.a.b=x=[1", "spark.conf.spark.C= "], environ={})
    # then
    assert settings.spark.conf == {"spark.sql.ansi.enabled": "false", "spark.a.b": "x=[1", "spark.C": " "}


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        pytest.param("sailthru.client_id=0123", "0123", id="leading-zero"),
        pytest.param("sailthru.client_id=1_000", "1_000", id="underscore"),
        pytest.param("sailthru.client_id=yes", "yes", id="word-that-yaml-takes-for-true"),
        pytest.param("sailthru.client_id='null'", "null", id="quoted-null"),
        pytest.param("sailthru.client_id=''", "", id="empty"),
    ],
)
def test_a_text_stays_as_written(override: str, expected: str) -> None:
    assert load_settings(overrides=[override], environ={}).sailthru.client_id == expected


@pytest.mark.parametrize(
    ("override", "field", "expected"),
    [
        pytest.param("max_bytes_per_batch=64 MB", "max_bytes_per_batch", 64_000_000, id="megabytes"),
        pytest.param("max_record_bytes=1MiB", "max_record_bytes", 1_048_576, id="mebibytes"),
        pytest.param("max_bytes_per_batch=1000", "max_bytes_per_batch", 1000, id="plain-bytes"),
        pytest.param("trigger_interval_seconds=0.5", "trigger_interval_seconds", 0.5, id="half-a-second"),
        pytest.param(
            "earliest_event_time=2020-01-01T02:00:00+02:00",
            "earliest_event_time",
            datetime(2020, 1, 1, tzinfo=UTC),
            id="instant-in-another-zone",
        ),
        pytest.param("checkpoints=null", "checkpoints", None, id="null"),
        pytest.param("checkpoints=", "checkpoints", None, id="nothing-after-the-equals-sign"),
    ],
)
def test_a_value_gets_the_type_of_its_setting(override: str, field: str, expected: object) -> None:
    assert getattr(load_settings(overrides=[override], environ={}), field) == expected


@pytest.mark.parametrize(
    ("checkpoints", "expected"),
    [
        pytest.param(None, "s3a://bucket/lake/_checkpoints", id="in-the-warehouse"),
        pytest.param("file:///var/checkpoints", "file:///var/checkpoints", id="stated"),
    ],
)
def test_checkpoints_uri(checkpoints: str | None, expected: str) -> None:
    assert Settings(warehouse="s3a://bucket/lake/", checkpoints=checkpoints).checkpoints_uri == expected


@pytest.mark.parametrize(
    ("text", "line"),
    [
        pytest.param(
            "max_file_per_batch: 5",
            "{}: `max_file_per_batch` is no known setting; the nearest is `max_files_per_batch`.",
            id="unknown-key",
        ),
        pytest.param(
            "spark: {memory: 5g}",
            "{}: `spark.memory` is no known setting; the nearest is `spark.driver_memory`.",
            id="unknown-key-in-section",
        ),
        pytest.param(
            "max_files_per_batch: many",
            "{}: `max_files_per_batch` is 'many'; it should be a valid integer, unable to parse string as an integer.",
            id="wrong-type",
        ),
        pytest.param(
            "max_files_per_batch: 0",
            "{}: `max_files_per_batch` is '0'; it should be greater than or equal to 1.",
            id="too-small",
        ),
        pytest.param(
            "max_bytes_per_batch: 5 parsecs",
            "{}: `max_bytes_per_batch` is '5 parsecs'; it should be a number of bytes, such as 268435456 or 256MiB.",
            id="no-size",
        ),
        pytest.param(
            "progress: xml",
            "{}: `progress` is 'xml'; it should be 'text' or 'json'.",
            id="none-of-the-choices",
        ),
        pytest.param("input:", "{}: `input` is empty; it should be a text.", id="null"),
        pytest.param("input: ''", "{}: `input` is ''; it should be a text that is not empty.", id="empty-text"),
        pytest.param("input: [a]", "{}: `input` is a list; it should be a text.", id="list-for-a-text"),
        pytest.param(
            "attribution: {window_days: }",
            "{}: `attribution.window_days` is empty; it should be a list.",
            id="nothing-for-a-list",
        ),
        pytest.param(
            "spark: 5",
            "{}: `spark` is '5'; it should be a section of keys and values.",
            id="text-for-a-section",
        ),
        pytest.param(
            "spark: {conf: {sql.foo: 5}}",
            "{}: `spark.conf.sql.foo` is '5'; it should be named as Spark names it, beginning with `spark.`.",
            id="no-spark-setting",
        ),
        pytest.param(
            "spark: {conf: {spark.foo: [1]}}",
            "{}: `spark.conf.spark.foo` is a list; it should be a text.",
            id="list-for-a-spark-setting",
        ),
        pytest.param(
            "spark: {driver_memory: 2}",
            "{}: `spark.driver_memory` is '2'; it should be a whole number and a unit of k, m, g or t, such as 2g.",
            id="memory-without-unit",
        ),
        pytest.param(
            "sailthru: {time_zone: America}",
            "{}: `sailthru.time_zone` is 'America'; "
            "it should be the IANA name of a time zone, such as America/New_York.",
            id="folder-of-time-zones",
        ),
        pytest.param(
            "sailthru: {time_zone: Mars/Olympus}",
            "{}: `sailthru.time_zone` is 'Mars/Olympus'; "
            "it should be the IANA name of a time zone, such as America/New_York.",
            id="unknown-time-zone",
        ),
        pytest.param(
            "earliest_event_time: 2000",
            "{}: `earliest_event_time` is '2000'; "
            "it should be a date and time with a zone, such as 2000-01-01T00:00:00Z.",
            id="number-for-an-instant",
        ),
        pytest.param(
            "earliest_event_time: 2000-01-01T00:00:00",
            "{}: `earliest_event_time` is '2000-01-01T00:00:00'; "
            "it should be a date and time with a zone, such as 2000-01-01T00:00:00Z.",
            id="instant-without-zone",
        ),
        pytest.param(
            "trigger_interval_seconds: .inf",
            "{}: `trigger_interval_seconds` is '.inf'; "
            "it should be a valid number, unable to parse string as a number.",
            id="infinity-as-yaml-writes-it",
        ),
        pytest.param(
            "trigger_interval_seconds: inf",
            "{}: `trigger_interval_seconds` is 'inf'; it should be a finite number.",
            id="infinity",
        ),
        pytest.param(
            "features: {windows: }",
            "{}: `features.windows` is empty; it should be a list.",
            id="no-list",
        ),
        pytest.param(
            "features: {windows: [7, x]}",
            "{}: `features.windows` is a list; it should be a valid integer, unable to parse string as an integer.",
            id="list-of-the-wrong-type",
        ),
        pytest.param("input: [", "{}, line 1: this is no valid YAML: ", id="broken-yaml"),
        pytest.param("input: a\ninput: b", "{}, line 1: this is no valid YAML: a key stands twice.", id="key-twice"),
        pytest.param("input: \a", "{}: this is no valid YAML: ", id="control-character"),
        pytest.param("- input", "{}: found a list; wanted lines such as ", id="list-of-settings"),
    ],
)
def test_a_malformed_file_is_refused_with_one_line(write_config: WriteConfig, text: str, line: str) -> None:
    # given
    config = write_config(text)
    # when
    with pytest.raises(ConfigurationError) as caught:
        load_settings(config, environ={})
    # then
    assert str(caught.value).startswith(line.format(config))
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("config", "line"),
    [
        pytest.param("nowhere", r"^conf/nowhere\.yaml: no such file; .* one of conf/: .*\blocal\b", id="unknown-name"),
        pytest.param("a/b.yaml", r"^a/b\.yaml: no such file; .* one of conf/: .*\blocal\b", id="missing-path"),
        pytest.param("./", r"^\./: cannot be read: Is a directory", id="folder"),
    ],
)
def test_a_config_that_cannot_be_read_is_refused(config: str, line: str) -> None:
    with pytest.raises(ConfigurationError, match=line):
        load_settings(config, environ={})


def test_a_config_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"input: caf\xe9")
    with pytest.raises(ConfigurationError, match=r"latin\.yaml: cannot be read: it is not UTF-8 text"):
        load_settings(str(tmp_path / "latin.yaml"), environ={})


@pytest.mark.parametrize(
    ("environ", "line"),
    [
        pytest.param(
            {"EMAIL_EVENTS_CLIENT_ID": "x"},
            "environment: `EMAIL_EVENTS_CLIENT_ID` is no known setting; "
            "the nearest is `EMAIL_EVENTS_SAILTHRU__CLIENT_ID`.",
            id="unknown-key",
        ),
        pytest.param(
            {"EMAIL_EVENTS_MAX_FILES_PER_BATCH": "x"},
            "environment: `EMAIL_EVENTS_MAX_FILES_PER_BATCH` is 'x'; "
            "it should be a valid integer, unable to parse string as an integer.",
            id="wrong-type",
        ),
        pytest.param(
            {"EMAIL_EVENTS_SPARK__CONF": "spark.foo"},
            "environment: `EMAIL_EVENTS_SPARK__CONF` is 'spark.foo'; it should be a section of keys and values.",
            id="no-mapping",
        ),
        pytest.param(
            {"EMAIL_EVENTS_SPARK": "{ui: true}"},
            "environment: `EMAIL_EVENTS_SPARK` is '{ui: true}'; it should be a section of keys and values.",
            id="section",
        ),
        pytest.param(
            {"EMAIL_EVENTS_SPARK__CONF__SPARK__FOO": "x"},
            "environment: `EMAIL_EVENTS_SPARK__CONF__SPARK__FOO` cannot name a Spark setting; "
            "use --set spark.conf.<name>=…",
            id="spark-setting",
        ),
    ],
)
def test_a_malformed_environment_variable_is_refused(environ: dict[str, str], line: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(environ=environ)
    assert str(caught.value) == line


@pytest.mark.parametrize(
    ("override", "line"),
    [
        pytest.param("input", "--set: found 'input'; wanted key=value.", id="no-equals-sign"),
        pytest.param("=x", "--set: found '=x'; wanted key=value.", id="no-key"),
        pytest.param("", "--set: found ''; wanted key=value.", id="nothing"),
        pytest.param("inptu=x", "--set: `inptu` is no known setting; the nearest is `input`.", id="unknown-key"),
        pytest.param("progress=[text]", "--set progress: found '[text]'; wanted a single value.", id="list"),
        pytest.param(
            "spark=x",
            "--set: `spark` is 'x'; it should be a section of keys and values.",
            id="section",
        ),
        pytest.param(
            "spark.ui=perhaps",
            "--set: `spark.ui` is 'perhaps'; it should be a valid boolean, unable to interpret input.",
            id="wrong-type",
        ),
        pytest.param(
            "spark.conf.=x",
            "--set: `spark.conf.` is 'x'; it should be named as Spark names it, beginning with `spark.`.",
            id="spark-setting-without-name",
        ),
    ],
)
def test_a_malformed_override_is_refused(override: str, line: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(overrides=[override], environ={})
    assert str(caught.value) == line


def test_an_empty_flag_is_refused() -> None:
    with pytest.raises(
        ConfigurationError, match=r"^command line: `--input` is ''; it should be a text that is not empty"
    ):
        load_settings(environ={}, input="")


def test_every_problem_has_its_line() -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(overrides=["nonsense=1", "max_files_per_batch=0", "spark.ui=2"], environ={})
    assert [line.split("`")[1] for line in caught.value.problems] == [
        "nonsense",
        "max_files_per_batch",
        "spark.ui",
    ]
    assert caught.value.exit_code == 2


URL = "jdbc:postgresql://db:5432/crm"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("source: csv, path: /data/requests", id="csv-elsewhere"),
        pytest.param("source: delta, path: /data/requests", id="delta"),
        pytest.param(f"source: postgresql, jdbc_url: '{URL}?sslmode=require', table: sends", id="table"),
        pytest.param(f"source: postgresql, jdbc_url: '{URL}', query: 'select 1'", id="query"),
        pytest.param("source: postgresql, jdbc_url: 'jdbc:postgresql://a:1,b/crm', table: sends", id="two-hosts"),
        pytest.param("columns: {region: MARKET}", id="other-name"),
    ],
)
def test_requests_may_be_kept_there(write_config: WriteConfig, text: str) -> None:
    load_settings(write_config(f"requests: {{{text}}}"), environ={})


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param("source: delta", "source delta needs path, the folder of the table", id="delta-without-path"),
        pytest.param(
            "jdbc_url: " + URL, "jdbc_url cannot be used with source csv; leave out one of the two", id="url-for-csv"
        ),
        pytest.param(
            f"source: postgresql, path: x, jdbc_url: '{URL}', table: t",
            "path cannot be used with source postgresql; leave out one of the two",
            id="path-for-a-database",
        ),
        *(
            pytest.param(
                f"source: postgresql{text}", "source postgresql needs jdbc_url, and either table or query", id=name
            )
            for name, text in {
                "nothing": "",
                "no-table": f", jdbc_url: '{URL}'",
                "no-url": ", table: t, query: q",
                "table-and-query": f", jdbc_url: '{URL}', table: t, query: q",
            }.items()
        ),
    ],
)
def test_a_source_of_requests_that_is_half_said_is_refused(write_config: WriteConfig, text: str, problem: str) -> None:
    config = write_config(f"requests: {{{text}}}")
    with pytest.raises(ConfigurationError) as caught:
        load_settings(config, environ={})
    assert str(caught.value) == f"{config}: `requests`: {problem}."


@pytest.mark.parametrize("key", ["requests.jdbc_url", "export.jdbc_url"])
@pytest.mark.parametrize(
    "url",
    [
        pytest.param("jdbc:postgresql://db/crm?password=hunter2", id="password"),
        pytest.param("jdbc:postgresql://db/crm?ssl=true&PassWord=hunter2", id="password-in-capitals"),
        pytest.param("jdbc:postgresql://db/crm?sslpassword=hunter2", id="password-of-a-key"),
        pytest.param("jdbc:postgresql://db/crm?user=hunter2", id="user"),
        pytest.param("jdbc:postgresql://ada:hunter2@db/crm", id="before-the-host"),
        pytest.param("postgresql://ada:hunter2@db/crm", id="as-libpq-takes-it"),
        pytest.param("[hunter2]", id="list"),
    ],
)
def test_a_url_with_a_password_is_refused_and_not_repeated(key: str, url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(overrides=[f"{key}={url}"], environ={})
    line = str(caught.value)
    assert line.startswith(f"--set{' ' if '[' in url else ': `'}{key}")
    assert "hunter2" not in line
    assert len(caught.value.problems) == 1
    assert "\n" not in line


OURS = "metrics.profiles.ours"
CONDITIONS = (
    "sent, suppressed, tried, delivered, bounced, hard_bounced, soft_bounced, opened, clicked, complained, "
    "unsubscribed, delayed"
)


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        pytest.param(
            ["metrics.profile=sess"],
            "--set: `metrics`: there is no profile 'sess'; the nearest is `ses`.",
            id="unknown-profile",
        ),
        pytest.param(
            [f"{OURS}.reach.numerator=openend", f"{OURS}.reach.denominator=sent"],
            f"--set: `{OURS}.reach.numerator` is 'openend'; it should be one of {CONDITIONS}, or several joined by "
            "` and `; the nearest is `opened`.",
            id="unknown-condition",
        ),
        pytest.param(
            [f"{OURS}.reach.numerator=opened"], f"--set: `{OURS}.reach`: it needs denominator, too.", id="one-half"
        ),
        pytest.param(
            [f"{OURS}.reach.numerator=opened", f"{OURS}.reach.denominator=sent", f"{OURS}.reach.unit=recipient"],
            f"--set: `{OURS}.reach`: `opened` cannot be counted per recipient; one of sent, suppressed, tried, "
            "delivered, bounced, hard_bounced, soft_bounced can.",
            id="not-known-of-recipients",
        ),
        pytest.param(
            [f"{OURS}.x.numerator=bounced", f"{OURS}.x.denominator=delivered", f"{OURS}.x.unit=recipient"],
            f"--set: `{OURS}.x`: recipients bounced are no part of those delivered, but of those tried, sent.",
            id="no-part-of-it",
        ),
        pytest.param(
            [f"{OURS}.Reach.numerator=opened", f"{OURS}.Reach.denominator=sent"],
            f"--set: `{OURS}.Reach`: profiles and metrics are named by up to 40 of a-z, 0-9 and _, the first a letter.",
            id="name-that-is-no-column",
        ),
        pytest.param(
            [f"{OURS}.reach.numertor=opened"],
            f"--set: `{OURS}.reach.numertor` is no known setting; the nearest is `{OURS}.reach.numerator`.",
            id="unknown-key",
        ),
        pytest.param(
            ["metrics.profiles.ses.reach.numerator=opened", "metrics.profiles.ses.reach.denominator=sent"],
            "--set: `metrics`: the profile ses is built in; give yours another name.",
            id="name-of-a-built-in-one",
        ),
    ],
)
def test_a_profile_that_cannot_be_counted_is_refused_with_one_line(overrides: list[str], line: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(overrides=overrides, environ={})
    assert str(caught.value) == line


def test_a_profile_of_ones_own_may_stand_in_parts(write_config: WriteConfig) -> None:
    config = write_config("metrics: {profile: ours, profiles: {ours: {reach: {numerator: opened, denominator: sent}}}}")
    variable = {"EMAIL_EVENTS_METRICS__PROFILES": "{ours: {spam: {numerator: complained, denominator: delivered}}}"}
    settings = load_settings(config, [f"{OURS}.reach.denominator=delivered"], environ=variable)
    found = {metric.name: (metric.numerator, metric.denominator) for metric in settings.metrics.chosen}
    assert found == {"reach": ("opened", "delivered"), "spam": ("complained", "delivered")}
