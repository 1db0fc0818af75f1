"""A launch plan's program without a scheduler of ours, and where pods of several nodes meet."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from infra.errors import PoolError
from infra.launch import Launch
from infra.launcher import command
from infra.outcome import read_outcome
from infra.run_here import outcome_of, run_here
from infra.settings import ROOT, Meeting, meeting


def planned(folder: Path, how: str, **more: Any) -> Launch:
    spec = folder / "spec.json"
    spec.write_text(json.dumps({"how": how}))
    launch = Launch(
        key="ns-here-0",
        name="align here",
        module="tests.pool_program",
        spec=str(spec),
        result=str(folder / "result.json"),
        folder=str(folder),
        seconds=600,
        root=str(ROOT),
        python=sys.executable,
        variables={"NIGHTSHIFT_HOME": str(folder)},
        **more,
    )
    (folder / "launch.json").write_text(launch.model_dump_json())
    return launch


def test_it_runs_as_a_process_and_leaves_its_outcome(tmp_path: Path) -> None:
    launch = planned(tmp_path, "succeed")
    outcome = run_here(str(tmp_path / "launch.json"))
    assert read_outcome(tmp_path, launch.key) == outcome
    assert outcome.kind == "completed"
    assert json.loads((tmp_path / "result.json").read_text()) == {"done": True}


def test_what_fails_is_an_error_with_the_programs_last_words(tmp_path: Path) -> None:
    planned(tmp_path, "fail")
    with pytest.raises(PoolError, match="it broke on purpose"):
        run_here(str(tmp_path / "launch.json"))


@pytest.mark.parametrize(
    ("code", "kind"), [(0, "completed"), (1, "failed"), (137, "out_of_memory"), (-9, "out_of_memory")]
)
def test_an_exit_code_is_an_outcome(tmp_path: Path, code: int, kind: str) -> None:
    outcome = outcome_of(planned(tmp_path, "succeed", gpu="h100", gpus_per_node=4), code, 10.0, 70.0)
    assert (outcome.kind, outcome.allocations[0].devices) == (kind, 4)
    assert outcome_of(planned(tmp_path, "succeed"), code, 10.0, 70.0, cancelled=True).kind == "cancelled"


def test_a_pod_of_a_training_starts_its_own_part(tmp_path: Path) -> None:
    launch = planned(tmp_path, "succeed", nodes=2, distributed=True, gpu="h100", gpus_per_node=8)
    place = Meeting("ns-here-0-node-0-0.ns-here-0", "29500", 1)
    found = command(launch, place)
    options = dict(zip(found[3::2], found[4::2], strict=False))
    assert (options["--nnodes"], options["--nproc-per-node"], options["--node-rank"]) == ("2", "8", "1")
    assert (options["--master-addr"], options["--master-port"]) == (place.address, "29500")


def test_a_node_knows_where_to_meet_the_others_by_what_its_scheduler_set(monkeypatch: pytest.MonkeyPatch) -> None:
    assert meeting() == Meeting("127.0.0.1", None, 0)
    monkeypatch.setenv("SLURM_LAUNCH_NODE_IPADDR", "10.0.0.7")
    monkeypatch.setenv("SLURM_NODEID", "2")
    assert meeting() == Meeting("10.0.0.7", None, 2)
    for name, value in {"PET_MASTER_ADDR": "a.b", "PET_MASTER_PORT": "29500", "PET_NODE_RANK": "3"}.items():
        monkeypatch.setenv(name, value)
    assert meeting() == Meeting("a.b", "29500", 3)
