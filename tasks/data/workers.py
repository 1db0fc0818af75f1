"""Run pure functions over parts of the data, on all cores where there is much of it."""

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

from tasks.errors import WorkerEnded

MOST = 8  # processes: each has its own copy of the libraries, a quarter of a GB, beside what it works on

Job = TypeVar("Job")
Done = TypeVar("Done")
Later = Callable[..., Callable[[], Any]]  # a function and what it is given, to what gives its result


def each(function: Callable[[Job], Done], jobs: Iterable[Job], *, heavy: bool, threads: bool = False) -> Iterator[Done]:
    """Results in the jobs' order. The first error ends all.

    Args:
        function: importable by name, as its jobs and results are pickled.
        heavy: in processes of their own, one a core; else here: a process takes a second to start.
        threads: here as many at once as there are cores; for what frees Python's lock.
    """
    listed = list(jobs)
    cores = min(len(os.sched_getaffinity(0)), len(listed), MOST)
    if not heavy or cores < 2:
        if threads and cores > 1:
            with ThreadPoolExecutor(cores) as together:
                yield from together.map(function, listed)
        else:
            yield from map(function, listed)
        return
    # spawned: this process may hold threads (Prefect, DuckDB, Arrow), which a fork would leave locked
    with _explained(), ProcessPoolExecutor(cores, mp_context=multiprocessing.get_context("spawn")) as pool:
        waiting: list[Future[Done]] = []
        rest = iter(listed)
        try:
            for job in rest:
                waiting.append(pool.submit(function, job))
                if len(waiting) > 2 * cores:  # no more results than are taken lie in memory
                    yield waiting.pop(0).result()
            while waiting:
                yield waiting.pop(0).result()
        finally:
            for one in waiting:
                one.cancel()


@contextmanager
def aside(ready: Callable[[], object], *, heavy: bool) -> Iterator[Later]:
    """A process beside this one, for what nothing waits for yet: one call after another, in order.

    Args:
        ready: what it does first (imports that take long), while nobody has called it yet.
        heavy: else all is done here, when its result is asked for.
    """
    if not heavy or len(os.sched_getaffinity(0)) < 2:
        yield partial
        return
    pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
    pool.submit(ready)
    try:
        with _explained():
            yield lambda function, *given: pool.submit(function, *given).result
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # it takes half a second to end, with nothing left to say


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except BrokenProcessPool as error:
        raise WorkerEnded(
            "a process that reads or measures the night's data was ended from outside, which is what Linux does where "
            "the memory is full",
            do="look for `Out of memory` in the kernel's log; give the machine more memory, or lower "
            "data.caps.line_bytes, and run the night again: what was measured is kept",
        ) from error
