"""Our Prefect worker: ``python -m infra.kubernetes.worker_program WORK_POOL``.

It makes a Job or a TrainJob of each flow run and follows it to its end. The pod runs the job program and no flow: it
needs neither Prefect's API nor its password, and what a killed pod could not say the worker says
(docs/design/kubernetes.md).
"""

from pathlib import Path
from typing import Any
from uuid import UUID

import anyio
import anyio.abc
from kubernetes_asyncio.client import ApiClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.workers.base import BaseWorker
from prefect_kubernetes.worker import KubernetesWorker, KubernetesWorkerResult

from infra.errors import PoolError
from infra.kubernetes.api import Cluster
from infra.kubernetes.configuration import Configuration
from infra.kubernetes.follow import Follower, Looks
from infra.kubernetes.states import States
from infra.kubernetes.template import base_job_template
from infra.launch import Launch
from infra.settings import load_settings
from infra.worker_labels import Labelling

TYPE = "nightshift-kubernetes"
_ADOPTED = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]


class NightshiftKubernetesWorker(Labelling, KubernetesWorker):
    """Follows its jobs rather than leaving that to the flow in them."""

    type = TYPE
    job_configuration = Configuration
    _description = "Runs Nightshift's GPU steps as Jobs, and as Kubeflow TrainJobs on several nodes."
    _display_name = "Nightshift Kubernetes"

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._looks: dict[str, Looks] = {}
        self._followed: dict[UUID, Follower] = {}
        self._adopted = False

    @classmethod
    def get_default_base_job_template(cls) -> dict[str, Any]:
        return base_job_template()

    async def __aenter__(self) -> "NightshiftKubernetesWorker":
        # not KubernetesWorker's: its observer watches all of the cluster, and calls a run crashed that was preempted
        await BaseWorker.__aenter__(self)
        return self

    async def __aexit__(self, *error: Any) -> None:
        await BaseWorker.__aexit__(self, *error)

    async def run(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        flow_run: FlowRun,
        configuration: Configuration,
        task_status: anyio.abc.TaskStatus[Any] | None = None,
    ) -> KubernetesWorkerResult:
        """Make the job, unless it is there already, and follow it to its end.

        Raises:
            PoolError: the cluster refuses it, or the launch plan can't be read here.
        """
        launch = await anyio.to_thread.run_sync(launch_of, flow_run)
        states = States(self.client, flow_run.id)
        async with self._get_configured_kubernetes_client(configuration) as client:
            cluster = Cluster(client, configuration.namespace)
            manifest = configuration.manifest()
            follower = Follower(launch, manifest, cluster, self._looks_at(client, configuration), states)
            outcome = await follower.start(made=flow_run.infrastructure_pid is not None)
            self._followed[flow_run.id] = follower
            if task_status is not None:
                task_status.started(f"{configuration.namespace}:{launch.key}")
            try:
                outcome = outcome or await follower.follow(configuration.queue_seconds)
            except (LookupError, TypeError, ValueError) as error:  # an answer of the API that we can't read
                await self._propose_crashed_state(flow_run, f"{launch.name} can't be followed: {error!r}")
                raise
            finally:
                self._followed.pop(flow_run.id, None)
        self.get_flow_run_logger(flow_run).info("%s: %s", outcome.kind, outcome.what)
        return KubernetesWorkerResult(identifier=f"{configuration.namespace}:{launch.key}", status_code=0)

    async def _initiate_run(self, flow_run: FlowRun, configuration: Configuration) -> None:  # pyright: ignore
        raise PoolError(
            f"{flow_run.name} was submitted without a deployment",
            do="start runs of the pool's deployment gpu-step only",
        )

    async def _initialize_after_sync(self) -> None:
        await super()._initialize_after_sync()
        if not self._adopted and self._has_successfully_synced:
            self._adopted = True
            await self._adopt()

    async def _adopt(self) -> None:
        """Follow on what a worker before this one left: its jobs go on meanwhile, and are found by their key."""
        runs = await self.client.read_flow_runs(
            flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=_ADOPTED))),
            work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[self._work_pool_name])),
        )
        assert self._runs_task_group is not None
        for run in runs:
            self._runs_task_group.start_soon(self._adopt_one, run)

    async def _adopt_one(self, flow_run: FlowRun) -> None:
        logger = self.get_flow_run_logger(flow_run)
        try:
            configuration = await Configuration.resolve_for_flow_run(
                flow_run,
                client=self.client,
                work_pool=self.work_pool,
                worker_name=self.name,
                worker_id=self.backend_id,
            )
            await self.run(flow_run, configuration)
        except PoolError as error:
            logger.error("%s", error)
            await self._propose_crashed_state(flow_run, error.what)

    async def _cancel_run(self, flow_run_id: UUID) -> None:
        """Asked of every worker of the pool; the one that follows the run ends it, running or not.

        Prefect's own would kill a waiting job and leave a running one to the flow in it.
        """
        with anyio.move_on_after(60):
            while (follower := self._followed.get(flow_run_id)) is None:
                await anyio.sleep(0.5)
            await follower.cancel()

    def _looks_at(self, client: ApiClient, configuration: Configuration) -> Looks:
        """One set of looks a namespace of a cluster, shared by all jobs that are followed there."""
        place = f"{client.configuration.host} {configuration.namespace}"
        if place not in self._looks:
            self._looks[place] = Looks()
        return self._looks[place]


def launch_of(flow_run: FlowRun) -> Launch:
    """The plan that the night wrote.

    Raises:
        PoolError: it isn't there, or no plan, or lies elsewhere than the nights of this home.
    """
    path = Path(str((flow_run.parameters or {}).get("launch", ""))).resolve()
    home = load_settings().home
    if not path.is_relative_to(home):
        raise PoolError(
            f"the launch plan {path} doesn't lie under {home}", do="give worker and night one NIGHTSHIFT_HOME"
        )
    try:
        return Launch.model_validate_json(path.read_text())
    except (OSError, ValueError) as error:
        raise PoolError(
            f"the launch plan {path} can't be read here: {error}",
            do="mount the claim of NIGHTSHIFT_HOME into the worker's pod as well (docs/guides/pools.md)",
        ) from None
