"""What a job's end in Slurm means for its night. Pure."""

import signal
from typing import Literal, NamedTuple

from infra.job_program import Answer
from infra.launch import Launch
from infra.outcome import Kind
from infra.slurm.records import Accounted, Queued

# reasons of a waiting job that no time mends
HELD = {
    "JobHeldUser": "its user holds it",
    "JobHeldAdmin": "an administrator holds it",
    "launch_failed_requeued_held": "a node could not start it, and Slurm holds it",
    "BadConstraints": "no node can ever meet its constraints",
    "PartitionDown": "its partition is down",
    "PartitionInactive": "its partition takes no jobs",
    "PartitionTimeLimit": "its time limit is over the partition's",
    "PartitionNodeLimit": "it asks for more nodes than the partition gives",
    "AccountNotAllowed": "its account may not use the partition",
    "QOSNotAllowed": "its quality of service may not use the partition",
    "InvalidAccount": "its account is not known",
    "InvalidQOS": "its quality of service is not known",
    "AssocMaxJobsLimit": "its account has reached its number of jobs",
}


class Ended(NamedTuple):
    kind: Kind
    what: str
    do: str


def waiting(job: Queued) -> tuple[Literal["Queued", "Held", "Requeued"], str]:
    """Name and message of a waiting job's state."""
    reason = job.reason.replace(" ", "_").strip("()")
    if reason in HELD:
        return "Held", f"job {job.job}: {HELD[reason]} ({job.reason})"
    if job.restarts:
        return "Requeued", f"job {job.job} waits to be started again, the {_nth(job.restarts)} time ({job.reason})"
    return "Queued", f"job {job.job} waits: {job.reason}"


def ended(job: Accounted, answer: Answer | None, launch: Launch, *, asked: bool) -> Ended:
    """How a job that is over has ended.

    Args:
        job: its last allocation.
        answer: what it said of itself; None where it was killed before it could.
        asked: the night asked it to end.
    """
    where = f"job {job.job} ({launch.name})" + (f" on {job.where}" if job.nodes else "")
    log = f"{launch.folder}/output.log"
    again = "run the night again: it goes on from its last checkpoint"
    match job.state:
        case "COMPLETED":
            return Ended("completed", f"{where} is done", "")
        case "PREEMPTED":
            return Ended("preempted", f"{where} was preempted by another", again)
        case "NODE_FAIL" | "BOOT_FAIL":
            return Ended("node_failure", f"{where} lost a node", again)
        case "TIMEOUT" | "DEADLINE":
            return _time_limit(where, launch)
        case "OUT_OF_MEMORY":
            return _memory(where, launch)
        case "CANCELLED" | "REVOKED":
            by = "the night asked for it" if asked else "somebody cancelled it in Slurm"
            return Ended("cancelled", f"{where} was cancelled: {by}", again)
    return _failed(job, answer, launch, asked=asked, where=where, log=log, again=again)


def _failed(
    job: Accounted, answer: Answer | None, launch: Launch, *, asked: bool, where: str, log: str, again: str
) -> Ended:
    """A job that ended with another exit code than 0: its program's own error, or it was asked to end and did."""
    if answer is not None and answer.asked is not None:
        if asked:
            return Ended("cancelled", f"{where} kept a checkpoint and ended: the night asked for it", again)
        if job.seconds >= launch.seconds - launch.grace_seconds - 60:
            return _time_limit(where, launch)
        if not answer.asked.startswith("SIG"):
            return Ended("cancelled", f"{where} kept a checkpoint and ended: {answer.asked}", again)
        return Ended("preempted", f"{where} kept a checkpoint and ended: Slurm asked for it ({answer.asked})", again)
    if job.signal == signal.SIGKILL or (answer.exit_code if answer else job.exit_code) == 128 + signal.SIGKILL:
        return _memory(where, launch)
    if answer is None:
        what = f"{where} ended as {job.state} (exit code {job.exit_code}) before its program began"
        return Ended("failed", what, f"read {launch.folder}/slurm.log; do all nodes see the checkout {launch.root}?")
    what = f"{launch.module} ended with exit code {answer.exit_code} in {where}; its last output:\n{answer.tail}"
    return Ended("failed", what, f"read {log}, mend the cause and run the night again: finished steps are reused")


def _time_limit(where: str, launch: Launch) -> Ended:
    return Ended(
        "time_limit",
        f"{where} reached its time limit of {launch.seconds / 3600:.2f} h",
        "run the night again: it goes on from its last checkpoint; or raise `hours` in the pool's block",
    )


def _memory(where: str, launch: Launch) -> Ended:
    asked = f"{launch.memory_bytes / 1e9:.0f} GB a node" if launch.memory_bytes else "the site's default"
    return Ended(
        "out_of_memory",
        f"{where} was killed, most often by the kernel for memory (it had {asked} of host memory)",
        "raise host_memory_gb in the pool's block, or lower data.max_*_tokens in the recipe",
    )


def _nth(number: int) -> str:
    return {1: "first", 2: "second", 3: "third"}.get(number, f"{number}th")
