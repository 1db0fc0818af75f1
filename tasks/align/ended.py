"""What a training's early end means for the night: the error that a ``stopped`` event of the program stands for."""

from typing import Any

from infra.errors import JobEnded, PoolError
from infra.pools.base import KILLED
from tasks.errors import Interrupted, ModelError, NightshiftError, Unhealthy

MEMORY_DO = "set phase.gradient_checkpointing = true, lower data.max_*_tokens, or choose another pool"

# torchrun's report of a process that was killed; it asks the others to end, and they say so
_ONE_KILLED = "Signal 9 (SIGKILL) received by PID"


def merged(stops: list[dict[str, Any]]) -> dict[str, Any]:
    """One event of the events that several processes sent: the first, with the pairs of all."""
    pairs = sorted({pair for stop in stops for pair in stop.get("pairs", [])})
    return stops[0] | ({"pairs": pairs} if "pairs" in stops[0] else {})


def ran_out_of_memory(stops: list[dict[str, Any]], error: PoolError) -> str | None:
    """What was said of memory running out; None where the program ended of something else.

    A program that the kernel kills for memory says nothing itself; a scheduler may.
    """
    failure = error.what
    for stop in stops:
        if stop["kind"] == "out_of_memory":
            return stop["what"]
    if isinstance(error, JobEnded) and error.kind == "out_of_memory":
        return failure.partition("\n")[0]
    if _ONE_KILLED in failure and all(stop["kind"] == "interrupted" for stop in stops):
        return f"one of the processes was {KILLED}"
    return failure.partition("\n")[0] if not stops and KILLED in failure else None


def ended_by_scheduler(stops: list[dict[str, Any]], error: PoolError) -> Interrupted | None:
    """Of a training that was asked to end by its scheduler, which knows why (a time limit, a preemption); else None."""
    if not isinstance(error, JobEnded) or error.kind == "failed" or not stops:
        return None
    if any(stop["kind"] != "interrupted" for stop in stops):
        return None
    step = max(stop.get("step", 0) for stop in stops)
    kept = f"the checkpoint of step {step} is kept" if step else "no checkpoint was made yet"
    return Interrupted(f"{error.what}; {kept}", do=error.do)


def crashed(stops: list[dict[str, Any]], processes: int) -> bool:
    """Whether one of several processes ended without a word: torchrun then asks the others to end, and they say so."""
    return len(stops) < processes and all(stop["kind"] == "interrupted" for stop in stops)


def error_of(event: dict[str, Any]) -> NightshiftError:
    """The error that a ``stopped`` event stands for."""
    kept = f"the checkpoint of step {event['step']} is kept" if event.get("step") else "no checkpoint was made yet"
    match event["kind"]:
        case "interrupted":
            return Interrupted(f"{event['what']}; {kept}", do="run the night again: it goes on from there")
        case "unhealthy":
            return Unhealthy(f"{event['name'].replace('_', ' ')}: {event['what']}; {kept}", do=event["do"])
        case "not_finite" if event["pairs"]:
            named = ", ".join(event["pairs"])
            return Unhealthy(
                f"not finite: {event['what']}, alone from the pair(s) {named}, which are in quarantine now",
                do="look at the pair(s); run the night again: it leaves them out, and begins anew",
                pairs=tuple(event["pairs"]),
            )
        case "not_finite":
            return Unhealthy(
                f"not finite: {event['what']}, and no single pair of the batch does it alone; {kept}",
                do="lower phase.learning_rate or phase.max_grad_norm",
            )
        case "out_of_memory":
            return ModelError(f"the training ran out of memory: {event['what']}; {kept}", do=MEMORY_DO)
        case _:
            return ModelError(event["what"], do=event["do"])
