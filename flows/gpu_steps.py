"""What a remote pool's worker is given to run: one program of a night, by its launch plan.

On Slurm the worker makes a batch job of it and this flow's own code never runs (docs/design/slurm.md).
"""

from typing import Annotated

from prefect import flow
from pydantic import Field

from infra.job_program import main


@flow(name="gpu-step", description=__doc__)
def gpu_step(launch: Annotated[str, Field(description="Path of the job's launch plan.")]) -> int:
    """Run the program here and return its exit code."""
    return main(launch)
