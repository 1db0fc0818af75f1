"""Several nodes: the pool's TrainingRuntime, made once, and a TrainJob a launch (Kubeflow Trainer 2.2 to 2.4).

The runtime is the pool's own rather than the stock ``torch-distributed``: patches of a TrainJob can set neither a pod's
grace nor its rights to a token nor ``envFrom``, and without grace no checkpoint is written (docs/design/kubernetes.md).
"""

from typing import Any

from infra.digest import digest_of
from infra.kubernetes import pods
from infra.kubernetes.place import JOB_PART, LABEL_PART, NODE_CONTAINER, Manifest, Place, check_launch
from infra.launch import Launch

API = "trainer.kubeflow.org/v1alpha1"
# what Kubeflow Trainer finds the job of the trainer's nodes by
_TRAINER = {"trainer.kubeflow.org/trainjob-ancestor-step": "trainer"}
DIGEST = "nightshift-rendered"
# a lost node must end the job, not start it anew beside a training that still writes
_NO_RETRIES = {"backoffLimit": 0, "podReplacementPolicy": "Failed"}
_KEPT_SECONDS = 86_400


def training_runtime(place: Place) -> Manifest:
    """The pool's part of every training of several nodes."""
    container: Manifest = {
        "name": NODE_CONTAINER,
        "image": place.image,
        "securityContext": pods.container_security(),
        "volumeMounts": pods.volume_mounts(place),
    }
    if env_from := pods.env_from(place.secrets):
        container["envFrom"] = env_from
    spec: dict[str, Any] = {
        "mlPolicy": {"numNodes": place.nodes, "torch": {}},
        "template": {
            "spec": {
                "replicatedJobs": [
                    {
                        "name": NODE_CONTAINER,
                        "template": {
                            "metadata": {"labels": _TRAINER},
                            "spec": {
                                **_NO_RETRIES,
                                "template": {
                                    "metadata": {"labels": {LABEL_PART: JOB_PART}},
                                    "spec": {
                                        **pods.pod_options(place),
                                        "volumes": pods.volumes(place),
                                        "containers": [container],
                                    },
                                },
                            },
                        },
                    }
                ]
            }
        },
    }
    return {
        "apiVersion": API,
        "kind": "TrainingRuntime",
        "metadata": {
            "name": place.runtime,
            "namespace": place.namespace,
            "annotations": {DIGEST: digest_of(spec)},
        },
        "spec": spec,
    }


def train_job(launch: Launch, place: Place) -> Manifest:
    """One training on several nodes; each pod runs ``infra.job_program``."""
    check_launch(launch, place)
    return {
        "apiVersion": API,
        "kind": "TrainJob",
        "metadata": {
            "name": launch.key,
            "namespace": place.namespace,
            "labels": pods.labels(launch, place),
            "annotations": {"nightshift-name": launch.name},
        },
        "spec": {
            "runtimeRef": {"apiGroup": API.partition("/")[0], "kind": "TrainingRuntime", "name": place.runtime},
            "activeDeadlineSeconds": pods.deadline(launch),
            "trainer": {
                "image": launch.image,
                "command": pods.command(launch),
                "env": pods.env(launch),
                "numNodes": launch.nodes,
                "numProcPerNode": launch.processes_per_node,
                "resourcesPerNode": pods.resources(launch, place),
            },
        },
    }
