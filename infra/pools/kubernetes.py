"""Kubernetes: a step as a Job on one node, as a Kubeflow TrainJob on several (docs/guides/pools.md)."""

import time
from pathlib import Path
from typing import Any, ClassVar

from prefect import get_client
from prefect.client.schemas.objects import WorkerStatus
from prefect.exceptions import ObjectNotFound
from prefect.utilities.asyncutils import run_coro_as_sync
from prefect.workers.base import BaseWorker
from pydantic import Field, field_validator

from infra.errors import PoolError
from infra.hardware import hardware_book
from infra.job_program import read_answer
from infra.kubernetes import holdings, pods
from infra.kubernetes.place import NAME, Place, Toleration
from infra.kubernetes.setup import Setup
from infra.kubernetes.setup import manifests as setup_manifests
from infra.kubernetes.trainjob import train_job
from infra.launch import GRACE_SECONDS, Launch
from infra.outcome import Outcome
from infra.pools.remote import RemotePool
from infra.pools.remote_run import tail_of
from infra.settings import load_settings

# the worker's, which imports the Kubernetes client: not needed to say what a pool's jobs get
TYPE = "nightshift-kubernetes"


class KubernetesPool(RemotePool):
    """Nodes of a Kubernetes cluster, whatever accelerators they have."""

    KIND: ClassVar[str] = "kubernetes"
    _block_type_name = "Nightshift Kubernetes pool"
    _block_type_slug = "nightshift-kubernetes-pool"
    _description = "A Kubernetes cluster: Jobs on one node, Kubeflow TrainJobs on several, queued by Kueue."

    work_pool: str = Field(default="kubernetes", min_length=1, description="Prefect work pool of the pool's worker.")
    root: str | None = Field(default="/opt/nightshift", description="Checkout in the image.")
    python: str | None = Field(default="/opt/venv/bin/python", description="Interpreter in the image.")
    namespace: str = Field(default="nightshift", pattern=NAME, description="Namespace of the jobs.")
    service_account: str = Field(
        default="nightshift-job", pattern=NAME, description="The jobs' account; without rights."
    )
    home_claim: str = Field(
        default="nightshift-home", pattern=NAME, description="ReadWriteMany claim that NIGHTSHIFT_HOME lies on."
    )
    cluster: str | None = Field(
        default=None, description="kubernetes-cluster-config block; unset: the own cluster, else the kubeconfig."
    )
    queue: str | None = Field(default=None, description="Kueue LocalQueue; unset: no Kueue.")
    queue_priority: str | None = Field(default=None, description="Kueue WorkloadPriorityClass.")
    priority_class: str | None = Field(default=None, description="PriorityClass of the pods.")
    runtime_class: str | None = Field(default=None, description="RuntimeClass, e.g. nvidia.")
    node_selector: dict[str, str] = Field(default_factory=dict, description="Labels that the nodes must have.")
    tolerations: tuple[Toleration, ...] = Field(default=(), description="Taints the jobs may run in spite of.")
    spot: bool = Field(default=False, description="Run on nodes that may be taken away; `restarts` bounds how often.")
    spot_taint: Toleration | None = Field(default=None, description="The taint of such nodes, as the cloud sets it.")
    gpu_resource: str = Field(default="nvidia.com/gpu", description="What the device plugin calls an accelerator.")
    shm_gb: float = Field(default=16, gt=0, description="Size of /dev/shm; it counts as host memory.")
    tmp_gb: float = Field(default=32, gt=0, description="Size of /tmp, all that a job may write beside its claims.")
    user: int = Field(default=10001, ge=1, description="User and group id in the image; not root.")
    pull_secrets: tuple[str, ...] = Field(default=(), description="Secrets of a private registry.")

    def place(self) -> Place:
        """The block in the cluster's words.

        Raises:
            PoolError: it names no image.
        """
        if self.image is None:
            raise PoolError(
                f"the pool {self.name()} names no image, and a pod runs nothing else",
                do="set image in the pool's block to NAME@sha256:… (docs/guides/pools.md, Images)",
            )
        names = set(Place.model_fields) & set(type(self).model_fields)
        return Place(
            **{name: getattr(self, name) for name in names},
            pool=self.work_pool,
            home=str(load_settings().home),
            grace_seconds=GRACE_SECONDS,
            queue_seconds=int(self.queue_hours * 3600),
        )

    def manifests(self, setup: Setup) -> list[dict[str, Any]]:
        """What the cluster's administrator applies once."""
        return setup_manifests(self.place(), setup)

    def worker(self) -> type[BaseWorker[Any, Any, Any]]:
        from infra.kubernetes.worker import NightshiftKubernetesWorker  # it imports the Kubernetes client

        return NightshiftKubernetesWorker

    def job_variables(self, launch: Launch) -> dict[str, Any]:
        place = self.place()
        found = pods.job_variables(launch, place)
        if launch.nodes > 1:
            found["train_job"] = train_job(launch, place)
        if self.cluster:
            found["cluster_config"] = f"{{{{ prefect.blocks.kubernetes-cluster-config.{self.cluster} }}}}"
        return found

    def check(self) -> list[str]:
        problems = self._prefect_problems()
        if self.image is None or "@sha256:" not in self.image:
            return [f"the image {self.image!r} is not named by digest (NAME@sha256:…): a tag may move", *problems]
        if self.modules:
            problems.append(f"the pool loads the modules {', '.join(self.modules)}: a container has none")
        return [*problems, *run_coro_as_sync(self._cluster_problems())]  # pyright: ignore[reportReturnType]

    def lost(self, launch: Launch) -> Outcome | None:
        """What the cluster still knows of it, where the worker that followed it can't say it any more."""
        return run_coro_as_sync(self._look(launch))

    async def _look(self, launch: Launch) -> Outcome | None:
        from infra.kubernetes.api import Cluster, Look
        from infra.kubernetes.connect import client_of
        from infra.kubernetes.ends import ending
        from infra.kubernetes.follow import AWAY

        try:
            async with client_of(self.cluster) as client:
                seen = (await Look.at(Cluster(client, self.namespace))).of(launch.key)
        except (*AWAY, PoolError):
            return None
        end = ending(seen, launch, tail_of(Path(launch.folder)))
        if end is None:
            return None
        held = holdings.held(seen.pods, launch, holdings.kept(Path(launch.folder), launch.key), time.time())
        return Outcome(
            key=launch.key,
            job=f"{self.namespace}/{launch.key}",
            kind=end.kind,
            what=end.what,
            do=end.do,
            exit_code=end.exit_code,
            allocations=holdings.metered(held, seen.pods, read_answer(Path(launch.folder), launch.key)),
        )

    async def _cluster_problems(self) -> list[str]:
        from infra.kubernetes.api import Cluster
        from infra.kubernetes.connect import client_of
        from infra.kubernetes.examine import examine

        try:
            async with client_of(self.cluster) as client:
                return await examine(Cluster(client, self.namespace), self.place())
        except PoolError as error:
            return [error.what]

    def _prefect_problems(self) -> list[str]:
        with get_client(sync_client=True) as client:
            try:
                found = client.read_work_pool(self.work_pool)
            except ObjectNotFound:
                return [f"there is no work pool {self.work_pool} in Prefect: `nightshift up` makes it from the block"]
            if found.type != TYPE:
                return [f"the work pool {self.work_pool} is of type {found.type}, not {TYPE}: its worker makes no jobs"]
            if found.is_paused:
                return [f"the work pool {self.work_pool} is paused"]
            workers = client.read_workers_for_work_pool(self.work_pool)  # pyright: ignore[reportAttributeAccessIssue]
        if not any(worker.status == WorkerStatus.ONLINE for worker in workers):
            return [f"no worker of the work pool {self.work_pool} is online: apply the worker's Deployment"]
        return []


class NvidiaKubernetesPool(KubernetesPool):
    """NVIDIA accelerators in a Kubernetes cluster, most often a cloud's."""

    KIND: ClassVar[str] = "nvidia-kubernetes"
    _block_type_name = "Nightshift NVIDIA Kubernetes pool"
    _block_type_slug = "nightshift-nvidia-kubernetes-pool"
    _description = "NVIDIA accelerators of a Kubernetes cluster, with NVIDIA's device plugin."

    work_pool: str = Field(
        default="nvidia-kubernetes", min_length=1, description="Prefect work pool of the pool's worker."
    )
    tolerations: tuple[Toleration, ...] = Field(
        default=(Toleration(key="nvidia.com/gpu", effect="NoSchedule"),),
        description="Taints the jobs may run in spite of; GPU nodes carry NVIDIA's.",
    )

    @field_validator("gpu")
    @classmethod
    def _nvidia(cls, kind: str | None) -> str | None:
        if kind is not None and (vendor := hardware_book().of(kind).vendor) != "nvidia":
            raise ValueError(f"{kind} is of {vendor}: take the block of a KubernetesPool for it")
        return kind
