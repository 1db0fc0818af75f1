"""The cluster's API, as our worker and pools ask it: JSON objects by path, through kubernetes-asyncio's client.

Paths rather than its typed calls: a TrainJob has no type there, and objects stay what the API said.
"""

import json
from typing import Any

from kubernetes_asyncio.client import ApiClient

from infra.errors import PoolError
from infra.kubernetes.ends import Seen
from infra.kubernetes.objects import Object
from infra.kubernetes.place import JOB_CONTAINER, JOB_PART, LABEL_KEY, LABEL_PART, NODE_CONTAINER, Manifest

_SECONDS = 30.0
JOBS, TRAIN_JOBS = "/apis/batch/v1", "/apis/trainer.kubeflow.org/v1alpha1"
# by which JobSet, and so Kubeflow Trainer, marks its pods
JOBSET_LABEL = "jobset.sigs.k8s.io/jobset-name"


class ApiRefused(Exception):
    """The API's answer was no: its HTTP status and its own sentence."""

    def __init__(self, status: int, body: str) -> None:
        try:
            said = json.loads(body).get("message")
        except (ValueError, AttributeError):
            said = None
        self.status = status
        super().__init__(said or body[:300] or f"HTTP {status}")


def plural(manifest: Manifest) -> tuple[str, str]:
    """The API's group path and its name for objects of this kind."""
    return {"Job": (JOBS, "jobs"), "TrainJob": (TRAIN_JOBS, "trainjobs")}[manifest["kind"]]


class Cluster:
    """One namespace of a cluster."""

    def __init__(self, client: ApiClient, namespace: str) -> None:
        self._client, self.namespace = client, namespace

    async def create(self, manifest: Manifest) -> Object:
        """Make it, or find that of this name which is there already: a launch's key is a job's name."""
        group, kind = plural(manifest)
        path = f"{group}/namespaces/{self.namespace}/{kind}"
        try:
            # an unknown field is refused rather than dropped
            return await self._ask("POST", path, body=manifest, query=[("fieldValidation", "Strict")])
        except ApiRefused as error:
            if error.status == 409:
                return await self._ask("GET", f"{path}/{manifest['metadata']['name']}")
            raise PoolError(
                f"the cluster refuses {manifest['kind']} {manifest['metadata']['name']}: {error}",
                do="see `nightshift pool check`; rights, quotas and schemas are named in docs/guides/pools.md",
            ) from error

    async def delete(self, group: str, kind: str, name: str) -> None:
        """Ask its pods to end, and delete it after them. One that is gone is no error."""
        options = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Foreground"}
        try:
            await self._ask("DELETE", f"{group}/namespaces/{self.namespace}/{kind}/{name}", body=options)
        except ApiRefused as error:
            if error.status != 404:
                raise

    async def find(self, path: str) -> Object | None:
        try:
            return await self._ask("GET", path)
        except ApiRefused as error:
            if error.status == 404:
                return None
            raise

    async def items(self, path: str, selector: str = "", fields: str = "") -> list[Object]:
        """All pages of a list; none of a kind that the cluster doesn't have."""
        found: list[Object] = []
        chosen = (("labelSelector", selector), ("fieldSelector", fields))
        query = [("limit", "500"), *(one for one in chosen if one[1])]
        after = ""
        while True:
            try:
                page = await self._ask("GET", path, query=[*query, *([("continue", after)] if after else [])])
            except ApiRefused as error:
                if error.status == 404:
                    return []
                raise
            found += page.get("items") or []
            after = page.get("metadata", {}).get("continue") or ""
            if not after:
                return found

    async def may(self, verb: str, group: str, resource: str, sub: str = "") -> bool:
        """Whether who asks has this right in the namespace."""
        wanted = {"namespace": self.namespace, "verb": verb, "group": group, "resource": resource}
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": wanted | ({"subresource": sub} if sub else {})},
        }
        answer = await self._ask("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body=review)
        return bool(answer.get("status", {}).get("allowed"))

    async def log(self, pod: Object, lines: int) -> str:
        """The end of what the program's container printed; empty where nobody has it any more."""
        names = [one["name"] for one in pod["spec"]["containers"] if one["name"] in (JOB_CONTAINER, NODE_CONTAINER)]
        path = f"/api/v1/namespaces/{self.namespace}/pods/{pod['metadata']['name']}/log"
        try:
            return await self._text("GET", path, query=[("container", names[0]), ("tailLines", str(lines))])
        except ApiRefused:
            return ""

    async def _ask(self, method: str, path: str, body: Any = None, query: Any = None) -> Object:
        return json.loads(await self._text(method, path, body, query))

    async def _text(self, method: str, path: str, body: Any = None, query: Any = None) -> str:
        response = await self._client.call_api(
            path,
            method,
            query_params=query or [],
            header_params={"Accept": "application/json, */*", "Content-Type": "application/json"},
            body=body,
            auth_settings=["BearerToken"],
            _preload_content=False,  # no types of its own: our objects are what the API said
            _request_timeout=_SECONDS,
        )
        text = await response.text()
        if not 200 <= response.status < 300:
            raise ApiRefused(response.status, text)
        return text


class Look:
    """One look at all of a namespace's jobs: four lists, however many jobs there are."""

    def __init__(self, pods: list[Object], jobs: list[Object], events: list[Object]) -> None:
        self._pods, self._events = pods, events
        self._jobs = {one["metadata"]["name"]: one for one in jobs}

    @classmethod
    async def at(cls, cluster: Cluster) -> "Look":
        """Pods first: what ends them between two of the lists is then seen in the job that owns them."""
        core, part = f"/api/v1/namespaces/{cluster.namespace}", f"{LABEL_PART}={JOB_PART}"
        pods = await cluster.items(f"{core}/pods", part)
        jobs = [
            one
            for group, kind in ((JOBS, "jobs"), (TRAIN_JOBS, "trainjobs"))
            for one in await cluster.items(f"{group}/namespaces/{cluster.namespace}/{kind}", part)
        ]
        return cls(pods, jobs, await cluster.items(f"{core}/events", fields="type=Warning"))

    def of(self, key: str) -> Seen:
        pods = [pod for pod in self._pods if _owner(pod) == key]
        names = {key, *(pod["metadata"]["name"] for pod in pods)}
        events = [event for event in self._events if event.get("involvedObject", {}).get("name") in names]
        return Seen(self._jobs.get(key), pods, sorted(events, key=lambda event: event.get("lastTimestamp") or ""))


def _owner(pod: Object) -> str | None:
    found = pod["metadata"].get("labels", {})
    return found.get(LABEL_KEY) or found.get(JOBSET_LABEL)
