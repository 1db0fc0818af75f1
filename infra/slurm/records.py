"""What squeue and sacct answer, as records. Pure.

Both are asked for fields parted by ``|`` with times in seconds since the epoch (``SLURM_TIME_FORMAT=%s``), which no
time zone and no daylight saving can bend.
"""

from infra.attempts import Allocation
from infra.digest import Record

# of squeue's --Format; the suffix after the colon ends each field
SQUEUE = ("JobID", "State", "Reason", "NodeList", "SubmitTime", "StartTime", "EndTime", "RestartCnt")
SQUEUE_FORMAT = ",".join(f"{field}:|" for field in SQUEUE)
SACCT = (
    "JobIDRaw", "JobName", "State", "ExitCode", "Submit", "Start", "End", "ElapsedRaw", "NNodes", "AllocTRES",
    "ConsumedEnergyRaw", "NodeList",
)  # fmt: skip
_JOULES_PER_KWH = 3.6e6
# states after which a job holds nothing and comes by itself no more
ENDED = frozenset(
    {"BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "REVOKED",
     "TIMEOUT"}
)  # fmt: skip
WAITING = frozenset(
    {"PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD", "CONFIGURING"}
)


class Queued(Record):
    """A job in squeue's words."""

    job: str
    state: str
    reason: str
    nodes: str
    submitted: float | None
    started: float | None
    ended: float | None
    restarts: int

    @property
    def is_over(self) -> bool:
        return self.state in ENDED


class Accounted(Record):
    """One allocation of a job in sacct's words; a requeued job has several."""

    job: str
    name: str
    state: str
    exit_code: int
    signal: int
    submitted: float
    started: float | None
    ended: float | None
    seconds: int
    nodes: int
    gpus: int
    joules: float | None
    where: str


def queued(text: str) -> list[Queued]:
    """From squeue's answer; jobs of an array and what is no job are left out."""
    found = []
    for line in text.splitlines():
        fields = line.split("|")
        if len(fields) < len(SQUEUE) or not fields[0].strip().isdigit():
            continue
        job, state, reason, nodes, submitted, started, ended, restarts = (
            field.strip() for field in fields[: len(SQUEUE)]
        )
        found.append(
            Queued(
                job=job,
                state=state,
                reason=reason,
                nodes=nodes,
                submitted=_time(submitted),
                started=_time(started),
                ended=_time(ended),
                restarts=int(restarts or 0),
            )
        )
    return found


def accounted(text: str) -> list[Accounted]:
    """From sacct's answer, in its order: of a requeued job the earlier allocation comes first."""
    found = []
    for line in text.splitlines():
        fields = line.split("|")
        if len(fields) < len(SACCT) or not fields[0].isdigit():
            continue
        row = dict(zip(SACCT, fields, strict=False))
        code, _, signal = row["ExitCode"].partition(":")
        found.append(
            Accounted(
                job=row["JobIDRaw"],
                name=row["JobName"],
                state=row["State"].split(" ")[0],  # "CANCELLED by 1000"
                exit_code=int(code or 0),
                signal=int(signal or 0),
                submitted=_time(row["Submit"]) or 0.0,
                started=_time(row["Start"]),
                ended=_time(row["End"]),
                seconds=int(row["ElapsedRaw"] or 0),
                nodes=int(row["NNodes"] or 0),
                gpus=gpus_of(row["AllocTRES"]),
                joules=_joules(row["ConsumedEnergyRaw"]),
                where=row["NodeList"],
            )
        )
    return found


def gpus_of(tres: str) -> int:
    """Devices in ``billing=4,cpu=4,gres/gpu:mi355x=2,gres/gpu=2,node=2``: the untyped sum, else that of the types."""
    counts = {name: value for name, _, value in (one.partition("=") for one in tres.split(","))}
    if "gres/gpu" in counts:
        return int(counts["gres/gpu"])
    return sum(int(value) for name, value in counts.items() if name.startswith("gres/gpu:"))


def allocations(rows: list[Accounted], devices_per_node: int) -> tuple[Allocation, ...]:
    """What is billed: one a row that held nodes, by sacct's own start and whole seconds.

    Args:
        devices_per_node: billed of a job without accelerators: its nodes.
    """
    return tuple(
        Allocation(
            id=f"{row.job}.{number}",
            queued=row.submitted,
            started=row.started,
            ended=row.started + row.seconds if row.ended is not None else None,
            nodes=row.nodes,
            devices=row.gpus or row.nodes * devices_per_node,
            state=row.state,
            kwh=row.joules / _JOULES_PER_KWH if row.joules else None,
            meter="slurm" if row.joules else None,
        )
        for number, row in enumerate(rows)
        if row.started is not None and row.nodes
    )


def _time(text: str) -> float | None:
    """Seconds since the epoch; None for what has not happened (``Unknown``, ``N/A``, ``None``)."""
    return float(text) if text.strip().isdigit() else None


def _joules(text: str) -> float | None:
    # 0 and its greatest number stand for a cluster without energy accounting
    return float(text) if text.isdigit() and 0 < int(text) < 2**62 else None
