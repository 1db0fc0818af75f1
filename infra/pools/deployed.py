"""The work pool and the deployment of ``gpu-step`` that a remote pool's flow runs go through. Safe to repeat."""

from typing import Any, Protocol

from prefect import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.workers.base import BaseWorker

FLOW, ENTRYPOINT = "gpu-step", "flows.gpu_steps.gpu_step"
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"launch": {"type": "string", "title": "launch", "description": "Path of the job's launch plan."}},
    "required": ["launch"],
    "additionalProperties": False,
}


class Deployable(Protocol):
    """A pool that has a worker elsewhere."""

    @property
    def work_pool(self) -> str: ...

    def worker(self) -> type[BaseWorker[Any, Any, Any]]: ...


def ensure_deployed(pool: Deployable) -> str:
    """Make what is missing; what a person changed in Prefect's UI stays.

    Returns:
        The deployment's full name, ``gpu-step/WORK POOL``.
    """
    full = f"{FLOW}/{pool.work_pool}"
    with get_client(sync_client=True) as client:
        try:
            client.read_work_pool(pool.work_pool)
        except ObjectNotFound:
            _create_work_pool(client, pool)
        try:
            client.read_deployment_by_name(full)
        except ObjectNotFound:
            client.create_deployment(
                flow_id=client.create_flow_from_name(FLOW),
                name=pool.work_pool,
                description="One program of a night on this pool; started by align and score.",
                entrypoint=ENTRYPOINT,
                parameter_openapi_schema=SCHEMA,
                enforce_parameter_schema=True,
                work_pool_name=pool.work_pool,
            )
    return full


def _create_work_pool(client: Any, pool: Deployable) -> None:
    worker = pool.worker()
    wanted = WorkPoolCreate(
        name=pool.work_pool,
        type=worker.type,
        description="Jobs of Nightshift's GPU steps",
        base_job_template=worker.get_default_base_job_template(),
    )
    try:
        client.create_work_pool(wanted)
    except ObjectAlreadyExists:  # another night made it meanwhile
        return
