"""How a job ended, in words that are no scheduler's; written beside its spec by the one that followed it."""

from pathlib import Path
from typing import Literal

from infra.attempts import Allocation
from infra.digest import Record
from infra.files import write_whole

Kind = Literal[
    "completed",
    "failed",
    "cancelled",
    "preempted",
    "node_failure",
    "time_limit",
    "out_of_memory",
    "held",
    "refused",
    "vanished",
]
# the program did nothing wrong: the same job may be started again, and goes on from its checkpoint
LOST: frozenset[Kind] = frozenset({"preempted", "node_failure", "vanished"})
FILE, HELD = "outcome.json", "held.json"


class Outcome(Record):
    """One job's end.

    Attributes:
        key: of its launch plan.
        job: the scheduler's name of it.
        what, do: as in every error of ours; of a completed job what is one word for people.
        allocations: when it held devices, the scheduler's own times.
    """

    key: str
    job: str
    kind: Kind
    what: str
    do: str = ""
    exit_code: int | None = None
    allocations: tuple[Allocation, ...] = ()


def write_outcome(folder: Path, outcome: Outcome) -> None:
    """Whole or not at all."""
    write_whole(folder / FILE, outcome.model_dump_json())


def write_held(folder: Path, allocation: Allocation) -> None:
    """What the job holds now, so that a night that is killed meanwhile is billed up to its last sign of life."""
    write_whole(folder / HELD, allocation.model_dump_json())


def read_held(folder: Path) -> Allocation | None:
    """What the job of this folder held when its follower looked last, or None where it has held nothing yet."""
    try:
        return Allocation.model_validate_json((folder / HELD).read_text())
    except FileNotFoundError:
        return None


def read_outcome(folder: Path, key: str) -> Outcome | None:
    """The outcome of this launch, or None while there is none (or only that of an earlier one)."""
    try:
        found = Outcome.model_validate_json((folder / FILE).read_text())
    except FileNotFoundError:
        return None
    return found if found.key == key else None
