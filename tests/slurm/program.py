"""A small program for jobs: counts steps, keeps a checkpoint when it is asked to end, and goes on from it.

Spec: {steps, seconds a step, checkpoint, mode}. Modes: ``count``; ``fail`` (its own error), ``kill`` (SIGKILL, as the
kernel does for memory), ``nodes`` (adds up the ranks of all processes over gloo).
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

from infra.events import die_with_parent, emit

CHECKPOINTED = 3


def main(spec_path: str, result_path: str) -> None:
    die_with_parent()
    spec = json.loads(Path(spec_path).read_text())
    asked: list[int] = []
    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, lambda number, _: asked.append(number))
    match spec["mode"]:
        case "fail":
            print("the reason is written here")
            sys.exit(7)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
            return
        case "nodes":
            result = _sum_of_ranks()
        case _:
            result = _count(spec, asked)
    if int(os.environ.get("RANK", "0")) == 0:
        Path(result_path).write_text(json.dumps(result))


def _count(spec: dict, asked: list[int]) -> dict:  # type: ignore[type-arg]
    checkpoint = Path(spec["checkpoint"])
    begun = int(checkpoint.read_text()) if checkpoint.exists() else 0
    for step in range(begun, spec["steps"]):
        if asked:
            checkpoint.write_text(str(step))
            emit("stopped", kind="interrupted", step=step, what="a signal asked it to end")
            sys.exit(CHECKPOINTED)
        emit("progress", done=step + 1, total=spec["steps"], what="steps")
        time.sleep(spec["seconds"])
    visible = {name: value for name, value in os.environ.items() if name.endswith("VISIBLE_DEVICES")}
    secrets = [name for name in os.environ if "AUTH_STRING" in name or "PASSWORD" in name]
    return {"begun": begun, "visible": visible, "secrets": secrets, "home": os.environ.get("NIGHTSHIFT_HOME")}


def _sum_of_ranks() -> dict:  # type: ignore[type-arg]
    import torch
    import torch.distributed as dist

    dist.init_process_group("gloo")
    emit("log", text=f"rank {dist.get_rank()}")
    total = torch.tensor([float(dist.get_rank() + 1)])
    dist.all_reduce(total)
    return {"sum": total.item(), "world": dist.get_world_size()}


if __name__ == "__main__":
    main(*sys.argv[1:])
