"""Following many jobs: one call a poll, and each job's end exactly once."""

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from infra.slurm.follow import Follower, Step
from infra.slurm.records import Accounted, Queued
from tests.unit.infra.slurm.examples import queued_job, row


class Written:
    """A Slurm that answers what was written for it, call by call; counts calls. No Slurm: a table."""

    def __init__(self) -> None:
        self.queue: dict[str, Queued] = {}
        self.account: dict[str, list[Accounted]] = {}
        self.calls = 0

    def look(self) -> list[Queued]:
        self.calls += 1
        return list(self.queue.values())

    def books(self, jobs: Sequence[str]) -> list[Accounted]:
        self.calls += 1
        return [one for job in jobs for one in self.account.get(job, [])]


def polls(follower: Follower, count: int) -> list[Step]:
    """All steps of so many polls; a job that is over is let go of, as the worker does."""
    steps = []
    for _ in range(count):
        for step in follower.poll():
            steps.append(step)
            if step.over:
                follower.remove(step.job)
    return steps


def test_nothing_is_asked_where_there_is_nothing_to_follow() -> None:
    slurm = Written()
    assert Follower(slurm).poll() == []
    assert slurm.calls == 0


def test_two_hundred_jobs_take_one_call_a_poll() -> None:
    slurm = Written()
    follower = Follower(slurm)
    for number in range(200):
        slurm.queue[str(number)] = queued_job(job=str(number), state="PENDING")
        follower.add(str(number))
    assert len(follower.poll()) == 200
    for number in range(200):
        slurm.queue[str(number)] = queued_job(job=str(number), state="COMPLETED")
        slurm.account[str(number)] = [row(job=str(number))]
    ended = polls(follower, 2)
    assert sorted(int(step.job) for step in ended if step.over) == list(range(200))
    assert slurm.calls == 3


def test_a_state_is_told_once_and_a_change_again() -> None:
    slurm = Written()
    follower = Follower(slurm)
    follower.add("7")
    slurm.queue["7"] = queued_job(state="PENDING", reason="Priority")
    assert len(polls(follower, 3)) == 1
    slurm.queue["7"] = queued_job(state="RUNNING")
    assert [step.last.state for step in polls(follower, 3) if step.last] == ["RUNNING"]


def test_a_job_is_over_only_when_its_books_are_closed() -> None:
    slurm = Written()
    follower = Follower(slurm)
    follower.add("7")
    slurm.queue["7"] = queued_job(state="COMPLETED")
    slurm.account["7"] = [row(state="RUNNING", ended=None)]  # accounting is late
    assert polls(follower, 6) == []
    slurm.account["7"] = [row()]
    (end,) = [step for step in polls(follower, 4) if step.over]
    assert end.rows == (row(),)


def test_a_cluster_whose_books_never_close_is_believed_by_its_queue_in_the_end() -> None:
    slurm = Written()
    follower = Follower(slurm)
    follower.add("7")
    slurm.queue["7"] = queued_job(state="COMPLETED")
    ends = [step for step in polls(follower, 70) if step.over]
    assert ends
    assert ends[0].rows == ()
    assert ends[0].last is not None


def test_a_job_that_left_the_queue_is_looked_up_in_the_books() -> None:
    slurm = Written()
    follower = Follower(slurm)
    follower.add("7")
    slurm.account["7"] = [row(state="FAILED", exit_code=1)]
    (end,) = [step for step in polls(follower, 2) if step.over]
    assert end.rows[0].state == "FAILED"


def test_a_job_that_nobody_knows_has_vanished_but_not_at_once() -> None:
    slurm = Written()
    follower = Follower(slurm)
    follower.add("7")
    assert polls(follower, 10) == []
    ends = [step for step in polls(follower, 10) if step.over]
    assert ends[0].rows == ()
    assert ends[0].last is None


def test_a_requeued_job_goes_on_being_followed() -> None:
    slurm = Written()
    follower = Follower(slurm)
    follower.add("7")
    slurm.queue["7"] = queued_job(state="RUNNING")
    follower.poll()
    slurm.queue["7"] = queued_job(state="PENDING", reason="BeginTime", restarts=1)
    slurm.account["7"] = [row(state="PREEMPTED"), row(state="PENDING", started=None, ended=None, nodes=0)]
    assert not [step for step in polls(follower, 6) if step.over]
    assert not follower.is_running("7")


@settings(max_examples=60)
@given(st.lists(st.sampled_from(["PENDING", "RUNNING", "gone", "COMPLETED"]), min_size=1, max_size=12))
def test_whatever_a_job_goes_through_its_end_is_told_and_each_poll_is_one_call(course: list[str]) -> None:
    slurm = Written()
    follower = Follower(slurm)
    follower.add("7")
    ends = 0
    for count, state in enumerate(course, 1):
        if state == "gone":
            slurm.queue.pop("7", None)
        else:
            slurm.queue["7"] = queued_job(state=state)
        ends += sum(step.over for step in follower.poll())
        assert slurm.calls == count
    assert ends == 0  # no books were closed, and it was not away for long enough
    slurm.queue.pop("7", None)
    slurm.account["7"] = [row()]
    while not (over := [step for step in follower.poll() if step.over]):
        assert slurm.calls < 40
    follower.remove("7")
    assert len(over) == 1
    assert follower.poll() == []


def test_a_job_that_is_requeued_before_its_books_were_read_is_not_over() -> None:
    slurm = Written()
    follower = Follower(slurm)
    follower.add("7")
    follower.add("8")
    slurm.queue = {"7": queued_job(state="NODE_FAIL"), "8": queued_job(job="8", state="COMPLETED")}
    slurm.account["8"] = [row(job="8", ended=None)]
    assert polls(follower, 2) == []  # the books of neither are closed
    slurm.queue["7"] = queued_job(state="PENDING", restarts=1)
    slurm.account["7"] = [row(state="NODE_FAIL")]  # of its first start
    (again,) = polls(follower, 2)
    assert (again.job, again.over) == ("7", False)


def test_looks_in_which_a_job_was_missing_are_counted_from_its_last_appearance() -> None:
    slurm = Written()
    follower = Follower(slurm)
    follower.add("7")
    for _ in range(12):
        slurm.queue.clear()
        assert not any(step.over for step in polls(follower, 3))
        slurm.queue["7"] = queued_job()
        assert not any(step.over for step in polls(follower, 2))
