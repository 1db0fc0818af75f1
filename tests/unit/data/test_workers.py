"""Work on several processes gives what it gives here: in order, and the first error ends it."""

import math
import os

import pytest

from tasks.data.workers import each


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
