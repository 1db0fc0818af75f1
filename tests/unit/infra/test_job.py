"""What every job is made of: its launch plan, its command, its lease, its visibility variable, its answer."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from infra.attempts import Allocation, AttemptLog, Device, attempts_of, record_allocation
from infra.errors import HardwareError
from infra.hardware import HardwareBook, hardware_book
from infra.job_program import Answer
from infra.launch import Mount
from infra.launcher import command, port_of
from infra.lease import Watched, leased
from infra.outcome import Outcome, read_outcome, write_outcome
from infra.settings import ROOT, Meeting, one_visibility
from tests.unit.infra.slurm.examples import launch

ALONE = Meeting("127.0.0.1", None, 0)

# --- the plan ---


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gpu": None}, "gpus_per_node without gpu"),
        ({"distributed": False}, "2 nodes for a program of one process"),
        ({"image": "registry/night:latest"}, "not named by digest"),
        ({"seconds": 100}, "grace of 120 s"),
        ({"key": "ns_abc;reboot"}, "pattern"),
        ({"module": "a b"}, "pattern"),
    ],
)
def test_a_plan_that_can_not_run_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        launch(**changes)


@pytest.mark.parametrize("target", ["relative", "/a/../etc", ""])
def test_a_mount_stays_where_it_says(target: str) -> None:
    with pytest.raises(ValidationError, match="absolute path"):
        Mount(source="/data", target=target)


def test_a_program_of_one_process_needs_no_launcher() -> None:
    one = launch(nodes=1, gpus_per_node=1)
    assert command(one, ALONE)[1:3] == ["-m", "tasks.align.program"]
    assert command(launch(nodes=1, distributed=False), ALONE)[1:3] == ["-m", "tasks.align.program"]


def test_several_processes_of_a_node_start_by_themselves_and_several_nodes_meet_at_the_first() -> None:
    assert "--standalone" in command(launch(nodes=1), ALONE)
    several = command(launch(), Meeting("10.0.0.1", None, 1))
    assert several[several.index("--rdzv-endpoint") + 1] == f"10.0.0.1:{port_of('ns-abc-0')}"
    assert several[several.index("--nnodes") + 1] == "2"
    assert several[several.index("--nproc-per-node") + 1] == "8"


@given(st.text())
def test_a_meeting_port_is_one_that_anybody_may_open(key: str) -> None:
    assert 1024 < port_of(key) < 65536


# --- visibility ---


@pytest.mark.parametrize(
    ("found", "kept"),
    [
        ({"ROCR_VISIBLE_DEVICES": "0,1", "CUDA_VISIBLE_DEVICES": "0,1"}, {"HIP_VISIBLE_DEVICES": "0,1"}),
        ({"HIP_VISIBLE_DEVICES": "2", "ROCR_VISIBLE_DEVICES": "0"}, {"HIP_VISIBLE_DEVICES": "2"}),
        ({"GPU_DEVICE_ORDINAL": "1"}, {"HIP_VISIBLE_DEVICES": "1"}),
        ({}, {}),
    ],
)
def test_amd_s_devices_are_named_by_one_variable(found: dict[str, str], kept: dict[str, str]) -> None:
    assert one_visibility({"PATH": "/bin", **found}, "amd") == {"PATH": "/bin", **kept}


def test_others_variables_are_left_alone() -> None:
    variables = {"CUDA_VISIBLE_DEVICES": "0"}
    assert one_visibility(variables, "nvidia") == one_visibility(variables, None) == variables


# --- the lease ---


def test_a_lease_that_is_renewed_is_never_lost_and_one_that_is_not_is_after_its_time(tmp_path: Path) -> None:
    now = [0.0]
    with leased(tmp_path, seconds=0.01):
        watched = Watched(tmp_path, lost=100, clock=lambda: now[0])
        for now[0] in (50.0, 120.0, 200.0):
            time.sleep(0.05)
            assert not watched.lost()
    assert not watched.lost()
    now[0] = 299.0
    assert not watched.lost()
    now[0] = 301.0
    assert watched.lost()


def test_a_lease_whose_clock_jumps_to_nan_is_lost_rather_than_kept(tmp_path: Path) -> None:
    watched = Watched(tmp_path, lost=100, clock=lambda: float("nan"))
    assert watched.lost()


def test_a_file_server_that_is_away_for_a_while_loses_no_lease(tmp_path: Path) -> None:
    now = [0.0]
    with leased(tmp_path / "gone"):
        watched = Watched(tmp_path / "gone", lost=100, clock=lambda: now[0])
        now[0] = 99.0
        assert not watched.lost()


# --- outcomes and allocations ---


def test_an_outcome_counts_for_its_own_launch_only(tmp_path: Path) -> None:
    write_outcome(tmp_path, Outcome(key="ns-a-0", job="7", kind="completed", what="done"))
    assert read_outcome(tmp_path, "ns-a-1") is None
    assert read_outcome(tmp_path / "nowhere", "ns-a-0") is None
    assert read_outcome(tmp_path, "ns-a-0") is not None


def test_what_a_scheduler_gave_is_in_the_attempt_by_its_last_word(tmp_path: Path) -> None:
    log = AttemptLog(tmp_path / "attempts.jsonl")
    given = Allocation(id="7.0", queued=1, started=2, nodes=1, devices=8, state="RUNNING")
    record_allocation(given)  # outside of an attempt: to nobody
    with log.attempt("align", "run", Device(pool="slurm", kind="mi355x", count=8, accelerator=True)):
        record_allocation(given)
        record_allocation(given.model_copy(update={"ended": 9.0, "state": "COMPLETED"}))
    record_allocation(given)
    (attempt,) = attempts_of(log.entries())
    assert attempt.allocations == (given.model_copy(update={"ended": 9.0, "state": "COMPLETED"}),)


# --- hardware ---


def test_every_accelerator_names_its_source_and_no_name_stands_for_two() -> None:
    book = hardware_book()
    assert {"mi355x", "mi300x", "b200", "h200", "h100", "a100", "l40s"} <= set(book.device)
    names = [name for one in book.device.values() for name in one.names]
    assert len(names) == len(set(names))
    assert all(one.source for one in book.device.values())
    assert book.kind_of("AMD Instinct MI355X") == "mi355x"
    assert book.kind_of("a card of the future") is None


def test_an_unknown_accelerator_is_an_error_and_never_a_guess() -> None:
    with pytest.raises(HardwareError, match="no accelerator 'mi999'"):
        hardware_book().of("mi999")


def test_a_book_with_a_missing_figure_is_refused(tmp_path: Path) -> None:
    (tmp_path / "book.toml").write_text(
        'date = 2026-11-01\nsource = "somewhere, read once"\n[device.x]\nvendor = "amd"\n'
    )
    with pytest.raises(HardwareError, match="memory_gb"):
        hardware_book(tmp_path / "book.toml")
    assert isinstance(hardware_book(), HardwareBook)


# --- the job's own program ---

PROGRAM = """
import json, signal, sys, time
from infra.events import emit
asked = []
signal.signal(signal.SIGTERM, lambda *_: asked.append(1))
emit("progress", done=1, total=2, what="steps")
print("an ordinary line", flush=True)
for _ in range(600):
    if asked:
        sys.exit(3)
    time.sleep(0.1)
"""


def started(tmp_path: Path) -> subprocess.Popen[bytes]:
    (tmp_path / "a_program.py").write_text(PROGRAM)
    plan = launch(
        nodes=1, gpu=None, gpus_per_node=0, distributed=False, module="a_program", folder=str(tmp_path), root=str(ROOT),
        python=sys.executable, spec="spec", result="result",
    ).model_copy(update={"root": str(tmp_path)})  # fmt: skip
    (tmp_path / "launch.json").write_text(plan.model_dump_json())
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{tmp_path}"}
    code = "import sys, infra.job_program as j; j._doctor = lambda launch: []; sys.exit(j.main(sys.argv[1]))"
    return subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "launch.json")], env=environment, cwd=ROOT)


def await_event(tmp_path: Path, kind: str) -> None:
    end = time.monotonic() + 60
    while kind not in ((tmp_path / "events.jsonl").read_text() if (tmp_path / "events.jsonl").exists() else ""):
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM])
def test_a_signal_of_the_scheduler_s_reaches_the_program_as_a_request_to_end(tmp_path: Path, number: int) -> None:
    # the program imports infra from its PYTHONPATH, which a job sets to the checkout
    os.symlink(ROOT / "infra", tmp_path / "infra")
    job = started(tmp_path)
    await_event(tmp_path, "progress")
    job.send_signal(number)
    assert job.wait(60) == 3
    answer = Answer.model_validate_json((tmp_path / "answer.json").read_text())
    assert (answer.exit_code, answer.asked) == (3, signal.Signals(number).name)
    assert answer.tail == "an ordinary line\n"
    assert (tmp_path / "output.log").read_text() == "an ordinary line\n"
    lines = (tmp_path / "events.jsonl").read_text().splitlines()
    assert [json.loads(line.partition(" ")[2])["event"] for line in lines] == ["log", "progress"]
