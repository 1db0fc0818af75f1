"""What a remote pool's work pool runs: one program on one allocation. The deployment is ``gpu-step/WORK_POOL``.

Our workers (Slurm, Kubernetes) start the job program themselves and follow it: the flow's code isn't run there, and
its run in Prefect stands for the job. On a work pool of another type, such as ``process`` on a machine with
accelerators, the flow below is what runs.
"""

from typing import Annotated

from prefect import flow
from pydantic import Field

from infra.run_here import run_here


@flow(name="gpu-step")
def gpu_step(launch: Annotated[str, Field(description="The launch plan's path, as the pool sees it.")]) -> None:
    """Run one launch plan's program where this flow runs, and leave its outcome beside the plan."""
    run_here(launch)
