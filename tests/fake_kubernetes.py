"""FakeKubernetes: a simulated API server, scheduler, kubelet and controllers in this process. No cluster is meant.

Real are: HTTP, the requests of our worker, strict schemas, the worker's rights as rendered, and the program in a pod,
which is a process of this machine under the same command. Simulated, from Kubernetes' documentation: how objects
change. What only a real cluster can show is listed in docs/guides/pools.md.
"""

import copy
import json
import os
import signal
import subprocess
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal
from uuid import uuid4

from infra.kubernetes.setup import CHECK_RULES, WORKER_RULES
from infra.kubernetes.validate import problems
from tests.outside import Reply, Request

Fate = Literal["run", "unschedulable", "no pull", "no secret", "no mount", "no pods", "suspended", "never starts"]
Object = dict[str, Any]
_WAITING = {
    "no pull": ("ImagePullBackOff", 'Back-off pulling image "registry.example/x": not found'),
    "no secret": ("CreateContainerConfigError", 'secret "object-store" not found'),
}
_NAMES = {"Job": "jobs", "TrainJob": "trainjobs"}


def now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


class FakeKubernetes:
    """One cluster.

    Attributes:
        fate: what becomes of pods that are made from now on.
        rules: what the token may do: (group, resources, verbs). All else is 403.
        exists: paths of objects that are there beside jobs, e.g. claims; what they hold.
        asked: (verb, group, resource) of every request.
        broken: status to answer everything with, e.g. 503; None: it works.
    """

    def __init__(self, token: str = "token-of-the-worker") -> None:
        self.token = token
        self.fate: Fate = "run"
        self.broken: int | None = None
        self.rules = [*WORKER_RULES, *CHECK_RULES]
        self.exists: dict[str, Object] = {}
        self.asked: list[tuple[str, str, str]] = []
        self.jobs: dict[str, Object] = {}
        self.pods: dict[str, Object] = {}
        self.events: list[Object] = []
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._stopped: dict[str, threading.Event] = {}  # of a pod whose end is in its status
        self._reasons: dict[str, str] = {}
        self._lock = threading.RLock()
        self._folder = TemporaryDirectory()

    # --- what the tests do to it ---

    def pods_of(self, key: str) -> list[Object]:
        with self._lock:
            return [pod for pod in self.pods.values() if _key(pod) == key]

    def disrupt(self, key: str, reason: str = "EvictionByEvictionAPI", message: str = "spot node taken away") -> None:
        """Evict a pod: it is asked to end, and its status says why."""
        pod = self.pods_of(key)[0]
        with self._lock:
            condition = {"type": "DisruptionTarget", "status": "True", "reason": reason, "message": message}
            pod["status"]["conditions"].append(condition | {"lastTransitionTime": now()})
        self._stop(pod)

    def out_of_memory(self, key: str) -> None:
        """The kernel kills all of the container."""
        pod = self.pods_of(key)[0]
        self._reasons[pod["metadata"]["name"]] = "OOMKilled"
        os.killpg(self._processes[pod["metadata"]["name"]].pid, signal.SIGKILL)

    def lose_node(self, key: str) -> None:
        """The node is gone: the pod garbage collector ends its pod, whose container says nothing any more."""
        pod = self.pods_of(key)[0]
        with self._lock:
            os.killpg(self._processes[pod["metadata"]["name"]].pid, signal.SIGKILL)
            condition = {"type": "DisruptionTarget", "status": "True", "reason": "DeletionByPodGC"}
            pod["status"] |= {"phase": "Failed", "containerStatuses": []}
            pod["status"]["conditions"].append(condition | {"lastTransitionTime": now(), "message": "node not found"})
            self._count(key)

    def delete_pod(self, key: str) -> None:
        pod = self.pods_of(key)[0]
        pod["metadata"]["deletionTimestamp"] = now()
        self._stop(pod)

    def suspend(self, key: str) -> None:
        """Kueue takes the devices back: the job is suspended and its pods end."""
        with self._lock:
            self.jobs[key]["spec"]["suspend"] = True
        for pod in self.pods_of(key):
            self._stop(pod)
            self._join(pod)
            self.pods.pop(pod["metadata"]["name"])

    def resume(self, key: str) -> None:
        with self._lock:
            self.jobs[key]["spec"]["suspend"] = False
            self._make_pods(self.jobs[key])

    def close(self) -> None:
        for process in self._processes.values():
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)

    # --- the API ---

    def __call__(self, request: Request) -> Reply:
        if self.broken is not None:
            return self.broken, {"kind": "Status", "message": "the server is currently unable to handle the request"}
        if request.headers.get("authorization") != f"Bearer {self.token}":
            return 401, {"kind": "Status", "message": "Unauthorized"}
        if request.path == "/version":
            return 200, {"major": "1", "minor": "34", "gitVersion": "v1.34.1"}
        if request.path.endswith("/selfsubjectaccessreviews"):
            return self._review(json.loads(request.body))
        group, namespace, resource, name = _parts(request.path)
        verb = _verb(request.method, name)
        self.asked.append((verb, group, resource))
        if namespace and not self._may(verb, group, resource):
            return 403, {"kind": "Status", "message": f'cannot {verb} resource "{resource}" in API group "{group}"'}
        with self._lock:
            return self._answer(request, verb, resource, name)

    def _answer(self, request: Request, verb: str, resource: str, name: str) -> Reply:
        if verb == "create":
            return self._create(json.loads(request.body), request.query)
        if resource == "pods/log":
            return 200, self._printed(name)
        if verb == "list":
            selector = dict(part.split("=") for part in request.query.get("labelSelector", "").split(",") if part)
            return 200, {"kind": "List", "metadata": {}, "items": copy.deepcopy(self._list(resource, selector))}
        if resource in _NAMES.values():
            job = self.jobs.get(name)
            if job is None or _NAMES[job["kind"]] != resource:
                return _missing(resource, name)
            if verb == "delete":
                self._delete(job, json.loads(request.body))
            return 200, copy.deepcopy(job)
        found = self.exists.get(request.path)
        return (200, found) if found is not None else _missing(resource, name)

    def _printed(self, pod: str) -> bytes:
        return Path(self._folder.name, pod).read_bytes()

    def _list(self, resource: str, selector: dict[str, str]) -> list[Object]:
        if resource == "events":
            return self.events
        kept = self.pods if resource == "pods" else self.jobs
        return [
            one
            for one in kept.values()
            if (resource == "pods" or _NAMES[one["kind"]] == resource)
            and selector.items() <= one["metadata"].get("labels", {}).items()
        ]

    def _create(self, manifest: Object, query: dict[str, str]) -> Reply:
        name = manifest["metadata"]["name"]
        if name in self.jobs:
            return 409, {"kind": "Status", "reason": "AlreadyExists", "message": f'jobs "{name}" already exists'}
        wrong = problems(manifest)
        if wrong and query.get("fieldValidation") == "Strict":
            return 400, {"kind": "Status", "message": wrong[0]}
        job: Object = manifest | {"status": {"conditions": []}}
        job["metadata"] |= {"uid": uuid4().hex, "creationTimestamp": now()}
        self.jobs[name] = job
        if self.fate == "suspended":
            job["spec"]["suspend"] = True
        else:
            self._make_pods(job)
        return 201, job

    def _delete(self, job: Object, options: Object) -> None:
        """Foreground: the job stays until its pods have ended."""
        assert options["propagationPolicy"] == "Foreground"
        job["metadata"]["deletionTimestamp"] = now()
        pods = self.pods_of(job["metadata"]["name"])
        for pod in pods:
            pod["metadata"]["deletionTimestamp"] = now()
            self._stop(pod)

        def finish() -> None:
            for pod in pods:
                self._join(pod)
                self.pods.pop(pod["metadata"]["name"], None)
            self.jobs.pop(job["metadata"]["name"], None)

        threading.Thread(target=finish, daemon=True).start()

    def _review(self, review: Object) -> Reply:
        wanted = review["spec"]["resourceAttributes"]
        resource = "/".join(filter(None, [wanted["resource"], wanted.get("subresource")]))
        return 201, review | {"status": {"allowed": self._may(wanted["verb"], wanted["group"], resource)}}

    def _may(self, verb: str, group: str, resource: str) -> bool:
        return any(group == of and resource in names and verb in verbs for of, names, verbs in self.rules)

    # --- scheduler, kubelet, job controller ---

    def _make_pods(self, job: Object) -> None:
        key = job["metadata"]["name"]
        if self.fate == "no pods":
            self._event(key, "FailedCreate", 'pods "x" is forbidden: exceeded quota: gpus')
            return
        nodes = 1 if job["kind"] == "Job" else job["spec"]["trainer"]["numNodes"]
        for at in range(nodes):
            self._make_pod(job, at)

    def _make_pod(self, job: Object, at: int) -> None:
        key, name = job["metadata"]["name"], f"{job['metadata']['name']}-{uuid4().hex[:5]}"
        single = job["kind"] == "Job"
        part = {"nightshift-part": "job"}
        labels = (
            dict(job["spec"]["template"]["metadata"]["labels"]) if single else {"jobset.sigs.k8s.io/jobset-name": key}
        )
        pod: Object = {
            "kind": "Pod",
            "metadata": {"name": name, "uid": uuid4().hex, "creationTimestamp": now(), "labels": part | labels},
            "spec": {"containers": [{"name": "prefect-job" if single else "node"}]},
            "status": {"phase": "Pending", "conditions": [], "containerStatuses": []},
        }
        pod["metadata"]["labels"]["batch.kubernetes.io/job-completion-index"] = str(at)
        self.pods[name] = pod
        if self.fate == "unschedulable":
            why = {"reason": "Unschedulable", "message": "0/4 nodes are available: 4 Insufficient nvidia.com/gpu."}
            pod["status"]["conditions"] = [
                {"type": "PodScheduled", "status": "False", "lastTransitionTime": now()} | why
            ]
            return
        pod["status"]["conditions"] = [{"type": "PodScheduled", "status": "True", "lastTransitionTime": now()}]
        if self.fate in _WAITING:
            reason, message = _WAITING[self.fate]
            self._container(pod, {"waiting": {"reason": reason, "message": message}})
        elif self.fate in ("no mount", "never starts"):
            self._container(pod, {"waiting": {"reason": "ContainerCreating"}})
            if self.fate == "no mount":
                self._event(name, "FailedMount", 'persistentvolumeclaim "nightshift-home" not found')
        else:
            self._start(job, pod, at)

    def _start(self, job: Object, pod: Object, at: int) -> None:
        single = job["kind"] == "Job"
        container = job["spec"]["template"]["spec"]["containers"][0] if single else job["spec"]["trainer"]
        values = {one["name"]: one["value"] for one in container["env"] if "value" in one}
        if not single:
            values |= {
                "PET_MASTER_ADDR": "127.0.0.1",
                "PET_MASTER_PORT": str(self._port(job)),
                "PET_NODE_RANK": str(at),
            }
        with Path(self._folder.name, pod["metadata"]["name"]).open("wb") as printed:
            process = subprocess.Popen(
                container["command"],
                env={"PATH": os.environ["PATH"], **values},
                start_new_session=True,
                stdout=printed,
                stderr=subprocess.STDOUT,
            )
        self._processes[pod["metadata"]["name"]] = process
        pod["status"]["phase"] = "Running"
        self._stopped[pod["metadata"]["name"]] = threading.Event()
        self._container(pod, {"running": {"startedAt": now()}})
        threading.Thread(target=self._watch, args=(job["metadata"]["name"], pod, process), daemon=True).start()
        deadline = job["spec"]["template"]["spec"].get("activeDeadlineSeconds") if single else None
        if deadline is not None:
            threading.Thread(target=self._deadline, args=(pod, deadline), daemon=True).start()

    def _port(self, job: Object) -> int:
        return 20000 + int(job["metadata"]["uid"][:4], 16) % 20000

    def _watch(self, key: str, pod: Object, process: subprocess.Popen[bytes]) -> None:
        code = process.wait()
        with self._lock:
            if pod["status"]["phase"] == "Running":
                code = code if code >= 0 else 128 - code
                reason = self._reasons.get(pod["metadata"]["name"], "Completed" if code == 0 else "Error")
                self._container(pod, {"terminated": {"exitCode": code, "reason": reason, "finishedAt": now()}})
                pod["status"]["phase"] = "Succeeded" if code == 0 else "Failed"
            self._count(key)
        self._stopped[pod["metadata"]["name"]].set()

    def _count(self, key: str) -> None:
        """The job controller: complete when all pods succeeded, failed with the first that did not."""
        job, phases = self.jobs.get(key), [pod["status"]["phase"] for pod in self.pods_of(key)]
        if job is None or job["spec"].get("suspend"):
            return
        if "Failed" in phases:
            condition = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "has reached"}
            job["status"]["conditions"] = [condition]
        elif phases and all(phase == "Succeeded" for phase in phases):
            job["status"]["conditions"] = [{"type": "Complete", "status": "True"}]

    def _deadline(self, pod: Object, seconds: float) -> None:
        if not self._stopped[pod["metadata"]["name"]].wait(seconds):
            pod["status"]["reason"] = "DeadlineExceeded"
            self._stop(pod)

    def _stop(self, pod: Object) -> None:
        process = self._processes.get(pod["metadata"]["name"])
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGTERM)

    def _join(self, pod: Object) -> None:
        process = self._processes.get(pod["metadata"]["name"])
        if process is not None:
            process.wait(60)
            self._stopped[pod["metadata"]["name"]].wait(5)

    def _container(self, pod: Object, state: Object) -> None:
        pod["status"]["containerStatuses"] = [{"name": pod["spec"]["containers"][0]["name"], "state": state}]

    def _event(self, about: str, reason: str, message: str) -> None:
        of = {"involvedObject": {"name": about}, "reason": reason, "message": message, "lastTimestamp": now()}
        self.events.append(of)


def _key(pod: Object) -> str | None:
    labels = pod["metadata"]["labels"]
    return labels.get("nightshift-key") or labels.get("jobset.sigs.k8s.io/jobset-name")


def _parts(path: str) -> tuple[str, str, str, str]:
    """Group, namespace, resource (with its subresource) and name of an API path."""
    parts = path.strip("/").split("/")
    group = parts[1] if parts[0] == "apis" else ""
    rest = parts[3:] if parts[0] == "apis" else parts[2:]
    namespace = rest[1] if rest[0] == "namespaces" and len(rest) > 2 else ""
    rest = rest[2:] if namespace else rest
    sub = f"/{rest[2]}" if len(rest) > 2 else ""
    return group, namespace, rest[0] + sub, rest[1] if len(rest) > 1 else ""


def _verb(method: str, name: str) -> str:
    return {"POST": "create", "DELETE": "delete", "PATCH": "patch"}.get(method) or ("get" if name else "list")


def _missing(resource: str, name: str) -> Reply:
    return 404, {"kind": "Status", "message": f'{resource} "{name}" not found'}


def kubeconfig(url: str, token: str) -> Object:
    """As a kubernetes-cluster-config block holds it."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "fake",
        "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "worker"}}],
        "clusters": [{"name": "fake", "cluster": {"server": url}}],
        "users": [{"name": "worker", "user": {"token": token}}],
    }


def wait_until(true: Any, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.05)
