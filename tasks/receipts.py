"""A portability receipt: the first steps of one training on two pools, and whether they are the same training. Pure.

Both halves began with the same model, seed and pairs. Rounding differs between devices, so losses and log-probs are
compared within a stated tolerance; what can't differ by rounding (tokens, learning rates, code) must be equal.
Where the tolerances come from: docs/design/portability.md.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from pydantic import Field, field_validator, model_validator

from infra.digest import Digest, Record, digest_of
from infra.store import Blob
from tasks.phases import Phase

Quantity = Literal[
    "loss", "logps_chosen", "logps_rejected", "rewards_chosen", "rewards_rejected", "rewards_margins", "grad_norm",
    "learning_rate", "num_tokens",
]  # fmt: skip

# losses whose slope grows with their value: a difference of d nats moves them by 2·√loss·d
_QUADRATIC = frozenset({"ipo", "sppo_hard"})


def phase_digest(phase: Phase) -> Digest:
    """What of a phase decides its numbers: not when it is stopped, nor how often its answers are looked at."""
    return digest_of({
        name: value for name, value in phase.identity().items() if name != "health" and not name.startswith("probe_")
    })  # fmt: skip


class Tolerance(Record):
    """How far two devices may lie apart in one quantity: a share of what its rounding grows with (``scale_of``).

    Attributes:
        first: of the forward pass, at every step; at step 1, where both have the same weights, it is all there is.
        later: added at step 2, after an update from gradients that differ by rounding.
        growth: factor of what is added, a step: a difference of weights makes another one of gradients.
        why: where the figures are from.
    """

    first: float = Field(ge=0)
    later: float = Field(ge=0)
    growth: float = Field(default=1.0, ge=1)
    why: str = Field(min_length=10)

    def share(self, step: int) -> float:
        """At a step, which is counted from 1."""
        return self.first if step == 1 else self.first + self.later * self.growth ** (step - 2)


class Machine(Record):
    """What a half ran on, by its program's own word."""

    torch: str
    build: str  # `cpu`, `cuda 12.8`, `rocm 7.0`
    accelerator: str | None  # the driver's name for it
    weights: str  # dtype of the weights
    computed: str  # dtype of the products
    processes: int
    threads: int
    packed: bool
    max_tokens: int


class Subject(Record):
    """What was trained. Two halves of different subjects can't be compared."""

    model: Digest
    phase: Digest  # ``phase_digest``
    method: str
    losses: tuple[str, ...]
    beta: float = Field(gt=0)
    seed: int
    pairs: Digest  # of the lines that the program read
    steps: int = Field(ge=2)  # one alone would not have seen the optimizer
    of: int  # steps of the whole training, which the learning rate's course depends on
    code: Digest  # of the code that trained, in the job's own checkout
    libraries: tuple[str, ...]


class Side(Record):
    """One half: a pool, what it trained, and what it logged.

    Attributes:
        device: the device's kind, as ``infra.pools.base.Pool.device_kind`` has it.
        doctor: JSON of what the doctor found inside the job; None where it ran beside the night.
        series: by quantity, one value a step, as TRL logs it; log-probabilities are a batch's mean, in nats an answer.
    """

    pool: str
    device: str
    subject: Subject
    machine: Machine
    doctor: Blob | None
    series: dict[Quantity, tuple[float, ...]]

    @model_validator(mode="after")
    def _whole(self) -> "Side":
        needed = {"loss", "grad_norm", "learning_rate"}
        if self.subject.method != "sft":  # which has no rejected answers
            needed |= {"logps_chosen", "logps_rejected"}
        if missing := sorted(needed - set(self.series)):
            raise ValueError(f"{self.pool} logged no {', '.join(missing)}")
        for name, values in self.series.items():
            if len(values) != self.subject.steps:
                raise ValueError(f"{self.pool} logged {name} at {len(values)} of {self.subject.steps} steps")
        return self


class Worst(Record):
    """Where a quantity of the two halves lies farthest apart, measured in its tolerance."""

    quantity: Quantity
    step: int
    values: tuple[float, float]
    difference: float
    tolerance: float

    @property
    def holds(self) -> bool:
        return self.difference <= self.tolerance

    @property
    def ratio(self) -> float:
        """Of the difference to the tolerance; above 1 it doesn't hold."""
        if self.tolerance > 0:
            return self.difference / self.tolerance
        return 0.0 if self.difference == 0 else float("inf")

    def in_words(self) -> str:
        return f"{self.quantity} at step {self.step}: {self.difference:.2g} (tolerance {self.tolerance:.2g})"


class Finding(Record):
    """Whether the halves are the same training.

    Attributes:
        differs: what can't be compared or must be equal and isn't, a clause each.
        worst: of each quantity, the one that is worst off first; empty where the halves can't be compared.
    """

    agrees: bool
    differs: tuple[str, ...]
    worst: tuple[Worst, ...]

    def in_words(self) -> str:
        """One clause."""
        if self.differs:
            return f"disagrees: {'; '.join(self.differs)}"
        outside = [one for one in self.worst if not one.holds]
        if outside:
            more = f", and {len(outside) - 1} more" if len(outside) > 1 else ""
            return f"disagrees: {outside[0].in_words()}{more}"
        return f"agrees; worst difference {self.worst[0].in_words()}"


class Receipt(Record):
    """Two halves, the tolerances they were compared with, and what came of it. It can't say what its numbers don't."""

    form: Literal["nightshift/receipt/1"] = "nightshift/receipt/1"
    recipe: str
    created: str  # ISO time, UTC
    sides: tuple[Side, Side]
    tolerances: dict[Quantity, Tolerance]
    finding: Finding

    @field_validator("created")
    @classmethod
    def _a_time(cls, created: str) -> str:
        if datetime.fromisoformat(created).tzinfo is None:
            raise ValueError(f"{created!r} has no time zone")
        return created

    @model_validator(mode="after")
    def _says_what_its_numbers_say(self) -> "Receipt":
        if self.finding != judge(self.sides, self.tolerances):
            raise ValueError("the receipt's finding isn't what its own numbers say")
        return self

    @property
    def devices(self) -> tuple[str, str]:
        """In order of the alphabet: a receipt holds both ways."""
        one, other = sorted(side.device for side in self.sides)
        return one, other


class Portability(Record):
    """What is known of a candidate that was trained on another kind of device than the champion.

    Attributes:
        trained, champion: kinds of device; None where it was not recorded.
        finding: the newest receipt's of these two, of this model and phase; ``none``: there is no such receipt;
            ``unknown``: where one of the two was trained, or what a receipt says, can't be read.
        told: the same in a sentence, with the command that makes a receipt where there is none.
    """

    trained: str | None
    champion: str | None
    finding: Literal["agrees", "disagrees", "none", "unknown"]
    receipt: Blob | None  # JSON of a Receipt
    told: str


def judge(sides: tuple[Side, Side], tolerances: dict[Quantity, Tolerance]) -> Finding:
    """Compare two halves: first what they are, then every quantity at every step."""
    differs = (*_subjects(*sides), *_dtypes(*sides), *_quantities(*sides, tolerances))
    if differs:
        return Finding(agrees=False, differs=differs, worst=())
    found = [_worst(name, sides, tolerances[name]) for name in sides[0].series]
    worst = tuple(sorted(found, key=lambda one: (-one.ratio, one.quantity)))
    return Finding(agrees=all(one.holds for one in worst), differs=(), worst=worst)


def _subjects(one: Side, other: Side) -> tuple[str, ...]:
    pairs = ((name, getattr(one.subject, name), getattr(other.subject, name)) for name in Subject.model_fields)
    return tuple(
        f"another {name} ({_said(here)} on {one.pool}, {_said(there)} on {other.pool})"
        for name, here, there in pairs
        if here != there
    )


def _dtypes(one: Side, other: Side) -> tuple[str, ...]:
    """Rounding of two dtypes is two rounding errors: no tolerance tells a fault from it."""
    here, there = one.machine, other.machine
    found = []
    for what in ("weights", "computed"):
        mine, theirs = getattr(here, what), getattr(there, what)
        if mine != theirs:
            found.append(f"{what} in {mine} on {one.pool}, in {theirs} on {other.pool}")
    return tuple(found)


def _quantities(one: Side, other: Side, tolerances: dict[Quantity, Tolerance]) -> tuple[str, ...]:
    here, there = set(one.series), set(other.series)
    alone = [f"only {pool} logged {', '.join(sorted(names))}"
             for pool, names in ((one.pool, here - there), (other.pool, there - here)) if names]  # fmt: skip
    without = sorted((here | there) - set(tolerances))
    return (*alone, *([f"no tolerance is stated for {', '.join(without)}"] if without else []))


def _said(value: object) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return text.removeprefix("sha256:")[:60] if not text.startswith("sha256:") else text[7:19]


def _worst(name: Quantity, sides: tuple[Side, Side], tolerance: Tolerance) -> Worst:
    values = zip(*(side.series[name] for side in sides), strict=True)
    found = [
        Worst(
            quantity=name,
            step=step,
            values=pair,
            difference=abs(pair[0] - pair[1]),
            tolerance=tolerance.share(step) * scale_of(name, sides, step - 1),
        )
        for step, pair in enumerate(values, start=1)
    ]
    return max(found, key=lambda one: (one.ratio, -one.step))


def scale_of(name: Quantity, sides: tuple[Side, Side], index: int) -> float:
    """What the rounding of a quantity grows with, at one step.

    That of a log-probability with its own size; that of a reward, which is beta times the difference of two such, with
    theirs, and so with none of its own at step 1, where it is 0. A loss moves with the margin as steeply as its form.
    """
    size = _smaller(name, sides, index)
    if not name.startswith("rewards") and name != "loss":
        return size
    answers = {"rewards_chosen": ("logps_chosen",), "rewards_rejected": ("logps_rejected",)}.get(
        name, ("logps_chosen", "logps_rejected")
    )
    nats = sum(_smaller(one, sides, index) for one in answers if one in sides[0].series)
    subject = sides[0].subject
    if name == "loss" and _QUADRATIC.intersection(subject.losses):
        return max(size, 2 * size**0.5 * nats)
    return max(size, subject.beta * nats)


def _smaller(name: Quantity | str, sides: Sequence[Side], index: int) -> float:
    # not the larger: a half that is far off would widen its own tolerance
    return min(abs(side.series[name][index]) for side in sides)  # pyright: ignore[reportArgumentType]
