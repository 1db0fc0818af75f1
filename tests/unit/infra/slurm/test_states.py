"""Each way a job can end, and what its night is told."""

from typing import Any

import pytest

from infra.outcome import LOST, Outcome
from infra.slurm.said import ended_state, waiting_state
from infra.slurm.states import ended
from tests.unit.infra.slurm.examples import answer, launch, queued_job, row


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        ("COMPLETED", "completed"),
        ("PREEMPTED", "preempted"),
        ("NODE_FAIL", "node_failure"),
        ("BOOT_FAIL", "node_failure"),
        ("TIMEOUT", "time_limit"),
        ("DEADLINE", "time_limit"),
        ("OUT_OF_MEMORY", "out_of_memory"),
        ("CANCELLED", "cancelled"),
        ("REVOKED", "cancelled"),
        ("FAILED", "failed"),
    ],
)
def test_each_state_of_slurm_s_has_its_meaning(state: str, kind: str) -> None:
    found = ended(row(state=state, exit_code=0 if state == "COMPLETED" else 1), None, launch(), asked=False)
    assert found.kind == kind
    assert "job 7" in found.what
    assert bool(found.do) == (kind != "completed")


def test_only_a_job_that_lost_its_nodes_is_started_again() -> None:
    assert {"preempted", "node_failure", "vanished"} == LOST


@pytest.mark.parametrize(
    ("said", "asked", "seconds", "kind"),
    [
        ({"asked": "SIGUSR1"}, True, 300, "cancelled"),
        ({"asked": "SIGTERM"}, False, 300, "preempted"),
        ({"asked": "SIGUSR1"}, False, 8 * 3600 - 100, "time_limit"),
        ({"asked": "the night that waited for it is gone"}, False, 300, "cancelled"),
        ({"exit_code": 7}, False, 300, "failed"),
        ({"exit_code": 7}, True, 300, "failed"),
    ],
)
def test_a_job_that_ended_with_an_error_s_code_ended_by_what_it_was_asked(
    said: dict[str, Any], asked: bool, seconds: int, kind: str
) -> None:
    found = ended(row(state="FAILED", exit_code=3, seconds=seconds), answer(**said), launch(), asked=asked)
    assert found.kind == kind


def test_a_program_s_own_error_is_told_with_its_last_output() -> None:
    found = ended(row(state="FAILED", exit_code=7), answer(), launch(), asked=False)
    assert "exit code 7" in found.what
    assert "ValueError: the reason" in found.what


def test_a_job_that_was_killed_before_its_program_began_says_where_to_look() -> None:
    found = ended(row(state="FAILED", exit_code=2), None, launch(), asked=False)
    assert "before its program began" in found.what
    assert "slurm.log" in found.do


@pytest.mark.parametrize(("code", "signal"), [(137, 0), (0, 9)])
def test_a_kill_is_told_as_memory(code: int, signal: int) -> None:
    assert (
        ended(row(state="FAILED", exit_code=code, signal=signal), None, launch(), asked=False).kind == "out_of_memory"
    )


@pytest.mark.parametrize(
    ("reason", "restarts", "name"),
    [
        ("Priority", 0, "Queued"),
        ("BeginTime", 2, "Requeued"),
        ("JobHeldAdmin", 0, "Held"),
        ("launch failed requeued held", 1, "Held"),
        ("PartitionDown", 0, "Held"),
    ],
)
def test_a_waiting_job_says_for_what(reason: str, restarts: int, name: str) -> None:
    state = waiting_state(queued_job(state="PENDING", reason=reason, restarts=restarts))
    assert (state.type.value, state.name) == ("PENDING", name)
    assert reason in str(state.message)


def test_a_running_job_says_where() -> None:
    assert waiting_state(queued_job()).message == "job 7 on n[1-2]"


@pytest.mark.parametrize(
    ("kind", "type_", "name"),
    [
        ("completed", "COMPLETED", "Completed"),
        ("failed", "FAILED", "Failed"),
        ("cancelled", "CANCELLED", "Cancelled"),
        ("preempted", "CRASHED", "Preempted"),
        ("node_failure", "CRASHED", "NodeFailure"),
        ("time_limit", "CRASHED", "TimeLimit"),
        ("out_of_memory", "CRASHED", "OutOfMemory"),
        ("vanished", "CRASHED", "Vanished"),
        ("refused", "CRASHED", "Refused"),
    ],
)
def test_each_end_is_a_state_that_people_can_read(kind: Any, type_: str, name: str) -> None:
    state = ended_state(Outcome(key="k", job="7", kind=kind, what="what happened", do="do this"))
    assert (state.type.value, state.name) == (type_, name)
    assert "what happened" in str(state.message)
    assert "do this" in str(state.message)
