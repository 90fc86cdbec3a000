"""Queries side by side: planning one takes a single core of the driver, and its tasks seldom take all the others."""

from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import partial
from graphlib import TopologicalSorter
from types import MappingProxyType
from typing import TypeVar

from pyspark import inheritable_thread_target
from pyspark.sql import SparkSession

T = TypeVar("T")

_AT_ONCE = 2
"""How much is done at the same time: three were no faster on two cores, and hold more rows in memory."""


def side_by_side(
    works: Mapping[str, Callable[[], T]], after: Mapping[str, Collection[str]] = MappingProxyType({})
) -> Iterator[tuple[str, T]]:
    """What each of `works` gives, by its name, as they end; each begins when all have ended that it is `after`.

    A name in `after` without work is done when all that it is after are. If one fails so does this, when what has begun
    has ended, and nothing more is begun. Interrupted, it makes what has begun fail at its next query.
    """
    order = TopologicalSorter({**dict.fromkeys(works, ()), **after})
    order.prepare()
    session = SparkSession.active()
    threads, running = ThreadPoolExecutor(_AT_ONCE), dict[Future[T], str]()
    try:
        while order.is_active():
            while ready := order.get_ready():
                order.done(*(name for name in ready if name not in works))
                for name in (name for name in ready if name in works):
                    work = inheritable_thread_target(session)(partial(_in_own_pool, session, name, works[name]))
                    running[threads.submit(work)] = name
            for ended in wait(running, return_when=FIRST_COMPLETED).done:
                name = running.pop(ended)
                yield name, ended.result()
                order.done(name)
    except KeyboardInterrupt:
        threads.shutdown(wait=False, cancel_futures=True)
        while wait(running, timeout=0.1).not_done:
            session.sparkContext.cancelAllJobs()  # PySpark cancels those only that run when the interrupt comes
        raise
    finally:
        threads.shutdown(cancel_futures=True)  # nothing is written any more when who called this goes on


def _in_own_pool(session: SparkSession, name: str, work: Callable[[], T]) -> T:
    """Of which Spark gives each its share, so that a short query does not wait for all tasks of a long one."""
    session.sparkContext.setLocalProperty("spark.scheduler.pool", name)
    return work()
