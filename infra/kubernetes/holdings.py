"""When a job's pods held devices: the allocations that are billed. Pure, but for the file that a worker keeps."""

import json
from pathlib import Path

from infra.attempts import Allocation
from infra.files import write_whole
from infra.job_program import Answer
from infra.kubernetes.objects import Object, condition_of, phase_of, seconds_of, terminated_of
from infra.launch import Launch
from infra.usage import Usage

FILE = "allocations.json"
INDEX = "batch.kubernetes.io/job-completion-index"


def held(pods: list[Object], launch: Launch, known: dict[str, Allocation], now: float) -> dict[str, Allocation]:
    """What is known by now of each pod that was ever bound to a node, by its uid.

    A pod holds its devices from the moment it is bound to a node until its container has ended, as the API tells them.
    One that is gone, and was not seen to end, is counted until ``now``: the first look without it.
    """
    found = {pod["metadata"]["uid"]: one for pod in pods if (one := _allocation(pod, launch)) is not None}
    gone = {
        uid: one.model_copy(update={"ended": now, "state": "Gone"})
        for uid, one in known.items()
        if uid not in found and one.ended is None
    }
    return known | gone | found


def closed(found: dict[str, Allocation], now: float) -> dict[str, Allocation]:
    """With an end for each: the job has ended, and what was not seen to end was held until now at the latest."""
    return {uid: one if one.ended is not None else one.model_copy(update={"ended": now}) for uid, one in found.items()}


def _allocation(pod: Object, launch: Launch) -> Allocation | None:
    bound = condition_of(pod, "PodScheduled")
    started = seconds_of(bound.get("lastTransitionTime")) if bound and bound["status"] == "True" else None
    if started is None:
        return None
    ended = seconds_of((terminated_of(pod) or {}).get("finishedAt"))
    if ended is None and phase_of(pod) in ("Failed", "Succeeded"):  # no container of it says when
        ended = _last_change(pod)
    state = pod.get("status", {}).get("reason") or (terminated_of(pod) or {}).get("reason") or phase_of(pod)
    return Allocation(
        id=pod["metadata"]["uid"],
        queued=seconds_of(pod["metadata"].get("creationTimestamp")) or started,
        started=started,
        ended=max(ended, started) if ended is not None else None,
        nodes=1,
        devices=launch.gpus_per_node or 1,
        state=state,
    )


def _last_change(pod: Object) -> float | None:
    stamps = [seconds_of(one.get("lastTransitionTime")) for one in pod.get("status", {}).get("conditions", [])]
    return max((stamp for stamp in stamps if stamp is not None), default=None)


def metered(found: dict[str, Allocation], pods: list[Object], answer: Answer | None) -> tuple[Allocation, ...]:
    """With what the job measured of itself: its first node's devices, in its last start."""
    ordered = sorted(found.values(), key=lambda one: (one.started, one.id))
    if answer is None or not ordered:
        return tuple(ordered)
    first = {pod["metadata"]["uid"] for pod in pods if _index(pod) in (None, "0")}
    at = next((one.id for one in reversed(ordered) if one.id in first), ordered[-1].id)
    return tuple(_with(one, answer.usage) if one.id == at else one for one in ordered)


def _with(one: Allocation, usage: Usage) -> Allocation:
    measured = {
        "kwh": usage.kwh,
        "meter": usage.meter,
        "busy": usage.busy,
        "peak_memory_bytes": usage.peak_memory_bytes,
    }
    return one.model_copy(update=measured)


def _index(pod: Object) -> str | None:
    kept = pod["metadata"]
    return kept.get("labels", {}).get(INDEX) or kept.get("annotations", {}).get(INDEX)


def keep(folder: Path, key: str, found: dict[str, Allocation]) -> None:
    """For a worker that is started anew: pods that are gone by then."""
    write_whole(folder / FILE, json.dumps({"key": key, "allocations": [one.model_dump() for one in found.values()]}))


def kept(folder: Path, key: str) -> dict[str, Allocation]:
    try:
        read = json.loads((folder / FILE).read_text())
    except FileNotFoundError:
        return {}
    if read["key"] != key:
        return {}
    return {one["id"]: Allocation.model_validate(one) for one in read["allocations"]}
