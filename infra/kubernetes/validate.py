"""Strict validation of all that is rendered: unknown fields are refused, as by an API with fieldValidation=Strict."""

import functools
import json
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from infra.kubernetes.place import Manifest
from infra.targets.kubernetes import invalid

FOLDER = Path(__file__).parent / "schemas"
OTHERS = ("TrainJob", "TrainingRuntime", "ResourceFlavor", "ClusterQueue", "LocalQueue")


def problems(manifest: Manifest, cluster: str = "") -> list[str]:
    """What is wrong with it by its kind's schema, one sentence a problem.

    Args:
        cluster: its version, e.g. ``v1.34.1``; unset: the latest one known. Of Kubernetes' own kinds.
    """
    kind = manifest.get("kind")
    if kind not in OTHERS:
        return invalid(manifest, cluster)
    found = [
        f"{kind} {manifest['metadata'].get('name')} is invalid at {'.'.join(map(str, error.path)) or 'its top'}: "
        f"{error.message[:300]}"
        for error in Draft202012Validator(_schema(kind)).iter_errors(manifest)
    ]
    return found or [problem for core in core_parts(manifest) for problem in invalid(core, cluster)]


@functools.cache
def _schema(kind: str) -> dict[str, Any]:
    return json.loads((FOLDER / f"{kind.lower()}.json").read_text())


def core_parts(manifest: Manifest) -> list[Manifest]:
    """What lies in it of Kubernetes' own types, as objects that its own schemas know."""
    metadata = {"name": manifest["metadata"]["name"], "namespace": manifest["metadata"].get("namespace", "default")}
    spec = manifest["spec"]
    if manifest["kind"] == "TrainJob":
        trainer = spec.get("trainer", {})
        container = {
            "name": "node",
            "image": trainer.get("image"),
            "env": trainer.get("env", []),
            "resources": trainer.get("resourcesPerNode", {}),
        }
        return [{"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [container]}}]
    if manifest["kind"] == "TrainingRuntime":
        return [
            {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, **one["template"] | {"metadata": metadata}}
            for one in spec["template"]["spec"]["replicatedJobs"]
        ]
    if manifest["kind"] == "ClusterQueue" and "namespaceSelector" in spec:
        policy = {"podSelector": spec["namespaceSelector"]}
        return [{"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata, "spec": policy}]
    return []
