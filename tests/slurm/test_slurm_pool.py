"""Programs as jobs of a real Slurm: each way to end, the bill's seconds against sacct's, a worker that is killed."""

import contextvars
import json
import shutil
import threading
import time
from typing import Any

import pytest
from prefect import get_client

from infra.attempts import attempts_of
from infra.errors import PoolError
from infra.pools.deployed import ensure_deployed
from infra.pools.remote_run import RemoteRun
from tests.slurm.conftest import Shift
from tests.slurm.site import Site

pytestmark = pytest.mark.slurm


def held(shift: Shift) -> list[tuple[str, float, int]]:
    """State, seconds and devices of what is billed."""
    return [(one.state, one.ended - one.started, one.devices) for one in shift.attempt.allocations]


def test_a_program_runs_as_a_job_and_its_bill_is_sacct_s_to_the_second(shift: Shift) -> None:
    result = shift.run(shift.pool())
    (job,) = shift.jobs()
    assert [event["done"] for event in shift.events if event["event"] == "progress"] == [1, 2, 3]
    assert held(shift) == shift.sacct(job) != []
    assert held(shift)[0][2] == 2
    assert result["begun"] == 0


def test_a_night_that_is_killed_is_billed_up_to_its_last_sign_of_life(shift: Shift) -> None:
    seen: list[Any] = []

    def look(event: dict[str, Any]) -> None:
        if event["event"] == "progress" and event["done"] == 60:
            seen.extend(attempts_of(shift.log.entries())[-1].allocations)  # as a kill now would leave the log

    shift.run(shift.pool(), steps=70, seconds=0.3, on_event=look)
    (open_,) = seen
    (closed,) = shift.attempt.allocations
    assert (open_.ended, open_.started, open_.devices, open_.id) == (None, closed.started, 2, closed.id)


def test_a_job_sees_one_visibility_variable_and_no_secret_of_the_worker(shift: Shift) -> None:
    result = shift.run(shift.pool())
    assert list(result["visible"]) == ["HIP_VISIBLE_DEVICES"]
    assert result["secrets"] == []
    assert result["home"] == str(shift.site.home)


def test_what_the_machine_is_lies_beside_the_job_s_answer(shift: Shift) -> None:
    shift.run(shift.pool())
    findings = {one["what"]: one for one in json.loads((shift.folder / "work" / "doctor.json").read_text())}
    assert findings["python"]["state"] == "good"
    assert findings["accelerators"]["state"] == "wrong"  # they are fake, and the doctor says so


def test_two_nodes_meet_and_compute_together(shift: Shift) -> None:
    result = shift.run(shift.pool(nodes=2, gpus_per_node=1), mode="nodes", distributed=True)
    assert result == {"sum": 3.0, "world": 2}
    # whichever node got rank 0, which speaks for a training, is heard
    assert {"rank 0", "rank 1"} <= {event.get("text") for event in shift.events}
    (job,) = shift.jobs()
    assert held(shift) == shift.sacct(job)
    assert held(shift)[0][2] == 2


def test_a_program_s_own_error_is_told_with_the_end_of_its_output(shift: Shift) -> None:
    with pytest.raises(PoolError, match=r"exit code 7(.|\n)*the reason is written here"):
        shift.run(shift.pool(), mode="fail")
    (job,) = shift.jobs()  # it is not started again
    assert held(shift) == shift.sacct(job)
    assert shift.attempt.state == "Failed"


def test_a_killed_program_is_told_as_memory(shift: Shift) -> None:
    with pytest.raises(PoolError, match="killed, most often by the kernel for memory"):
        shift.run(shift.pool(), mode="kill")


def test_a_night_that_is_stopped_keeps_a_checkpoint_and_frees_the_nodes(shift: Shift) -> None:
    def stop(event: dict[str, Any]) -> None:
        if event["event"] == "progress" and event["done"] == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        shift.run(shift.pool(), steps=500, on_event=stop)
    (job,) = shift.jobs()
    assert int(shift.checkpoint.read_text()) >= 3
    assert held(shift) == shift.sacct(job)
    assert flow_run_state(shift) == "Cancelled"
    again = shift.run(shift.pool(), steps=int(shift.checkpoint.read_text()) + 2)
    assert again["begun"] >= 3


def test_a_preempted_job_is_requeued_and_goes_on_from_its_checkpoint(shift: Shift) -> None:
    def push_out(event: dict[str, Any]) -> None:
        if event["event"] == "progress" and event["done"] == 3:
            # all GPUs of all nodes, for a while
            shift.site.slurm.command(
                "sbatch", "--qos=high", "--account=nightshift", "--nodes=3", "--gpus-per-node=mi355x:4", "--time=1",
                "-o", "/dev/null", "--wrap", "sleep 8",
            )  # fmt: skip

    result = shift.run(shift.pool(slurm={"qos": "low"}), steps=40, seconds=0.3, on_event=push_out)
    (job,) = shift.jobs()
    assert result["begun"] > 0
    assert len(held(shift)) == 2
    assert held(shift) == shift.sacct(job)
    assert {"again"} <= {event["event"] for event in shift.events}


def test_a_job_whose_node_fails_is_started_again_and_every_second_is_billed(shift: Shift) -> None:
    down: list[str] = []

    def fail(event: dict[str, Any]) -> None:
        if event["event"] == "progress" and event["done"] == 3 and not down:
            shift.checkpoint.write_text("3")
            (job,) = shift.jobs()
            down.append(shift.site.slurm.command("squeue", "-h", "-j", job, "-o", "%N"))
            shift.site.slurm.stop_node(down[0])

    try:
        result = shift.run(shift.pool(), steps=12, seconds=0.3, on_event=fail)
    finally:
        for node in down:
            shift.site.slurm.start_node(node)
    assert result["begun"] >= 3
    assert held(shift) == [row for job in shift.jobs() for row in shift.sacct(job)]
    assert len(held(shift)) == 2


def test_a_job_at_its_time_limit_keeps_a_checkpoint_and_says_so(shift: Shift) -> None:
    pool = shift.pool(hours=121 / 3600)  # Slurm counts whole minutes, and signals up to a minute early
    with pytest.raises(PoolError, match="reached its time limit"):
        shift.run(pool, steps=5000, seconds=0.1)
    (job,) = shift.jobs()
    assert int(shift.checkpoint.read_text()) > 0
    assert held(shift) == shift.sacct(job)


def test_a_killed_worker_s_jobs_are_followed_by_the_next_and_none_is_submitted_twice(shift: Shift) -> None:
    def restart(event: dict[str, Any]) -> None:
        if event["event"] == "progress" and event["done"] == 3:
            shift.site.kill_worker()
            threading.Timer(3, shift.site.start_worker).start()

    result = shift.run(shift.pool(), steps=20, seconds=0.3, on_event=restart)
    (job,) = shift.jobs()
    assert result["begun"] == 0
    assert held(shift) == shift.sacct(job)


def test_a_night_that_was_killed_and_begins_with_an_empty_folder_ends_the_job_it_left(shift: Shift) -> None:
    pool = shift.pool()
    launch = pool.launch(shift.program(steps=1000, seconds=0.2), "ns-left-0")
    RemoteRun(launch, ensure_deployed(pool), pool.job_variables(launch), print, lambda: None).start()
    events, end = shift.folder / "work" / "events.jsonl", time.monotonic() + 60
    while not (events.exists() and '"done": 3' in events.read_text()):
        assert time.monotonic() < end
        time.sleep(0.5)
    left = shift.site.slurm.command("squeue", "-h", "-n", "ns-left-0", "-o", "%i")
    shutil.rmtree(shift.folder / "work")  # as a step does that begins anew
    result = shift.run(pool)
    assert result["begun"] >= 3  # from the checkpoint that the other kept when it was asked to end
    assert shift.sacct(left)[0][0] in ("FAILED", "CANCELLED by 0")
    assert shift.site.slurm.command("squeue", "-h", "--me", "-t", "R", "-o", "%i") == ""


def test_a_job_that_is_held_says_why_it_waits(shift: Shift) -> None:
    slurm = shift.site.slurm
    slurm.command("scontrol", "update", "PartitionName=gpu", "State=DOWN")
    done: list[Any] = []
    run = contextvars.copy_context().run  # with it, this Prefect server
    thread = threading.Thread(target=lambda: done.append(run(shift.run, shift.pool())))
    thread.start()
    try:
        await_state(shift, "Held")
    finally:
        slurm.command("scontrol", "update", "PartitionName=gpu", "State=UP")
    thread.join(120)
    assert done


def test_a_job_that_slurm_will_not_take_is_refused_with_slurm_s_reason(shift: Shift) -> None:
    with pytest.raises(PoolError, match=r"Slurm refuses the job.*partition"):
        shift.run(shift.pool(slurm={"partition": "nowhere"}))


def test_a_longer_wait_than_the_pool_allows_ends_the_wait_and_takes_the_job_back(shift: Shift) -> None:
    slurm = shift.site.slurm
    slurm.command("scontrol", "update", "PartitionName=gpu", "State=DOWN")
    try:
        with pytest.raises(PoolError, match="has waited"):
            shift.run(shift.pool(queue_hours=8 / 3600))
    finally:
        slurm.command("scontrol", "update", "PartitionName=gpu", "State=UP")
    (job,) = shift.jobs()
    assert shift.sacct(job)[0][0].startswith("CANCELLED")
    assert held(shift) == []


def test_the_pool_s_check_names_what_is_wrong_and_nothing_where_all_is_well(shift: Shift, site: Site) -> None:
    shift.run(shift.pool())
    assert shift.pool().check() == []
    assert "no partition 'nowhere', only ['gpu']" in "; ".join(shift.pool(slurm={"partition": "nowhere"}).check())
    assert "Slurm would not take" in "; ".join(shift.pool(gpus_per_node=64).check())


def flow_run(shift: Shift) -> Any:
    key = json.loads((shift.folder / "work" / "launch.json").read_text())["key"]
    with get_client(sync_client=True) as client:
        return next((run for run in client.read_flow_runs() if run.idempotency_key == key), None)


def flow_run_state(shift: Shift) -> str:
    return flow_run(shift).state.name


def await_state(shift: Shift, name: str, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    seen = ""
    while time.monotonic() < end:
        run = flow_run(shift) if (shift.folder / "work" / "launch.json").exists() else None
        seen = run.state.name if run is not None else seen
        if seen == name:
            return
        time.sleep(0.5)
    raise AssertionError(f"still {seen} after {seconds:.0f} s\n{shift.site.logs()[-3000:]}")
