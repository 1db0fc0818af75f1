"""Jobs of remote pools that are not known to have ended: what their workers noted under HOME.

Slurm's worker keeps a file a job until its end is told (``infra.slurm.journal``); the Kubernetes worker notes beside
the launch plan which allocations are held (``infra.kubernetes.holdings``).
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import ValidationError

from infra.errors import PoolError
from infra.kubernetes.holdings import FILE as HELD
from infra.launch import FILE, Launch
from infra.outcome import read_outcome
from infra.slurm.journal import Entry


class Job(NamedTuple):
    """One job. ``pool``: the Slurm work pool's name, or ``kubernetes``."""

    pool: str
    state: Literal["waiting", "submitted", "held"]  # before sbatch answered, after it, holding devices in a cluster
    folder: Path
    checkpoints: Path | None


def jobs_in_flight(home: Path) -> list[Job]:
    """All of them.

    Raises:
        PoolError: a note can't be read.
    """
    found: list[Job] = []
    for path in note_files(home):
        found += read_note(path)
    return found


def note_files(home: Path) -> Iterator[Path]:
    """The workers' notes, readable or not."""
    yield from sorted(path for path in (home / "slurm").glob("*/*.json") if not path.name.startswith("."))
    yield from sorted((home / "work").glob(f"*/{HELD}"))


def read_note(path: Path) -> list[Job]:
    """The job of one note, if it has not ended.

    Raises:
        PoolError: it can't be read.
    """
    try:
        if path.name == HELD:
            return _held(path)
        note = Entry.model_validate_json(path.read_bytes())
        return [_job(path.parent.name, "submitted" if note.job is not None else "waiting", note.launch)]
    except FileNotFoundError:  # the worker has told its end meanwhile
        return []
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ValidationError) as error:
        raise PoolError(
            f"the note {path} of a job can't be read: {str(error).splitlines()[0]}",
            do="look whether its job still runs; move the file away once it doesn't",
        ) from None


def _held(path: Path) -> list[Job]:
    """What a job holds by its worker's last look; one that has an outcome holds nothing, whatever was seen last."""
    note = json.loads(path.read_bytes())
    if not any(one["ended"] is None for one in note["allocations"]) or read_outcome(path.parent, note["key"]):
        return []
    return [_job("kubernetes", "held", Launch.model_validate_json((path.parent / FILE).read_bytes()))]


def _job(pool: str, state: Literal["waiting", "submitted", "held"], launch: Launch) -> Job:
    return Job(pool, state, Path(launch.folder), Path(launch.checkpoints) if launch.checkpoints else None)
