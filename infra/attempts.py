"""The attempt log: what every step of a night did, how long, on what; append-only, one JSON object a line.

A killed process can't write its own end. So an attempt also writes a beat every few seconds, and a start without an
end counts up to its last beat: failed and killed attempts are in the bill too.
"""

import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, BinaryIO, Literal
from uuid import uuid4

from pydantic import Field

from infra.digest import Record
from infra.usage import NO_USAGE, UsageMeter

BEAT_SECONDS = 5.0
LOCAL = "local"  # the pool that is this machine

State = Literal["Completed", "Failed", "Killed", "Running"]


def step_of(kind: str, number: int) -> str:
    """What the n-th step of a kind is called in a night that takes several, from 1."""
    return kind if number == 1 else f"{kind}-{number}"


def kind_of(step: str) -> str:
    """A step's kind, whatever its number."""
    return step.partition("-")[0]


class Device(Record):
    """What an attempt holds while it runs."""

    pool: str
    kind: str  # `cpu`, or the accelerator's name, as the price book spells it
    count: int
    accelerator: bool


class Allocation(Record):
    """What a scheduler gave an attempt, from allocation to release: what is billed.

    One attempt has several where it was preempted and requeued. Times are the scheduler's, in seconds since the epoch.
    """

    id: str  # the scheduler's: `JOB` or `JOB.RESTART`, a pod's uid
    queued: float  # from when on it waited
    started: float
    ended: float | None = None  # None: it is held now
    nodes: int
    devices: int  # billed, over all nodes
    state: str  # in the scheduler's word, e.g. COMPLETED, PREEMPTED, NODE_FAIL
    kwh: float | None = None
    meter: str | None = None  # what measured kwh, e.g. `zeus`, `slurm`
    busy: float | None = None  # share of held device time in which devices worked
    peak_memory_bytes: int | None = None  # of the fullest device


class Use(Record):
    """What an attempt used beside devices: bytes moved out of a pool, or kept there for some hours."""

    what: Literal["egress", "storage"]
    gb: float = Field(ge=0)  # 10^9 bytes
    hours: float = Field(default=0.0, ge=0)  # of storage


class Attempt(Record):
    """One try of one step. ``kwh`` is None where no meter measured it.

    Where a scheduler gave it devices (``scheduled``), ``allocations`` say when it held them, and none of
    them that it never did; else it held them all the time.
    """

    id: str
    step: str
    run: str
    device: Device
    started: float  # seconds since the epoch
    seconds: float
    state: State
    kwh: float | None
    meter: str | None = None
    busy: float | None = None  # as an allocation's
    peak_memory_bytes: int | None = None
    error: str | None = None
    scheduled: bool = False
    allocations: tuple[Allocation, ...] = ()
    uses: tuple[Use, ...] = ()


# the attempt in progress, to which a pool adds what its scheduler gave
_current: ContextVar[tuple["AttemptLog", str] | None] = ContextVar("attempt", default=None)


def record_scheduled() -> None:
    """From now on a scheduler says when the attempt in progress holds devices: its waiting time is not billed."""
    _add(event="scheduled")


def record_allocation(allocation: Allocation) -> None:
    """Add to the attempt in progress what a scheduler gave it, or what that is by now; outside of one, nothing."""
    _add(event="allocation", allocation=allocation.model_dump())


def record_use(use: Use) -> None:
    """Add to the attempt in progress what it moved or kept; outside of one, nothing."""
    _add(event="use", use=use.model_dump())


def _add(**entry: Any) -> None:
    if (current := _current.get()) is not None:
        log, attempt = current
        log.write(id=attempt, **entry)


class AttemptLog:
    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()

    def write(self, **entry: Any) -> None:
        line = json.dumps(entry, allow_nan=False) + "\n"
        with self._lock:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab+") as file:
                file.write(_line_end(file) + line.encode())
                file.flush()
                os.fsync(file.fileno())

    @contextmanager
    def attempt(self, step: str, run: str, device: Device) -> Iterator[None]:
        """Record the start, the beats and the end of one attempt, whatever ends it."""
        id_, begun = uuid4().hex[:12], time.monotonic()
        self.write(event="start", id=id_, step=step, run=run, at=time.time(), device=device.model_dump())
        stop = threading.Event()
        beats = threading.Thread(target=self._beat, args=(id_, begun, stop), daemon=True)
        beats.start()
        # devices of a pool elsewhere are metered inside its jobs
        local = device.pool == LOCAL
        meter = UsageMeter.start(accelerator=device.accelerator, devices=device.count) if local else None
        state, error = "Failed", None
        token = _current.set((self, id_))
        try:
            yield
            state = "Completed"
        except BaseException as raised:
            error = f"{type(raised).__name__}: {raised}"[:500]
            raise
        finally:
            _current.reset(token)
            stop.set()
            beats.join()
            seconds = time.monotonic() - begun
            usage = meter.stop() if meter is not None else NO_USAGE
            self.write(event="end", id=id_, seconds=seconds, state=state, error=error, **usage.model_dump())

    def _beat(self, id_: str, begun: float, stop: threading.Event) -> None:
        while not stop.wait(BEAT_SECONDS):
            self.write(event="beat", id=id_, seconds=time.monotonic() - begun)

    def reused(self, step: str, run: str) -> None:
        """Record that a step's result was taken from an earlier attempt."""
        self.write(event="reused", step=step, run=run, at=time.time())

    def entries(self) -> list[dict[str, Any]]:
        """All entries. A line cut by a kill is left out: its attempt then ends at the beat before."""
        if not self.path.exists():
            return []
        return [entry for line in self.path.read_text().splitlines() if (entry := _entry(line)) is not None]


def _line_end(file: BinaryIO) -> bytes:
    """What ends a line that a kill cut, so that the next entry is a line of its own."""
    if file.seek(0, os.SEEK_END) == 0:
        return b""
    file.seek(-1, os.SEEK_END)
    return b"" if file.read(1) == b"\n" else b"\n"


def _entry(line: str) -> dict[str, Any] | None:
    try:
        return json.loads(line)
    except json.JSONDecodeError:
        return None


def attempts_of(entries: list[dict[str, Any]], *, running: bool = False) -> list[Attempt]:
    """Fold log entries into attempts, in order of their start.

    Args:
        running: an attempt without an end belongs to a night that still runs (else it was killed).
    """
    open_: dict[str, dict[str, Any]] = {}
    for entry in entries:
        match entry["event"]:
            case "start":
                open_[entry["id"]] = {
                    **{key: entry[key] for key in ("id", "step", "run", "device")},
                    "started": entry["at"],
                    "seconds": 0.0,
                    "state": "Running" if running else "Killed",
                    "kwh": None,
                    "meter": None,
                    "busy": None,
                    "peak_memory_bytes": None,
                    "scheduled": False,
                    "allocations": {},
                    "uses": [],
                }
            case "beat":
                open_[entry["id"]]["seconds"] = entry["seconds"]
            case "scheduled":
                open_[entry["id"]]["scheduled"] = True
            case "use":
                open_[entry["id"]]["uses"].append(entry["use"])
            case "allocation":
                allocation = entry["allocation"]
                open_[entry["id"]]["allocations"][allocation["id"]] = allocation  # the last word on each
            case "end":
                open_[entry["id"]].update({key: entry[key] for key in ("seconds", "state", "kwh", "error")})
                # logs of before these were metered lack them
                open_[entry["id"]].update({key: entry.get(key) for key in ("meter", "busy", "peak_memory_bytes")})
    tuples = ({"allocations": tuple(one["allocations"].values()), "uses": tuple(one["uses"])} for one in open_.values())
    return [Attempt.model_validate(one | more) for one, more in zip(open_.values(), tuples, strict=True)]
