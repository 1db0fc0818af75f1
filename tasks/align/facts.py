"""What a training program says of itself: what it trained on, by which code, and the machine it ran on.

It speaks from inside the job: a pool's node may have another checkout, other libraries or another device than the
night's machine thinks.
"""

from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from infra.digest import Digest, code_revision, digest_bytes
from infra.settings import ROOT, launched_processes

# libraries whose version decides the numbers; PyTorch's build is the machine's
_LIBRARIES = ("transformers", "trl", "peft", "accelerate")


def facts_of(trainer: Any, spec: dict[str, Any]) -> dict[str, Any]:
    """What decides the numbers (``pairs``, ``code``, ``libraries``) and the machine (``tasks.receipts.Machine``)."""
    model = trainer.accelerator.unwrap_model(trainer.model)
    accelerated = trainer.accelerator.device.type == "cuda"
    weights = _name(model.dtype)
    return {
        "pairs": digest_bytes(Path(spec["pairs"]).read_bytes()),
        "code": training_code(),
        "libraries": [f"{name}=={version(name)}" for name in _LIBRARIES],
        "machine": {
            "torch": torch.__version__,
            "build": _build(),
            "accelerator": torch.cuda.get_device_name(trainer.accelerator.device) if accelerated else None,
            "weights": weights,
            "computed": "bfloat16" if trainer.args.bf16 else weights,
            "processes": launched_processes(),
            "threads": torch.get_num_threads(),
            "packed": bool(getattr(trainer, "packed", False)),
            "max_tokens": spec["max_tokens"],
        },
    }


@cache
def training_code() -> Digest:
    """Revision of the checkout's code that trains, as the program's own files have it."""
    beside = [ROOT / "tasks" / name for name in ("method_table.py", "phases.py")]
    return code_revision(ROOT / "tasks" / "align", ROOT / "tasks" / "lm", *beside)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _build() -> str:
    hip = getattr(torch.version, "hip", None)
    return f"rocm {hip}" if hip else f"cuda {torch.version.cuda}" if torch.version.cuda else "cpu"
