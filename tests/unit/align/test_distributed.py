"""Two processes (gloo, on the CPU) train as one does: plainly (DDP) and with the weights shared among them (FSDP2)."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from infra.events import parse
from infra.jsonl import dump_lines, load_lines
from infra.settings import ROOT, child_environment, load_settings
from tests.conftest import training_spec, write_pairs

STEPS = 4


# accelerate turns FSDP on for accelerators only; PyTorch's fully_shard works on a CPU as well. This makes the state
# say what it would say on two GPUs, so that the sharded training runs for real, over gloo.
SHARDED_ON_CPU = """
import sys
from accelerate import state
plain = state.AcceleratorState.__init__
def init(self, *args, fsdp_plugin=None, **kwargs):
    plain(self, *args, fsdp_plugin=fsdp_plugin, **kwargs)
    if fsdp_plugin is not None:
        self.distributed_type, self.fsdp_plugin = state.DistributedType.FSDP, fsdp_plugin
        # as accelerate does it: every later AcceleratorState() reads it from here
        state.PartialState._shared_state["distributed_type"] = self.distributed_type
state.AcceleratorState.__init__ = init
import torch
from accelerate import Accelerator
gathered = Accelerator.get_state_dict
# gathered on a CPU, tensors are still shares
def whole(*args, **kwargs):
    return {
        key: one.full_tensor().detach().clone() if hasattr(one, "full_tensor") else one
        for key, one in gathered(*args, **kwargs).items()
    }
Accelerator.get_state_dict = whole
from tasks.align.program import main
main(*sys.argv[1:])
"""


def train(folder: Path, spec: dict[str, Any], processes: int) -> tuple[list[dict[str, float]], list[str]]:
    """History, and what was said."""
    folder.mkdir(exist_ok=True)
    spec = spec | {"out": str(folder / "out"), "checkpoints": str(folder / "checkpoints")}
    (folder / "spec.json").write_text(json.dumps(spec))
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"] if processes == 2 else []
    program = ["-m", "tasks.align.program"]
    if spec["shard"]:
        (folder / "sharded.py").write_text(SHARDED_ON_CPU)
        program = [str(folder / "sharded.py")]
    command = [sys.executable, *launcher, *program, str(folder / "spec.json"), str(folder / "result")]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=child_environment(load_settings()) | {"ACCELERATE_USE_CPU": "true"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        lines = list(process.stdout)
        assert process.wait() == 0, "".join(line for line in lines if "@nightshift" not in line or "stopped" in line)
    said = [event["text"] for line in lines if (event := parse(line)) and event["event"] == "log"]
    return json.loads((folder / "result").read_text())["history"], said


@pytest.fixture
def spec(tmp_path: Path, tiny_model: Path) -> dict[str, Any]:
    write_pairs(tmp_path / "source.jsonl", 8 * STEPS)
    rows = load_lines((tmp_path / "source.jsonl").read_bytes())
    for number, row in enumerate(rows):  # ragged, so that processes need different numbers of parts
        row["chosen"][0]["content"] = " ".join(row["chosen"][0]["content"].split()[: 1 + number % 6])
    names = ("id", "prompt", "chosen", "rejected")
    (tmp_path / "pairs.jsonl").write_bytes(dump_lines({name: row[name] for name in names} for row in rows))
    phase = {"batch_size": 8, "learning_rate": 5e-3}
    return training_spec(tmp_path / "run", tiny_model, tmp_path / "pairs.jsonl", STEPS, phase, max_tokens=60)


@pytest.mark.parametrize(
    ("phase", "shard"),
    [
        ({}, False),
        pytest.param({"loss": ["sigmoid", "sft"], "loss_weights": [1.0, 0.5]}, False, marks=pytest.mark.slow),
        ({"adapter": "full"}, True),
    ],
    ids=["ddp", "ddp, a loss by tokens", "fsdp2, full"],
)
def test_two_processes_train_as_one(phase: dict[str, Any], shard: bool, spec: dict[str, Any], tmp_path: Path) -> None:
    spec = spec | {"phase": spec["phase"] | phase}
    one, _ = train(tmp_path / "one", spec, 1)
    two, said = train(tmp_path / "two", spec | {"shard": shard}, 2)
    for alone, together in zip(one, two, strict=True):
        for key in ("loss", "grad_norm", "rewards_margins", "num_tokens"):
            assert together[key] == pytest.approx(alone[key], rel=1e-4, abs=1e-6), key
    assert any("FSDP2" in text for text in said) == shard
    name = "model.safetensors" if phase.get("adapter") == "full" else "adapter_model.safetensors"
    weights, others = (load_file(tmp_path / folder / "out" / name) for folder in ("one", "two"))
    assert weights.keys() == others.keys()
    assert all(torch.allclose(weights[key], others[key], atol=1e-4) for key in weights)


@pytest.mark.slow
def test_a_loss_that_compares_all_pairs_is_refused_on_two_processes(spec: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"2 processes would each compare their own"):
        train(tmp_path / "aot", spec | {"phase": spec["phase"] | {"loss": "aot"}, "max_tokens": 10_000}, 2)


@pytest.mark.slow
def test_a_batch_that_processes_cannot_share_is_refused(spec: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"batch_size 7 can't be shared by 2 processes"):
        train(tmp_path / "odd", spec | {"phase": spec["phase"] | {"batch_size": 7}}, 2)
