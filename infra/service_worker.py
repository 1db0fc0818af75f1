"""A Prefect worker that runs flows in its own process: what a person waits for must not wait for a cold start.

A flow run in a process of its own takes some seconds to import Prefect and MLflow. Promotion and rollback are short,
need the service account, and are served by this one process, which is warm.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import anyio
import anyio.abc
from prefect import Flow
from prefect.client.schemas.objects import FlowRun
from prefect.flow_engine import run_flow_sync
from prefect.workers.base import BaseJobConfiguration, BaseVariables, BaseWorker, BaseWorkerResult

from infra.errors import ServerError
from infra.quiet import quiet_our_errors

TYPE = "nightshift-service"


class ServiceResult(BaseWorkerResult):
    """How a flow run in this process ended; its state is the flow engine's."""


class ServiceWorker(BaseWorker[BaseJobConfiguration, BaseVariables, ServiceResult]):
    """Runs the flows it was given, by their deployment's entrypoint; no others.

    Args:
        flows: entrypoint, as the deployments have it → flow.
    """

    type = TYPE
    job_configuration = BaseJobConfiguration
    _description = "Runs Nightshift's promotions and rollbacks in the promotion service's own process."
    _display_name = "Nightshift promotion service"

    def __init__(self, flows: Mapping[str, Flow[..., Any]], **options: Any) -> None:
        super().__init__(**options)
        self._flows = flows

    async def run(
        self,
        flow_run: FlowRun,
        configuration: BaseJobConfiguration,
        task_status: anyio.abc.TaskStatus[Any] | None = None,
    ) -> ServiceResult:
        flow = await self._flow(flow_run)
        if task_status is not None:
            task_status.started(f"in-process:{flow_run.id}")
        quiet_our_errors()
        await anyio.to_thread.run_sync(partial(run_flow_sync, flow, flow_run, flow_run.parameters, return_type="state"))
        return ServiceResult(status_code=0, identifier=str(flow_run.id))

    async def _flow(self, flow_run: FlowRun) -> Flow[..., Any]:
        assert flow_run.deployment_id is not None
        entrypoint = (await self.client.read_deployment(flow_run.deployment_id)).entrypoint
        if entrypoint is None or entrypoint not in self._flows:
            raise ServerError(
                f"the promotion service does not run {entrypoint}",
                do="give that deployment another work pool; this one is for promotion and rollback",
            )
        return self._flows[entrypoint]
