"""A job's outcome, from Slurm's books and what the job left in its folder."""

from pathlib import Path

from infra.attempts import Allocation
from infra.job_program import Answer, read_answer
from infra.launch import Launch
from infra.outcome import Outcome
from infra.slurm.follow import Step
from infra.slurm.records import WAITING, Accounted, Queued, allocations
from infra.slurm.states import ended
from infra.usage import Usage


def outcome_of(step: Step, launch: Launch, *, asked: bool) -> Outcome:
    """How the job of a step that is over has ended, and what it held."""
    last = _last_row(step, launch)
    if last is None:
        return Outcome(
            key=launch.key,
            job=step.job,
            kind="vanished",
            what=f"job {step.job} ({launch.name}) has vanished: neither squeue nor sacct knows it",
            do="ask the site whether jobs were purged; the night starts it again from its last checkpoint",
        )
    answer = read_answer(Path(launch.folder), launch.key)
    end = ended(last, answer, launch, asked=asked)
    held = allocations(list(step.rows) or [last], devices_per_node=1)
    return Outcome(
        key=launch.key,
        job=step.job,
        kind=end.kind,
        what=end.what,
        do=end.do,
        exit_code=answer.exit_code if answer else last.exit_code,
        allocations=with_usage(held, usages(Path(launch.folder), answer), launch.nodes),
    )


def held_now(job: Queued, launch: Launch) -> Allocation | None:
    """What a running job holds, under the name that its row in the books will have; None of one that waits."""
    if job.state in WAITING or job.is_over or job.started is None:
        return None
    return Allocation(
        id=f"{job.job}.{job.restarts}",
        queued=job.submitted if job.submitted is not None else job.started,
        started=job.started,
        nodes=launch.nodes,
        devices=launch.gpus_per_node * launch.nodes or launch.nodes,
        state=job.state,
    )


def usages(folder: Path, answer: Answer | None) -> list[Usage]:
    """What each node metered; nothing where the first said nothing."""
    if answer is None:
        return []
    others = [Usage.model_validate_json(path.read_text()) for path in sorted(folder.glob("usage-*.json"))]
    return [answer.usage, *others]


def with_usage(held: tuple[Allocation, ...], metered: list[Usage], nodes: int) -> tuple[Allocation, ...]:
    """The last allocation with what was metered in it. Slurm's own meter counts whole nodes, and goes before ours.

    Args:
        metered: by each node that ended in time to say so.
        nodes: of the job: energy is known only where all said theirs.
    """
    if not held or not metered:
        return held
    last = held[-1]
    found = {
        "busy": _mean([one.busy for one in metered]),
        "peak_memory_bytes": _most([one.peak_memory_bytes for one in metered]),
    }
    if last.kwh is None and len(metered) == nodes and all(one.kwh is not None for one in metered):
        found |= {"kwh": sum(one.kwh or 0.0 for one in metered), "meter": metered[0].meter}
    return (*held[:-1], last.model_copy(update=found))


def _last_row(step: Step, launch: Launch) -> Accounted | None:
    """The last allocation; where no accounting knows the job, what squeue said last."""
    if step.rows:
        return step.rows[-1]
    if step.last is None or not step.last.is_over:
        return None
    started, over = step.last.started, step.last.ended
    return Accounted(
        job=step.job,
        name=launch.key,
        state=step.last.state,
        exit_code=0 if step.last.state == "COMPLETED" else 1,
        signal=0,
        submitted=step.last.submitted or 0.0,
        started=started,
        ended=over,
        seconds=int(over - started) if started is not None and over is not None else 0,
        nodes=launch.nodes if started is not None else 0,
        gpus=launch.gpus_per_node * launch.nodes,
        joules=None,
        where=step.last.nodes,
    )


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _most(values: list[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return max(known) if known else None
