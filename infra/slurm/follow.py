"""Follow all jobs of a worker together: one call of squeue or sacct a poll, however many there are.

A poll asks squeue where jobs stand; where some are over, the next asks sacct for the books of all of these at once. A
job whose books are not closed yet (accounting is some seconds late) is asked for again. One that neither knows for a
while has vanished.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from infra.slurm.records import ENDED, WAITING, Accounted, Queued

# polls in a row in which neither squeue nor sacct knows a job
_VANISHED_AFTER = 6
# polls for which closed books are waited for, before what squeue said has to do
_BOOKS_AFTER = 30


class Slurm(Protocol):
    def look(self) -> list[Queued]: ...
    def books(self, jobs: Sequence[str]) -> list[Accounted]: ...


class Step(NamedTuple):
    """What a poll found out about one job: where it stands, or its end with all its allocations.

    ``rows`` is empty where it vanished or no accounting knows it; ``last`` is what squeue said last.
    """

    job: str
    last: Queued | None
    over: bool = False
    rows: tuple[Accounted, ...] = ()


class Follower:
    """The jobs of a worker. ``poll`` is called every few seconds by one thread at a time.

    The end of a job is told at each second poll until ``remove``: whoever is told may fail to act on it.
    """

    def __init__(self, slurm: Slurm) -> None:
        self._slurm = slurm
        self._jobs: dict[str, Queued | None] = {}
        self._over: dict[str, int] = {}  # polls that each has been over for
        self._missing: dict[str, int] = {}
        self._books_next = False

    def add(self, job: str) -> None:
        self._jobs.setdefault(job, None)

    def remove(self, job: str) -> None:
        for known in (self._jobs, self._over, self._missing):
            known.pop(job, None)

    def is_running(self, job: str) -> bool:
        """Whether it held nodes at the last look; so does one that was never looked at, for all that is known."""
        last = self._jobs.get(job)
        return last is None or last.state not in WAITING

    def __len__(self) -> int:
        return len(self._jobs)

    def poll(self) -> list[Step]:
        """One call of squeue or sacct; none where there is nothing to follow."""
        if not self._jobs:
            return []
        asked = list({**self._over, **self._missing})
        if self._books_next and asked:
            self._books_next = False
            return self._read_books(asked)
        self._books_next = True
        return self._look()

    def _look(self) -> list[Step]:
        seen = {one.job: one for one in self._slurm.look()}
        steps = []
        for job, before in self._jobs.items():
            now = seen.get(job)
            if now is None:
                self._missing[job] = self._missing.get(job, 0) + 1
                continue
            self._missing.pop(job, None)
            self._jobs[job] = now
            if now.state in ENDED:
                self._over.setdefault(job, 0)
            else:
                self._over.pop(job, None)  # it was requeued meanwhile
                if now != before:
                    steps.append(Step(job, now))
        return steps

    def _read_books(self, jobs: list[str]) -> list[Step]:
        rows: dict[str, list[Accounted]] = {}
        for row in self._slurm.books(jobs):
            rows.setdefault(row.job, []).append(row)
        steps = []
        for job in jobs:
            found = rows.get(job, [])
            if closed(found):
                steps.append(Step(job, self._jobs[job], over=True, rows=tuple(found)))
            elif job in self._over:
                self._over[job] += 1
                if self._over[job] > _BOOKS_AFTER:
                    steps.append(Step(job, self._jobs[job], over=True, rows=tuple(found)))
            elif not found and self._missing[job] > _VANISHED_AFTER:
                steps.append(Step(job, self._jobs[job], over=True))
        return steps


def closed(rows: Sequence[Accounted]) -> bool:
    """Whether the last allocation is over, with its end known."""
    return bool(rows) and rows[-1].state in ENDED and rows[-1].ended is not None
