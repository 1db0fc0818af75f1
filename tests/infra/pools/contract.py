"""What every pool promises, whatever starts its jobs. A pool's file gives a fixture ``rig`` and inherits the tests:

    class TestSlurm(SchedulerContract): ...

The program is tests/pool_program.py, a real process; the rig does to the job what its scheduler would.
"""

import json
import signal
import threading
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import pytest

from infra.attempts import AttemptLog, attempts_of
from infra.errors import PoolBusy, PoolError
from infra.pools.base import Pool, Program


class Rig(ABC):
    """One pool, ready to run, and the hands of its scheduler.

    Attributes:
        pool: takes its time limit, queue limit and restarts from the rig.
        folder: a fresh folder that night and job share.
        scheduled: whether it has a scheduler at all, whose doings the last four of the methods are.
    """

    pool: Pool
    folder: Path
    scheduled: bool = True

    @abstractmethod
    def with_(self, **fields: Any) -> Pool:
        """The pool with other fields, e.g. ``restarts=0``."""

    def out_of_memory(self) -> None:
        """The kernel kills the job that runs."""
        raise NotImplementedError

    def lose_node(self) -> None:
        """The job's node is gone."""
        raise NotImplementedError

    def fill(self) -> None:
        """No devices are free from now on."""
        raise NotImplementedError

    def jobs(self) -> int:
        """How many jobs of ours the scheduler has that have not ended."""
        raise NotImplementedError


class Events(list[dict[str, Any]]):
    def texts(self) -> str:
        return "\n".join(str(event.get("text")) for event in self)


def program(folder: Path, how: str) -> Program:
    spec = folder / "spec.json"
    spec.write_text(json.dumps({"how": how}))
    return Program(module="tests.pool_program", spec=str(spec), result=str(folder / "result.json"))


def once(path: Path, act: Any) -> threading.Thread:
    """Act as soon as the file is there."""

    def wait() -> None:
        end = time.monotonic() + 120
        while not path.exists() and time.monotonic() < end:
            time.sleep(0.1)
        act()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


class PoolContract:
    """Each test a sentence that is true of every pool."""

    def run(self, rig: Rig, pool: Pool, how: str, on_event: Any = lambda event: None) -> list[Any]:
        """Run it as a step does, and return what was billed."""
        log = AttemptLog(rig.folder / "attempts.jsonl")
        try:
            with log.attempt("align", "run", pool.device()):
                pool.run(program(rig.folder, how), on_event)
        finally:
            (attempt,) = attempts_of(log.entries())
            self.billed = list(attempt.allocations)
        return self.billed

    def test_a_program_that_succeeds_leaves_its_result_and_its_bill(self, rig: Rig) -> None:
        began = time.time()
        held = self.run(rig, rig.pool, "succeed")
        assert json.loads((rig.folder / "result.json").read_text()) == {"done": True}
        if rig.scheduled:
            (one,) = held
            assert one.ended is not None
            assert began - 2 <= one.started <= one.ended <= time.time() + 2

    def test_a_program_that_fails_says_so_with_its_last_words_and_what_to_do(self, rig: Rig) -> None:
        with pytest.raises(PoolError, match="exit code 3") as raised:
            self.run(rig, rig.pool, "fail")
        assert "it broke on purpose" in raised.value.what
        assert "output.log" in raised.value.do
        assert "started again" not in raised.value.what

    def test_a_night_that_is_stopped_lets_the_program_keep_a_checkpoint_and_leaves_nothing_running(
        self, rig: Rig
    ) -> None:
        once(rig.folder / "running", _interrupt)  # as Ctrl-C does
        before = signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs in the background ignores it
        try:
            with pytest.raises(KeyboardInterrupt):
                self.run(rig, rig.pool, "wait")
        finally:
            signal.signal(signal.SIGINT, before)
        assert (rig.folder / "checkpoint").read_text() == "kept"
        if rig.scheduled:
            assert rig.jobs() == 0
            assert len(self.billed) == 1


class SchedulerContract(PoolContract):
    """And what is true of every pool that has a scheduler."""

    def test_memory_that_ran_out_is_named_and_not_tried_again(self, rig: Rig) -> None:
        once(rig.folder / "running", rig.out_of_memory)
        with pytest.raises(PoolError, match="memory") as raised:
            self.run(rig, rig.pool, "wait")
        assert "host_memory_gb" in raised.value.do
        assert len(self.billed) == 1

    def test_a_lost_node_is_made_up_for_by_another_start_and_both_are_billed(self, rig: Rig) -> None:

        def lose() -> None:
            rig.lose_node()
            (rig.folder / "go-on").write_text("")

        events = Events()
        once(rig.folder / "running", lose)
        held = self.run(rig, rig.with_(restarts=1), "wait", events.append)
        assert json.loads((rig.folder / "result.json").read_text()) == {"done": True}
        assert len(held) == 2
        assert "started again from its last checkpoint" in events.texts()

    def test_a_node_that_is_lost_too_often_is_an_error_that_says_so(self, rig: Rig) -> None:
        once(rig.folder / "running", rig.lose_node)
        with pytest.raises(PoolError, match="node"):
            self.run(rig, rig.with_(restarts=0), "wait")

    def test_a_pool_without_devices_is_busy_not_broken_and_its_job_is_taken_back(self, rig: Rig) -> None:
        rig.fill()
        with pytest.raises(PoolBusy, match="has waited") as raised:
            self.run(rig, rig.with_(queue_hours=8 / 3600), "succeed")
        assert "fallback_pools" in raised.value.do
        assert rig.jobs() == 0
        assert self.billed == []


def _interrupt() -> None:
    main = threading.main_thread().ident
    assert main is not None
    signal.pthread_kill(main, signal.SIGINT)
