"""What the pages say is what the code does: made pages are up to date, and what pages name is there."""

import importlib
import pkgutil
import re
from pathlib import Path

import pytest
from pyspark.sql.types import StringType, StructType

import schemas
from conf.settings import Settings, load_settings
from docs.generate import COMMAND, METRICS_HEAD, metrics_table, pages, tables_page
from jobs.__main__ import JOBS
from schemas.catalog import TABLES
from schemas.contract import TableContract, column
from schemas.metrics import DEFAULT_PROFILE
from schemas.views import View

PROJECT = Path(__file__).parents[1]
WRITTEN_BY_HAND = (
    "README.md",
    *(
        f"docs/{page}.md"
        for page in (
            "attribution",
            "deploy",
            "design-notes",
            "extending",
            "maintenance",
            "people",
            "purchases",
            "region-data",
        )
    ),
)
_FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_CODE = re.compile(r"`([^`\n]+)`")
_PATH = re.compile(r"(?:\./)?[\w.-]+(?:/[\w.-]+)*(?:/|\.(?:py|sh|md|yaml|toml|lock|jsonl|sql|ipynb|properties))")
_OUR_FOLDERS = ("jobs", "transforms", "schemas", "conf", "tests", "input", "notebooks", "bench", "docs")


@pytest.mark.parametrize("path", pages())
def test_a_made_page_is_what_the_code_gives_now(path: str) -> None:
    page = PROJECT / path
    if not page.exists() or page.read_text("utf-8") != pages()[path]:
        pytest.fail(f"{path} is out of date. In the project's folder run: {COMMAND}", pytrace=False)


def test_every_contract_is_in_the_catalog() -> None:
    modules = [importlib.import_module(f"schemas.{module.name}") for module in pkgutil.iter_modules(schemas.__path__)]
    found = {one.name for module in modules for one in vars(module).values() if isinstance(one, TableContract)}
    assert sorted(found) == sorted(table.name for table in TABLES), "schemas/catalog.py lists each table, once"


def test_tables_are_written_by_jobs_that_are_there() -> None:
    unknown = {table.name: set(table.written_by) - set(JOBS) for table in TABLES}
    assert not any(unknown.values()), unknown


@pytest.mark.parametrize("page", WRITTEN_BY_HAND)
def test_every_file_a_page_names_is_there(page: str) -> None:
    assert missing_paths(PROJECT / page) == []


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("`jobs/batches.py`, `./run-tests.sh -x` and `jobs/`", []),
        ("`batches.py` may stand without its folder", []),
        ("`jobs/nothing.py` and `nothing.py`", ["jobs/nothing.py", "nothing.py"]),
        ("`jobs/nothing` is a module without its ending, `jobs/batches` too", ["jobs/nothing"]),
        ("[a link](nowhere.md#part), [another](design-notes.md#part)", ["nowhere.md"]),
        ("[elsewhere](https://example.com/x.md)", []),
        ("`schemas/<table>.py`, `<folder>/ses/` and `/data/mail` are no files of ours", []),
        ("```\n`jobs/nothing.py`\n```", []),
    ],
)
def test_missing_paths_are_found(text: str, missing: list[str], tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    assert missing_paths(page, PROJECT / "docs") == missing


def missing_paths(page: Path, folder: Path | None = None) -> list[str]:
    """The targets of links, and the paths in backticks, that are not there; links count from the page's folder."""
    text = _FENCED.sub("", page.read_text("utf-8"))
    links = [link.partition("#")[0] for link in _LINK.findall(text) if "://" not in link]
    words = [word for code in _CODE.findall(text) for word in code.split()]
    named = [word for word in words if _PATH.fullmatch(word) or word.startswith(tuple(f"{f}/" for f in _OUR_FOLDERS))]
    return [link for link in links if not ((folder or page.parent) / link).exists()] + [
        path for path in named if not _is_there(path)
    ]


def _is_there(path: str) -> bool:
    if any(mark in path for mark in "<>*"):
        return True  # stands for several
    if "/" in path:
        return (PROJECT / path).exists() or (PROJECT / f"{path}.py").exists()
    return (PROJECT / path).exists() or any(next((PROJECT / f).rglob(path), None) for f in _OUR_FOLDERS)


def test_every_example_of_region_data_can_be_loaded(tmp_path: Path) -> None:
    examples = re.findall(r"^```yaml\n(.*?)^```", (PROJECT / "docs/region-data.md").read_text("utf-8"), re.M | re.S)
    assert {"csv", "delta", "postgresql"} == {_loaded(example, tmp_path).requests.source for example in examples}


def test_the_example_of_purchases_can_be_loaded(tmp_path: Path) -> None:
    [example] = re.findall(r"^```yaml\n(.*?)^```", (PROJECT / "docs/purchases.md").read_text("utf-8"), re.M | re.S)
    assert _loaded(example, tmp_path).purchases.columns.extid == "order_no"


def _loaded(example: str, folder: Path) -> Settings:
    (folder / "example.yaml").write_text(example, "utf-8")
    return load_settings(str(folder / "example.yaml"), environ={})


def test_the_readme_mentions_every_job() -> None:
    """No more than that: whether it says the right thing of a job no test can tell."""
    readme = (PROJECT / "README.md").read_text("utf-8")
    assert [job for job in JOBS if not re.search(rf"\b{job}\b", readme)] == []


def test_the_readme_has_the_table_of_metrics_as_the_code_gives_it() -> None:
    assert metrics_table(DEFAULT_PROFILE) in (PROJECT / "README.md").read_text("utf-8")


def test_the_page_of_metrics_names_the_columns_that_each_is_counted_from() -> None:
    lines = metrics_table(DEFAULT_PROFILE).splitlines()
    assert (
        "| `click_to_open` | clicked | delivered and opened | messages | `is_delivered`, `is_opened`, `is_clicked` |"
        in lines
    )
    sources = "`recipients_sent`, `recipients_suppressed`, `recipients_hard_bounced`"
    assert f"| `hard_bounce` | hard_bounced | tried | recipients | {sources} |" in lines


def test_the_example_of_a_profile_can_be_loaded(tmp_path: Path) -> None:
    example = METRICS_HEAD[METRICS_HEAD.index("    metrics:") :]
    assert [metric.name for metric in _loaded(example, tmp_path).metrics.chosen] == [
        "reach",
        "click_to_open",
        "hard_bounce",
    ]


@pytest.mark.parametrize(
    ("comment", "cell"),
    [
        pytest.param("a | b", r"a \| b", id="bar"),
        pytest.param("`a | b`", r"`a \| b`", id="bar-in-code"),
        pytest.param("two\nlines", "two lines", id="two-lines"),
        pytest.param("<blast_id>.<message_id>", r"\<blast_id>.\<message_id>", id="no-html"),
        pytest.param("`<blast_id>`", "`<blast_id>`", id="code-as-it-is"),
    ],
)
def test_a_cell_stays_one_cell_and_shows_every_character(comment: str, cell: str) -> None:
    schema = StructType([column("x", StringType(), comment=comment)])
    table = TableContract(name="t", grain="g", key=("x",), written_by=(), statistics=(), schema=schema)
    assert f"| provenance | {cell} |" in tables_page([table], [])


def test_a_view_is_shown_with_its_comment_and_sql() -> None:
    view = View(name="opened_not_clicked", of=(), sql="select 1\nfrom messages", comment="Whom to remind.")
    page = tables_page([], [view])
    assert page.endswith(
        "## Views\n\n### `opened_not_clicked`\n\nWhom to remind.\n\n```sql\nselect 1\nfrom messages\n```\n"
    )
