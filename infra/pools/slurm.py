"""Slurm pools: on-prem AMD, and any other accelerator under Slurm."""

import shutil
from typing import Any, ClassVar

from prefect.workers.base import BaseWorker
from pydantic import Field, field_validator

from infra.errors import PoolError
from infra.hardware import hardware_book
from infra.launch import Launch
from infra.pools.base import Program
from infra.pools.remote import RemotePool
from infra.pools.remote_run import worker_problems
from infra.settings import load_settings
from infra.slurm import commands
from infra.slurm.script import WORKER_TYPE, SlurmOptions, batch_script


class SlurmPool(RemotePool):
    """Steps as batch jobs. The pool's worker calls sbatch; nights and jobs share a file system."""

    _block_type_name = "Nightshift Slurm pool"
    _block_type_slug = "nightshift-slurm-pool"
    _description = "Runs align and score as Slurm jobs on nodes that share a file system with the night."
    KIND: ClassVar[str] = "slurm"

    work_pool: str = Field(default="slurm", min_length=1, description="Prefect work pool whose worker calls sbatch.")
    slurm: SlurmOptions = Field(default_factory=SlurmOptions, description="What sbatch is told.")

    def worker(self) -> type[BaseWorker[Any, Any, Any]]:
        from infra.slurm.worker import SlurmWorker  # it imports all of Prefect's worker

        return SlurmWorker

    def job_variables(self, launch: Launch) -> dict[str, Any]:
        return {"slurm": self.slurm.model_dump(mode="json")}

    def check(self) -> list[str]:
        """The worker, and where Slurm's commands are here, whether Slurm would take a job like a night's."""
        problems = worker_problems(self.work_pool, WORKER_TYPE)
        if self.secrets:
            problems.append("secrets are named, and Slurm has no store for them: leave `secrets` empty")
        if shutil.which("sbatch") is None:
            return problems
        try:
            problems += self._partition_problems()
            why_not = commands.would_take(self._example())
        except PoolError as error:
            return [*problems, error.what]
        return [*problems, f"Slurm would not take its jobs: {why_not}"] if why_not else problems

    def _partition_problems(self) -> list[str]:
        if not self.slurm.partition:
            return []
        known = commands.partitions()
        if self.slurm.partition not in known:
            return [f"there is no partition {self.slurm.partition!r}, only {sorted(known)}"]
        state = known[self.slurm.partition]
        return [] if state == "up" else [f"the partition {self.slurm.partition} is {state}"]

    def _example(self) -> str:
        """The script of a training that this pool would be given."""
        folder = load_settings().home / "work" / "check"
        program = Program(
            module="tasks.align.program", spec=f"{folder}/spec.json", result=f"{folder}/result.json", distributed=True
        )
        return batch_script(self.launch(program, "ns-check"), self.slurm)


class AmdSlurmPool(SlurmPool):
    """On-prem AMD accelerators under Slurm, with ROCm."""

    _block_type_name = "Nightshift AMD Slurm pool"
    _block_type_slug = "nightshift-amd-slurm-pool"
    _description = "On-prem AMD accelerators under Slurm, with ROCm."
    KIND: ClassVar[str] = "amd-slurm"

    work_pool: str = Field(
        default="amd-slurm", min_length=1, description="Prefect work pool whose worker calls sbatch."
    )
    gpu: str | None = Field(default="mi355x", description="Accelerator's kind, as the hardware book spells it.")
    gpus_per_node: int = Field(default=8, ge=0, description="Accelerators of a node that a training holds.")

    @field_validator("gpu")
    @classmethod
    def _amd(cls, kind: str | None) -> str | None:
        if kind is not None and hardware_book().of(kind).vendor != "amd":
            raise ValueError(f"{kind} is no AMD accelerator: use the Nightshift Slurm pool for it")
        return kind
