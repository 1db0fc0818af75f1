"""Slurm's own commands. Each call is one process; the follower makes one a poll, for all jobs together."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from infra.errors import PoolError
from infra.settings import slurm_environment
from infra.slurm.records import SACCT, SQUEUE_FORMAT, Accounted, Queued, accounted, queued

_SECONDS = 60.0  # a controller that takes longer is away


class SlurmAway(PoolError):
    """Slurm's controller or its accounting does not answer; jobs run on meanwhile."""


class SlurmRefused(PoolError):
    """Slurm will not take this job as it is."""


def submit(script: str) -> str:
    """The new job's number.

    Raises:
        SlurmRefused: with Slurm's own reason. SlurmAway: nobody answered; the job may have been taken or not.
    """
    done = _run(["sbatch", "--parsable"], given=script)
    if done.returncode != 0:
        raise _why(done, "the job")
    return done.stdout.strip().split(";")[0]


def would_take(script: str) -> str | None:
    """Why Slurm would refuse this script today, or None. Nothing is submitted."""
    done = _run(["sbatch", "--test-only"], given=script)
    return None if done.returncode == 0 else _words(done.stderr)


def look() -> list[Queued]:
    """All of this user's jobs that the controller still knows, ended ones of the last minutes among them."""
    done = _run(["squeue", "--me", "--noheader", "--states=all", f"--Format={SQUEUE_FORMAT}"])
    if done.returncode != 0:
        raise _why(done, "the queue")
    return queued(done.stdout)


def books(jobs: Sequence[str]) -> list[Accounted]:
    """Every allocation of these jobs, requeued ones too, in order.

    Raises:
        SlurmAway: no accounting answers.
    """
    done = _run(
        ["sacct", "--jobs", ",".join(jobs), "--duplicates", "--allocations", "--noheader", "--parsable2",
         "--format", ",".join(SACCT)]
    )  # fmt: skip
    if done.returncode != 0:
        raise SlurmAway(
            f"sacct does not answer: {_words(done.stderr)}", do="look at slurmdbd; bills come from its records"
        )
    return accounted(done.stdout)


def jobs_named(name: str, since: str = "now-7days") -> list[str]:
    """Numbers of this user's jobs of a name, from the queue and, for those that are over, from accounting."""
    found = _run(["squeue", "--me", "--noheader", "--states=all", f"--name={name}", "--format=%i"])
    if found.returncode != 0:
        raise _why(found, "the queue")
    numbers = set(found.stdout.split())
    past = _run(
        ["sacct", "--name", name, "--starttime", since, "--allocations", "--noheader", "--parsable2",
         "--format", "JobIDRaw"]
    )  # fmt: skip
    if past.returncode == 0:  # a cluster without accounting knows them from the queue alone
        numbers |= set(past.stdout.split())
    return sorted(numbers, key=int)


def signal(job: str, name: str) -> None:
    """Send a signal to the processes of a running job."""
    _done(_run(["scancel", f"--signal={name}", job]), job)


def cancel(job: str) -> None:
    """End a job, waiting or running."""
    _done(_run(["scancel", job]), job)


def partitions() -> dict[str, str]:
    """Partitions, each with its state (``up``, ``down``, ``drain``, ``inact``)."""
    done = _run(["sinfo", "--noheader", "--format=%R|%a"])
    if done.returncode != 0:
        raise _why(done, "sinfo")
    return dict(line.split("|", 1) for line in done.stdout.split() if "|" in line)


def _done(done: subprocess.CompletedProcess[str], job: str) -> None:
    over = ("already completing or completed", "Invalid job id")  # it has just ended by itself
    if done.returncode != 0 and not any(words in done.stderr for words in over):
        raise _why(done, f"job {job}")


def _why(done: subprocess.CompletedProcess[str], what: str) -> PoolError:
    words = _words(done.stderr)
    if any(text in words for text in ("Unable to contact", "Socket timed out", "Connection refused", "Zero Bytes")):
        return SlurmAway(f"Slurm does not answer about {what}: {words}", do="look at slurmctld; jobs run on meanwhile")
    return SlurmRefused(f"Slurm refuses {what}: {words}", do="mend the pool's block (account, partition, QoS, GRES)")


def _words(text: str) -> str:
    return "; ".join(line.strip() for line in text.splitlines() if line.strip())[:600] or "no reason given"


def _run(command: list[str], given: str | None = None) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command,
            input=given,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=False,
            env=slurm_environment(),
            cwd=Path("/"),
        )
    except subprocess.TimeoutExpired:
        raise SlurmAway(f"{command[0]} has not answered for {_SECONDS:.0f} s", do="look at slurmctld") from None
    except FileNotFoundError:
        raise SlurmAway(
            f"{command[0]} is not installed here", do="start the pool's worker on a machine with Slurm's commands"
        ) from None
