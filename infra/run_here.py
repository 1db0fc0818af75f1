"""A launch plan's program on the machine of the flow run itself: on a work pool that is no scheduler's.

A process of its own, as everywhere else: it must get signals in its main thread, and die alone.
"""

import signal
import subprocess
import sys
import time
from pathlib import Path

from infra.attempts import Allocation
from infra.errors import PoolError
from infra.job_program import read_answer
from infra.launch import Launch
from infra.outcome import Kind, Outcome, write_outcome
from infra.settings import job_environment

_KILLED = (128 + signal.SIGKILL, -signal.SIGKILL)


def run_here(launch_path: str) -> Outcome:
    """Run it to its end and write its outcome beside the plan.

    Raises:
        PoolError: it did not complete.
    """
    launch = Launch.model_validate_json(Path(launch_path).read_text())
    started = time.time()
    with subprocess.Popen(
        [sys.executable, "-m", "infra.job_program", launch_path],
        cwd=launch.root,
        env=job_environment(launch.variables, launch.root),
        start_new_session=True,
    ) as process:
        try:
            code = process.wait()
        except BaseException:  # the flow run was cancelled: time for a checkpoint, then it ends with us
            process.terminate()
            try:
                process.wait(launch.grace_seconds)
            except subprocess.TimeoutExpired:
                process.kill()
            write_outcome(Path(launch.folder), outcome_of(launch, process.wait(), started, time.time(), cancelled=True))
            raise
    outcome = outcome_of(launch, code, started, time.time())
    write_outcome(Path(launch.folder), outcome)
    if outcome.kind != "completed":
        raise PoolError(outcome.what, do=outcome.do)
    return outcome


def outcome_of(launch: Launch, code: int, started: float, ended: float, *, cancelled: bool = False) -> Outcome:
    """By its exit code and its own word; without a scheduler there is nobody else to ask."""
    answer = read_answer(Path(launch.folder), launch.key)
    kind: Kind = "completed" if code == 0 else "out_of_memory" if code in _KILLED else "failed"
    kind = "cancelled" if cancelled else kind
    tail = f"; its last output:\n{answer.tail}" if answer and kind == "failed" else ""
    usage = answer.usage.model_dump() if answer else {}
    allocation = Allocation(
        id=launch.key,
        queued=started,
        started=started,
        ended=ended,
        nodes=1,
        devices=launch.gpus_per_node or 1,
        state=kind,
        **usage,
    )
    return Outcome(
        key=launch.key,
        job=launch.key,
        kind=kind,
        what=f"{launch.name}: {kind.replace('_', ' ')} (exit code {code}){tail}",
        do="" if kind == "completed" else f"read {launch.folder}/output.log and run the night again",
        exit_code=code,
        allocations=(allocation,),
    )
