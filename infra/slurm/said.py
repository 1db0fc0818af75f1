"""What Prefect is told of a job: states whose names and messages people read in its UI. Pure."""

from typing import Any

from prefect.client.schemas.objects import State, StateType
from prefect.states import Cancelled, Completed, Crashed, Failed, Running

from infra.outcome import Kind, Outcome
from infra.slurm.records import WAITING, Queued
from infra.slurm.states import waiting

# of what went wrong with the job rather than with its program
NAMES: dict[Kind, str] = {
    "preempted": "Preempted",
    "node_failure": "NodeFailure",
    "time_limit": "TimeLimit",
    "out_of_memory": "OutOfMemory",
    "held": "Held",
    "refused": "Refused",
    "vanished": "Vanished",
}


def waiting_state(job: Queued) -> State[Any]:
    """Of a job that is not over: it waits, or it runs."""
    if job.state in WAITING:
        name, message = waiting(job)
        return State(type=StateType.PENDING, name=name, message=message)
    return Running(message=f"job {job.job} on {job.nodes}")


def ended_state(outcome: Outcome) -> State[Any]:
    message = f"{outcome.what}\n  -> {outcome.do}" if outcome.do else outcome.what
    match outcome.kind:
        case "completed":
            return Completed(message=message)
        case "cancelled":
            return Cancelled(message=message)
        case "failed":
            return Failed(message=message)
        case kind:
            return Crashed(name=NAMES[kind], message=message)
