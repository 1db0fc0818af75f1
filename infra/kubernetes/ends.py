"""What a job's objects say of it: how it ended, what keeps it from starting, when it held devices. Pure.

The objects are the API's JSON: a Job or a TrainJob, its pods, and events about them. Reasons are Kubernetes' own words
(Pod lifecycle, Pod disruption conditions, kubelet and scheduler sources of 1.31 to 1.34).
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from infra.kubernetes.objects import (
    Object,
    cause_first,
    condition_of,
    is_about,
    live,
    phase_of,
    terminated_of,
    waiting_of,
)
from infra.launch import Launch
from infra.outcome import Kind

# conditions of type DisruptionTarget: the program did nothing wrong
_DISRUPTED: dict[str, tuple[Kind, str]] = {
    "PreemptionByScheduler": ("preempted", "a pod of higher priority took its place"),
    "EvictionByEvictionAPI": ("preempted", "it was evicted, as when a node is drained or a spot node taken away"),
    "DeletionByTaintManager": ("node_failure", "its node is gone or was tainted"),
    "DeletionByPodGC": ("node_failure", "its node is no longer there"),
    "TerminationByKubelet": ("preempted", "its node ran out of something or shuts down"),
}
# reasons that a pod's status gives for its end
_POD_ENDS: dict[str, tuple[Kind, str]] = {
    "DeadlineExceeded": ("time_limit", "its time limit was reached"),
    "Evicted": ("preempted", "its node ran out of something"),
    "Preempting": ("preempted", "a pod of higher priority took its place"),
    "Terminated": ("preempted", "its node shuts down"),
    "NodeShutdown": ("preempted", "its node shuts down"),
    "NodeLost": ("node_failure", "its node is gone"),
    "UnexpectedAdmissionError": ("node_failure", "its node could not give it its devices"),
    "NodeAffinity": ("node_failure", "its node is no longer one of the pool's"),
}
# the same, of a container
_NEVER_RAN = {"StartError", "ContainerCannotRun"}
_KILLED = 137
# where the image or the block is wrong, waiting helps only so long: a registry may be away, a secret may come
_WAITS: dict[str, float] = {
    "InvalidImageName": 0,
    "ErrImageNeverPull": 0,
    "ErrImagePull": 300,
    "ImagePullBackOff": 300,
    "RegistryUnavailable": 300,
    "ImageInspectError": 300,
    "SignatureValidationFailed": 0,
    "CreateContainerConfigError": 120,
    "CreateContainerError": 120,
    "RunContainerError": 120,
}
_PULLS = {name for name in _WAITS if "Image" in name} | {"RegistryUnavailable", "SignatureValidationFailed"}
_BLOCKING_EVENTS = {"FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox", "FailedMapVolume"}
_NO_POD_SECONDS, _MOUNT_SECONDS, _CREATING_SECONDS, _SILENT_SECONDS = 120.0, 600.0, 3600.0, 300.0
# a worker gives up after the night has had its chance to go to another pool
_QUEUE_SLACK_SECONDS = 600.0
_OVER_TIME_SECONDS = 600.0


@dataclass(frozen=True)
class Seen:
    """One look at one job; pods were listed before the job, which may so have ended while they seem to run."""

    job: Object | None
    pods: list[Object] = field(default_factory=list)
    events: list[Object] = field(default_factory=list)


class End(NamedTuple):
    kind: Kind
    what: str
    do: str
    exit_code: int | None = None


class Trouble(NamedTuple):
    """What keeps a job from going on. Where it lasts longer than ``patience`` seconds, ``end`` is the job's.

    ``state`` names it in Prefect; a waiting job is no failed one, so most troubles go away.
    """

    state: str
    patience: float
    end: End


def suspended(seen: Seen) -> bool:
    """Kueue has not let it start yet, or has taken its devices back."""
    return bool(seen.job and seen.job.get("spec", {}).get("suspend"))


def holds(seen: Seen) -> bool:
    """Whether it has devices, or waits for some. One that has ended is left to be looked at."""
    return bool(live(seen.pods)) or (seen.job is not None and (suspended(seen) or not seen.pods))


def running(seen: Seen, launch: Launch) -> bool:
    """All of its pods run."""
    phases = [phase_of(pod) for pod in live(seen.pods)]
    return not suspended(seen) and len(phases) >= launch.nodes and all(phase == "Running" for phase in phases)


def ending(seen: Seen, launch: Launch, tail: str) -> End | None:
    """How it ended; None: it has not."""
    if seen.job is None:  # its pods end after it, and until then they may write
        return None if live(seen.pods) else _vanished(launch)
    if suspended(seen):
        return None
    ended = [pod for pod in seen.pods if phase_of(pod) in ("Failed", "Succeeded")]
    found = [end for pod in sorted(ended, key=cause_first) if (end := _pod_end(pod, launch, tail)) is not None]
    if found:
        return found[0]
    return None if live(seen.pods) else _word(seen.job, launch)  # pods that live say more at the next look


def _vanished(launch: Launch) -> End:
    return End(
        "vanished",
        f"{launch.name}: the job {launch.key} is no longer in the cluster: somebody deleted it or its namespace",
        "find out who (the API server's audit log); it is started again from its last checkpoint where restarts allow",
    )


def _word(job: Object, launch: Launch) -> End | None:
    """The job's own word of its end; None: it has not ended."""
    conditions = {one["type"]: one for one in job.get("status", {}).get("conditions", []) if one["status"] == "True"}
    if "Complete" in conditions:
        return End("completed", f"{launch.name} completed", "")
    return _job_end(conditions["Failed"], launch) if "Failed" in conditions else None


def _job_end(condition: Object, launch: Launch) -> End:
    """By the job's own word, where no pod is left to say more."""
    reason, message = condition.get("reason", ""), condition.get("message", "")
    if reason == "DeadlineExceeded":
        return _time_limit(launch)
    return End(
        "vanished",
        f"{launch.name}: its pods are gone, and its job says only {reason}: {message}",
        "look for who deleted them; it is started again from its last checkpoint where restarts allow",
    )


def _time_limit(launch: Launch) -> End:
    return End(
        "time_limit",
        f"{launch.name} reached its time limit of {launch.seconds / 3600:.2f} h",
        "raise hours in the pool's block, or run the night again: it goes on from its last checkpoint",
    )


def _pod_end(pod: Object, launch: Launch, tail: str) -> End | None:
    """What one ended pod says; None of one that did its part while others still run."""
    name, status = pod["metadata"]["name"], pod.get("status", {})
    for condition in status.get("conditions", []):
        if condition["type"] == "DisruptionTarget" and condition["status"] == "True":
            kind, why = _DISRUPTED.get(condition.get("reason", ""), ("preempted", "it was disrupted"))
            return _lost(kind, launch, name, why, condition.get("message"))
    if reason := status.get("reason"):
        if reason == "DeadlineExceeded":
            return _time_limit(launch)
        kind, why = _POD_ENDS.get(reason, ("node_failure", f"its node says {reason}"))  # OutOfcpu and the like
        return _lost(kind, launch, name, why, status.get("message"))
    return _container_end(pod, launch, tail)


def _container_end(pod: Object, launch: Launch, tail: str) -> End | None:
    name, ended = pod["metadata"]["name"], terminated_of(pod)
    if ended is None:
        if phase_of(pod) == "Succeeded":
            return None
        return _lost("node_failure", launch, name, "it failed and no container of it says how", None)
    code, reason = ended.get("exitCode"), ended.get("reason", "")
    if code == 0 and phase_of(pod) == "Succeeded":
        return None
    if reason == "OOMKilled" or (code == _KILLED and not pod["metadata"].get("deletionTimestamp")):
        exactly = "for memory" if reason == "OOMKilled" else "most often for memory"
        return End(
            "out_of_memory",
            f"{launch.name}: the pod {name} was killed {exactly} (limit {_memory(launch)}); its last output:\n{tail}",
            "raise host_memory_gb in the pool's block, or lower the recipe's batch",
            code,
        )
    if reason == "ContainerStatusUnknown":
        return _lost("node_failure", launch, name, "its node lost sight of it", ended.get("message"))
    if reason in _NEVER_RAN:
        return End(
            "refused",
            f"{launch.name}: the pod {name} could not start its program: {ended.get('message') or reason}",
            "set python and root in the pool's block to where the image has them",
            code,
        )
    if pod["metadata"].get("deletionTimestamp"):
        return _lost("vanished", launch, name, "somebody deleted it", None)
    return End(
        "failed",
        f"{launch.name} ended with exit code {code} (its own error); its last output:\n{tail}",
        f"read {launch.folder}/output.log, mend the cause and run the night again: finished steps are reused",
        code,
    )


def _lost(kind: Kind, launch: Launch, pod: str, why: str, message: str | None) -> End:
    said = f" ({message.strip()})" if message else ""
    do = "nothing while the block's restarts last: it goes on from its last checkpoint; else run the night again"
    return End(kind, f"{launch.name}: the pod {pod} is lost: {why}{said}", do)


def trouble(seen: Seen, launch: Launch, queue_seconds: float) -> Trouble | None:
    """What keeps it from going on; None: nothing does."""
    if suspended(seen):
        return _waits("Queued", launch, queue_seconds, "Kueue has not admitted it yet")
    pods = live(seen.pods)
    if seen.job is None:
        return Trouble("Unheard", launch.grace_seconds + _SILENT_SECONDS, _vanished(launch))
    if not pods and seen.pods:  # all have ended, and the job does not say so yet
        return Trouble("Ending", _SILENT_SECONDS, _job_end({"reason": "nothing"}, launch))
    if not pods:
        return _no_pods(seen, launch, queue_seconds)
    if (word := _word(seen.job, launch)) is not None:
        return Trouble("Ending", launch.grace_seconds + _SILENT_SECONDS, word)
    found = [one for pod in pods if (one := _pod_trouble(pod, seen, launch, queue_seconds)) is not None]
    return min(found, key=lambda one: one.patience, default=None)


def _no_pods(seen: Seen, launch: Launch, queue_seconds: float) -> Trouble:
    refused = [event for event in seen.events if event.get("reason") == "FailedCreate"]
    if refused:
        end = End(
            "refused",
            f"{launch.name}: the cluster lets no pod of it be made: {refused[-1].get('message')}",
            "mend that: a quota, the namespace's pod security level, or a service account that isn't there",
        )
        return Trouble("Refused", _NO_POD_SECONDS, end)
    return _waits("Queued", launch, queue_seconds, "no pod of it is made yet")


def _pod_trouble(pod: Object, seen: Seen, launch: Launch, queue_seconds: float) -> Trouble | None:
    name, phase = pod["metadata"]["name"], phase_of(pod)
    if pod["metadata"].get("deletionTimestamp") or phase == "Unknown":
        end = _lost("node_failure", launch, name, "it was asked to end and nothing is heard of its node", None)
        return Trouble("Unheard", launch.grace_seconds + _SILENT_SECONDS, end)
    if phase == "Running":
        return Trouble("Running", launch.seconds + _OVER_TIME_SECONDS, _time_limit(launch)) if launch.seconds else None
    if phase != "Pending":
        return None
    scheduled = condition_of(pod, "PodScheduled")
    if scheduled is None or scheduled["status"] != "True":
        why = (scheduled or {}).get("message") or "the scheduler has not looked at it yet"
        return _waits("Unschedulable", launch, queue_seconds, why)
    if (waiting := waiting_of(pod)) is not None and waiting.get("reason") in _WAITS:
        return _can_not_start(pod, waiting, launch)
    blocked = [event for event in seen.events if is_about(event, pod) and event.get("reason") in _BLOCKING_EVENTS]
    message = str(blocked[-1].get("message")) if blocked else "it says nothing more than ContainerCreating"
    end = End(
        "refused",
        f"{launch.name}: the pod {name} has a node and does not start: {message}",
        "look at `kubectl describe pod`; are the claims there, and do they let several nodes write (ReadWriteMany)?",
    )
    return Trouble("Starting", _MOUNT_SECONDS if blocked else _CREATING_SECONDS, end)


def _can_not_start(pod: Object, waiting: Object, launch: Launch) -> Trouble:
    reason, message = waiting["reason"], waiting.get("message", "")
    if reason in _PULLS:
        what = f"the image {launch.image} can't be pulled"
        do = "check its name, that the node reaches the registry, and pull_secrets in the pool's block"
    else:
        what = "its container can't be made"
        do = "check that every secret of the pool's block is in the namespace, with the keys it names"
    end = End("refused", f"{launch.name}: {what}: {reason}: {message}", do)
    return Trouble(reason, _WAITS[reason], end)


def _waits(state: str, launch: Launch, queue_seconds: float, why: str) -> Trouble:
    end = End(
        "held",
        f"{launch.name} has waited {queue_seconds / 3600:.1f} h for devices: {why}",
        "free the pool, raise queue_hours in its block, or name another in fallback_pools",
    )
    return Trouble(state, queue_seconds + _QUEUE_SLACK_SECONDS, end)


def _memory(launch: Launch) -> str:
    return f"{launch.memory_bytes / 1e9:.0f} GB" if launch.memory_bytes else "none"
