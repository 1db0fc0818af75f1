"""Work on several processes gives what it gives here: in order, and the first error ends it."""

import math
import os
import signal

import pytest

from tasks.data.workers import aside, each
from tasks.errors import DataBreach, WorkerEnded


@pytest.mark.parametrize("heavy", [False, True])
def test_results_come_in_the_order_of_the_jobs(heavy: bool) -> None:
    assert list(each(math.sqrt, [4.0, 9.0, 16.0, 25.0, 36.0, 49.0, 64.0], heavy=heavy)) == [2, 3, 4, 5, 6, 7, 8]


@pytest.mark.parametrize("heavy", [False, True])
def test_an_error_of_a_job_is_raised(heavy: bool) -> None:
    with pytest.raises(ValueError, match="math domain"):
        list(each(math.sqrt, [4.0, -1.0, 9.0], heavy=heavy))


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core: everything is done here")
def test_heavy_work_is_done_in_processes_of_its_own() -> None:
    # a file of /proc/self is another in every process
    assert os.getpid() not in {int(path) for path in each(os.readlink, ["/proc/self"] * 4, heavy=True)}
    assert {int(path) for path in each(os.readlink, ["/proc/self"], heavy=False)} == {os.getpid()}


def test_a_process_that_is_killed_is_said_with_what_to_do() -> None:
    with pytest.raises(WorkerEnded, match=r"(?s)memory is full.*run the night again"):
        list(each(_killed, [1, 2], heavy=True))
    with pytest.raises(WorkerEnded), aside(os.getpid, heavy=True) as later:
        later(_killed, 1)()


def _killed(_: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("heavy", [False, True])
def test_what_is_done_aside_gives_its_result_or_its_error_when_it_is_asked_for(heavy: bool) -> None:
    with aside(os.getpid, heavy=heavy) as later:
        first, wrong, last = later(math.sqrt, 9.0), later(_breach, "rows"), later(math.sqrt, 16.0)
        assert (first(), last()) == (3.0, 4.0)
        with pytest.raises(DataBreach, match="no rows") as raised:
            wrong()
        assert raised.value.do == "look"
        here = later(os.readlink, "/proc/self")
        assert (int(here()) == os.getpid()) != heavy


def _breach(name: str) -> None:
    raise DataBreach(f"no {name}", do="look")
