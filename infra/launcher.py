"""The command that starts a launch's processes on one node: plain Python, or torchrun. Pure."""

import zlib

from infra.launch import Launch
from infra.settings import Meeting

# where a training's nodes meet on the first of them: any port that most machines leave free
_PORT_BASE, _PORT_RANGE = 20000, 20000


def command(launch: Launch, meeting: Meeting) -> list[str]:
    """What a node runs, be it the only one or one of several, each of which the scheduler starts by itself."""
    program = ["-m", launch.module, launch.spec, launch.result]
    if not launch.distributed or launch.nodes * launch.processes_per_node == 1:
        return [launch.python, *program]
    return [launch.python, "-m", "torch.distributed.run", *_rendezvous(launch, meeting), *program]


def _rendezvous(launch: Launch, meeting: Meeting) -> list[str]:
    processes = ["--nproc-per-node", str(launch.processes_per_node)]
    if launch.nodes == 1:
        return ["--standalone", *processes]
    nodes = ["--nnodes", str(launch.nodes), *processes]
    # a training that lost a process goes on from its checkpoint, in a job of its own
    return [*nodes, *_place(launch, meeting), "--max-restarts", "0"]


def _place(launch: Launch, meeting: Meeting) -> list[str]:
    """How a node finds the others: by the place it was given among them, else c10d gives it one."""
    if meeting.port is not None:
        return ["--node-rank", str(meeting.rank), "--master-addr", meeting.address, "--master-port", meeting.port]
    endpoint = f"{meeting.address}:{port_of(launch.key)}"
    return ["--rdzv-backend", "c10d", "--rdzv-endpoint", endpoint, "--rdzv-id", launch.key]


def port_of(key: str) -> int:
    """A port that jobs of other keys on the same node most likely don't take."""
    return _PORT_BASE + zlib.crc32(key.encode()) % _PORT_RANGE
