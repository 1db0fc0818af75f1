"""Fixed examples: what docs/rendered/ shows, and what the tests hold against the schemas. No real place is meant."""

import json
from typing import Any

import yaml
from prefect.utilities.templating import apply_values

from infra.kubernetes import pods
from infra.kubernetes.place import Manifest, Place, Toleration
from infra.kubernetes.setup import Reach, Setup, manifests, queue_manifests
from infra.kubernetes.template import base_job_template, job_manifest, job_of, variables
from infra.kubernetes.trainjob import train_job
from infra.launch import Launch, Mount

HOME = "/srv/nightshift"
IMAGE = "registry.example/nightshift-cuda@sha256:" + "0123456789abcdef" * 4
FOLDER = f"{HOME}/nights/0123456789abcdef/align"

PLACE = Place(
    pool="gpu-nvidia",
    namespace="nightshift",
    service_account="nightshift-job",
    home=HOME,
    home_claim="nightshift-home",
    image=IMAGE,
    queue="nightly",
    queue_priority="nightly",
    priority_class="batch-low",
    runtime_class="nvidia",
    node_selector={"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"},
    tolerations=(Toleration(key="nvidia.com/gpu", effect="NoSchedule"),),
    spot=True,
    spot_taint=Toleration(key="cloud.example/spot", operator="Equal", value="true", effect="NoSchedule"),
    secrets=("object-store", "HF_TOKEN=hub/token"),
    pull_secrets=("registry",),
    mounts=(Mount(source="base-models", target="/srv/models", read_only=True),),
    nodes=2,
    gpus_per_node=8,
    grace_seconds=120,
    queue_seconds=4 * 3600,
)

SETUP = Setup(
    worker_image=IMAGE,
    prefect_api="https://prefect.example/api",
    prefect_secret="prefect-login",
    prefect=(Reach(cidr="192.0.2.10/32", port=443),),
    kubernetes=(Reach(cidr="192.0.2.1/32", port=443),),
    objects=(Reach(cidr="198.51.100.0/24", port=443),),
    storage_class="shared-files",
)

QUOTA = {"cpu": "192", "memory": "2Ti", "nvidia.com/gpu": "16"}


def launch(nodes: int = 1) -> Launch:
    """A training on eight accelerators a node."""
    return Launch(
        key=f"ns-0123456789ab-{nodes - 1}",
        name="align support-8b-2026-11-26-0200",
        module="tasks.align.program",
        spec=f"{FOLDER}/spec.json",
        result=f"{FOLDER}/result.json",
        folder=FOLDER,
        checkpoints=f"{FOLDER}/checkpoints",
        distributed=True,
        nodes=nodes,
        gpu="h100",
        gpus_per_node=8,
        cpus_per_node=64,
        memory_bytes=512_000_000_000,
        seconds=8 * 3600,
        root="/opt/nightshift",
        python="/opt/venv/bin/python",
        image=IMAGE,
        secrets=PLACE.secrets,
        mounts=PLACE.mounts,
        variables={"HF_HUB_OFFLINE": "1", "NIGHTSHIFT_HOME": HOME},
    )


def job(one: Launch, place: Place) -> Manifest:
    """The Job of a launch on one node: the work pool's template filled as Prefect fills it."""
    defaults = {name: field["default"] for name, field in variables()["properties"].items() if "default" in field}
    filled: Any = apply_values(job_manifest(), defaults | pods.job_variables(one, place))
    return job_of(filled)


def rendered() -> dict[str, str]:
    """File of docs/rendered → its text."""
    return {
        "kubernetes-job.yaml": _page(
            "One node: the Job of a launch. The worker adds Prefect's labels (prefect.io/flow-run-id and others).",
            [job(launch(), PLACE)],
        ),
        "kubernetes-trainjob.yaml": _page(
            "Two nodes: the TrainJob of a launch; its runtime is in kubernetes-setup.yaml.",
            [train_job(launch(2), PLACE)],
        ),
        "kubernetes-setup.yaml": _page("What an administrator applies once for a pool.", manifests(PLACE, SETUP)),
        "kubernetes-queue.yaml": _page(
            "An example of Kueue's objects; the quota is the cluster's affair.", queue_manifests(PLACE, QUOTA)
        ),
        "kubernetes-work-pool.json": json.dumps(base_job_template(), indent=1) + "\n",
    }


def _page(what: str, objects: list[Manifest]) -> str:
    source = "From infra/kubernetes/examples.py by `python docs/generate.py`; never applied to a cluster by us."
    note = f"# {what}\n# {source}\n"
    return note + yaml.dump_all(objects, Dumper=_Plain, sort_keys=False, width=120, default_flow_style=False)


class _Plain(yaml.SafeDumper):
    """Without anchors: people read this."""

    def ignore_aliases(self, data: Any) -> bool:
        return True
