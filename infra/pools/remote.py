"""Pools elsewhere: a program becomes a flow run on the pool's work pool, whose job leaves its events in a folder.

The night writes the launch plan beside the program's spec and starts one run of the deployment ``gpu-step/POOL``; the
pool's worker makes a job of it. Night and job share a file system (``NIGHTSHIFT_HOME`` and the checkout lie on it) and
nothing else: on Slurm a job needs neither Prefect's API nor a password. While the night lives it renews a lease in the
folder; a job whose night is gone keeps a checkpoint and ends, so that no orphan holds a device (docs/design/pools.md).
"""

import sys
from abc import abstractmethod
from typing import Any, ClassVar, Self
from uuid import uuid4

from prefect.workers.base import BaseWorker
from pydantic import Field, field_validator, model_validator

from infra.attempts import Allocation, Device, record_allocation, record_scheduled
from infra.errors import JobEnded, MeterError, PoolError
from infra.hardware import Hardware, hardware_book
from infra.launch import Launch, Mount
from infra.lease import leased
from infra.outcome import LOST, Outcome
from infra.pools.base import OnEvent, Pool, Program
from infra.pools.deployed import ensure_deployed
from infra.pools.remote_run import RemoteRun
from infra.rack_meter import RackMeter, await_readings, by_rack
from infra.settings import ROOT, load_settings, program_variables

_GB = 1_000_000_000


class RemotePool(Pool):
    """What every pool with a scheduler has in common. The fields are the block's form in Prefect's UI."""

    KIND: ClassVar[str]  # its key in ``infra.pools.POOLS``

    gpu: str | None = Field(default=None, description="Accelerator's kind, as the hardware book spells it; none: CPUs.")
    nodes: int = Field(default=1, ge=1, description="Nodes of a training.")
    gpus_per_node: int = Field(default=0, ge=0, description="Accelerators of a node that a training holds.")
    cpus_per_node: int = Field(default=8, ge=1, description="CPU cores of a node that a job holds.")
    host_memory_gb: float | None = Field(default=None, gt=0, description="Host memory of a node that a job holds.")
    hours: float = Field(default=8.0, gt=0, description="Time limit of one job.")
    queue_hours: float = Field(default=4.0, gt=0, description="Longest wait in the queue; then the next pool is tried.")
    restarts: int = Field(default=3, ge=0, description="How often a job that lost its nodes is started again.")
    share_weights: bool = Field(default=False, description="Share weights among the processes (FSDP2).")
    image: str | None = Field(default=None, description="Container image by digest: NAME@sha256:…")
    modules: tuple[str, ...] = Field(default=(), description="Environment modules to load first.")
    python: str | None = Field(default=None, description="Interpreter in the job; unset: this one's path.")
    root: str | None = Field(default=None, description="Checkout in the job; unset: this one's path.")
    mounts: tuple[Mount, ...] = Field(default=(), description="Places the job sees beside the shared file system.")
    secrets: tuple[str, ...] = Field(default=(), description="Names of secrets the job gets from the pool's own store.")
    rack: RackMeter | None = Field(default=None, description="The racks' energy meter, where the site has one.")
    work_pool: str = Field(min_length=1, description="Prefect work pool whose worker starts the jobs.")

    @field_validator("gpu")
    @classmethod
    def _known(cls, kind: str | None) -> str | None:
        if kind is not None:
            hardware_book().of(kind)
        return kind

    @model_validator(mode="after")
    def _counted(self) -> Self:
        if self.gpus_per_node and self.gpu is None:
            raise ValueError(f"gpus_per_node is {self.gpus_per_node} without gpu: name its kind, or set 0 for CPUs")
        return self

    def hardware(self) -> Hardware | None:
        return hardware_book().of(self.gpu) if self.gpu else None

    def device(self) -> Device:
        """All accelerators of a training's allocation, or its nodes' CPUs where it asks for none."""
        if self.gpu is None or not self.gpus_per_node:
            return Device(pool=self.name(), kind="cpu", count=self.nodes, accelerator=False)
        return Device(pool=self.name(), kind=self.gpu, count=self.nodes * self.gpus_per_node, accelerator=True)

    def memory_bytes(self) -> int:
        """Of one accelerator, by the hardware book; of a node where the pool has none."""
        hardware = self.hardware()
        if hardware is not None and self.gpus_per_node:
            return int(hardware.memory_gb * _GB)
        if self.host_memory_gb is None:
            raise PoolError(
                f"the pool {self.name()} names neither an accelerator nor its nodes' memory",
                do="set gpu and gpus_per_node, or host_memory_gb, in the pool's block (Prefect UI, Blocks)",
            )
        return int(self.host_memory_gb * _GB)

    def shares_weights(self) -> bool:
        return self.share_weights and self.device().count > 1

    def name(self) -> str:
        """As a recipe names it: ``KIND``, or ``KIND/BLOCK`` for a block of another name."""
        block = self._block_document_name
        return f"{self.KIND}/{block}" if block and block != self.KIND else self.KIND

    @abstractmethod
    def worker(self) -> type[BaseWorker[Any, Any, Any]]:
        """The type of worker that its work pool has."""

    @abstractmethod
    def job_variables(self, launch: Launch) -> dict[str, Any]:
        """What the pool's worker is told of a launch: its own words for it."""

    def lost(self, launch: Launch) -> Outcome | None:
        """The outcome of a job that left none itself, once its flow run has ended; None: nobody knows it."""
        return None

    def launch(self, program: Program, key: str) -> Launch:
        """The plan of one program. A program that isn't distributed takes one node."""
        return Launch(
            key=key,
            name=f"{program.module.split('.')[1]} {program.folder.name}",
            module=program.module,
            spec=program.spec,
            result=program.result,
            folder=str(program.folder),
            checkpoints=program.checkpoints,
            distributed=program.distributed,
            nodes=self.nodes if program.distributed else 1,
            gpu=self.gpu if self.gpus_per_node else None,
            gpus_per_node=self.gpus_per_node,
            cpus_per_node=self.cpus_per_node,
            memory_bytes=int(self.host_memory_gb * _GB) if self.host_memory_gb else None,
            seconds=int(self.hours * 3600),
            root=self.root or str(ROOT),
            python=self.python or sys.executable,
            image=self.image,
            modules=self.modules,
            mounts=self.mounts,
            variables=program_variables(load_settings()),
            secrets=self.secrets,
        )

    def run(self, program: Program, on_event: OnEvent) -> None:
        first = uuid4().hex[:12]
        record_scheduled()
        with leased(program.folder):
            outcome = self._one(self.launch(program, f"ns-{first}-0"), on_event)
            for again in range(1, self.restarts + 1):
                if outcome.kind not in LOST:
                    break
                on_event({"event": "log", "text": f"{outcome.what}; it is started again from its last checkpoint"})
                on_event({"event": "again"})
                outcome = self._one(self.launch(program, f"ns-{first}-{again}"), on_event)
        if outcome.kind != "completed":
            raise JobEnded(outcome.what, do=outcome.do, kind=outcome.kind)

    def _metered(self, allocations: tuple[Allocation, ...], on_event: OnEvent, *, wait: bool) -> list[Allocation]:
        """With the rack's energy, where the pool has such a meter. No bill fails for its meter."""
        ended = [one.ended for one in allocations if one.ended is not None]
        if self.rack is None or not ended:
            return list(allocations)
        try:
            readings = await_readings(self.rack, max(ended), wait=wait)
        except MeterError as error:
            _say(error, on_event)
            return list(allocations)
        found: list[Allocation] = []
        for one in allocations:
            try:
                found.append(by_rack(one, self.rack, readings))
            except MeterError as error:
                _say(error, on_event)
                found.append(one)
        return found

    def _one(self, launch: Launch, on_event: OnEvent) -> Outcome:
        """One job, from the queue to its end; asked to end where the night is."""
        run = RemoteRun(launch, ensure_deployed(self), self.job_variables(launch), on_event, lambda: self.lost(launch))
        run.start()
        ended = False
        try:
            outcome = run.wait(queue_seconds=self.queue_hours * 3600)
            ended = True
        except BaseException:  # also when the night is stopped: the job must not go on without it
            run.cancel(launch.grace_seconds + 60)
            raise
        finally:
            for allocation in self._metered(run.allocations(), on_event, wait=ended):
                record_allocation(allocation)
        return outcome


def _say(error: MeterError, on_event: OnEvent) -> None:
    on_event({"event": "log", "text": f"{error.what} -> {error.do}"})
