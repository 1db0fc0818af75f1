"""A flow run's job configuration: prefect-kubernetes' own, less what a job of ours must not get."""

from typing import Any

from prefect_kubernetes.worker import KubernetesWorkerJobConfiguration
from pydantic import Field

from infra.kubernetes.place import Manifest
from infra.kubernetes.template import job_of


class Configuration(KubernetesWorkerJobConfiguration):
    """What ``infra.kubernetes.template`` gives for one launch."""

    train_job: Manifest | None = Field(default=None)
    queue_seconds: int = Field(default=4 * 3600, ge=1)

    def prepare_for_flow_run(self, flow_run: Any, *args: Any, **options: Any) -> None:
        """As Prefect's, then without its API's address and login: the pod runs a program, not a flow."""
        super().prepare_for_flow_run(flow_run, *args, **options)
        self.job_manifest = job_of(self.job_manifest)

    def manifest(self) -> Manifest:
        """What is made in the cluster."""
        return self.train_job or self.job_manifest
