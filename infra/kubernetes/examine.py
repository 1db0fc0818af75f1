"""What is wrong with a pool in its cluster, one sentence a problem."""

from infra.kubernetes.api import ApiRefused, Cluster
from infra.kubernetes.follow import AWAY
from infra.kubernetes.place import Place
from infra.kubernetes.setup import KUEUE, WORKER_RULES
from infra.kubernetes.trainjob import API, DIGEST, training_runtime


async def examine(cluster: Cluster, place: Place) -> list[str]:
    """All problems that the API tells of; only reading, with the rights of who asks."""
    try:
        version = await cluster.find("/version")
    except AWAY as error:
        return [f"the cluster's API can't be asked: {type(error).__name__}: {error}"]
    if version is None:
        return ["what answers at the cluster's address is no Kubernetes API: it has no /version"]
    problems = []
    for look in (_namespace, _claim, _account, _queue, _classes, _runtime, _rights):
        try:
            problems += await look(cluster, place)
        except AWAY as error:
            problems.append(f"{look.__name__.strip('_')}: the cluster's API says no: {error}")
    return problems


async def _namespace(cluster: Cluster, place: Place) -> list[str]:
    try:
        found = await cluster.find(f"/api/v1/namespaces/{place.namespace}")
    except ApiRefused as error:
        if error.status == 403:  # namespaces are the cluster's; the looks below would find it missing
            return []
        raise
    return [] if found else [f"there is no namespace {place.namespace}: apply the pool's manifests"]


async def _claim(cluster: Cluster, place: Place) -> list[str]:
    problems = []
    for name in (place.home_claim, *(mount.source for mount in place.mounts)):
        found = await cluster.find(f"/api/v1/namespaces/{place.namespace}/persistentvolumeclaims/{name}")
        if found is None:
            problems.append(f"there is no claim {name} in {place.namespace}: apply the pool's manifests")
        elif name == place.home_claim and "ReadWriteMany" not in found["spec"].get("accessModes", []):
            problems.append(
                f"the claim {name} is {', '.join(found['spec'].get('accessModes', []))}: night, worker and jobs write "
                "it together, so it must be ReadWriteMany"
            )
    return problems


async def _account(cluster: Cluster, place: Place) -> list[str]:
    name = place.service_account
    found = await cluster.find(f"/api/v1/namespaces/{place.namespace}/serviceaccounts/{name}")
    return [] if found else [f"there is no service account {name} in {place.namespace}: no pod of a job can be made"]


async def _queue(cluster: Cluster, place: Place) -> list[str]:
    if place.queue is None:
        return []
    found = await cluster.find(f"/apis/{KUEUE}/namespaces/{place.namespace}/localqueues/{place.queue}")
    if found is None:
        return [f"there is no queue {place.queue} (Kueue LocalQueue) in {place.namespace}: jobs would wait for ever"]
    stopped = found["spec"].get("stopPolicy", "None")
    return [f"the queue {place.queue} is stopped ({stopped})"] if stopped != "None" else []


async def _classes(cluster: Cluster, place: Place) -> list[str]:
    wanted = (
        ("runtime class", "/apis/node.k8s.io/v1/runtimeclasses", place.runtime_class),
        ("priority class", "/apis/scheduling.k8s.io/v1/priorityclasses", place.priority_class),
    )
    problems = []
    for what, path, name in wanted:
        if name is None:
            continue
        try:
            if await cluster.find(f"{path}/{name}") is None:
                problems.append(f"there is no {what} {name} in the cluster")
        except ApiRefused as error:
            if error.status != 403:
                raise
            problems.append(f"whether there is a {what} {name} can't be seen with the rights of this account")
    return problems


async def _runtime(cluster: Cluster, place: Place) -> list[str]:
    if place.nodes == 1:
        return []
    found = await cluster.find(f"/apis/{API}/namespaces/{place.namespace}/trainingruntimes/{place.runtime}")
    if found is None:
        return [f"there is no TrainingRuntime {place.runtime}: trainings of {place.nodes} nodes can't start"]
    ours = training_runtime(place)["metadata"]["annotations"][DIGEST]
    if found["metadata"].get("annotations", {}).get(DIGEST) != ours:
        return [f"the TrainingRuntime {place.runtime} is not that of the pool's block: apply the manifests again"]
    return []


async def _rights(cluster: Cluster, place: Place) -> list[str]:
    problems = []
    for group, resources, verbs in WORKER_RULES:
        if group == "trainer.kubeflow.org" and place.nodes == 1:
            continue
        for resource in resources:
            name, _, sub = resource.partition("/")
            missing = [verb for verb in verbs if not await cluster.may(verb, group, name, sub)]
            if missing:
                problems.append(f"no right to {', '.join(missing)} {resource} in {place.namespace}")
    return problems
