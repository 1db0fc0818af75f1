"""The launch plan: what one step asks of a pool, in no vendor's words. Each pool renders it (docs/design/pools.md).

A plan says what a program needs, never how a scheduler spells it: Slurm makes it a batch script, Kubernetes a Job or a
TrainJob. It is a file beside the program's spec, so that what ran can be read afterwards.
"""

from pathlib import PurePosixPath

from pydantic import Field, field_validator, model_validator

from infra.digest import Record

FILE = "launch.json"  # what a plan is called in its folder

# how long a training that is asked to end may take to write its checkpoint
GRACE_SECONDS = 120


class Mount(Record):
    """A place of the pool that the program sees under a path of its own."""

    source: str = Field(min_length=1, description="what the pool calls it: a path, or a volume claim's name")
    target: str = Field(description="absolute path in the job")
    read_only: bool = False

    @field_validator("target")
    @classmethod
    def _absolute(cls, path: str) -> str:
        if not PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
            raise ValueError(f"{path!r} is no absolute path without `..`")
        return path


class Launch(Record):
    """One program on one allocation.

    Attributes:
        key: names this attempt: letters, digits, dashes. A pool never starts two jobs of one key.
        name: for people, e.g. ``align support-8b-2026-11-26-0200``.
        module, spec, result: ``python -m MODULE SPEC RESULT``; paths as the job sees them.
        folder: where the job leaves ``events.jsonl``, ``output.log`` and ``answer.json``; of ``spec``.
        checkpoints: where a training keeps its checkpoints, None for a program that keeps none.
        distributed: one process a device under torchrun; else one process.
        gpu: the accelerator's kind, as the hardware book spells it; None for none.
        gpus_per_node, cpus_per_node, memory_bytes: of one node; memory is the host's.
        seconds: time limit of the allocation.
        root, python: checkout and interpreter, as the job sees them.
        image: container image by digest, None where the job runs on the node itself.
        modules: environment modules to load first.
        variables: not secret; secrets are named, and the pool gives them from where it keeps them.
        grace_seconds: between the request to end and the end.
    """

    key: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    name: str = Field(min_length=1, max_length=200)
    module: str = Field(pattern=r"^[\w.]+$")
    spec: str
    result: str
    folder: str
    checkpoints: str | None = None
    distributed: bool = False
    nodes: int = Field(default=1, ge=1)
    gpu: str | None = None
    gpus_per_node: int = Field(default=0, ge=0)
    cpus_per_node: int = Field(default=1, ge=1)
    memory_bytes: int | None = Field(default=None, gt=0)
    seconds: int = Field(gt=0)
    root: str
    python: str
    image: str | None = None
    modules: tuple[str, ...] = ()
    mounts: tuple[Mount, ...] = ()
    variables: dict[str, str] = Field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    grace_seconds: int = Field(default=GRACE_SECONDS, gt=0)

    @model_validator(mode="after")
    def _consistent(self) -> "Launch":
        if self.gpus_per_node and self.gpu is None:
            raise ValueError("gpus_per_node without gpu: name the accelerator's kind")
        if self.nodes > 1 and not self.distributed:
            raise ValueError(f"{self.nodes} nodes for a program of one process")
        if self.image is not None and "@sha256:" not in self.image:
            raise ValueError(f"the image {self.image!r} is not named by digest (NAME@sha256:…): a tag may move")
        if self.grace_seconds >= self.seconds:
            raise ValueError(f"grace of {self.grace_seconds} s in an allocation of {self.seconds} s")
        return self

    @property
    def processes_per_node(self) -> int:
        return max(self.gpus_per_node, 1) if self.distributed else 1
