"""The attempt log: a killed attempt counts up to its last beat, a failed one to its end, a cut line is no line."""

import json
import time
from pathlib import Path

import pytest

from infra import attempts
from infra.attempts import (
    Allocation,
    AttemptLog,
    Device,
    Use,
    attempts_of,
    record_allocation,
    record_scheduled,
    record_use,
)
from infra.energy import EnergyMeter
from infra.gauges import NoGauges
from infra.usage import UsageMeter

CPU = Device(pool="local", kind="cpu", count=1, accelerator=False)


@pytest.fixture
def log(tmp_path: Path) -> AttemptLog:
    return AttemptLog(tmp_path / "night" / "attempts.jsonl")


def test_a_finished_attempt_has_its_wall_time(log: AttemptLog) -> None:
    with log.attempt("align", "run-1", CPU):
        time.sleep(0.05)
    (attempt,) = attempts_of(log.entries())
    assert (attempt.step, attempt.run, attempt.state, attempt.error) == ("align", "run-1", "Completed", None)
    assert 0.05 <= attempt.seconds < 5
    assert attempt.kwh is None  # nothing here measures a CPU


def test_a_failed_attempt_is_kept_with_its_error(log: AttemptLog) -> None:
    with pytest.raises(ValueError, match="broken"), log.attempt("score", "run-1", CPU):
        raise ValueError("broken")
    (attempt,) = attempts_of(log.entries())
    assert (attempt.state, attempt.error) == ("Failed", "ValueError: broken")


def test_an_interrupt_is_an_end_too(log: AttemptLog) -> None:
    with pytest.raises(KeyboardInterrupt), log.attempt("score", "run-1", CPU):
        raise KeyboardInterrupt
    assert attempts_of(log.entries())[0].state == "Failed"


def test_an_attempt_beats_while_it_runs(log: AttemptLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "BEAT_SECONDS", 0.02)
    with log.attempt("align", "run-1", CPU):
        time.sleep(0.2)
        (running,) = attempts_of(log.entries(), running=True)
        assert running.state == "Running"
        assert running.seconds >= 0.02
    assert any(entry["event"] == "beat" for entry in log.entries())


def test_a_killed_attempt_counts_to_its_last_beat_and_its_cut_line_is_left_out(log: AttemptLog) -> None:
    log.write(event="start", id="a", step="align", run="r", at=1.0, device=CPU.model_dump())
    log.write(event="beat", id="a", seconds=5.0)
    log.write(event="beat", id="a", seconds=10.0)
    with log.path.open("a") as file:
        file.write('{"event": "beat", "id": "a", "sec')
    (attempt,) = attempts_of(log.entries())
    assert (attempt.state, attempt.seconds) == ("Killed", 10.0)


def test_what_is_written_after_a_cut_line_is_still_read(log: AttemptLog) -> None:
    log.write(event="start", id="a", step="align", run="r", at=1.0, device=CPU.model_dump())
    with log.path.open("a") as file:
        file.write('{"event": "beat", "id": "a", "sec')
    with log.attempt("align", "r2", CPU):
        pass
    assert [one.state for one in attempts_of(log.entries())] == ["Killed", "Completed"]


def test_reuse_is_recorded_and_is_no_attempt(log: AttemptLog) -> None:
    log.reused("collect", "run-2")
    assert json.loads(log.path.read_text())["event"] == "reused"
    assert attempts_of(log.entries()) == []


def test_a_night_without_a_log_has_no_attempts(log: AttemptLog) -> None:
    assert log.entries() == []


# ---- what a pool's scheduler gave, and what was used


def test_a_scheduler_s_allocations_and_what_was_moved_reach_the_attempt(tmp_path: Path) -> None:
    log = AttemptLog(tmp_path / "attempts.jsonl")
    held = Allocation(id="7", queued=1.0, started=2.0, nodes=1, devices=8, state="RUNNING")
    record_allocation(held)  # outside of an attempt: nothing
    with log.attempt("align", "r", Device(pool="slurm", kind="h200", count=8, accelerator=True)):
        record_scheduled()
        record_allocation(held)
        record_allocation(held.model_copy(update={"ended": 9.0, "state": "COMPLETED"}))
        record_use(Use(what="egress", gb=1.5))
    (found,) = attempts_of(log.entries())
    assert found.scheduled
    assert [one.state for one in found.allocations] == ["COMPLETED"]  # the last word
    assert found.uses == (Use(what="egress", gb=1.5),)


def test_devices_of_a_pool_elsewhere_are_not_metered_on_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []

    def start(*, accelerator: bool, devices: int) -> UsageMeter:
        asked.append(accelerator)
        meter = UsageMeter(EnergyMeter(None), NoGauges())
        meter._thread.start()
        return meter

    monkeypatch.setattr(attempts.UsageMeter, "start", start)
    log = AttemptLog(tmp_path / "attempts.jsonl")
    for pool in ("slurm", "local"):
        with log.attempt("align", "r", Device(pool=pool, kind="h200", count=8, accelerator=True)):
            pass
    assert asked == [True]
    assert [one.kwh for one in attempts_of(log.entries())] == [None, None]


def test_what_a_local_attempt_used_is_in_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(NoGauges):
        def read(self) -> tuple[float | None, int | None]:
            return 0.5, 7_000_000_000

    def start(**_: object) -> UsageMeter:
        meter = UsageMeter(EnergyMeter(None), Full())
        meter._thread.start()
        return meter

    monkeypatch.setattr(attempts.UsageMeter, "start", start)
    log = AttemptLog(tmp_path / "attempts.jsonl")
    with log.attempt("align", "r", Device(pool="local", kind="h200", count=8, accelerator=True)):
        pass
    (found,) = attempts_of(log.entries())
    assert (found.busy, found.peak_memory_bytes, found.meter) == (0.5, 7_000_000_000, None)
    # a log of before this was metered can be read too
    old = [{key: value for key, value in entry.items() if key not in ("busy", "meter")} for entry in log.entries()]
    assert attempts_of(old)[0].busy is None
