"""Work side by side: in the order that it must have, at the same time where it may."""

import threading
from collections.abc import Callable

import pytest
from pyspark.sql import SparkSession

from jobs.summaries import SUMMARIES
from jobs.threads import side_by_side

pytestmark = pytest.mark.usefixtures("spark")


def test_what_must_wait_waits_be_it_for_what_has_no_work_itself() -> None:
    begun: list[str] = []

    def work(name: str) -> Callable[[], str]:
        def begin() -> str:
            begun.append(name)
            return name.upper()

        return begin

    works = {name: work(name) for name in ("last", "second", "first")}
    after = {"last": ("nobody",), "nobody": ("second", "no one"), "second": ("first",)}
    assert list(side_by_side(works, after)) == [("first", "FIRST"), ("second", "SECOND"), ("last", "LAST")]
    assert begun == ["first", "second", "last"]


def test_what_need_not_wait_is_done_at_the_same_time() -> None:
    both = threading.Barrier(2, timeout=60)  # broken, and so an error, if only one comes
    assert {name for name, _ in side_by_side({"a": both.wait, "b": both.wait})} == {"a", "b"}


def test_each_has_its_own_share_of_spark_and_what_its_starter_set(spark: SparkSession) -> None:
    def told(name: str) -> str | None:
        return spark.sparkContext.getLocalProperty(name)

    spark.sparkContext.setLocalProperty("test.of_starter", "there")
    names = ("spark.scheduler.pool", "test.of_starter")
    works = {name: lambda: [told(of) for of in names] for name in ("a", "b", "c")}
    assert dict(side_by_side(works)) == {name: [name, "there"] for name in works}
    assert told("spark.scheduler.pool") is None


def test_if_one_fails_what_has_begun_ends_and_nothing_more_begins() -> None:
    both = threading.Barrier(2, timeout=60)
    failed, ended, begun = threading.Event(), threading.Event(), threading.Event()

    def fail() -> None:
        both.wait()
        failed.set()
        raise ValueError("no")

    def end_later() -> None:
        both.wait()
        assert failed.wait(60)
        ended.set()

    works = {"fails": fail, "ends later": end_later, "never begins": begun.set}
    with pytest.raises(ValueError, match="no"):
        list(side_by_side(works, {"never begins": ("ends later",)}))
    assert ended.is_set()
    assert not begun.is_set()


def test_an_interrupt_ends_what_has_begun_before_it_is_passed_on(spark: SparkSession) -> None:
    begun, failures = threading.Event(), list[BaseException]()

    def interrupt() -> None:
        assert begun.wait(60)
        raise KeyboardInterrupt

    def go_on_for_minutes() -> None:
        try:
            for _ in range(10_000):
                spark.range(1).collect()
                begun.set()
        except BaseException as problem:
            failures.append(problem)
            raise

    with pytest.raises(KeyboardInterrupt):
        list(side_by_side({"interrupts": interrupt, "goes on": go_on_for_minutes}))
    assert "cancelled" in "".join(map(str, failures))


def test_a_summary_is_made_after_those_alone_that_stand_before_it() -> None:
    names = list(SUMMARIES)
    for number, (name, summary) in enumerate(SUMMARIES.items()):
        assert summary.after & SUMMARIES.keys() <= {*names[:number]}, name
    assert SUMMARIES["quality"].after >= SUMMARIES.keys() - {"quality"}
