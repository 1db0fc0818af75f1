"""Where a pool's jobs lie in a cluster: namespace, queue, nodes, claims, rights. What every rendering starts from."""

import re
from pathlib import PurePosixPath
from typing import Any, Literal, NamedTuple

from pydantic import Field, field_validator, model_validator

from infra.digest import Record
from infra.errors import PoolError
from infra.launch import Launch, Mount

NAME = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
LABEL_KEY, LABEL_PART = "nightshift-key", "nightshift-part"
JOB_PART, WORKER_PART = "job", "worker"
# the container's name, which prefect-kubernetes asks of a Job and Kubeflow Trainer of a runtime
JOB_CONTAINER, NODE_CONTAINER = "prefect-job", "node"

Manifest = dict[str, Any]


class Toleration(Record):
    """A taint that the pool's jobs may run in spite of."""

    key: str = Field(min_length=1)
    operator: Literal["Exists", "Equal"] = "Exists"
    value: str | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    seconds: int | None = Field(default=None, ge=0, description="How long a taint of effect NoExecute is borne.")

    @model_validator(mode="after")
    def _consistent(self) -> "Toleration":
        if (self.operator == "Exists") != (self.value is None):
            raise ValueError(f"a toleration of {self.key} with operator {self.operator} and value {self.value!r}")
        if self.seconds is not None and self.effect != "NoExecute":
            raise ValueError(f"the toleration of {self.key} bears effect {self.effect}: seconds are for NoExecute")
        return self

    def rendered(self) -> Manifest:
        found = {"key": self.key, "operator": self.operator, "value": self.value, "effect": self.effect}
        return {name: value for name, value in found.items() if value is not None} | (
            {"tolerationSeconds": self.seconds} if self.seconds is not None else {}
        )


# a node that is gone is given up after a minute, not after Kubernetes' five
GONE_NODES = tuple(
    Toleration(key=f"node.kubernetes.io/{state}", effect="NoExecute", seconds=60)
    for state in ("not-ready", "unreachable")
)


class Place(Record):
    """A pool's fields, in the cluster's words.

    Attributes:
        pool: work pool's name; it names the pool's objects.
        home, home_claim: NIGHTSHIFT_HOME as jobs, worker and night see it, and the ReadWriteMany claim it lies on.
        queue, queue_priority: Kueue's LocalQueue and WorkloadPriorityClass; None: no Kueue.
        priority_class: of the pods.
        gpu_resource: as the device plugin calls it.
        spot: whether its nodes may be taken away; ``spot_taint`` is theirs.
        shm_gb, tmp_gb: of ``/dev/shm`` and of ``/tmp``, the two places a job may write beside its claims.
        image: of a pool's runtime; a launch names its own.
        secrets: ``NAME`` (every key a variable) or ``VARIABLE=NAME/KEY``.
        queue_seconds: longest wait for devices, after which the worker gives the job up.
    """

    pool: str = Field(pattern=NAME)
    namespace: str = Field(pattern=NAME)
    service_account: str = Field(pattern=NAME)
    home: str
    home_claim: str = Field(pattern=NAME)
    image: str
    queue: str | None = None
    queue_priority: str | None = None
    priority_class: str | None = None
    runtime_class: str | None = None
    node_selector: dict[str, str] = Field(default_factory=dict)
    tolerations: tuple[Toleration, ...] = ()
    spot: bool = False
    spot_taint: Toleration | None = None
    gpu_resource: str = "nvidia.com/gpu"
    shm_gb: float = Field(default=16, gt=0)
    tmp_gb: float = Field(default=32, gt=0)
    user: int = Field(default=10001, ge=1)
    pull_secrets: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    mounts: tuple[Mount, ...] = ()
    nodes: int = Field(default=1, ge=1)
    gpus_per_node: int = Field(default=0, ge=0)
    grace_seconds: int = Field(gt=0)
    queue_seconds: int = Field(gt=0)

    @field_validator("secrets")
    @classmethod
    def _secrets(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if _SECRET.match(name) is None:
                raise ValueError(f"the secret {name!r} is neither NAME nor VARIABLE=NAME/KEY")
        return names

    @property
    def runtime(self) -> str:
        """Name of the pool's TrainingRuntime, for trainings of several nodes."""
        return f"nightshift-{self.pool}"[:63].rstrip("-")

    def all_tolerations(self) -> list[Manifest]:
        spot = (self.spot_taint,) if self.spot and self.spot_taint is not None else ()
        return [one.rendered() for one in (*self.tolerations, *spot, *GONE_NODES)]


_SECRET = re.compile(
    r"^(?:(?P<variable>[A-Za-z_]\w*)=(?P<of>[a-z0-9.-]+)/(?P<key>[\w.-]+)|(?P<all>[a-z0-9][a-z0-9.-]*))$"
)


class Secrets(NamedTuple):
    """References only: what they hold never passes through us."""

    env: list[Manifest]
    env_from: list[Manifest]


def secrets_of(names: tuple[str, ...]) -> Secrets:
    found = Secrets([], [])
    for name in names:
        match = _SECRET.match(name)
        if match is None:
            raise PoolError(
                f"the secret {name!r} is neither NAME nor VARIABLE=NAME/KEY", do="mend secrets in the pool's block"
            )
        if match["all"]:
            found.env_from.append({"secretRef": {"name": match["all"]}})
        else:
            reference = {"secretKeyRef": {"name": match["of"], "key": match["key"]}}
            found.env.append({"name": match["variable"], "valueFrom": reference})
    return found


def check_launch(launch: Launch, place: Place) -> None:
    """Refuse what a pod could not do.

    Raises:
        PoolError: no image, environment modules, or files that the claim doesn't hold.
    """
    if launch.image is None:
        raise PoolError(
            f"{launch.name} names no image, and a pod runs nothing else",
            do="set image in the pool's block to NAME@sha256:… (docs/guides/pools.md, Images)",
        )
    if launch.modules:
        raise PoolError(
            f"the pool {place.pool} loads the modules {', '.join(launch.modules)}: a container has none",
            do="empty modules in the pool's block",
        )
    for path in (launch.folder, launch.spec, launch.result, *filter(None, [launch.checkpoints])):
        if not PurePosixPath(path).is_relative_to(place.home):
            raise PoolError(
                f"{path} doesn't lie under {place.home}, which is all of the night's that a pod sees",
                do="mount the claim at NIGHTSHIFT_HOME, under the same path for night, worker and jobs",
            )
