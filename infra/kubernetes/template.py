"""The work pool's base job template: prefect-kubernetes' own, with the variables that it lacks.

Its stock template has no variable for tolerations, node selectors, volumes, security or deadlines. This one has a
variable for each, so that the work pool's form in Prefect's UI shows what a job gets, and another may be set there.
"""

from typing import Any

from infra.kubernetes.place import JOB_CONTAINER, Manifest
from infra.kubernetes.pods import KUEUE, container_security

# how long a finished job can be looked at with kubectl
_KEPT_SECONDS = 86_400


def job_manifest() -> dict[str, Any]:
    """The Job, with ``{{ variable }}`` for what a launch says. What no launch may change is written out."""
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": "{{ key }}",
            "namespace": "{{ namespace }}",
            "labels": "{{ labels }}",
            "annotations": "{{ annotations }}",
        },
        "spec": {
            "backoffLimit": 0,  # a lost job is started again by the night, from its checkpoint
            "podReplacementPolicy": "Failed",  # after a preemption by Kueue, never two pods beside each other
            "ttlSecondsAfterFinished": "{{ finished_job_ttl }}",
            "template": {
                "metadata": {"labels": "{{ pod_labels }}", "annotations": "{{ annotations }}"},
                "spec": {
                    # these two prefect-kubernetes asks for, at a place where Kubernetes has none: its worker of ours
                    # takes them out again (job_of)
                    "parallelism": 1,
                    "completions": 1,
                    "restartPolicy": "Never",
                    "serviceAccountName": "{{ service_account_name }}",
                    "automountServiceAccountToken": False,
                    "enableServiceLinks": False,
                    "activeDeadlineSeconds": "{{ active_deadline_seconds }}",
                    "terminationGracePeriodSeconds": "{{ grace_period_seconds }}",
                    "securityContext": "{{ security_context }}",
                    "tolerations": "{{ tolerations }}",
                    "nodeSelector": "{{ node_selector }}",
                    "priorityClassName": "{{ priority_class_name }}",
                    "runtimeClassName": "{{ runtime_class_name }}",
                    "imagePullSecrets": "{{ image_pull_secrets }}",
                    "volumes": "{{ volumes }}",
                    "containers": [
                        {
                            "name": JOB_CONTAINER,
                            "image": "{{ image }}",
                            "imagePullPolicy": "IfNotPresent",  # by digest: what is there is what was named
                            "args": "{{ program }}",
                            "env": "{{ pod_env }}",
                            "envFrom": "{{ env_from }}",
                            "resources": "{{ resources }}",
                            "volumeMounts": "{{ volume_mounts }}",
                            "securityContext": container_security(),
                        }
                    ],
                },
            },
        },
    }


def _object(what: str) -> dict[str, Any]:
    return {"type": "object", "description": what}


def _objects(what: str) -> dict[str, Any]:
    return {"type": "array", "items": {"type": "object"}, "description": what}


def _text(what: str, **more: Any) -> dict[str, Any]:
    return {"type": "string", "description": what, **more}


def _number(what: str, **more: Any) -> dict[str, Any]:
    return {"type": "integer", "description": what, **more}


def variables() -> dict[str, Any]:
    """JSON schema of the template's variables: the form in Prefect's UI. The pool's block fills all of them."""
    return {
        "type": "object",
        "properties": {
            "key": _text("Names the attempt and its Job; a pool never starts two of one key."),
            "namespace": _text("Namespace of the Job.", default="nightshift"),
            "labels": {"type": "object", "additionalProperties": {"type": "string"}, "description": "With Kueue's."},
            "pod_labels": {"type": "object", "additionalProperties": {"type": "string"}, "description": "Without."},
            "annotations": {"type": "object", "additionalProperties": {"type": "string"}},
            "image": _text("Container image by digest: NAME@sha256:…", pattern="@sha256:[0-9a-f]{64}$"),
            "program": {"type": "array", "items": {"type": "string"}, "description": "What the pod runs."},
            "pod_env": _objects("Variables of the pod; secrets by reference."),
            "env_from": _objects("Secrets whose every key is a variable."),
            "resources": _object("Requests and limits."),
            "volumes": _objects("Claims, shared memory, /tmp."),
            "volume_mounts": _objects("Where they are seen."),
            "active_deadline_seconds": _number("From the pod's start to the request to end.", minimum=1),
            "grace_period_seconds": _number("From that request to the kill.", minimum=1),
            "service_account_name": _text("Its token is not given to the job."),
            "security_context": _object("Of the pod: not root, seccomp."),
            "tolerations": _objects("Taints it may run in spite of."),
            "node_selector": {"type": "object", "additionalProperties": {"type": "string"}},
            "priority_class_name": _text("Of the pod."),
            "runtime_class_name": _text("E.g. nvidia."),
            "image_pull_secrets": _objects("For a private registry."),
            "finished_job_ttl": _number("Seconds a finished Job is kept.", default=_KEPT_SECONDS, minimum=0),
            "queue_seconds": _number("Longest wait for devices.", minimum=1),
            "train_job": _object("A Kubeflow TrainJob in the Job's place, for several nodes."),
            "cluster_config": {  # a block by reference is a text until the worker has looked it up
                "type": ["object", "string"],
                "description": "A kubernetes-cluster-config block; unset: the worker's own cluster.",
            },
            # of every worker's template; none of them is used here
            "name": _text("Not used: a Job is called by its key."),
            "command": _text("Not used: see program."),
            "env": {"type": "object", "additionalProperties": {"type": ["string", "null"]}, "description": "Not used."},
        },
    }


def base_job_template() -> dict[str, Any]:
    """As Prefect keeps it with a work pool of type ``nightshift-kubernetes``."""
    passed = ("name", "command", "env", "labels", "annotations", "namespace", "queue_seconds", "train_job")
    return {
        "job_configuration": {
            **{name: f"{{{{ {name} }}}}" for name in (*passed, "cluster_config")},
            "job_manifest": job_manifest(),
        },
        "variables": variables(),
    }


def job_of(manifest: Manifest) -> Manifest:
    """A Job that strict validation lets pass, with the variables that the launch named and no others."""
    spec = manifest["spec"]["template"]["spec"]
    container = spec["containers"][0]
    kept = [one for one in container.get("env", []) if not one["name"].startswith("PREFECT_")]
    pod = {name: value for name, value in spec.items() if name not in ("parallelism", "completions")}
    metadata = {name: value for name, value in manifest["metadata"].items() if name != "generateName"}
    # as `command`: an image's own entry point, such as NVIDIA's, would get `args`
    ours = {name: value for name, value in container.items() if name != "args"}
    ours |= {"command": container["args"], "env": kept}
    template = manifest["spec"]["template"] | {"spec": pod | {"containers": [ours]}}
    # prefect-kubernetes gives a pod all labels of its Job; Kueue must not queue it once more
    labels = {name: value for name, value in template["metadata"]["labels"].items() if not name.startswith(KUEUE)}
    template |= {"metadata": template["metadata"] | {"labels": labels}}
    return manifest | {"metadata": metadata, "spec": manifest["spec"] | {"template": template}}
