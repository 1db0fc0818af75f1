"""The local pool: real child processes, their events and failures."""

import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from infra.accelerators import Accelerators
from infra.errors import PoolError
from infra.pools import default_pool
from infra.pools.base import Program
from infra.pools.local import LocalPool
from infra.pools.slurm import AmdSlurmPool
from infra.programs import run_program

PROGRAM = """
import json, os, signal, sys, time
from pathlib import Path
from infra.events import emit
spec = json.loads(Path(sys.argv[1]).read_text())
print("ordinary output")
emit("progress", done=1, total=2, what="half")
if spec["do"] == "fail":
    sys.exit("no such luck")
if spec["do"] == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
if spec["do"] == "wait":
    time.sleep(60)
if spec["do"] != "nothing":
    Path(sys.argv[2]).write_text(json.dumps({"did": spec["do"]}))
"""


class ScriptPool(LocalPool):
    """A local pool whose programs are files: what is tested is how processes are run, not which."""

    def _command(self, program: Program) -> list[str]:
        return [sys.executable, str(program.folder / "program.py"), program.spec, program.result]


@pytest.fixture
def run(tmp_path: Path) -> Any:
    (tmp_path / "program.py").write_text(PROGRAM)
    return lambda do, on_event=lambda event: None: run_program(ScriptPool(), "m", {"do": do}, tmp_path, on_event)


def test_a_program_gets_its_spec_gives_its_result_and_sends_events(run: Any, tmp_path: Path) -> None:
    events: list[dict[str, Any]] = []
    assert run("work", events.append) == {"did": "work"}
    assert events == [{"event": "progress", "done": 1, "total": 2, "what": "half"}]
    assert (tmp_path / "output.log").read_text() == "ordinary output\n"


def test_a_failed_program_shows_its_last_output_and_its_log(run: Any, tmp_path: Path) -> None:
    with pytest.raises(PoolError, match=r"exit code 1 \(its own error\)[^$]*no such luck") as failed:
        run("fail")
    assert str(tmp_path / "output.log") in failed.value.do


def test_a_killed_program_is_said_to_be_killed(run: Any) -> None:
    with pytest.raises(PoolError, match="most often by the kernel for memory"):
        run("kill")


def test_a_program_without_a_result_has_failed_and_an_older_result_does_not_stand_in(run: Any) -> None:
    run("work")
    with pytest.raises(PoolError, match="ended without a result"):
        run("nothing")


def test_an_interrupted_step_leaves_no_program_behind(run: Any, tmp_path: Path) -> None:
    def interrupt(event: dict[str, Any]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run("wait", interrupt)
    assert not [one for one in psutil.process_iter(["cmdline"]) if str(tmp_path) in " ".join(one.info["cmdline"] or [])]


def test_there_is_no_pool_of_another_name() -> None:
    with pytest.raises(PoolError, match=r"no pool 'moon', only \['amd-slurm'.*'local'"):
        default_pool("moon")


GPUS = Accelerators(torch="2", build="cuda", names=("NVIDIA H200", "NVIDIA H200"), memory_bytes=1)
PROGRAM_OF = {
    distributed: Program(module="m", spec="s", result="r", distributed=distributed) for distributed in (True, False)
}


def test_one_process_is_started_without_a_launcher_so_that_a_signal_reaches_it() -> None:
    assert LocalPool()._command(PROGRAM_OF[True]) == [sys.executable, "-m", "m", "s", "r"]


def test_training_on_several_accelerators_is_one_process_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.pools.local.probe", lambda: GPUS)
    command = LocalPool(processes=2)._command(PROGRAM_OF[True])
    assert command[command.index("--nproc-per-node") + 1] == "2"
    assert "torch.distributed.run" in command
    assert "torch.distributed.run" not in LocalPool(processes=2)._command(PROGRAM_OF[False])


def test_a_pool_that_asks_for_more_than_the_machine_has_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.pools.local.probe", lambda: GPUS)
    assert LocalPool(processes=3).check() == ["the pool asks for 3 accelerators, this machine has 2"]
    assert LocalPool(processes=2).check() == []
    held = LocalPool(processes=2).device()
    assert (held.count, held.kind, held.accelerator) == (2, "nvidia-h200", True)


def test_a_pool_of_accelerators_of_no_kind_is_refused_when_it_is_made() -> None:
    with pytest.raises(ValueError, match="gpus_per_node is 8 without gpu: name its kind, or set 0 for CPUs"):
        AmdSlurmPool(gpu=None)
    assert not AmdSlurmPool(gpu=None, gpus_per_node=0).device().accelerator


@pytest.mark.parametrize("gpus", [{}, {"gpu": None, "gpus_per_node": 0}])
def test_a_block_of_its_own_name_is_planned_and_billed_under_it(gpus: dict[str, Any]) -> None:
    pool = AmdSlurmPool(**gpus)
    assert pool.device().pool == "amd-slurm"
    pool._block_document_name = "night"
    assert pool.device().pool == "amd-slurm/night"
