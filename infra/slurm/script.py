"""From a launch plan to a Slurm batch script. Pure."""

import math
import shlex
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Annotated

from pydantic import Field, StringConstraints

from infra.digest import Record
from infra.hardware import hardware_book
from infra.launch import Launch

WORKER_TYPE = "nightshift-slurm"
_WORD = (
    r"^[\w.,:=+@/%*\[\]&|!()-]*$"  # what a site's names and constraints are made of; no space, no quote, no new line
)
_OPTION = r"^--[a-z][a-z-]*(=[\w.,:=+@/%*\[\]&|!()-]*)?$"


class SlurmOptions(Record):
    """What a site wants to be told. Empty: its default."""

    account: str = Field(default="", pattern=_WORD, description="Account that is charged.")
    partition: str = Field(default="", pattern=_WORD, description="Partition.")
    qos: str = Field(default="", pattern=_WORD, description="Quality of service.")
    constraint: str = Field(default="", pattern=_WORD, description="Features that nodes must have.")
    reservation: str = Field(default="", pattern=_WORD, description="Reservation.")
    gres_type: str = Field(
        default="", pattern=_WORD, description="GPU type in gres.conf; unset: the accelerator's kind."
    )
    requeue: bool = Field(default=True, description="Let Slurm start a preempted job again; it resumes.")
    options: tuple[Annotated[str, StringConstraints(pattern=_OPTION)], ...] = Field(
        default=(), description="Further options of sbatch, each --NAME=VALUE."
    )


def batch_script(launch: Launch, options: SlurmOptions) -> str:
    """The script that sbatch takes. It starts one task a node, which does all the rest (``infra.job_program``)."""
    return "\n".join(
        [
            "#!/bin/bash",
            f"# Written by Nightshift: {one_line(launch.name)}",
            *(f"#SBATCH {line}" for line in _directives(launch, options)),
            "set -u",
            # --export=NONE keeps the worker's environment and passwords out; srun must not drop the rest as well
            "export SLURM_EXPORT_ENV=ALL",
            *(f"module load {shlex.quote(module)}" for module in launch.modules),
            *(f"export {name}={shlex.quote(value)}" for name, value in sorted(launch.variables.items())),
            f"export PYTHONPATH={shlex.quote(launch.root)}",
            # signals go to the step's tasks, not to this shell; it only waits
            # it takes its number of cores from nobody: since 22.05 srun does not inherit sbatch's
            f"srun --ntasks-per-node=1 --cpus-per-task={launch.cpus_per_node} --kill-on-bad-exit=1 "
            + shlex.join(_task(launch)),
            "",
        ]
    )


def _directives(launch: Launch, options: SlurmOptions) -> Iterator[str]:
    named = {
        "job-name": launch.key,
        "comment": shlex.quote(one_line(launch.name)),
        "chdir": shlex.quote(launch.root),
        "output": shlex.quote(f"{launch.folder}/slurm.log"),
        "open-mode": "append",
        "account": options.account,
        "partition": options.partition,
        "qos": options.qos,
        "constraint": shlex.quote(options.constraint) if options.constraint else "",
        "reservation": options.reservation,
        "nodes": str(launch.nodes),
        "ntasks-per-node": "1",
        "cpus-per-task": str(launch.cpus_per_node),
        "gpus-per-node": gpus(launch, options),
        "mem": f"{math.ceil(launch.memory_bytes / 2**20)}M" if launch.memory_bytes else "",
        "time": str(math.ceil(launch.seconds / 60)),
        # without B: to the tasks, which hand it on to the program
        "signal": f"USR1@{launch.grace_seconds}",
        "export": "NONE",
    }
    yield from (f"--{name}={value}" for name, value in named.items() if value)
    yield "--requeue" if options.requeue else "--no-requeue"
    yield from options.options


def gpus(launch: Launch, options: SlurmOptions) -> str:
    """``TYPE:COUNT`` of a node, or nothing for a job without accelerators."""
    if not launch.gpus_per_node:
        return ""
    return f"{options.gres_type or launch.gpu}:{launch.gpus_per_node}"


def _task(launch: Launch) -> list[str]:
    program = [launch.python, "-m", "infra.job_program", f"{launch.folder}/launch.json"]
    return program if launch.image is None else [*_container(launch), *program]


def _container(launch: Launch) -> list[str]:
    """Apptainer, which needs no daemon and keeps the user's own rights."""
    vendor = hardware_book().of(launch.gpu).vendor if launch.gpu else None
    gpu = {"amd": ["--rocm"], "nvidia": ["--nv"], None: []}[vendor]
    places = {path: path for path in (launch.root, launch.folder, launch.checkpoints) if path}
    binds = [f"{source}:{target}" for source, target in places.items()]
    binds += [f"{one.source}:{one.target}{':ro' if one.read_only else ''}" for one in launch.mounts]
    image = launch.image if PurePosixPath(str(launch.image)).is_absolute() else f"docker://{launch.image}"
    return ["apptainer", "exec", *gpu, *(word for bind in binds for word in ("--bind", bind)), str(image)]


def one_line(text: str) -> str:
    """Without anything that would begin another line or option of the script."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
