"""What bringing the summaries up to date costs against making them anew, and how the latter grows with the events.

    bench/run.sh summaries [events] [--only a,b]

Of all summaries, or only of those named. Events of 100 days, with their requests. A fifth of them is loaded and
summarised, then all, then a hundredth more, as a day brings it: its sends, and what happened to earlier ones. That is
summarised both ways from copies of one warehouse, and both must give the same rows. One Spark session, warm: starting
one is in no figure, and neither is its first build of either way, which is printed all the same.
"""

import argparse
import contextlib
import io
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from pyspark.sql import SparkSession

from conf.errors import ConfigurationError
from conf.settings import Settings, load_settings
from jobs import build_summaries, stream_events, tables
from jobs.generator import Forms, generate_requests, generate_ses
from jobs.names import named
from jobs.session import build_session
from jobs.summaries import SUMMARIES

PARTS = 100
FEW = PARTS // 5
ROUNDS = 5
ALWAYS_DIFFERENT = {
    "freshness": ("as_of", "event_lag_seconds", "modified_lag_seconds", "load_lag_seconds"),
    "restatement": ("first_published_at",),
}
"""Columns that depend on the time of the build."""


@dataclass(frozen=True)
class Build:
    """What one took."""

    seconds: float
    each: Mapping[str, float]
    """Of each summary; some are made at the same time."""


class Bench:
    """Files that are delivered in parts, and a warehouse that they are loaded into."""

    def __init__(self, root: Path, events: int, only: Collection[str]) -> None:
        self.root, self.only = root, only
        settings = load_settings(None, [], master="local[2]")
        self.spark: SparkSession = build_session(settings, "bench")
        place = {"input": str(root / "input"), "warehouse": str(root / "warehouse"), "progress": "json"}
        self.settings: Settings = settings.model_copy(update=place)
        made, part, forms = root / "made", events // PARTS, Forms.plain()
        truth = generate_ses(made, events=events + part, seed=1, forms=forms, days=PARTS, events_per_file=part)
        generate_requests(made, truth, seed=1, odd=False)
        self.files = sorted(file for file in (made / "ses").rglob("*") if file.is_file())
        self.asked = sorted((made / "requests").glob("*.csv"))

    def bring(self, begin: int, end: int) -> None:
        """Deliver and load files `begin` to `end`, and the requests of as many days."""
        days = len(self.asked) / (PARTS + 1)
        for file in (*self.files[begin:end], *self.asked[round(begin * days) : round(end * days)]):
            place = self.root / "input" / file.relative_to(self.root / "made")
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, place)
        with contextlib.redirect_stdout(io.StringIO()):
            stream_events.load(self.settings, provider="ses", spark=self.spark)

    def build(self, warehouse: Path, *, full: bool) -> Build:
        """Bring the summaries up to date, or make them anew."""
        out, began = io.StringIO(), time.monotonic()
        with contextlib.redirect_stdout(out):
            settings = self.settings.model_copy(update={"warehouse": str(warehouse)})
            build_summaries.build(settings, only=self.only, full=full, spark=self.spark)
        seconds = time.monotonic() - began
        lines = [json.loads(line) for line in out.getvalue().splitlines()]
        return Build(seconds, {line["summary"]: line["seconds"] for line in lines if "summary" in line})

    def copy(self, name: str) -> Path:
        """The warehouse as it is now, again."""
        shutil.copytree(self.root / "warehouse", self.root / name)
        return self.root / name

    def check_same_rows(self, left: Path, right: Path) -> None:
        """Refuse to compare what is not the same."""
        for name in self.only:
            own = ALWAYS_DIFFERENT.get(name, ())
            a, b = (tables.read(self.spark, place, SUMMARIES[name].contract).drop(*own) for place in (left, right))
            if different := a.exceptAll(b).count() + b.exceptAll(a).count():
                raise SystemExit(f"{name}: {different} rows differ.")


def told(title: str, build: Build) -> float:
    """Print one build; its seconds."""
    each = ", ".join(f"{name} {seconds:.1f}" for name, seconds in build.each.items())
    print(f"{title}: {build.seconds:.1f} s: {each}", flush=True)
    return build.seconds


def main() -> None:
    """Print seconds of all builds, and their ratios."""
    parser = argparse.ArgumentParser(prog="bench/run.sh summaries")
    parser.add_argument("events", nargs="?", type=int, default=5_000_000)
    parser.add_argument("--only", metavar="A,B")
    given = parser.parse_args()
    events = given.events
    try:
        only = named(given.only, SUMMARIES, "summary")
    except ConfigurationError as problem:
        parser.error(str(problem))
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), events, only)
        warehouse = bench.root / "warehouse"
        bench.bring(0, FEW)
        told("in no figure", bench.build(warehouse, full=True))
        few = told(f"{events * FEW // PARTS:,} events, anew", bench.build(warehouse, full=True))
        bench.bring(FEW, PARTS)
        many = told(f"{events:,} events, anew", bench.build(warehouse, full=True))
        print(f"{PARTS // FEW} times the events: {many / few:.1f} times the seconds", flush=True)
        bench.bring(PARTS, PARTS + 1)
        anew, first, *copies = (bench.copy(name) for name in ("anew", *(f"copy{i}" for i in range(1 + ROUNDS))))
        told("1 % more, what is new, in no figure", bench.build(first, full=False))
        new = statistics.median(told("1 % more, what is new", bench.build(copy, full=False)) for copy in copies)
        whole = told("1 % more, anew", bench.build(anew, full=True))
        bench.check_same_rows(copies[-1], anew)
        print(f"what is new against anew: {new / whole:.3f} (<= 0.1)")
        bench.spark.stop()


if __name__ == "__main__":
    main()
