"""The command that starts a launch's processes: plain Python, torchrun on one node, or on each (srun, or its pod)."""

import sys

from infra.launch import Launch
from infra.settings import Meeting

# of the meeting of a training's nodes: the first node's, any port that is free on most machines
_PORT_BASE, _PORT_RANGE = 20000, 20000


def command(launch: Launch, meeting: Meeting | None = None) -> list[str]:
    """What the first node runs for the whole job.

    Args:
        meeting: of a job whose every node is started by the scheduler itself; each then runs its own part only.
    """
    program = ["-m", launch.module, launch.spec, launch.result]
    if launch.nodes > 1 and meeting is not None:
        return pod_command(launch, meeting)
    if launch.nodes > 1:
        nodes = str(launch.nodes)
        return [
            "srun", "--nodes", nodes, "--ntasks", nodes, "--ntasks-per-node", "1", "--kill-on-bad-exit=1",
            launch.python, "-m", "infra.node_program", f"{launch.folder}/launch.json",
        ]  # fmt: skip
    if launch.processes_per_node == 1:
        return [launch.python, *program]
    return [launch.python, "-m", "torch.distributed.run", "--standalone", *_processes(launch), *program]


def node_command(launch: Launch, head: str) -> list[str]:
    """What every node of several runs: torchrun, which meets the others at ``head``.

    c10d needs no numbers given to nodes: whoever comes is counted in, and a node that comes back after a failure too.
    """
    return [
        sys.executable, "-m", "torch.distributed.run",
        "--nnodes", str(launch.nodes), *_processes(launch),
        "--rdzv-backend", "c10d", "--rdzv-endpoint", f"{head}:{port_of(launch.key)}", "--rdzv-id", launch.key,
        "--max-restarts", "0",  # a training that lost a process goes on from its checkpoint, in a job of its own
        "-m", launch.module, launch.spec, launch.result,
    ]  # fmt: skip


def pod_command(launch: Launch, meeting: Meeting) -> list[str]:
    """What every pod of several runs: torchrun, whose place among the others is given with its pod."""
    return [
        launch.python, "-m", "torch.distributed.run",
        "--nnodes", str(launch.nodes), *_processes(launch), "--node-rank", str(meeting.rank),
        "--master-addr", meeting.address, "--master-port", meeting.port,
        "--max-restarts", "0",
        "-m", launch.module, launch.spec, launch.result,
    ]  # fmt: skip


def _processes(launch: Launch) -> list[str]:
    return ["--nproc-per-node", str(launch.processes_per_node)]


def port_of(key: str) -> int:
    """A port that jobs of other keys on the same node most likely don't take."""
    import zlib

    return _PORT_BASE + zlib.crc32(key.encode()) % _PORT_RANGE
