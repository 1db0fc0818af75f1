"""The command that starts a launch's processes on one node: plain Python, or torchrun. Pure."""

import zlib

from infra.launch import Launch

# where a training's nodes meet on the first of them: any port that most machines leave free
_PORT_BASE, _PORT_RANGE = 20000, 20000


def command(launch: Launch, head: str) -> list[str]:
    """What a node runs.

    Args:
        head: the first node's address; used where there are several.
    """
    program = ["-m", launch.module, launch.spec, launch.result]
    if not launch.distributed or launch.nodes * launch.processes_per_node == 1:
        return [launch.python, *program]
    return [launch.python, "-m", "torch.distributed.run", *_rendezvous(launch, head), *program]


def _rendezvous(launch: Launch, head: str) -> list[str]:
    processes = ["--nproc-per-node", str(launch.processes_per_node)]
    if launch.nodes == 1:
        return ["--standalone", *processes]
    # c10d gives the nodes their numbers: none needs to know its own
    return [
        "--nnodes", str(launch.nodes), *processes,
        "--rdzv-backend", "c10d", "--rdzv-endpoint", f"{head}:{port_of(launch.key)}", "--rdzv-id", launch.key,
        "--max-restarts", "0",  # a training that lost a process goes on from its checkpoint, in a job of its own
    ]  # fmt: skip


def port_of(key: str) -> int:
    """A port that jobs of other keys on the same node most likely don't take."""
    return _PORT_BASE + zlib.crc32(key.encode()) % _PORT_RANGE
