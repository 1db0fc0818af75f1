"""What squeue and sacct print, as they printed it on a real Slurm 22.05."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.slurm.records import accounted, allocations, gpus_of, queued
from tests.unit.infra.slurm.examples import row

SACCT = """\
4|ns-x-0|PREEMPTED|0:15|1795676400|1795676402|1795676420|18|2|billing=2,cpu=2,gres/gpu:mi355x=4,gres/gpu=4,node=2||n[1-2]
4|ns-x-0|COMPLETED|0:0|1795676421|1795676440|1795676471|31|2|billing=2,cpu=2,gres/gpu:mi355x=4,gres/gpu=4,node=2|7200000|n[2-3]
5|other|PENDING|0:0|1795676500|Unknown|Unknown|0|1|||None assigned
"""


def test_every_allocation_of_a_requeued_job_is_billed() -> None:
    rows = [one for one in accounted(SACCT) if one.job == "4"]
    first, second = allocations(rows, devices_per_node=1)
    assert (first.state, first.devices, first.queued) == ("PREEMPTED", 4, 1795676400)
    assert (first.started, first.ended) == (1795676402, 1795676420)
    assert (second.started, second.ended) == (1795676440, 1795676471)
    assert (second.kwh, second.meter) == (2.0, "slurm")
    assert (first.kwh, first.meter) == (None, None)
    assert len({first.id, second.id}) == 2


def test_a_job_that_waits_holds_nothing() -> None:
    assert allocations([one for one in accounted(SACCT) if one.job == "5"], 1) == ()


def test_a_job_that_was_suspended_held_its_nodes_for_the_seconds_that_sacct_counts() -> None:
    (held,) = allocations([row(started=1000.0, ended=2000.0, seconds=600)], 1)
    assert held.ended == 1600.0


def test_a_job_that_was_cancelled_in_the_queue_held_nothing() -> None:
    assert allocations([row(state="CANCELLED", started=1200.0, ended=1200.0, seconds=0, nodes=0, gpus=0)], 1) == ()


def test_a_job_that_runs_is_held_without_an_end() -> None:
    (held,) = allocations([row(state="RUNNING", ended=None)], 1)
    assert held.ended is None


def test_a_cancelled_job_s_state_is_one_word() -> None:
    (found,) = accounted("9|n|CANCELLED by 0|0:0|1|2|3|1|1|cpu=1||n1\n")
    assert found.state == "CANCELLED"


@pytest.mark.parametrize("energy", ["", "0", "18446744073709551614"])
def test_energy_that_nobody_metered_is_none(energy: str) -> None:
    (found,) = accounted(f"9|n|COMPLETED|0:0|1|2|3|1|1|cpu=1|{energy}|n1\n")
    assert found.joules is None


@pytest.mark.parametrize(
    ("tres", "gpus"),
    [
        ("billing=2,cpu=2,gres/gpu:mi355x=4,gres/gpu=4,node=2", 4),
        ("cpu=2,gres/gpu:mi355x=4,gres/gpu:mi300x=1", 5),
        ("cpu=2,node=1", 0),
        ("", 0),
    ],
)
def test_gpus_are_counted_once(tres: str, gpus: int) -> None:
    assert gpus_of(tres) == gpus


def test_squeue_s_lines_are_read_and_others_are_left_out() -> None:
    text = "7|PENDING|Priority|||1795676400|N/A|N/A|0|\n8_1|RUNNING|None|n1|1|2|3|0|\nslurm_load_jobs error\n"
    (one,) = queued("7|PENDING|Priority||1795676400|N/A|N/A|2|\n8_1|RUNNING|None|n1|1|2|3|0|\nslurm_load_jobs error\n")
    assert (one.job, one.reason, one.started, one.restarts) == ("7", "Priority", None, 2)
    assert text


@given(st.text())
def test_no_answer_of_slurm_s_makes_the_reader_fall_over_but_is_read_or_left_out(text: str) -> None:
    assert isinstance(queued(text), list)
    assert isinstance(accounted(text), list)
